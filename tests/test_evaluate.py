"""Methods, dependence, records and the report of a whole evaluation."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from durian.errors import DurianError
from durian.evaluation.baselines import warp_paste
from durian.evaluation.cases import case_trials
from durian.evaluation.judge import Judge, Task, features_path, read_record
from durian.evaluation.methods import DEPENDENCE, Method, ablation, list_methods, run_method
from durian.evaluation.perceptual import WeightSources
from durian.evaluation.report import Report, read_report
from durian.evaluation.run import evaluate
from durian.evaluation.sequence import LONG, sequence_scores
from durian.evaluation.set_scores import set_scores
from durian.evaluation.trial import Trial, TrialRef
from durian.portrait.inputs import AnimationInputs
from durian.portrait.keypoints import draw_keypoints
from worlds import SIZE, write_case, write_world

pytestmark = pytest.mark.xdist_group("evaluate")  # one process makes the world and its report once


class Model:
    """A model made of a function of its inputs; keeps what it was called with."""

    moves_by_image = False

    def __init__(self, function: Callable[..., np.ndarray], size: int = SIZE) -> None:
        self.function, self.size, self.calls = function, size, []

    def draw_keypoints(self, keypoints: np.ndarray) -> np.ndarray:
        return draw_keypoints(keypoints, self.size)

    def animate(self, inputs: AnimationInputs, **options: Any) -> np.ndarray:
        self.calls.append({"inputs": inputs, **options})
        return self.function(inputs, **options)


def model_methods(name: str = "oracle") -> tuple[Method, ...]:
    """A model, its ablations and the baselines, as `list_methods` makes them of a checkpoint."""
    model = Method(name, "model", name, fingerprint="1")
    return (model, *list_methods({}), *(ablation(model, lost) for lost in DEPENDENCE))


def nobody(image: np.ndarray) -> None:
    """A flat world has no faces, and to search for them takes long."""


def oracle(refs: list[TrialRef]) -> Model:
    """Knows the answer of the trial whose portrait it is shown."""
    answers = {trial.portrait.image.tobytes(): trial.targets for trial in (ref.load() for ref in refs)}
    return Model(lambda inputs, **_: answers[inputs.portrait.image.tobytes()])


def run(refs: list[TrialRef], folder: Path, model: Model, **options: Any) -> Report:
    task = Task(folder, model_methods(), media=options.pop("media", False))
    return evaluate(
        refs, task, protocol="cases", title="test", animators={"oracle": model}, detector=nobody, **options
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def refs(world: Path) -> list[TrialRef]:
    return case_trials(world)


@pytest.fixture(scope="module")
def report(refs: list[TrialRef], tmp_path_factory: pytest.TempPathFactory) -> Report:
    return run(refs, tmp_path_factory.mktemp("report"), oracle(refs), media=True)


def test_the_answer_scores_at_the_cap_and_depends_on_nothing(report: Report) -> None:
    for group in ("all", "single", "single, hair", "multi, 2 attributes", "interpolation"):
        for metric, best in (("psnr", 100), ("psnr_attribute", 100), ("ssim", 1), ("l1", 0)):
            cell = report.cell(group, "oracle", metric)
            assert cell is not None
            assert cell.mean == pytest.approx(best, abs=1e-6)
    assert report.groups["all"] == 7
    assert report.groups["single"] == 5
    losses = report.dependence["oracle"]
    assert {title: loss.mean for title, loss in losses.items()} == {
        entry.title: 0 for entry in DEPENDENCE.values()
    }
    assert {loss.count for loss in losses.values()} <= {4, 5}  # the only hat has no other hat to swap with


def test_baselines_and_truth_stand_beside(report: Report) -> None:
    pasted, copied = (report.cell("all", name, "psnr") for name in ("warp_paste", "copy_portrait"))
    assert pasted is not None
    assert copied is not None
    assert pasted.mean is not None
    assert copied.mean is not None
    assert pasted.mean > copied.mean + 1
    assert report.cell("all", "truth", "psnr") is None
    flicker = report.cell("all", "truth", "flicker")
    assert flicker is not None
    assert flicker.mean == pytest.approx(1)


def test_the_report_lies_on_disk_with_its_media(report: Report, tmp_path_factory) -> None:
    folder = next(path for path in tmp_path_factory.getbasetemp().glob("report*") if path.is_dir())
    assert read_report(folder) == report
    assert (folder / "index.html").is_file()
    for case in report.cases:
        assert {"inputs", "truth", "oracle", "warp_paste"} <= set(case.media)
        assert all((folder / path).is_file() for path in case.media.values())
    names = {path.name for path in folder.rglob("*") if path.name.startswith(".")}
    assert not names  # nothing half-written


def used(name: str, truth: Model) -> Model:
    """An oracle that halves the brightness where a condition is not its trial's own."""

    def animate(inputs: AnimationInputs, **options: Any) -> np.ndarray:
        if name == "tokens":
            own = not options.get("drop_attribute_tokens", False)
        else:
            images = options.get("keypoint_images")
            drawn = np.stack([draw_keypoints(each, SIZE) for each in inputs.keypoints])
            own = images is None or bool((drawn == images).all())
        return truth.function(inputs) // (1 if own else 2)

    return Model(animate)


@pytest.mark.parametrize(("name", "lost"), [("tokens", "attribute_removed"), ("images", "keypoints_swapped")])
def test_dependence_sees_what_a_model_uses(refs, tmp_path: Path, name: str, lost: str) -> None:
    losses = run(refs[2:], tmp_path, used(name, oracle(refs))).dependence["oracle"]
    mean = losses.pop(DEPENDENCE[lost].title).mean
    assert mean is not None
    assert mean > 50
    assert {loss.mean for loss in losses.values()} == {0}


def test_pasting_depends_on_pictures_and_landmarks_alone(refs, tmp_path: Path) -> None:
    report = run(refs[2:4], tmp_path, Model(lambda inputs, **_: warp_paste(inputs)))
    assert report.table["all"]["oracle"]["psnr"] == report.table["all"]["warp_paste"]["psnr"]
    losses = {title: loss.mean for title, loss in report.dependence["oracle"].items()}
    assert losses["attribute removed"] == losses["keypoint images swapped"] == 0
    assert losses["motion swapped"] > 0.1


def test_all_of_a_models_methods_sample_alike() -> None:
    listed = list_methods({"mini": "mini"}, steps=7, cache_interval=3, detail=False)
    methods = [method for method in listed if method.checkpoint]
    assert len(methods) == 5
    assert {(method.steps, method.cache_interval, method.detail) for method in methods} == {(7, 3, False)}
    assert all(method.describe()["detail"] is False for method in methods)


@pytest.mark.parametrize("detail", [True, False])
def test_models_are_loaded_with_detail_or_without(
    refs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, detail: bool
) -> None:
    asked = []

    def load(checkpoint: str, **options: Any) -> Model:
        asked.append(options["detail"])
        return oracle(refs)

    monkeypatch.setattr("durian.pipeline.DurianPipeline.from_pretrained", load)
    methods = tuple(dataclasses.replace(each, detail=detail) for each in model_methods() if each.checkpoint)
    with Judge(Task(tmp_path, methods, media=False), detector=nobody) as judge:
        judge.score(refs[2], refs[3:5])
    assert asked == [detail]


def test_how_a_model_is_called(refs, tmp_path: Path) -> None:
    model = oracle(refs)
    single = [ref for ref in refs if ref.id.startswith("single")]
    methods = tuple(
        dataclasses.replace(m, steps=7, cache_interval=3) for m in model_methods() if m.checkpoint
    )
    with Judge(Task(tmp_path, methods, media=False), {"oracle": model}, nobody) as judge:
        judge.score(single[0], [single[3], single[1]])
    first, other = single[0].load().request(SIZE).inputs, single[3].load().request(SIZE).inputs
    plain, removed, swapped, keypoints, moved = model.calls
    assert all((c["num_inference_steps"], c["cache_interval"]) == (7, 3) for c in model.calls)
    assert [call.get("drop_attribute_tokens", False) for call in model.calls] == [
        False,
        True,
        False,
        False,
        False,
    ]
    np.testing.assert_array_equal(swapped["inputs"].attributes["hair"].image, other.attributes["hair"].image)
    for call in (removed, swapped, keypoints, moved):
        np.testing.assert_array_equal(call["inputs"].portrait.mask, first.portrait.mask)
    np.testing.assert_array_equal(plain["inputs"].keypoints, first.keypoints)
    np.testing.assert_array_equal(moved["inputs"].keypoints, other.keypoints)
    np.testing.assert_array_equal(
        keypoints["keypoint_images"], [draw_keypoints(each, SIZE) for each in other.keypoints]
    )


def test_where_the_images_are_all_of_the_motion_it_is_swapped_once(refs, tmp_path: Path) -> None:
    model = oracle(refs)
    model.moves_by_image = True
    losses = run(refs[2:4], tmp_path, model).dependence["oracle"]
    assert len(model.calls) == 2 * 3  # the full one, without tokens, with other images; no one to swap with
    assert losses["motion swapped"] == losses["keypoint images swapped"]


def test_shorter_motions_go_round(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_case(tmp_path / "cases" / name, "hat", seed=ord(name))
    for path in (tmp_path / "cases" / "b").glob("target_02.*"):
        path.unlink()
    refs = case_trials(tmp_path / "cases")
    model = Model(lambda inputs, **_: np.zeros((3, SIZE, SIZE, 3), np.uint8))
    method = next(method for method in model_methods() if method.dependence == "motion_swapped")
    run_method(method, refs[0].load(), model, refs[1:])
    driving = refs[1].load().keypoints
    np.testing.assert_array_equal(model.calls[0]["inputs"].keypoints, driving[[0, 1, 0]])


def test_an_interpolation_is_asked_for_frame_by_frame(refs, tmp_path: Path) -> None:
    model = oracle(refs)
    report = run(refs[:1], tmp_path, model)
    (call,) = model.calls  # no ablation of it
    np.testing.assert_allclose(call["interpolation"], [0, 0.25, 0.5, 0.75, 1])
    assert set(call["interpolate_to"]) == {"hair"}
    assert report.cases[0].scores["oracle"]["psnr_attribute_between"] == pytest.approx(100)
    assert 10 < report.cases[0].scores["warp_paste"]["psnr_attribute_between"] < 60
    assert not report.dependence


def test_a_model_of_another_resolution_is_scored_at_the_trial_s(refs, tmp_path: Path) -> None:
    half = Model(
        lambda inputs, **_: np.repeat(inputs.portrait.image[None], len(inputs.keypoints), 0), SIZE // 2
    )
    report = run(refs[2:4], tmp_path, half)
    assert {call["inputs"].portrait.image.shape for call in half.calls} == {(SIZE // 2, SIZE // 2, 3)}
    ours, copied = (report.table["all"][name]["psnr"].mean for name in ("oracle", "copy_portrait"))
    assert ours == pytest.approx(copied, abs=0.5)  # the pictures are smooth


def test_an_interrupted_run_goes_on_where_it_stopped(refs, tmp_path: Path) -> None:
    class Interrupted(Exception):
        pass

    truth = oracle(refs)

    def stop(inputs: AnimationInputs, **options: Any) -> np.ndarray:
        if len(broken.calls) > 9:
            raise Interrupted
        return truth.function(inputs)

    broken = Model(stop)
    with pytest.raises(Interrupted):
        run(refs[2:], tmp_path, broken)
    done = [ref for ref in refs if read_record(tmp_path, ref)]
    assert len(done) == 1  # five calls a trial, of the second half were made
    resumed = run(refs[2:], tmp_path, model := oracle(refs))
    assert len(model.calls) == 5 * len(refs[2:]) - 5 - 1  # the only hat has no other to swap with
    whole = run(refs[2:], tmp_path / "anew", oracle(refs))
    assert resumed.table == whole.table
    assert [case.scores for case in resumed.cases] == [case.scores for case in whole.cases]


def test_what_is_scored_is_not_scored_again_unless_it_changed(tmp_path: Path) -> None:
    for index in range(2):
        write_case(tmp_path / "cases" / f"{index}", "hat", seed=index)

    def again(**changes: Any) -> int:
        refs = case_trials(tmp_path / "cases")
        model = oracle(refs)
        methods = tuple(
            dataclasses.replace(method, **changes) if method.checkpoint else method
            for method in model_methods()
        )
        task = Task(tmp_path / "out", methods, media=False)
        evaluate(refs, task, protocol="cases", title="test", animators={"oracle": model}, detector=nobody)
        return len(model.calls)

    assert again() == 10
    assert again() == 0
    assert again(steps=2) == 10
    assert again(fingerprint="other weights") == 10
    Image.new("RGB", (SIZE, SIZE)).save(tmp_path / "cases" / "1" / "attribute.webp")
    assert again(fingerprint="other weights") == 5
    record = next((tmp_path / "out" / "records").iterdir())
    record.write_text(record.read_text()[:100])  # as a full disk leaves it
    assert again(fingerprint="other weights") == 5


def test_a_broken_case_is_reported_and_not_averaged(tmp_path: Path) -> None:
    for index in range(3):
        write_case(tmp_path / "cases" / f"{index}", "hat", seed=index)
    whole = run(case_trials(tmp_path / "cases"), tmp_path / "whole", oracle(case_trials(tmp_path / "cases")))
    (tmp_path / "cases" / "1" / "portrait.webp").write_bytes(b"broken")
    refs = case_trials(tmp_path / "cases")
    model = oracle([refs[0], refs[2]])
    report = run(refs, tmp_path / "out", model)
    assert [(entry.id, "case 1: " in entry.reason) for entry in report.skipped] == [("cases/1", True)]
    assert report.groups["all"] == 2
    kept = [case.scores["warp_paste"]["psnr"] for case in whole.cases if case.id != "cases/1"]
    assert report.table["all"]["warp_paste"]["psnr"].mean == pytest.approx(np.mean(kept))
    for index in (0, 2):
        (tmp_path / "cases" / f"{index}" / "case.json").write_text("{")
    with pytest.raises(DurianError, match="no report without a case: cases/0: "):
        run(case_trials(tmp_path / "cases"), tmp_path / "none", model)


def test_an_empty_region_has_no_score_and_no_loss(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "cases" / "covered", "hat")
    for path in folder.glob("target_*.png"):
        Image.new("L", (SIZE, SIZE)).save(path)
    refs = case_trials(tmp_path / "cases")
    report = run(refs, tmp_path / "out", oracle(refs))
    assert "psnr_attribute" not in report.cases[0].scores["oracle"]
    assert "attribute removed" not in report.dependence.get("oracle", {})
    assert report.table["all"]["oracle"]["psnr"].mean == pytest.approx(100)


def test_the_same_seed_gives_the_same_report_in_one_process_and_in_two(world: Path, tmp_path: Path) -> None:
    refs = case_trials(world, splits=["single"], limit=2)
    tables = []
    for workers in (1, 2):
        methods = tuple(list_methods({"mini": "mini"}, dependence=False))
        task = Task(tmp_path / str(workers), methods, device="cpu", media=False)
        tables.append(evaluate(refs, task, protocol="cases", title="test", workers=workers))
    one, two = (json.dumps([case.scores for case in report.cases]) for report in tables)
    assert one == two
    assert tables[0].table == tables[1].table


def test_methods_are_named_and_known(tmp_path: Path) -> None:
    names = [method.name for method in list_methods({"small": "mini"})]
    assert names[:5] == ["small", "copy_portrait", "warp_paste", "warp_blend", "truth"]
    assert len(names) == 9
    with pytest.raises(DurianError, match="'truth' cannot be a model's name"):
        list_methods({"truth": "mini"})
    with pytest.raises(DurianError, match="no checkpoint 'absent'"):
        list_methods({"absent": "absent"})


def test_metrics_of_whole_sets_compare_with_the_truth_by_group(tmp_path: Path) -> None:
    methods = (*list_methods({}),)
    task = Task(tmp_path, methods, WeightSources(inception="somewhere"))
    rng = np.random.default_rng(0)
    cases = []
    for index in range(8):
        name, group = f"single/{index}", "near" if index < 4 else "far"
        cases.append({"id": name, "groups": [group]})
        truth = rng.normal(size=(16, 3)).astype(np.float32)
        found = {"truth": truth, "warp_paste": truth + (0 if group == "near" else 2)}
        for method, features in found.items():
            path = features_path(tmp_path, name, method)
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, allow_pickle=False, fid=features)
    scores = set_scores(task, cases)
    assert set(scores) == {"all", "near", "far"}
    assert scores["near"]["warp_paste"]["fid"] == pytest.approx(0, abs=1e-4)
    assert scores["far"]["warp_paste"]["fid"] == pytest.approx(3 * 2**2, rel=1e-3)  # three means moved by 2
    assert scores["all"]["copy_portrait"] == {}
    assert set_scores(Task(tmp_path, methods), cases) == {}


def test_drift_is_what_is_lost_over_length(refs) -> None:
    trial = refs[2].load()
    assert trial.targets is not None
    targets = np.repeat(trial.targets[:1], LONG, 0)
    long = dataclasses.replace(
        trial,
        targets=targets,
        keypoints=np.repeat(trial.keypoints[:1], LONG, 0),
        regions={name: np.repeat(region[:1], LONG, 0) for name, region in trial.regions.items()},
    )
    noise = np.random.default_rng(0).normal(size=targets.shape)
    amount = np.linspace(2, 20, LONG)[:, None, None, None]
    worse = np.clip(targets + amount * noise, 0, 255).astype(np.uint8)
    assert sequence_scores(targets, long)["drift"] == 0
    drift = sequence_scores(worse, long)["drift"]
    # Noise of 4.25 (root mean square of the first quarter's amounts) grows to 17.9.
    quarter = LONG // 4
    levels = [
        np.sqrt(np.mean(np.linspace(2, 20, LONG)[part] ** 2))
        for part in (slice(quarter), slice(-quarter, None))
    ]
    assert drift == pytest.approx(20 * np.log10(levels[1] / levels[0]), abs=0.5)
    assert sequence_scores(worse[:, ::-1], long)["drift_attribute"] is not None
    assert sequence_scores(trial.targets, trial)["drift"] is None


def test_the_older_benchmark_can_be_read(shared_dir: Path, tmp_path: Path) -> None:
    folder = shared_dir / "data" / "portraits-v0" / "cases"
    task = Task(tmp_path, tuple(list_methods({})), media=False)
    report = evaluate(case_trials(folder, limit=3), task, protocol="cases", title="test")
    assert not report.skipped
    assert report.groups == {"all": 3, "cases": 3} | {
        f"cases, {name}": 1 for name in ("hair", "glasses", "hat")
    }
    assert all(case.frames == 8 for case in report.cases)
    for name in ("hair", "hat"):
        pasted, copied = (
            report.table[f"cases, {name}"][m]["psnr_attribute"].mean for m in ("warp_paste", "copy_portrait")
        )
        assert pasted > copied


def test_a_trial_has_the_size_of_its_portrait(refs) -> None:
    trial: Trial = refs[0].load()
    assert trial.size == SIZE
