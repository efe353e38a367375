"""The protocols `self` and `cross` on a folder of videos: three rendered people with exact masks."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from durian.errors import DurianError
from durian.evaluation.videos import cross_trials, find_videos, self_trials
from durian.evaluation.videos.choice import choose_driving, choose_self, rotations
from durian.portrait.attributes import ATTRIBUTES
from durian.portrait.geometry import face_template
from durian.portrait.portrait_mask import portrait_mask
from durian.portrait.retarget import retarget
from durian.synth import build, render_performance, sample_performance, sample_person
from durian.video import VideoReader, write_video

SIZE, LENGTH = 64, 8
OPTIONS = {"size": SIZE, "frames": 3}


def write_clip(folder: Path, name: str, number: int) -> None:
    """A rendered person with masks of all that it wears: of hair a folder, of the rest a video."""
    rng = np.random.default_rng([7, number])
    person = sample_person(rng, split="train")
    performance = sample_performance(rng, LENGTH, 15.0, max_yaw=0.5)
    frames = list(render_performance(build(person), performance, SIZE, 1))
    write_video(folder / f"{name}.mp4", [frame.rgb for frame in frames], 15.0)
    np.save(folder / f"{name}.landmarks.npy", np.stack([frame.landmarks for frame in frames]))
    for kind in set(frames[0].visible) & set(ATTRIBUTES):
        masks = [
            (255 * np.round(frame.visible.get(kind, np.zeros((SIZE, SIZE))))).astype(np.uint8)
            for frame in frames
        ]
        if np.mean(masks) < 1:
            continue
        if kind == "hair":
            (folder / f"{name}.hair").mkdir()
            for index, mask in enumerate(masks):
                Image.fromarray(mask).save(folder / f"{name}.hair" / f"{index:03}.png")
        else:
            write_video(folder / f"{name}.{kind}.mp4", [np.stack([m] * 3, -1) for m in masks], 15.0)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for number, name in enumerate(["ann", "bob", "cyd"]):
        write_clip(folder, name, number)
    return folder


@pytest.fixture
def videos(rendered: Path, tmp_path: Path) -> Path:
    """A copy that may be spoilt."""
    return Path(shutil.copytree(rendered, tmp_path / "videos"))


def worn(folder: Path) -> set[tuple[str, str]]:
    return {(clip.name, attribute) for clip in find_videos(folder) for attribute in clip.masks}


def decoded(path: Path) -> np.ndarray:
    with VideoReader(path) as reader:
        return np.stack(list(reader))


# --- self ------------------------------------------------------------------------------------------------


def test_self_takes_all_from_one_video(rendered: Path) -> None:
    refs = self_trials(rendered, **OPTIONS)
    assert {tuple(ref.id.split("/")[1:]) for ref in refs} == worn(rendered)
    assert {name for name, attribute in worn(rendered) if attribute == "hair"} >= {"ann"}
    assert any(attribute != "hair" for _, attribute in worn(rendered))
    for number, ref in enumerate(refs):
        trial = ref.load()
        name, attribute = ref.id.split("/")[1:]
        clip = next(clip for clip in find_videos(rendered) if clip.name == name)
        assert (trial.id, trial.groups, trial.attributes) == (ref.id, ref.groups, ref.attributes)
        assert trial.groups == ("self", f"self, {attribute}")
        assert trial.seed == number
        assert trial.motion_is_own
        assert trial.targets is not None
        facts = {key: int(value) for key, value in trial.facts.items()}
        taken = [facts["portrait_frame"], facts["attribute_frame"]]
        taken += [facts["first_frame"] + step for step in range(3)]
        assert len(set(taken)) == 5
        crop, frames = clip.crop(SIZE), decoded(rendered / f"{name}.mp4")
        seen = [trial.portrait.image, trial.donors[attribute].image, *trial.targets]
        np.testing.assert_array_equal(np.stack(seen), [crop.apply(frames[index]) for index in taken])
        np.testing.assert_allclose(trial.keypoints, crop.points(clip.landmarks[taken[2:]]), atol=1e-3)
        assert facts["masks_estimated"] == 0
        assert trial.facts["pose_gap"] > 1


def test_regions_part_the_targets(rendered: Path) -> None:
    trial = next(ref for ref in self_trials(rendered, **OPTIONS) if ref.id == "self/ann/hair").load()
    regions = np.stack([trial.regions[name] for name in ("attribute", "face", "rest")])
    assert (regions.sum(0) == 1).all()
    assert (regions.mean((1, 2, 3)) > 0.03).all()
    clip = find_videos(rendered)[0]
    first = int(trial.facts["first_frame"])
    for index in range(3):
        with Image.open(rendered / "ann.hair" / f"{first + index:03}.png") as image:
            mask = clip.crop(SIZE).apply_mask(np.asarray(image, np.float32) / 255)
        np.testing.assert_array_equal(trial.regions["attribute"][index], mask > 0.5)


def test_the_portrait_mask_is_that_of_inference(rendered: Path) -> None:
    trial = next(ref for ref in self_trials(rendered, **OPTIONS) if ref.id == "self/ann/hair").load()
    clip = find_videos(rendered)[0]
    index = int(trial.facts["portrait_frame"])
    own = clip.shots([index], ["hair"], SIZE, None)[index].masks["hair"]
    expected = portrait_mask(own, trial.portrait.landmarks, list(trial.donors.values()))
    np.testing.assert_array_equal(trial.portrait.mask, expected)
    assert (trial.portrait.mask[own > 0.5] > 0.5).all()
    small = trial.request(SIZE // 2).inputs
    assert small.portrait.image.shape == (SIZE // 2, SIZE // 2, 3)
    np.testing.assert_allclose(small.keypoints, trial.keypoints / 2, atol=1e-3)
    assert small.portrait.mask.mean() == pytest.approx(trial.portrait.mask.mean(), rel=0.3)
    assert small.fps == pytest.approx(15)


def test_listing_decodes_nothing(videos: Path) -> None:
    before = [(ref.id, ref.fingerprint) for ref in self_trials(videos, **OPTIONS)]
    assert before == [(ref.id, ref.fingerprint) for ref in self_trials(videos, **OPTIONS)]
    (videos / "bob.mp4").write_bytes(b"no video")
    after = self_trials(videos, **OPTIONS)
    for (name, fingerprint), ref in zip(before, after, strict=True):
        assert ref.id == name
        assert (ref.fingerprint == fingerprint) == ("/bob/" not in name)
    broken = next(ref for ref in after if "/bob/" in ref.id)
    with pytest.raises(DurianError, match=r"bob\.mp4"):
        broken.load()
    assert self_trials(videos, size=SIZE, frames=2)[0].fingerprint != before[0][1]


def test_masks_by_a_masker_are_owned_up_to(videos: Path) -> None:
    shutil.rmtree(videos / "ann.hair")

    def masker(image: np.ndarray, landmarks: np.ndarray, attribute: str) -> np.ndarray:
        mask = np.zeros(image.shape[:2], np.float32)
        mask[: len(mask) // 4] = attribute == "hair"
        return mask

    refs = self_trials(videos, **OPTIONS, attributes=["hair", "hat"], masker=masker)
    trial = next(ref for ref in refs if ref.id == "self/ann/hair").load()
    assert trial.facts["masks_estimated"] == 1
    assert trial.donors["hair"].mask[: SIZE // 4 - 1].min() == 1
    assert trial.donors["hair"].mask[SIZE // 4 + 1 :].max() == 0
    absent = next(
        ref for ref in refs if ref.id.endswith("/hat") and (videos / "ann.hat.mp4").exists() is False
    )
    with pytest.raises(DurianError, match="no hat was found in frame"):
        absent.load()
    without = self_trials(videos, **OPTIONS, attributes=["hair"])
    assert "self/ann/hair" not in [ref.id for ref in without]


def test_landmarks_are_detected_where_none_are_given(videos: Path) -> None:
    given = np.load(videos / "ann.landmarks.npy")
    (videos / "ann.landmarks.npy").unlink()
    frames = iter([*given[:3], None, *given[4:]])
    clip = find_videos(videos, lambda image: next(frames))[0]
    assert clip.found.tolist() == [True] * 3 + [False] + [True] * 4
    np.testing.assert_array_equal(clip.landmarks[clip.found], given[clip.found])
    with pytest.raises(DurianError, match="ann: no face was found"):
        _ = replace(clip, detector=lambda image: None).landmarks


# --- what can be wrong -----------------------------------------------------------------------------------


def resized_mask(folder: Path) -> None:
    for path in (folder / "ann.hair").glob("*.png"):
        Image.new("L", (SIZE, 32)).save(path)


def black_mask(folder: Path) -> None:
    for path in (folder / "ann.hair").glob("*.png"):
        Image.new("L", (SIZE, SIZE)).save(path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (resized_mask, "the mask is 64×32 pixels but its picture is 64×64"),
        (black_mask, "the mask ann.hair shows no hair in any frame"),
        (lambda folder: (folder / "ann.hair" / "000.png").unlink(), "has 7 frames, the video has 8"),
        (
            lambda folder: np.save(folder / "ann.landmarks.npy", np.zeros((8, 468, 3))),
            "needs \\(8, 478, 3\\)",
        ),
        (lambda folder: np.save(folder / "ann.landmarks.npy", np.full((8, 478, 3), np.nan)), "no face"),
        (lambda folder: (folder / "ann.landmarks.npy").write_bytes(b""), "not an array"),
    ],
)
def test_a_broken_video_says_why_when_it_is_loaded(videos: Path, spoil, message: str) -> None:
    spoil(videos)
    ref = next(ref for ref in self_trials(videos, **OPTIONS) if ref.id == "self/ann/hair")
    with pytest.raises(DurianError, match=message) as caught:
        ref.load()
    assert "\n" not in str(caught.value)
    assert "ann" in str(caught.value)


def test_too_few_frames(rendered: Path) -> None:
    with pytest.raises(DurianError, match=r"ann: too short, it has 8 frames \(8 with a face\): needed are 7"):
        self_trials(rendered, size=SIZE, frames=7)[0].load()
    assert self_trials(rendered, size=SIZE, frames=6)[0].load().facts["reference_gap"] == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "absent", "is not a folder"),
        (lambda folder: shutil.rmtree(folder) or folder.mkdir() or folder, "has no videos"),
        (lambda folder: (folder / "ann.mp4").unlink() or folder, "is a mask, but there is no video ann"),
        (lambda folder: shutil.copy(folder / "ann.mp4", folder / "ann.mkv") and folder, "two videos ann"),
        (
            lambda folder: shutil.copy(folder / "ann.mp4", folder / "ann.hair.mp4") and folder,
            "second mask of the hair",
        ),
        (
            lambda folder: shutil.copy(folder / "ann.mp4", folder / "ann.hairs.mp4") and folder,
            "is no mask of an attribute: name masks of ann after hair",
        ),
    ],
)
def test_a_folder_that_cannot_be_used(videos: Path, make, message: str) -> None:
    with pytest.raises(DurianError, match=message):
        self_trials(make(videos), **OPTIONS)


def test_bad_options(videos: Path) -> None:
    for options in ({"size": 8}, {"frames": 0}, {"stride": 0}):
        with pytest.raises(DurianError, match="at least"):
            self_trials(videos, **options)
    with pytest.raises(DurianError, match="unknown attribute"):
        self_trials(videos, attributes=["cape"])
    with pytest.raises(DurianError, match="at least one trial"):
        cross_trials(videos, count=0)
    for path in videos.glob("*.hat.mp4"):
        path.unlink()
    with pytest.raises(DurianError, match="no video has a mask of hat"):
        self_trials(videos, attributes=["hat"])


# --- cross -----------------------------------------------------------------------------------------------


def test_cross_takes_three_people(rendered: Path) -> None:
    refs = cross_trials(rendered, **OPTIONS)
    wearers = worn(rendered)
    assert len({ref.id for ref in refs}) == len(refs) == 2 * len(wearers)
    pairs = set()
    for ref in refs:
        people = ref.id.split("/")[1].split("+")
        assert set(people) == {"ann", "bob", "cyd"}
        assert (people[1], ref.attributes[0]) in wearers
        pairs.add((*people[:2], ref.attributes[0]))
    assert len(pairs) == len(refs)
    turns = [ref.attributes[0] for ref in cross_trials(rendered, **OPTIONS, count=4)]
    kinds = {attribute for _, attribute in wearers}
    assert [turns.count(kind) for kind in kinds] == pytest.approx([4 / len(kinds)] * len(kinds), abs=0.99)
    assert turns == [ref.attributes[0] for ref in refs[:4]]


def test_cross_retargets_the_motion(rendered: Path) -> None:
    ref = next(ref for ref in cross_trials(rendered, **OPTIONS) if ref.attributes == ("hair",))
    trial = ref.load()
    _, donor, driver = ref.id.split("/")[1].split("+")
    assert trial.targets is None
    assert not trial.regions
    assert not trial.motion_is_own
    by_name = {clip.name: clip for clip in find_videos(rendered)}
    first = int(trial.facts["first_frame"])
    motion = by_name[driver].landmarks[first : first + 3]
    np.testing.assert_allclose(trial.keypoints, retarget(motion, trial.portrait.landmarks), atol=1e-3)
    index = int(trial.facts["attribute_frame"])
    frame = decoded(rendered / f"{donor}.mp4")[index]
    np.testing.assert_array_equal(trial.donors["hair"].image, by_name[donor].crop(SIZE).apply(frame))


def test_takes_of_one_person_are_not_crossed(videos: Path) -> None:
    for path in list(videos.glob("bob*")):
        path.rename(videos / path.name.replace("bob", "ann@2", 1))
    with pytest.raises(DurianError, match="videos of 2 people"):
        cross_trials(videos)
    shutil.copy(videos / "cyd.mp4", videos / "dan.mp4")
    refs = cross_trials(videos)
    assert refs
    for ref in refs:
        people = [name.split("@")[0] for name in ref.id.split("/")[1].split("+")]
        assert len(set(people)) == 3


# --- the choice of frames --------------------------------------------------------------------------------


def turning(yaws: np.ndarray) -> np.ndarray:
    """The mean face turned by these angles (degrees)."""
    c, s = np.cos(np.radians(yaws)), np.sin(np.radians(yaws))
    zero, one = np.zeros_like(c), np.ones_like(c)
    turn = np.stack([np.stack([c, zero, s]), np.stack([zero, one, zero]), np.stack([-s, zero, c])])
    return np.einsum("ijf,nj->fni", turn, 50 * face_template()).astype(np.float32)


def test_references_are_far_apart_and_targets_far_from_both() -> None:
    yaws = np.zeros(40)
    yaws[5], yaws[36] = 5, -40
    landmarks = turning(yaws)
    assert choose_self(landmarks, np.ones(40, bool), 4, 2) is not None
    portrait, attribute, targets = choose_self(landmarks, np.ones(40, bool), 4, 2)  # ty: ignore[not-iterable]
    assert (portrait, attribute) in [(0, 36), (5, 36)]  # 5° or 5 frames more: the more distant pair
    assert np.diff(targets).tolist() == [2, 2, 2]
    middle = (portrait + attribute) / 2
    assert abs(targets.mean() - middle) <= 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-60, 60), st.booleans(), st.booleans()), min_size=1, max_size=14),
    st.integers(1, 4),
    st.integers(1, 3),
)
def test_a_choice_keeps_its_promises(
    moments: list[tuple[float, bool, bool]], frames: int, stride: int
) -> None:
    landmarks = turning(np.array([yaw for yaw, _, _ in moments]))
    found = np.array([seen for _, seen, _ in moments])
    wearing = np.array([attribute for _, _, attribute in moments])
    landmarks[~found] = np.nan
    choice = choose_self(landmarks, wearing, frames, stride)
    span = (frames - 1) * stride + 1
    possible = any(
        found[start : start + span : stride].all()
        and (found & wearing)[[*range(start), *range(start + span, len(found))]].sum() >= 2
        for start in range(len(found) - span + 1)
    )
    assert (choice is not None) == possible
    if choice is not None:
        portrait, attribute, targets = choice
        assert found[[portrait, attribute, *targets]].all()
        assert wearing[[portrait, attribute]].all()
        assert portrait != attribute
        assert not {portrait, attribute} & set(range(targets[0], targets[-1] + 1))
        assert np.diff(targets).tolist() == [stride] * (frames - 1)
        turns = np.trace(rotations(landmarks), axis1=1, axis2=2)
        assert turns[portrait] >= turns[attribute] - 1e-6
    driving = choose_driving(found, frames, stride)
    if driving is not None:
        assert found[driving].all()
