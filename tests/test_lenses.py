"""What is seen through clear lenses is no attribute."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from durian.data.augmentation import Augmentation
from durian.data.clips import Clip, read_clips
from durian.data.mask_bank import MaskBank
from durian.data.mask_folder import read_mask_bank
from durian.data.reconstruction import ReconstructionSampler, bank_of_clips
from durian.evaluation.cases import CaseOptions, load_case
from durian.evaluation.videos import self_trials
from durian.labels import LENS_BIT, attribute_region
from durian.portrait.keypoints import LEFT_EYE, RIGHT_EYE
from durian.portrait.lenses import attribute_alone, lens_openings
from durian.portrait.prepare import prepare_references
from durian.synth.attributes.glasses import Glasses
from durian.synth.model import build
from durian.synth.performance import FrameState
from durian.synth.person import sample_person
from durian.synth.recipes import wear
from durian.synth.render import Rendered, render
from durian.video import write_video
from people import dressed, write_labelled_shard

SIZE = 192
STILL = Augmentation(0, 0, 0, 0, 0, 0)


def in_glasses(opacity: float, **state: float) -> Rendered:
    glasses = Glasses("square", 3, (0.5, 0.02, 0.02), lens_opacity=opacity)
    person = wear(sample_person(np.random.default_rng(8), "train"), glasses=glasses, hat=None)
    return render(build(person), FrameState(**state), SIZE, 2)


@pytest.fixture(scope="module")
def clear() -> Rendered:
    return in_glasses(0.09)


@pytest.fixture(scope="module")
def dark() -> Rendered:
    return in_glasses(0.85)


def whole(frame: Rendered) -> np.ndarray:
    """The mask that a face parser gives: frame and lenses in one."""
    return attribute_region(frame.labels, "glasses").astype(np.float32)


def eyes_of(frame: Rendered) -> np.ndarray:
    eyes = np.zeros((SIZE, SIZE), np.uint8)
    for eye in (LEFT_EYE, RIGHT_EYE):
        cv2.fillPoly(eyes, [np.round(frame.landmarks[list(eye), :2]).astype(np.int32)], 1)
    return eyes > 0


def test_eyes_behind_clear_lenses_are_no_attribute_and_the_frame_is(clear: Rendered) -> None:
    mask = attribute_alone("glasses", whole(clear), clear.rgb, clear.landmarks)
    assert not mask[eyes_of(clear)].any()
    rim = (clear.labels & (LENS_BIT - 1)) == 7
    assert mask[rim].mean() > 0.85
    lenses = (clear.labels & LENS_BIT) > 0
    assert mask[lenses & ~rim].mean() < 0.3
    assert (mask <= whole(clear)).all()


def test_sunglasses_keep_their_lenses(dark: Rendered) -> None:
    np.testing.assert_array_equal(
        attribute_alone("glasses", whole(dark), dark.rgb, dark.landmarks), whole(dark)
    )


def test_other_attributes_and_empty_masks_stay(clear: Rendered) -> None:
    for name in ("hair", "beard", "hat"):
        np.testing.assert_array_equal(
            attribute_alone(name, whole(clear), clear.rgb, clear.landmarks), whole(clear)
        )
    empty = np.zeros((SIZE, SIZE), np.float32)
    np.testing.assert_array_equal(attribute_alone("glasses", empty, clear.rgb, clear.landmarks), empty)


def test_without_an_image_rims_are_thin(clear: Rendered) -> None:
    seen = lens_openings(whole(clear), None, clear.landmarks)
    assert seen[eyes_of(clear) & (whole(clear) > 0)].mean() > 0.9
    assert (seen <= (whole(clear) > 0)).all()


def test_a_photo_in_clear_glasses_keeps_its_eyes(clear: Rendered) -> None:
    references = prepare_references(
        clear.rgb,
        {"glasses": clear.rgb},
        size=SIZE,
        attribute_masks={"glasses": whole(clear)},
        detector=lambda image: clear.landmarks,
        masker=lambda image, landmarks, name: cv2.resize(whole(clear), image.shape[:2][::-1]),
    )
    # The crop may be another one than the picture, so eyes are where the crop's landmarks are.
    points = references.portrait.landmarks
    for eye in (LEFT_EYE, RIGHT_EYE):
        x, y = points[list(eye), :2].mean(0).astype(int)
        assert references.attributes["glasses"].mask[y, x] == 0
        assert references.portrait.mask[y, x] == 0
    assert references.attributes["glasses"].mask.sum() > 50


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_cases_leave_the_portrait_its_eyes(
    clear: Rendered, dark: Rendered, tmp_path: Path, noise: float
) -> None:
    """Exact masks know their lenses; in wrong ones they are looked for."""
    for donor in (clear, dark):
        folder = tmp_path / f"{noise}" / ("clear" if donor is clear else "dark")
        folder.mkdir(parents=True)
        pictures = {"portrait": clear, "attribute": donor, "target_00": clear}
        for name, frame in pictures.items():
            cv2.imwrite(str(folder / f"{name}.webp"), frame.rgb[..., ::-1])
            cv2.imwrite(str(folder / f"{name}.png"), frame.labels)
        points = {name: frame.landmarks for name, frame in pictures.items()}
        np.savez(folder / "landmarks.npz", allow_pickle=False, **points)
        (folder / "case.json").write_text('{"attribute": "glasses"}')
        trial = load_case(folder, "single", 0, CaseOptions(mask_noise=noise))
        inputs = trial.request(SIZE).inputs
        shown = inputs.attributes["glasses"].mask[eyes_of(donor) & (whole(donor) > 0)]
        hidden = inputs.portrait.mask[eyes_of(clear)]
        if donor is clear:
            assert shown.max() == 0
            assert hidden.mean() < 0.2
            if not noise:
                assert inputs.attributes["glasses"].mask.sum() == ((clear.labels & (LENS_BIT - 1)) == 7).sum()
        else:
            assert shown.min() == 1
            assert hidden.mean() > 0.9
        np.testing.assert_array_equal(trial.regions["attribute"][0], whole(clear) > 0)  # scores count lenses


def test_videos_leave_the_portrait_its_eyes(tmp_path: Path) -> None:
    frames = [in_glasses(0.09, yaw=0.08 * index) for index in range(6)]
    write_video(tmp_path / "ann.mp4", [frame.rgb for frame in frames], 15.0)
    np.save(tmp_path / "ann.landmarks.npy", np.stack([frame.landmarks for frame in frames]))
    (tmp_path / "ann.glasses").mkdir()
    for index, frame in enumerate(frames):
        cv2.imwrite(str(tmp_path / "ann.glasses" / f"{index}.png"), (255 * whole(frame)).astype(np.uint8))
    (ref,) = self_trials(tmp_path, size=SIZE, frames=2)
    trial = ref.load()
    inputs = trial.request(SIZE).inputs
    for reference, most in ((inputs.attributes["glasses"], 0.0), (inputs.portrait, 0.5)):
        for eye in (LEFT_EYE, RIGHT_EYE):
            x, y = reference.landmarks[list(eye), :2].mean(0).astype(int)
            assert reference.mask[y, x] <= most
    worn = trial.regions["attribute"][0]
    assert worn.sum() > 1.5 * (inputs.attributes["glasses"].mask > 0.5).sum()  # scores count lenses


def shards(folder: Path, *people: list[Rendered]) -> list[Clip]:
    for index, frames in enumerate(people):
        write_labelled_shard(folder / f"{index}.tar", f"clip{index}", frames)
    return list(read_clips(folder))


def test_clips_know_their_lenses(clear: Rendered, dark: Rendered, tmp_path: Path) -> None:
    turned = in_glasses(0.09, yaw=0.3)
    see_through, shades = shards(tmp_path, [clear, turned], [dark, dark])
    for clip, frames in ((see_through, [clear, turned]), (shades, [dark, dark])):
        full = np.stack([whole(frame) > 0 for frame in frames])
        rims = np.stack([(frame.labels & (LENS_BIT - 1)) == 7 for frame in frames])
        assert clip.lenses is not None
        np.testing.assert_array_equal(clip.lenses, full & ~rims)
        np.testing.assert_array_equal(clip.masks["glasses"], rims if clip is see_through else full)
        np.testing.assert_array_equal(clip.outline("glasses", 1), rims[1])
        np.testing.assert_allclose(clip.area("glasses"), full.mean((1, 2)))
    # Real clips' labels do not tell lenses.
    flat = [
        dataclasses.replace(frame, labels=np.where(frame.labels & LENS_BIT, 7, frame.labels).astype(np.uint8))
        for frame in (clear, turned)
    ]
    (tmp_path / "flat").mkdir()
    (unknown,) = shards(tmp_path / "flat", flat)
    assert unknown.lenses is not None
    overlap = (unknown.lenses & see_through.lenses).sum() / (unknown.lenses | see_through.lenses).sum()
    assert overlap > 0.7
    assert not (unknown.masks["glasses"] & unknown.lenses).any()


def test_portraits_in_clear_glasses_show_their_eyes_in_training(
    clear: Rendered, dark: Rendered, tmp_path: Path
) -> None:
    clips = shards(tmp_path, [clear] * 3, [dark] * 3)
    weights = {"glasses": 1.0}
    sampler = ReconstructionSampler(
        clips[:1], 1, 4, attribute_weights=weights, augmentation=STILL, mask_bank=bank_of(clips)
    )
    for seed in range(8):
        example = sampler.draw(np.random.default_rng(seed))
        assert example.portrait_mask[0][eyes_of(clear)].mean() < 0.2  # whoever's frame is laid over them
        assert not example.attribute_masks[0, 0][eyes_of(clear)].any()


def bank_of(clips: list[Clip]) -> MaskBank:
    return bank_of_clips(clips, {"glasses": [(index, np.arange(3)) for index in range(len(clips))]})


def test_people_without_glasses_have_no_lenses() -> None:
    clip = dressed("a", "hair", "beard")
    assert clip.lenses is None
    np.testing.assert_array_equal(clip.outline("hair", 2), clip.masks["hair"][2])
    np.testing.assert_allclose(clip.area("beard"), clip.masks["beard"].mean((1, 2)))


def test_a_mask_bank_has_frames_of_glasses(clear: Rendered, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"attributes": ["glasses", "hair"]}')
    np.save(tmp_path / "a.npy", clear.landmarks)
    for name in ("glasses", "hair"):
        cv2.imwrite(str(tmp_path / f"a.{name}.png"), (255 * whole(clear)).astype(np.uint8))
    bank = read_mask_bank(tmp_path)
    glasses, hair = (bank.sources[name][0].read(0) for name in ("glasses", "hair"))
    np.testing.assert_array_equal(hair, whole(clear) > 0)
    assert glasses[eyes_of(clear) & (whole(clear) > 0)].mean() < 0.1
    assert 0.2 * hair.sum() < glasses.sum() < 0.8 * hair.sum()
