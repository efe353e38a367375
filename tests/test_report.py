"""Statistics over cases, the report on disk and as pages, and one report against another."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from durian.errors import DurianError
from durian.evaluation.report import (
    Report,
    build_report,
    compare,
    compare_markdown,
    contest_markdown,
    html,
    markdown,
    read_report,
    report_json,
    write_report,
)
from durian.evaluation.report.media import write_media
from durian.evaluation.statistics import MIN_CASES, Interval, interval, paired, verdict
from durian.evaluation.trial import Metric, Request, Trial
from durian.portrait.geometry import face_template, transform_points
from durian.portrait.inputs import AnimationInputs, Reference
from durian.video import VideoReader, read_image

finite = st.floats(-1e6, 1e6, allow_nan=False)

# --- statistics ------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.lists(st.none() | finite, max_size=12))
def test_interval_holds_the_mean_and_stays_within_the_values(values: list[float | None]) -> None:
    present = [value for value in values if value is not None]
    found = interval(values)
    assert found.count == len(present)
    if not present:
        assert (found.mean, found.low, found.high) == (None, None, None)
        return
    assert found.mean == pytest.approx(np.mean(present), abs=1e-6)
    if len(present) == 1:
        assert found.low is None
        assert found.high is None
        return
    assert found.low is not None
    assert found.high is not None
    assert min(present) - 1e-6 <= found.low <= found.mean <= found.high <= max(present) + 1e-6
    assert interval(values) == found  # to the last digit


@pytest.mark.parametrize("count", [6, 20, 80])
def test_interval_of_normal_values_holds_the_truth_as_often_as_it_says(count: int) -> None:
    rng = np.random.default_rng(count)
    held = 0
    for _ in range(400):
        found = interval(rng.normal(3, 1, count).tolist())
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 3 <= found.high
    assert held / 400 == pytest.approx(0.95, abs=0.035)  # the standard error of a share of 400 is 0.011


def test_interval_narrows_with_the_root_of_the_count() -> None:
    values = np.random.default_rng(0).normal(size=400).tolist()
    few, many = interval(values[:100]), interval(values)
    assert few.high is not None
    assert few.low is not None
    assert many.high is not None
    assert many.low is not None
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(2, rel=0.2)


def test_equal_values_have_no_width() -> None:
    assert interval([3.3] * 7) == Interval(3.3, 3.3, 3.3, 7)


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_what_is_not_finite_is_no_value(odd: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        interval([1.0, odd])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.none() | finite, st.none() | finite), max_size=12))
def test_paired_is_the_mirror_of_itself(pairs: list[tuple[float | None, float | None]]) -> None:
    a, b = [x for x, _ in pairs], [y for _, y in pairs]
    forward, backward = paired(a, b), paired(b, a)
    assert forward.difference.count == sum(x is not None and y is not None for x, y in pairs)
    if forward.difference.mean is not None and backward.difference.mean is not None:
        assert forward.difference.mean == pytest.approx(-backward.difference.mean, abs=1e-6)
    assert {forward.verdict, backward.verdict} in ({"better", "worse"}, {"not told apart"})
    turned = paired(a, b, "lower")
    assert turned.difference == forward.difference
    assert turned.verdict == backward.verdict
    assert turned.share == backward.share


def test_pairing_sees_what_means_hide() -> None:
    rng = np.random.default_rng(1)
    hard = rng.normal(20, 5, 40)  # what makes a case hard, for both
    a, b = (hard + 0.5 + rng.normal(0, 0.3, 40)).tolist(), hard.tolist()
    alone = [interval(values) for values in (a, b)]
    assert alone[0].low is not None
    assert alone[1].mean is not None
    assert alone[0].low < alone[1].mean  # the intervals overlap
    found = paired(a, b)
    assert found.verdict == "better"
    assert found.share is not None
    assert found.share > 0.8
    assert paired(b, b).verdict == "not told apart"
    assert paired(b, b).share == 0


def test_no_verdict_on_few_cases() -> None:
    few, enough = MIN_CASES - 1, MIN_CASES
    assert paired([1.0] * few, [0.0] * few).verdict == "not told apart"
    assert paired([1.0] * enough, [0.0] * enough).verdict == "better"
    assert paired([1.0] * enough, [0.0] * enough, "lower").verdict == "worse"
    assert verdict(Interval(0.5, 0.0, 1.0, 50)) == "not told apart"
    with pytest.raises(ValueError, match=r"zip\(\)"):
        paired([1.0], [])


# --- the report ------------------------------------------------------------------------------------------

PSNR = Metric("psnr", "PSNR", "higher", "dB", 2, "Peak signal-to-noise ratio.")
L1 = Metric("l1", "L1", "lower", "", 4, "Mean absolute error.")
METHODS: dict[str, dict[str, Any]] = {
    "mini": {"title": "mini", "kind": "model", "about": "A model.", "steps": 4},
    "paste": {"title": "warp and paste", "kind": "baseline"},
    "cut": {"title": "attribute removed", "kind": "ablation", "of": "mini", "metric": "psnr"},
    "cut_l1": {"title": "attribute swapped", "kind": "ablation", "of": "mini", "metric": "l1"},
    "truth": {"title": "truth", "kind": "truth"},
}
ATTRIBUTES = ("hair", "hat")


def record(index: int, shift: float = 0.0) -> dict[str, Any]:
    attribute = ATTRIBUTES[index % 2]
    base = 15 + index % 5
    return {
        "id": f"single/{index:03}_{attribute}",
        "groups": ("single", f"single, {attribute}"),
        "attributes": (attribute,),
        "frames": 8,
        "facts": {"pose_gap": 3.0 * index},
        "seconds": {"mini": 1.5},
        "scores": {
            "mini": {"psnr": base + 1.0 + shift + 0.02 * index, "l1": 0.1},
            "paste": {"psnr": float(base), "l1": 0.05 if index % 2 else None},
            "cut": {"psnr": base - 2.0, "l1": 0.2},
            "cut_l1": {"psnr": base - 2.0, "l1": 0.2},
            "truth": {"psnr": 100.0, "l1": 0.0},
        },
        "media": {"inputs": f"media/single/{index:03}_{attribute}/inputs.webp"},
    }


def report_of(indices: range, shift: float = 0.0, **options: Any) -> Report:
    given = {
        "protocol": "cases",
        "title": "mini",
        "methods": METHODS,
        "metrics": (PSNR, L1),
        "cases": [record(index, shift) for index in indices],
        "settings": {"command": "durian evaluate cases --out report", "seed": 0},
        "environment": {"versions": {"torch": "2.9"}},
    }
    return build_report(**{**given, **options})


@pytest.fixture(scope="module")
def report() -> Report:
    return report_of(range(12), skipped=[{"id": "single/099_hat", "reason": "no face | found"}])


def test_table_is_the_mean_over_the_cases_of_a_group(report: Report) -> None:
    assert report.groups == {"all": 12, "single": 12, "single, hair": 6, "single, hat": 6}
    of_hair = [case.scores["mini"]["psnr"] for case in report.cases if case.attributes == ["hair"]]
    cell = report.table["single, hair"]["mini"]["psnr"]
    assert cell.mean == pytest.approx(np.mean(of_hair))
    assert cell.count == 6
    assert report.table["all"]["paste"]["l1"].count == 6
    assert "l1" not in report.table["single, hair"]["paste"]  # not one value
    assert report.best("all", "psnr") == {"mini"}  # the truth is out of the contest
    assert report.best("all", "l1") == {"paste"}
    assert report.best("single, hair", "l1") == set()  # nothing to compete with


def test_losses_are_paired_and_positive_whichever_way_is_good(report: Report) -> None:
    removed, swapped = (
        report.dependence["mini"][name] for name in ("attribute removed", "attribute swapped")
    )
    assert removed.mean == pytest.approx(np.mean([3 + 0.02 * index for index in range(12)]))
    assert removed.low is not None
    assert removed.low > 2.9
    assert swapped.mean == pytest.approx(0.1)
    assert (removed.metric, swapped.metric) == ("psnr", "l1")


def test_a_metric_of_the_whole_set_has_no_interval() -> None:
    fid = Metric("fid", "FID", "lower", "", 1, "Fréchet distance.")
    scores = {"all": {"mini": {"fid": 31.25, "l1": None}, "paste": {"fid": 40.0}}}
    first = report_of(range(12), metrics=(PSNR, L1, fid), set_scores=scores)
    cell = first.table["all"]["mini"]["fid"]
    assert (cell.mean, cell.low, cell.high, cell.count) == (31.25, None, None, 12)
    assert first.best("all", "fid") == {"mini"}
    assert "**31.2**" in markdown(first)
    scores["all"]["mini"]["fid"] = 29.25
    second = report_of(range(12), metrics=(PSNR, L1, fid), set_scores=scores)
    assert "| mini | FID ↓ | 31.2 | 29.2 | −2.0 |" in compare_markdown(compare(first, second))
    assert not any(row.metric == "fid" for row in compare(first, second).rows)
    # Of other cases, the two numbers would say nothing.
    third = report_of(range(11), metrics=(PSNR, L1, fid), set_scores=scores)
    assert not compare(first, third).of_sets


def test_a_group_stands_behind_the_one_that_it_is_part_of() -> None:
    cases = [record(index) for index in range(4)]
    for case, split in zip(cases, ("a", "b", "a", "b"), strict=True):
        case["groups"] = (split, f"{split}, {case['attributes'][0]}")
    cases[2]["groups"] = ("a", "a, new")
    assert list(report_of(range(0), cases=cases).groups) == ["all", "a", "a, hair", "a, new", "b", "b, hat"]


def spoilt(change) -> list[dict[str, Any]]:
    case = record(0)
    change(case)
    return [case]


@pytest.mark.parametrize(
    ("cases", "message"),
    [
        ([], "without a case"),
        ([record(0), record(0)], "twice"),
        (
            spoilt(lambda case: case["scores"].update(other={"psnr": 1.0})),
            "'other' is used but not described",
        ),
        (spoilt(lambda case: case["scores"]["mini"].update(fid=1.0)), "'fid' is used but not described"),
        (spoilt(lambda case: case["scores"]["mini"].update(psnr=float("inf"))), "psnr.*finite"),
        (spoilt(lambda case: case["scores"]["mini"].update(psnr="15")), "psnr.*number"),
        (spoilt(lambda case: case.pop("frames")), "frames"),
        (spoilt(lambda case: case.update(score={})), "score"),
        (spoilt(lambda case: case["media"].update(mini="../../etc/passwd")), "not a path below"),
        (spoilt(lambda case: case["media"].update(mini="https://example.org/a.mp4")), "not a path below"),
    ],
)
def test_records_that_make_no_report_are_named(cases: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(DurianError, match=message):
        report_of(range(0), cases=cases)


def test_report_on_disk(report: Report, tmp_path: Path) -> None:
    folder = tmp_path / "made" / "here"
    write_report(folder, report)
    assert sorted(path.name for path in folder.iterdir()) == ["index.html", "report.json", "report.md"]
    assert read_report(folder) == read_report(folder / "report.json") == report
    again = build_report(  # records that were read from JSON make the same report, to the last digit
        protocol="cases",
        title="mini",
        methods=METHODS,
        metrics=(PSNR, L1),
        cases=json.loads((folder / "report.json").read_text())["cases"],
        skipped=[entry.model_dump() for entry in report.skipped],
        settings=report.settings,
        environment=report.environment,
    )
    assert report_json(again) == report_json(report)
    (folder / "index.html").unlink()
    (folder / "index.html").mkdir()  # cannot be replaced
    with pytest.raises(DurianError, match="cannot be written"):
        write_report(folder, report)
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    with pytest.raises(DurianError, match="cannot be written"):
        write_report(folder / "report.md" / "below", report)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ('{"version": 1, "protocol"', "not JSON"),
        (b"\xff\xfe", "not JSON"),
        ("[]", "not a report"),
        ("{}", "not a report"),
        ('{"version": 99}', "version 99, needed is 1"),
        ('{"version": "1"}', "version '1', needed is 1"),
        ('{"version": 1}', "damaged report: protocol"),
    ],
)
def test_what_is_not_a_report_is_refused(tmp_path: Path, text: str | bytes | None, message: str) -> None:
    if text is not None:
        (tmp_path / "report.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DurianError, match=message) as caught:
        read_report(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_report_with_a_field_too_many_or_a_wrong_number_is_refused(report: Report, tmp_path: Path) -> None:
    def spoil(change) -> None:
        content = json.loads(report_json(report))
        change(content)
        (tmp_path / "report.json").write_text(json.dumps(content))

    spoil(lambda content: content["cases"][3]["scores"]["mini"].update(psnr="high"))
    with pytest.raises(DurianError, match=r"cases\.3\.scores\.mini\.psnr"):
        read_report(tmp_path)
    spoil(lambda content: content.update(extra=1))
    with pytest.raises(DurianError, match="extra"):
        read_report(tmp_path)
    spoil(lambda content: content["table"]["all"].update(ghost={}))
    with pytest.raises(DurianError, match="ghost"):
        read_report(tmp_path)


# --- as text ---------------------------------------------------------------------------------------------


def test_markdown(report: Report) -> None:
    text = markdown(report)
    lines = text.splitlines()
    rows = {line.split(" |")[0]: line for line in reversed(lines) if line.startswith("| ")}
    cell = report.table["all"]["mini"]["psnr"]
    assert "| method | PSNR, dB ↑ | L1 ↓ |" in lines
    assert f"**{cell.mean:.2f}** [{cell.low:.2f}, {cell.high:.2f}]" in rows["| mini"]
    assert "**" not in rows["| *truth*"]
    assert "**0.0500**" in rows["| warp and paste"]
    assert "(n 6)" in rows["| warp and paste"]  # six of the twelve have a value
    assert "## single, hair (6)" in lines
    assert "- single/099\\_hat: no face \\| found" in lines
    assert "durian evaluate cases --out report" in lines
    assert any(line.startswith("| mini | attribute removed | PSNR | 3.11 dB") for line in lines)
    tables = [line for line in lines if line.startswith("|")]
    assert all(line.endswith("|") for line in tables)


def test_a_contest_holds_every_method_against_one(report: Report) -> None:
    lines = contest_markdown(report, "paste", ["all", "single, hat"], ["psnr", "l1"]).splitlines()
    assert lines[0].startswith(
        "| against warp and paste | all: PSNR, dB ↑ | all: L1 ↓ | single, hat: PSNR, dB ↑ |"
    )
    ours = next(line for line in lines if line.startswith("| mini |")).split(" | ")
    theirs = next(line for line in lines if line.startswith("| **warp and paste** |")).split(" | ")
    # 1 + 0.02 · index over 12 cases; the odd ones, all hats, have a rival's L1 of half as much.
    assert "(+1.11 [" in ours[1]
    assert "▲" in ours[1]
    assert "(+0.0500 [" in ours[2] or "(+0.050 [" in ours[2]
    assert "▼" in ours[2]
    assert "(" not in "".join(theirs)
    assert "truth" not in "".join(lines)
    for name, arguments in (
        ("method", ("paster",)),
        ("group", ("paste", ["hats"])),
        ("metric", ("paste", ["all"], ["fid"])),
    ):
        with pytest.raises(DurianError, match=f"no {name} "):
            contest_markdown(report, *arguments)


def test_nothing_of_a_report_is_taken_for_markup() -> None:
    nasty = '</script><img src=x onerror=alert(1)>|*_`"&{{data}}\u2028'
    case = record(0)
    case["id"] = nasty
    page = report_of(
        range(0),
        title=nasty,
        cases=[case],
        methods=METHODS | {"mini": METHODS["mini"] | {"title": nasty, "about": nasty}},
        skipped=[{"id": nasty, "reason": nasty}],
        settings={"command": nasty, nasty: nasty},
    )
    text = html(page)
    assert "<img" not in text
    assert text.count("</script>") == 2
    embedded = re.search(r'<script type="application/json" id="report">(.*?)</script>', text, re.DOTALL)
    assert embedded is not None
    assert Report.model_validate(json.loads(embedded[1])) == page
    outside_code = markdown(page).split("```")
    assert "<img" not in re.sub(r"\\.", "", outside_code[0] + outside_code[2])


def test_the_page_asks_for_nothing_from_outside(report: Report) -> None:
    text = html(report)
    assert "default-src 'none'" in text
    urls = set(re.findall(r"https?://[^\s\"']+", text))
    assert urls == {"http://www.w3.org/2000/svg"}  # a name space, never fetched
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=\"(?!data:,)", text)
    assert "innerHTML" not in text
    assert "{{" not in text
    assert 'name="viewport"' in text
    assert "light-dark(" in text


# --- one report against another --------------------------------------------------------------------------


def test_a_report_against_itself(report: Report) -> None:
    found = compare(report, report)
    assert (found.warnings, found.differences, found.only_a, found.only_b, found.changed) == ((),) * 5
    assert len(found.common) == 12
    assert {row.paired.verdict for row in found.rows} == {"not told apart"}
    assert {row.paired.difference.mean for row in found.rows} == {0}
    assert not any(found.moved.values())
    text = compare_markdown(found)
    assert "Warning" not in text
    assert (
        "Equal in every case and metric: mini, warp and paste, attribute removed, attribute swapped." in text
    )
    assert "+0.00" not in text


def test_a_better_model_is_told_apart(report: Report) -> None:
    later = report_of(range(12), shift=0.5)
    found = compare(report, later)
    rows = {(row.group, row.a, row.metric): row for row in found.rows}
    row = rows["all", "mini", "psnr"]
    assert row.paired.verdict == "better"
    assert row.paired.difference.mean == pytest.approx(0.5)
    assert row.paired.share == 1
    assert row.mean_a == pytest.approx(report.table["all"]["mini"]["psnr"].mean)
    assert rows["single, hat", "mini", "psnr"].paired.verdict == "better"
    assert rows["all", "paste", "psnr"].paired.verdict == "not told apart"
    assert compare(later, report).rows[0].paired.verdict == "worse"
    text = compare_markdown(found)
    assert "| mini | PSNR, dB ↑ | 17.86 | 18.36 | +0.50 | [+0.50, +0.50] | 12 | 100% | **better** |" in text
    assert "+0.50 [+0.50, +0.50] ✓" in text
    assert "Equal in every case and metric: warp and paste," in text
    assert "Warning" not in text


def test_only_common_cases_are_compared_and_it_says_so(report: Report) -> None:
    later = report_of(range(4, 20), settings={"seed": 1}, environment={"versions": {"torch": "2.10"}})
    found = compare(report, later)
    assert len(found.common) == 8
    assert found.only_a == tuple(case.id for case in report.cases[:4])
    assert len(found.only_b) == 8
    assert all(row.paired.difference.mean == 0 for row in found.rows)
    assert found.differences == (("settings.seed", "0", "1"), ("environment.versions.torch", "2.9", "2.10"))
    text = compare_markdown(found)
    assert "8 are common, of 12 in A and 16 in B" in text
    assert "different settings" in text
    assert "different versions" in text
    assert "## Only in A (4)" in text


def test_a_baseline_betrays_that_the_pictures_changed(report: Report) -> None:
    cases = [record(index) for index in range(12)]
    cases[7]["scores"]["paste"]["psnr"] += 0.01
    found = compare(report, report_of(range(0), cases=cases))
    assert len(found.warnings) == 1
    assert "warp and paste, which has no weights" in found.warnings[0]
    assert cases[7]["id"] in found.warnings[0]


def test_another_case_of_the_same_name_is_left_out(report: Report) -> None:
    cases = [record(index) for index in range(12)]
    cases[3]["facts"]["pose_gap"] += 5
    cases[4]["frames"] = 7
    found = compare(report, report_of(range(0), cases=cases))
    assert found.changed == (cases[3]["id"], cases[4]["id"])
    assert len(found.common) == 10
    assert "not the same case" in compare_markdown(found)


def test_the_cases_that_moved_most(report: Report) -> None:
    cases = [record(index) for index in range(12)]
    cases[5]["scores"]["mini"]["psnr"] -= 4
    cases[6]["scores"]["mini"]["psnr"] += 2
    found = compare(report, report_of(range(0), cases=cases), most=5)
    moves = found.moved[("mini", "mini"), "psnr"]
    assert [move.id for move in moves] == [cases[5]["id"], cases[6]["id"]]
    assert moves[0].by == pytest.approx(-4)
    assert "| −4.00 |" in compare_markdown(found)


def test_two_models_of_different_names(report: Report) -> None:
    methods = {"large": METHODS["mini"] | {"title": "large"}, "paste": METHODS["paste"]}
    cases = [record(index, 1.0) for index in range(12)]
    for case in cases:
        case["scores"] = {"large": case["scores"]["mini"], "paste": case["scores"]["paste"]}
    later = report_of(range(0), cases=cases, methods=methods)
    found = compare(report, later)
    assert found.pairs == (("mini", "large"), ("paste", "paste"))
    assert found.rows[0].paired.verdict == "better"
    assert "large (B) against mini (A)" in compare_markdown(found)
    assert compare(report, later, pairs=[("paste", "large")]).rows[0].paired.difference.mean == pytest.approx(
        2.11
    )
    with pytest.raises(DurianError, match="second report has no method 'mini'"):
        compare(report, later, pairs=[("mini", "mini")])


def test_what_cannot_be_compared_is_refused(report: Report) -> None:
    with pytest.raises(DurianError, match="different protocols"):
        compare(report, report_of(range(12), protocol="clips"))
    with pytest.raises(DurianError, match="no case in common"):
        compare(report, report_of(range(20, 30)))
    other = record(0) | {"frames": 7}
    with pytest.raises(DurianError, match="000_hair differs in attributes, frames or facts"):
        compare(report, report_of(range(0), cases=[other]))
    turned = (replace(PSNR, better="lower"), replace(L1, unit="%"))
    with pytest.raises(DurianError, match="no metric in common"):
        compare(report, report_of(range(12), metrics=turned))
    found = compare(report, report_of(range(12), metrics=(PSNR, replace(L1, unit="%"))))
    assert {row.metric for row in found.rows} == {"psnr"}
    assert "L1 is not the same in both" in found.warnings[0]


# --- media -----------------------------------------------------------------------------------------------

SIZE = 64


def trial(frames: int, **options: Any) -> Trial:
    rng = np.random.default_rng(frames)
    landmarks = transform_points(np.array([[14, 0, 32], [0, 14, 32]]), face_template()).astype(np.float32)
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[:32] = 1
    portrait, donor = (
        Reference(rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8), mask, landmarks) for _ in range(2)
    )
    keypoints = np.repeat(landmarks[None], frames, 0)
    inputs = AnimationInputs(portrait, {"hat": donor}, keypoints, fps=10)
    fields = {
        "id": "single/000_hat",
        "groups": ("single",),
        "attributes": ("hat",),
        "request": lambda size: Request(inputs),
        "portrait": portrait,
        "donors": {"hat": donor},
        "keypoints": keypoints,
        "targets": np.repeat(portrait.image[None], frames, 0),
    }
    return Trial(**{**fields, **options})


def test_media_of_a_clip(tmp_path: Path) -> None:
    asked = trial(3)
    assert asked.targets is not None
    media = write_media(tmp_path, asked, {"mini": asked.targets[:, ::2, ::2], "warp/paste": asked.targets})
    assert set(media) == {"inputs", "truth", "mini", "warp/paste"}
    assert media["truth"] == "media/single/000_hat/truth.mp4"
    assert media["warp/paste"] == "media/single/000_hat/warp%2Fpaste.mp4"
    for name in ("truth", "mini", "warp/paste"):
        with VideoReader(tmp_path / media[name]) as video:
            shown = list(video)
            assert video.fps == 10
        assert [frame.shape for frame in shown] == [(256, 256, 3)] * 3
    strip = read_image(tmp_path / media["inputs"])
    assert strip.shape[1] == 6 * 256 + 5 * 6  # portrait, M_port, masked portrait, hat, masked hat, keypoints
    head = strip.shape[0] - 256
    tiles = [strip[head:, left : left + 256 : 4][::4] for left in range(0, strip.shape[1], 262)]
    np.testing.assert_array_equal(tiles[0], asked.portrait.image)
    assert not tiles[2][:32].any()  # the masked portrait lacks what M_port covers,
    np.testing.assert_array_equal(tiles[2][32:], asked.portrait.image[32:])
    assert not tiles[4][32:].any()  # the masked donor has only it
    assert tiles[5].any()
    assert not list(tmp_path.rglob(".*"))
    case = record(1) | {"id": asked.id, "media": media}
    assert report_of(range(0), cases=[case]).cases[0].media == media


def test_media_of_a_single_frame_and_of_no_truth(tmp_path: Path) -> None:
    asked = trial(1, targets=None, id="../out")
    made = np.full((1, SIZE, SIZE, 3), 77, np.uint8)
    media = write_media(tmp_path / "report", asked, {"mini": made})
    assert "truth" not in media
    assert {path.name for path in tmp_path.iterdir()} == {"report"}  # an odd name leads nowhere else
    with Image.open(tmp_path / "report" / media["mini"]) as image:
        assert image.format == "WEBP"
        assert (np.asarray(image) == 77).all()
    with pytest.raises(ValueError, match="inputs"):
        write_media(tmp_path, asked, {"inputs": made})
    (tmp_path / "file").write_text("")
    with pytest.raises(DurianError, match="cannot be made"):
        write_media(tmp_path / "file", asked, {"mini": made})


def test_media_of_an_interpolation_show_both_donors(tmp_path: Path) -> None:
    asked = trial(1)
    request = asked.request(SIZE)
    asked = replace(asked, request=lambda size: replace(request, interpolate_to=request.inputs.attributes))
    media = write_media(tmp_path, asked, {})
    assert read_image(tmp_path / media["inputs"]).shape[1] == 8 * 256 + 7 * 6
