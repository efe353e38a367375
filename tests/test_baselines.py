"""The classical baselines: on a flat world that warping solves, and at their edges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from durian.errors import DurianError
from durian.evaluation import metrics
from durian.evaluation.baselines import BASELINES, baseline_frames, copy_portrait, warp_blend, warp_paste
from durian.evaluation.trial import Request
from durian.portrait.geometry import face_template, similarity_matrix, transform_points, warp_image
from durian.portrait.inputs import AnimationInputs, Reference

SIZE, FRAMES = 64, 3
BOX = np.zeros((SIZE, SIZE), np.float32)
BOX[13:27, 19:46] = 1


def face(x: float, y: float, degrees: float = 0) -> np.ndarray:
    """The mean face at a place of a SIZE×SIZE image."""
    c, s = 14 * np.cos(np.radians(degrees)), 14 * np.sin(np.radians(degrees))
    return transform_points(np.array([[c, -s, x], [s, c, y]]), face_template()).astype(np.float32)


def smooth(seed: int, low: int = 40, high: int = 215) -> np.ndarray:
    """A smooth random picture, so that interpolation costs little."""
    coarse = np.random.default_rng(seed).integers(low, high, (4, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def plain(colour: tuple[int, int, int], mask: np.ndarray = BOX) -> Reference:
    return Reference(np.full((SIZE, SIZE, 3), colour, np.uint8), mask, face(32, 30))


def flat_world(seed: int) -> tuple[AnimationInputs, np.ndarray, np.ndarray]:
    """Inputs, the true frames, and where the attribute is: faces move in the image plane only."""
    portrait = Reference(smooth(2 * seed), np.zeros((SIZE, SIZE), np.float32), face(32, 30))
    donor = Reference(smooth(2 * seed + 1), BOX, face(34, 32))
    keypoints = np.stack([face(27 + 2 * i + seed, 31 - i, 3 * i) for i in range(FRAMES)])
    targets, regions = [], []
    for points in keypoints:
        worn = similarity_matrix(donor.landmarks, points)
        mask = warp_image(BOX, worn, (SIZE, SIZE)) > 0.5
        image = warp_image(portrait.image, similarity_matrix(portrait.landmarks, points), (SIZE, SIZE))
        image[mask] = warp_image(donor.image, worn, (SIZE, SIZE))[mask]
        targets.append(image)
        regions.append(mask)
    return AnimationInputs(portrait, {"hat": donor}, keypoints), np.stack(targets), np.stack(regions)


def still(*attributes: tuple[str, Reference], frames: int = 1) -> AnimationInputs:
    """A grey portrait that does not move."""
    portrait = plain((128, 128, 128), np.zeros((SIZE, SIZE), np.float32))
    return AnimationInputs(portrait, dict(attributes), np.repeat(portrait.landmarks[None], frames, axis=0))


def test_copy_portrait() -> None:
    inputs, targets, _ = flat_world(0)
    frames = copy_portrait(inputs)
    assert frames.shape == targets.shape
    assert (frames == inputs.portrait.image).all()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_warp_paste_solves_a_flat_world(seed: int) -> None:
    inputs, targets, region = flat_world(seed)
    frames = warp_paste(inputs)
    inner = np.zeros(targets.shape[:3], bool)
    inner[:, 12:-12, 12:-12] = True  # the world's border is black, the baseline's is not
    copied = metrics.psnr(copy_portrait(inputs), targets, inner & ~region)
    moved = metrics.psnr(frames, targets, inner & ~region)
    worn = metrics.psnr(frames, targets, region)
    assert copied is not None
    assert moved is not None
    assert worn is not None
    assert moved > max(28, copied + 5)
    assert worn > 24


@pytest.mark.parametrize("name", ["warp_paste", "warp_blend"])
def test_what_is_worn_over_what(name: str) -> None:
    kinds = {"hair": (255, 0, 0), "beard": (0, 255, 0), "glasses": (0, 0, 255), "hat": (255, 255, 0)}
    references = {kind: plain(colour) for kind, colour in kinds.items()}
    together = still(*references.items())
    shuffled = still(*reversed(references.items()))
    np.testing.assert_array_equal(BASELINES[name](together), BASELINES[name](shuffled))
    if name == "warp_paste":  # blending takes the colours of the surroundings
        assert warp_paste(together)[0, 20, 32].tolist() == [255, 255, 0]
        del references["hat"]
        assert warp_paste(still(*references.items()))[0, 20, 32].tolist() == [0, 0, 255]


def test_blending_leaves_no_seam_and_changes_nothing_outside() -> None:
    image = np.clip(smooth(3, 90, 120).astype(int) + 60, 0, 255).astype(np.uint8)  # the same, lighter
    darker = smooth(3, 90, 120)
    inputs = still(("hat", Reference(image, BOX, face(32, 30))))
    inputs = replace(inputs, portrait=replace(inputs.portrait, image=darker))
    pasted, blended = warp_paste(inputs)[0].astype(int), warp_blend(inputs)[0].astype(int)
    inside, outside = (slice(16, 24), slice(22, 43)), (slice(34, None), slice(None))
    np.testing.assert_allclose(blended[outside], pasted[outside], atol=1)
    assert (pasted[inside] - darker[inside]).mean() == pytest.approx(60, abs=3)
    assert abs(blended[inside] - darker[inside]).mean() < 12  # the offset is gone: only gradients came over


@settings(max_examples=25, deadline=None)
@given(st.integers(0, SIZE - 1), st.integers(0, SIZE - 1), st.integers(1, SIZE), st.integers(1, SIZE))
def test_blending_takes_any_mask(x: int, y: int, width: int, height: int) -> None:
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[y : y + height, x : x + width] = 1  # at a border, a pixel, the whole image
    frames = warp_blend(still(("hair", plain((200, 30, 30), mask))))
    assert frames.shape == (1, SIZE, SIZE, 3)
    far = np.ones((SIZE, SIZE), bool)
    far[max(0, y - 8) : y + height + 8, max(0, x - 8) : x + width + 8] = False
    np.testing.assert_allclose(frames[0][far].astype(int), 128, atol=1)


def test_what_is_too_small_to_blend_is_pasted() -> None:
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[20:26, 30:50] = 1
    inputs = still(("glasses", plain((200, 30, 30), mask)))
    np.testing.assert_array_equal(warp_blend(inputs), warp_paste(inputs))
    assert (warp_paste(inputs) != 128).any()


def test_an_interpolation_is_a_cross_fade() -> None:
    inputs = still(("hair", plain((200, 0, 0))), frames=3)
    request = Request(inputs, {"hair": plain((0, 0, 100))}, np.array([0.0, 0.25, 1.0], np.float32))
    frames = baseline_frames("warp_paste", request)
    assert frames[:, 20, 32].tolist() == [[200, 0, 0], [150, 0, 25], [0, 0, 100]]
    np.testing.assert_array_equal(frames[0], warp_paste(inputs)[0])
    np.testing.assert_array_equal(
        baseline_frames("warp_paste", replace(request, interpolation=None))[1], frames[2]
    )


def test_baselines_by_name() -> None:
    inputs, _, _ = flat_world(1)
    for name, function in BASELINES.items():
        np.testing.assert_array_equal(baseline_frames(name, Request(inputs)), function(inputs))
    with pytest.raises(DurianError, match="choose from copy_portrait, warp_paste, warp_blend"):
        baseline_frames("magic", Request(inputs))
