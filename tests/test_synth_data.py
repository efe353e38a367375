"""Clips, the benchmark and the sheets of the synthetic world."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from durian.cli import main
from durian.data.clips import read_clips
from durian.errors import DurianError
from durian.evaluation.case_files import CaseFiles
from durian.evaluation.cases import CaseOptions, load_case
from durian.labels import attribute_region, lens_region
from durian.synth import benchmark, dataset
from durian.synth.attributes import beard, glasses, hair, hat
from durian.synth.attributes.styles import FREE_FORM
from durian.synth.benchmark import recipe, write_benchmark
from durian.synth.dataset import ClipSettings, clip_recipe, write_clips
from durian.synth.model import build
from durian.synth.performance import Performance
from durian.synth.person import Person
from durian.synth.recipes import KINDS, SPLITS
from durian.synth.sequence import render_performance
from durian.synth.serialise import from_json, to_json
from durian.work import run_jobs

SMALL = ClipSettings(frames=2, size=48, seed=3, samples=1)
TABLES = {"hair": hair, "glasses": glasses, "beard": beard, "hat": hat}


def members_of(shard: Path) -> dict[str, bytes]:
    with tarfile.open(shard) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar.getmembers()}


def write_members(shard: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(shard, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def test_clips_are_what_training_reads(tmp_path: Path):
    seen = []
    shards = write_clips(tmp_path, 3, SMALL, progress=lambda done, total: seen.append((done, total)))
    assert [shard.name for shard in shards] == ["clips-00000.tar"]
    assert seen[0] == (0, 3)
    assert seen[-1] == (3, 3)
    clips = list(read_clips(tmp_path))
    assert [clip.name for clip in clips] == ["000000", "000001", "000002"]
    for clip in clips:
        assert clip.frames.shape == (2, 48, 48, 3)
        assert len(clip.visible_frames()) == 2
        eyes = clip.landmarks[:, [468, 473], :2]
        assert ((eyes > 0) & (eyes < 48)).all()
    assert any("hair" in clip.masks for clip in clips)
    with tarfile.open(shards[0]) as tar:
        person = tar.extractfile("000001.person.json").read().decode()
        performance = tar.extractfile("000001.performance.json").read().decode()
    assert (from_json(Person, person), (from_json(Performance, performance),)) == clip_recipe(SMALL, 1)
    assert clips[0].take is None


def test_relit_frames_are_the_same_person_and_pose_in_other_lights(tmp_path: Path):
    plain = next(iter(read_clips(write_clips(tmp_path / "plain", 1, SMALL)[0].parent)))
    settings = dataclasses.replace(SMALL, frames=3, relit=2)
    write_clips(tmp_path / "relit", 1, settings)
    (clip,) = read_clips(tmp_path / "relit")
    assert clip.relit is not None
    assert plain.relit is None
    assert clip.relit.frames.shape == (2, 48, 48, 3)
    for frame, landmarks in zip(clip.relit.frames, clip.relit.landmarks, strict=True):
        (same,) = (i for i in range(3) if np.array_equal(clip.landmarks[i], landmarks))
        worn = clip.masks["hair"][same]
        assert np.abs(frame[worn].astype(int) - clip.frames[same][worn]).mean() > 2
        background = np.abs(frame[:6].astype(int) - clip.frames[same][:6])
        assert background.mean() < 2  # which is not lit but painted
    # Without them, the clip is the same.
    write_clips(tmp_path / "three", 1, dataclasses.replace(SMALL, frames=3))
    (other,) = read_clips(tmp_path / "three")
    np.testing.assert_array_equal(other.frames, clip.frames)


def test_unshaded_frames_have_all_but_the_hats_shadow(tmp_path: Path):
    settings = dataclasses.replace(SMALL, frames=3, takes=2, size=96, unshaded=True)
    people = [clip_recipe(settings, index)[0] for index in range(12)]
    brims = {"fedora", "sun-hat", "bucket-hat", "baseball-cap"}
    hats = [p.attributes.hat is not None for p in people]
    assert any(p.attributes.hat is not None and p.attributes.hat.style in brims for p in people)
    write_clips(tmp_path / "with", len(people), settings)
    write_clips(tmp_path / "without", len(people), dataclasses.replace(settings, unshaded=False))
    clips, plain = (list(read_clips(tmp_path / name)) for name in ("with", "without"))
    assert [clip.unshaded is not None for clip in clips] == hats
    for clip, other in zip(clips, plain, strict=True):
        np.testing.assert_array_equal(clip.frames, other.frames)  # the clip itself is as without
        assert other.unshaded is None
    for clip in (clip for clip in clips if clip.unshaded is not None):
        assert clip.unshaded.shape == clip.frames.shape
        lighter = clip.unshaded.astype(int) - clip.frames
        assert np.abs(lighter[clip.masks["hat"]]).mean() < 2  # up to the files' compression
        assert np.abs(lighter[:, -8:]).mean() < 4
        brows = np.clip(clip.landmarks[:, [105, 334], :2].round().astype(int), 0, 95)
        gains = [lighter[i, y - 2 : y + 3, x - 2 : x + 3].mean() for i, p in enumerate(brows) for x, y in p]
        if clip.styles["hat"] in brims:
            assert np.mean(gains) > 5


def test_others_wear_what_the_person_wears_and_the_person_wore_something_else(tmp_path: Path):
    settings = dataclasses.replace(SMALL, frames=4, takes=4, size=64, donors=4, before=4)
    write_clips(tmp_path / "with", 8, settings)
    write_clips(tmp_path / "without", 8, dataclasses.replace(settings, donors=0, before=0))
    clips, plain = (list(read_clips(tmp_path / name)) for name in ("with", "without"))
    colours: dict[str, list[np.ndarray]] = {"own": [], "donor": []}
    for index, (clip, other) in enumerate(zip(clips, plain, strict=True)):
        np.testing.assert_array_equal(clip.frames, other.frames)  # the clip itself is as without
        assert not other.donors
        assert not other.before
        person, _ = clip_recipe(settings, index)
        worn = {kind for kind in KINDS if getattr(person.attributes, kind) is not None}
        expected = worn - {"hair"} if "hat" in worn else worn
        assert clip.donors.keys() == clip.before.keys() == expected
        for kind in expected:
            donors, before = clip.donors[kind], clip.before[kind]
            for frame, points in zip(donors.frames, donors.landmarks, strict=True):
                assert all(np.abs(points - own).max() > 1 for own in clip.landmarks)
                assert all(np.abs(frame[:6].astype(int) - own[:6]).mean() > 2 for own in clip.frames)
            if kind in ("hair", "hat"):
                shown = [each.frames[each.masks[kind]].mean(0) for each in (clip, donors)]
                for name, colour in zip(colours, shown, strict=True):
                    colours[name].append(colour / colour.sum())
            for frame, points, mask in zip(before.frames, before.landmarks, before.masks[kind], strict=True):
                (same,) = (i for i in range(4) if np.array_equal(clip.landmarks[i], points))
                assert mask[clip.masks[kind][same]].all()
                # All else is the same person in the same light; a hat, hair and their shadows are not small.
                difference = np.abs(frame.astype(int) - clip.frames[same]).max(-1)
                assert (difference[~mask] < 10).mean() > 0.5
    # Everybody's donors are nearest to them in colour, whatever the light.
    own, given = np.array(colours["own"]), np.array(colours["donor"])
    nearest = np.linalg.norm(own[:, None] - given, axis=-1).argmin(1)
    assert (nearest == np.arange(len(own))).mean() > 0.6


def test_a_portrait_before_is_hidden_where_its_own_glasses_are(tmp_path: Path):
    """The frame always, and lenses that nothing of the eyes is seen through."""
    settings = dataclasses.replace(SMALL, frames=3, takes=3, size=96, before=6)
    people = [clip_recipe(settings, index)[0] for index in range(20)]
    (shard,) = write_clips(tmp_path, len(people), settings)
    members = members_of(shard)
    shares = []
    for clip in read_clips(tmp_path):
        if "glasses" not in clip.before:
            continue
        about = json.loads(members[f"{clip.name}.before.json"])
        pictures = [i for i, kind in enumerate(about["kinds"]) if kind == "glasses"]
        for mask, i in zip(clip.before["glasses"].masks["glasses"], pictures, strict=True):
            data = np.frombuffer(members[f"{clip.name}.beforelabel{i:02d}.png"], np.uint8)
            labels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
            lenses, worn = lens_region(labels), attribute_region(labels, "glasses")
            assert mask[worn & ~lenses].all()
            seen = lenses & ~clip.masks["glasses"][about["frames"][i]]
            if seen.sum() > 20:
                shares.append(mask[seen].mean())
    assert set(shares) == {0.0, 1.0}


def test_pictures_before_of_other_frames_are_refused(tmp_path: Path):
    (shard,) = write_clips(tmp_path, 1, dataclasses.replace(SMALL, before=1))
    members = members_of(shard)
    about = json.loads(members["000000.before.json"])
    for odd in ({"frames": [2]}, {"kinds": ["wig"]}, {"kinds": about["kinds"] * 2}):
        members["000000.before.json"] = json.dumps({**about, **odd}).encode()
        write_members(shard, members)
        with pytest.raises(DurianError, match="clip 000000: missing or unreadable member"):
            list(read_clips(tmp_path))


def test_takes_are_performances_of_the_same_person(tmp_path: Path):
    settings = dataclasses.replace(SMALL, frames=5, takes=2, relit=5)
    write_clips(tmp_path, 1, settings)
    (clip,) = read_clips(tmp_path)
    assert clip.take is not None
    assert clip.take.tolist() == [0, 0, 0, 1, 1]
    person, takes = clip_recipe(settings, 0)
    assert person == clip_recipe(SMALL, 0)[0]
    assert takes[0] == clip_recipe(dataclasses.replace(SMALL, frames=3), 0)[1][0]
    # The second is rendered like a performance that nothing came before.
    alone = list(render_performance(build(person), takes[1], 48, 1))
    np.testing.assert_allclose(clip.landmarks[3:], [frame.landmarks for frame in alone], atol=1e-3)
    assert clip.relit is not None
    np.testing.assert_array_equal(clip.relit.landmarks, clip.landmarks)
    moved = np.abs(np.diff(clip.landmarks[:, :, :2].mean(1), axis=0)).max(1)
    assert moved[2] > 2 * max(moved[0], moved[1], moved[3])
    with pytest.raises(DurianError, match="3 takes have no 2 frames"):
        write_clips(tmp_path / "more", 1, dataclasses.replace(SMALL, takes=3))


def test_takes_of_other_frames_are_refused(tmp_path: Path):
    (shard,) = write_clips(tmp_path, 1, dataclasses.replace(SMALL, takes=2))
    members = members_of(shard)
    three = io.BytesIO()
    np.save(three, np.arange(3))
    members["000000.take.npy"] = three.getvalue()
    write_members(shard, members)
    with pytest.raises(DurianError, match=r"clip 000000: .*take.npy has shape \(3,\) for 2 frames"):
        next(read_clips(tmp_path))


def test_a_killed_run_goes_on_and_other_settings_are_refused(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(dataset, "SHARD", 2)
    made = []
    encode = dataset.encode_clip

    def interrupted(settings: ClipSettings, index: int) -> dict[str, bytes]:
        if index == 3 and len(made) == 3:
            raise KeyboardInterrupt
        made.append(index)
        return encode(settings, index)

    monkeypatch.setattr(dataset, "encode_clip", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_clips(tmp_path, 4, SMALL)
    assert {path.name for path in tmp_path.iterdir()} == {"manifest.json", "clips-00000.tar"}
    first = (tmp_path / "clips-00000.tar").read_bytes()
    made.append(-1)
    write_clips(tmp_path, 4, SMALL)
    assert made == [0, 1, 2, -1, 2, 3]
    assert (tmp_path / "clips-00000.tar").read_bytes() == first
    assert len(list(read_clips(tmp_path))) == 4
    with pytest.raises(DurianError, match="other settings"):
        write_clips(tmp_path, 4, ClipSettings(frames=3, size=48, seed=3, samples=1))


def test_workers_make_the_same_clips(tmp_path: Path, monkeypatch):
    results = list(run_jobs(divmod, [(7, 2), (9, 4), (5, 5)], workers=2))
    assert sorted(results) == [(1, 0), (2, 1), (3, 1)]


@pytest.mark.parametrize("split", SPLITS)
def test_recipes_are_reproducible_and_hold_out_styles(split: str):
    case, again = recipe(split, 1), recipe(split, 1)
    assert case == again
    assert case != recipe(split, 0)
    assert len(case.answers) == len(case.performance.frames)
    worn = case.answers[-1].attributes
    for donor in case.donors:
        attribute = getattr(donor.person.attributes, donor.kind)
        table = TABLES[donor.kind].STYLES
        if split != "overlap":
            assert attribute.style in table.held_out_styles
        assert getattr(worn, donor.kind).style == attribute.style
    assert case.answers[0].identity == case.portrait.identity
    assert case.answers[0].scene == case.portrait.scene


def test_training_people_never_wear_a_held_out_style():
    for index in range(200):
        person, _ = clip_recipe(SMALL, index)
        for kind, module in TABLES.items():
            attribute = getattr(person.attributes, kind)
            assert attribute is None or attribute.style in module.STYLES.train_styles


def test_free_hats_are_put_on_a_share_of_people_who_stay_the_same_otherwise(tmp_path: Path):
    settings = dataclasses.replace(SMALL, free_hats=0.6)
    free = 0
    for index in range(100):
        (own, motion), (person, takes) = (clip_recipe(s, index) for s in (SMALL, settings))
        assert takes == motion
        if person != own:
            free += 1
            assert person.attributes.hat is not None
            assert person.attributes.hat.style == FREE_FORM
            assert own == dataclasses.replace(
                person, attributes=dataclasses.replace(person.attributes, hat=own.attributes.hat)
            )
    assert 45 <= free <= 75
    write_clips(tmp_path, 2, settings)
    with pytest.raises(DurianError, match="other settings"):
        write_clips(tmp_path, 2, SMALL)


def test_free_forms_take_the_place_of_a_share_of_what_is_worn():
    settings = dataclasses.replace(SMALL, free_forms=0.7)
    free = worn = 0
    for index in range(60):
        (own, motion), (person, takes) = (clip_recipe(s, index) for s in (SMALL, settings))
        assert takes == motion
        assert (person.identity, person.scene) == (own.identity, own.scene)
        assert person.attributes.hat == own.attributes.hat
        for kind in ("hair", "glasses", "beard"):
            before, after = (getattr(who.attributes, kind) for who in (own, person))
            assert (before is None) == (after is None)
            if after is not None:
                worn += 1
                free += after.style == FREE_FORM
                assert after.style == FREE_FORM or after == before
    assert 0.6 <= free / worn <= 0.8
    assert from_json(Person, to_json(person)) == person


def test_splits_are_what_their_names_say():
    for index in range(6):
        assert len(recipe("multi", index).donors) in (2, 3, 4)
        assert {donor.kind for donor in recipe("overlap", index).donors} in (
            {"hair", "hat"},
            {"hair", "glasses"},
        )
        posed = recipe("pose", index)
        gap = abs(posed.portrait_state.yaw - posed.donors[0].state.yaw)
        assert np.deg2rad(30) <= gap <= np.deg2rad(60)
        lit = recipe("light", index)
        assert lit.portrait.scene.light.kind != lit.donors[0].person.scene.light.kind
        own = recipe("self", index)
        assert own.answers[0] == own.portrait == own.donors[0].person
    assert len(recipe("long", 0).performance.frames) == 300
    between = recipe("interpolation", 0)
    kind = between.donors[0].kind
    assert getattr(between.answers[0].attributes, kind) == getattr(between.donors[0].person.attributes, kind)
    assert getattr(between.answers[-1].attributes, kind) == getattr(between.donors[1].person.attributes, kind)


def test_cases_are_what_evaluation_reads(tmp_path: Path):
    first = write_benchmark(tmp_path / "a", ["single"], limit=2, size=64, samples=1)
    path = tmp_path / "a" / "single" / "000_hair"
    case = CaseFiles.read(path)
    assert case.attributes == ("hair",)
    assert case.targets.shape == (8, 64, 64, 3)
    trial = load_case(path, "single", 0, CaseOptions())
    assert trial.request(64).inputs.keypoints.shape == (8, 478, 3)
    assert attribute_region(case.target_labels, "hair").any()
    content = json.loads((tmp_path / "a" / "single" / "000_hair" / "case.json").read_text())
    assert content["attributes"] == ["hair"]
    again = write_benchmark(tmp_path / "b", ["single"], limit=2, size=64, samples=1)
    assert first == again
    bigger = write_benchmark(tmp_path / "c", ["single"], limit=2, size=72, samples=1)
    assert bigger["splits"]["single"]["recipes"] == first["splits"]["single"]["recipes"]
    assert bigger["splits"]["single"]["pixels"] != first["splits"]["single"]["pixels"]


def test_an_interrupted_benchmark_goes_on(tmp_path: Path, monkeypatch):
    whole = write_benchmark(tmp_path / "whole", ["single"], limit=2, size=48, samples=1)
    render_case = benchmark._render_case
    rendered = []

    def interrupted(case, size, samples):
        rendered.append(case.name)
        if len(rendered) == 2:
            raise KeyboardInterrupt
        return render_case(case, size, samples)

    monkeypatch.setattr(benchmark, "_render_case", interrupted)
    folder = tmp_path / "parts"
    with pytest.raises(KeyboardInterrupt):
        write_benchmark(folder, ["single"], limit=2, size=48, samples=1)
    assert [path.name for path in (folder / "single").iterdir()] == ["000_hair"]
    assert write_benchmark(folder, ["single"], limit=2, size=48, samples=1) == whole
    assert rendered == ["000_hair", "001_glasses", "001_glasses"]
    with pytest.raises(DurianError, match="choose another folder"):
        write_benchmark(folder, ["single"], limit=2, size=64, samples=1)


def test_commands(tmp_path: Path, capsys):
    clips, cases = tmp_path / "clips", tmp_path / "cases"
    small = ["--size", "48", "--samples", "1", "--workers", "1"]
    assert main(["synth", "clips", "--out", str(clips), "--clips", "1", "--frames", "2", *small]) == 0
    assert main(["synth", "cases", "--out", str(cases), "--split", "self", "--limit", "1", *small]) == 0
    assert "self: 1 cases" in capsys.readouterr().out
    picture = tmp_path / "sheet.png"
    assert main(["synth", "sheet", "--out", str(picture), "--kind", "poses", "--size", "32"]) == 0
    assert picture.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cases", "--out", "{tmp}/x", "--split", "nothing"], "unknown split 'nothing'"),
        (["sheet", "--out", "{tmp}/x.png", "--kind", "nothing"], "unknown sheet 'nothing'"),
        (["sheet", "--out", "{tmp}/x.jpg"], "ends in .png"),
        (["clips", "--out", "{tmp}/file/x", "--clips", "1"], "cannot write"),
        (["cases", "--out", "{tmp}/file/x", "--split", "self"], "cannot write"),
    ],
)
def test_bad_parameters_are_one_line(arguments: list[str], message: str, tmp_path: Path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert main(["synth", *(a.format(tmp=tmp_path) for a in arguments)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert os.listdir(tmp_path) == ["file"]
