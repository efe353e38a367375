"""Metrics of one trial that need no published weights: pixels, steadiness in time, motion of the face."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from durian.evaluation import metrics
from durian.evaluation.metrics import PIXEL_METRICS, pixel_scores
from durian.evaluation.motion import MOTION_METRICS, MotionFidelity, landmark_scores
from durian.evaluation.temporal import TEMPORAL_METRICS, Motion, temporal_scores
from durian.evaluation.trial import Trial
from durian.portrait.geometry import face_template
from durian.portrait.inputs import Reference
from durian.synth.model import build
from durian.synth.performance import FrameState, Performance
from durian.synth.person import sample_person
from durian.synth.sequence import render_performance

SIZE = 128
SEEDS = (2, 9)


def trial_of(
    targets: np.ndarray | None, size: int = 32, keypoints: np.ndarray | None = None, **regions
) -> Trial:
    """A trial with an answer and nothing else."""
    size = size if targets is None else targets.shape[1]
    if keypoints is None:
        keypoints = np.zeros((1 if targets is None else len(targets), 478, 3), np.float32)
    portrait = Reference(
        np.zeros((size, size, 3), np.uint8), np.zeros((size, size), np.float32), keypoints[0]
    )

    def request(size: int):
        raise AssertionError("no metric asks for the inputs")

    return Trial("t", (), ("hair",), request, portrait, {}, keypoints, targets, regions)


def smooth(seed: int, size: int = 64, count: int = 2) -> np.ndarray:
    """Smooth random pictures."""
    coarse = np.random.default_rng(seed).integers(40, 215, (count, 5, 5, 3), dtype=np.uint8)
    return np.stack([cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC) for image in coarse])


def clip(values: np.ndarray) -> np.ndarray:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def noisy(frames: np.ndarray, sigma: float, seed: int = 0) -> np.ndarray:
    return clip(frames + np.random.default_rng(seed).normal(0, sigma, frames.shape))


def shifted(frame: np.ndarray, x: float, y: float) -> np.ndarray:
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float32)
    return cv2.warpAffine(frame, matrix, frame.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)


def blurred(frames: np.ndarray, sigma: float) -> np.ndarray:
    return np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in frames])


@pytest.fixture(scope="module")
def people() -> list[Trial]:
    """Two people turn the head, open the mouth and blink."""
    states = tuple(
        FrameState(
            yaw=0.35 * np.sin(0.9 * t),
            pitch=0.15 * np.cos(0.7 * t),
            jaw=0.4 - 0.4 * np.cos(1.3 * t),
            blink_left=float(t in (2, 5)),
            blink_right=float(t in (2, 5)),
        )
        for t in range(6)
    )
    trials = []
    for seed in SEEDS:
        model = build(sample_person(np.random.default_rng(seed)))
        pictures = list(render_performance(model, Performance(states), SIZE, 2))
        keypoints = np.stack([picture.landmarks for picture in pictures]).astype(np.float32)
        trials.append(trial_of(np.stack([picture.rgb for picture in pictures]), keypoints=keypoints))
    return trials


# --- pixels ----------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 40))
def test_psnr_is_that_of_torchmetrics_over_the_whole_clip(seed: int, noise: int) -> None:
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    frames = np.clip(targets + rng.integers(-noise, noise + 1, targets.shape), 0, 255).astype(np.uint8)
    frames[0] = targets[0]  # a perfect frame must not decide the clip's score
    expected = peak_signal_noise_ratio(
        torch.tensor(frames) / 255, torch.tensor(targets) / 255, data_range=1.0
    )
    assert metrics.psnr(frames, targets) == pytest.approx(float(expected), abs=1e-3)
    assert metrics.l1(frames, targets) == pytest.approx(
        np.mean(np.abs(frames.astype(float) - targets)) / 255, abs=1e-9
    )


@pytest.mark.parametrize(("size", "scales"), [(32, 2), (64, 3), (128, 4), (176, 5), (97, 4)])
def test_structural_similarities_are_those_of_torchmetrics(size: int, scales: int) -> None:
    targets = smooth(size, size)
    frames = noisy(blurred(targets, 1.5), 6)
    predicted, true = (torch.tensor(x).permute(0, 3, 1, 2).float() / 255 for x in (frames, targets))
    expected, image = structural_similarity_index_measure(
        predicted, true, data_range=1.0, return_full_image=True
    )
    assert metrics.ssim(frames, targets) == pytest.approx(float(expected), abs=2e-5)
    got = metrics.ssim_map(frames, targets)
    np.testing.assert_allclose(got, image.permute(0, 2, 3, 1).numpy(), atol=2e-3)
    if size == 97:  # torchmetrics wants 99 pixels for four scales, though 88 hold the window
        return
    weights = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])[:scales]
    expected = multiscale_structural_similarity_index_measure(
        predicted, true, data_range=1.0, betas=tuple(weights / weights.sum())
    )
    assert metrics.ms_ssim(frames, targets) == pytest.approx(float(expected), abs=2e-5)


def test_ms_ssim_of_images_smaller_than_its_window() -> None:
    tiny = np.zeros((1, 10, 10, 3), np.uint8)
    assert metrics.ms_ssim(tiny, tiny) is None


def test_region_counts_only_its_own_pixels() -> None:
    targets = np.zeros((2, 16, 16, 3), np.uint8)
    frames = targets.copy()
    region = np.zeros((2, 16, 16), bool)
    region[0, :4] = region[1, :2] = True
    frames[~region] = 200
    frames[0, :4] = 51
    # 4 of the 6 rows are off by 51 / 255 = 0.2
    assert metrics.psnr(frames, targets, region) == pytest.approx(-10 * np.log10(0.04 * 4 / 6), abs=1e-9)
    assert metrics.l1(frames, targets, region) == pytest.approx(0.2 * 4 / 6, abs=1e-9)
    assert metrics.psnr(frames, targets, np.zeros_like(region)) is None
    assert metrics.l1(frames, targets, np.zeros_like(region)) is None


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.01, 0.99), st.floats(1, 60))
def test_regions_add_up_to_the_whole(seed: int, share: float, noise: float) -> None:
    targets = smooth(seed, 32)
    frames = noisy(targets, noise, seed)
    attribute = np.random.default_rng(seed).random(targets.shape[:3]) < share
    rest = ~attribute
    scores = pixel_scores(frames, trial_of(targets, attribute=attribute, rest=rest))

    def error(name: str) -> float:
        return 0.0 if scores[name] is None else 10 ** (-scores[name] / 10)

    whole = error("psnr_attribute") * attribute.mean() + error("psnr_rest") * rest.mean()
    assert whole == pytest.approx(error("psnr"), rel=1e-9)
    assert scores["psnr_face"] is None
    everywhere = pixel_scores(frames, trial_of(targets, attribute=np.ones_like(rest)))
    for name in ("psnr", "ssim", "l1"):
        assert everywhere[f"{name}_attribute"] == pytest.approx(everywhere[name], rel=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 20))
def test_more_noise_is_never_better(seed: int, noise: int) -> None:
    targets = smooth(seed, 48)
    trial = trial_of(targets, attribute=np.ones(targets.shape[:3], bool))
    some, more = (pixel_scores(noisy(targets, sigma, seed), trial) for sigma in (noise, 2 * noise))
    for metric in PIXEL_METRICS:
        if some[metric.name] is not None:
            assert (some[metric.name] > more[metric.name]) == (metric.better == "higher"), metric.name


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.7, 2.0))
def test_detail_prefers_a_crisp_texture_that_is_off_to_a_blurred_one(seed: int, sigma: float) -> None:
    rng = np.random.default_rng(seed)
    checks = np.kron(rng.integers(0, 2, (32, 32)), np.ones((2, 2))).astype(np.uint8)[None, ..., None] * 180
    targets = np.repeat(checks, 3, -1)
    off, soft = np.roll(targets, 1, 2), blurred(targets, sigma)
    assert metrics.psnr(soft, targets) > metrics.psnr(off, targets)
    assert metrics.detail(soft, targets) < 0.8 < 0.9 < metrics.detail(off, targets)
    assert metrics.detail(blurred(targets, 2 * sigma), targets) < metrics.detail(soft, targets)
    assert metrics.detail(np.full_like(targets, 90), targets) == 0


def test_detail_counts_only_its_region_and_needs_some() -> None:
    targets = noisy(np.full((1, 40, 40, 3), 128, np.uint8), 20)
    frames = targets.copy()
    frames[:, :, 20:] = 128
    left, right = np.zeros((2, 1, 40, 40), bool)
    left[..., :14], right[..., 26:] = True, True  # as far apart as a window is wide
    assert metrics.detail(frames, targets, left) == 1
    assert metrics.detail(frames, targets, right) == 0
    assert metrics.detail(frames, targets, left & right) is None
    even = np.zeros_like(targets)
    assert metrics.detail(even, even) is None


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31))
def test_scores_do_not_change_when_both_are_mirrored(seed: int) -> None:
    targets = smooth(seed, 48)
    frames = noisy(targets, 20, seed)
    region = np.random.default_rng(seed).random(targets.shape[:3]) < 0.3
    plain = pixel_scores(frames, trial_of(targets, attribute=region))
    mirrored = pixel_scores(frames[:, :, ::-1], trial_of(targets[:, :, ::-1], attribute=region[:, :, ::-1]))
    for name, value in plain.items():
        assert mirrored[name] == (None if value is None else pytest.approx(value, rel=1e-4)), name


def test_exact_frames_score_at_the_cap() -> None:
    frames = smooth(1)
    everywhere = np.ones(frames.shape[:3], bool)
    scores = pixel_scores(frames, trial_of(frames, attribute=everywhere, face=everywhere, rest=~everywhere))
    assert list(scores) == [metric.name for metric in PIXEL_METRICS]
    assert scores.pop("psnr_rest") is None
    for name, value in scores.items():
        assert value == (100 if "psnr" in name else 0 if "l1" in name else 1), name


def test_without_truth_there_are_no_pixel_scores() -> None:
    scores = pixel_scores(np.zeros((2, 32, 32, 3), np.uint8), trial_of(None))
    assert set(scores) == {metric.name for metric in PIXEL_METRICS}
    assert set(scores.values()) == {None}


def test_frames_of_another_shape_are_refused() -> None:
    short, long = np.zeros((2, 32, 32, 3), np.uint8), np.zeros((3, 32, 32, 3), np.uint8)
    for scores in (pixel_scores, temporal_scores):
        with pytest.raises(ValueError, match="same shape"):
            scores(short, trial_of(long))
    with pytest.raises(ValueError, match="same shape"):
        metrics.psnr(short.astype(float), short)


# --- steadiness in time ----------------------------------------------------------------------------------


def test_the_flow_of_a_moved_picture_is_its_motion() -> None:
    picture = noisy(smooth(3, 96, 1), 20)[0]
    picture = cv2.GaussianBlur(picture, (0, 0), 1)
    motion = Motion.of(np.stack([picture, shifted(picture, 3, -2)]))
    assert motion.flow.shape == (1, 96, 96, 2)
    # The second frame's pixels came from 3 to the left and 2 below.
    inner = motion.flow[0, 12:-12, 12:-12]
    np.testing.assert_allclose(np.median(inner, (0, 1)), [-3, 2], atol=0.1)
    assert motion.visible[0, 12:-12, 12:-12].mean() > 0.95


def test_flicker_tells_what_flickers_from_what_is_only_wrong(people: list[Trial]) -> None:
    for trial in people:
        targets, rng = trial.targets, np.random.default_rng(0)
        motion = Motion.of(targets)

        def flicker(frames: np.ndarray, trial: Trial = trial, motion: Motion = motion) -> float:
            value = temporal_scores(frames, trial, motion)["flicker"]
            assert value is not None
            return value

        assert flicker(targets) == 1
        # steady faults
        assert flicker(blurred(targets, 2)) < 1.06
        assert flicker(clip(targets * 0.8 + 20)) < 1.01
        assert flicker(clip(targets + np.array([9.0, 0, -9]))) < 1.05  # clipped where it is black
        assert flicker(np.stack([shifted(frame, 1, 0) for frame in targets])) < 1.2
        # faults of single frames
        brightness = rng.choice([-6, 6], (len(targets), 1, 1, 1))
        brightness[:2] = [[[[-6]]], [[[6]]]]
        places = [(0.5, 0.5) if t % 2 else (0, 0) for t in range(len(targets))]
        jittered = np.stack([shifted(frame, *place) for frame, place in zip(targets, places, strict=True)])
        assert flicker(noisy(targets, 2)) > 1.1
        assert flicker(noisy(targets, 8)) > 2
        assert flicker(noisy(targets, 16)) > flicker(noisy(targets, 8)) + 0.5
        assert flicker(clip(targets + brightness)) > 1.3
        assert flicker(jittered) > 1.15
        # blur does not make up for flicker, and a still is not steady
        assert flicker(noisy(blurred(targets, 2), 8)) > 1.8
        assert flicker(np.repeat(targets[:1], len(targets), 0)) > 1.3


def test_temporal_scores(people: list[Trial]) -> None:
    trial = people[0]
    truth = temporal_scores(trial.targets, trial)
    assert list(truth) == [metric.name for metric in TEMPORAL_METRICS]
    assert truth["temporal_difference"] == 0
    change = np.abs(np.diff(trial.targets.astype(float), axis=0)).mean() / 255
    assert 0 < truth["warping_error"] < 0.75 * change  # motion explains much of it
    still = temporal_scores(np.repeat(trial.targets[:1], 6, 0), trial)
    assert still["temporal_difference"] == pytest.approx(change, rel=1e-4)
    assert still["warping_error"] > 1.2 * truth["warping_error"]


def test_without_truth_only_the_warping_error_is_told(people: list[Trial]) -> None:
    trial = replace(people[0], targets=None)
    alone = temporal_scores(people[0].targets, trial)
    assert alone.pop("warping_error") == temporal_scores(people[0].targets, people[0])["warping_error"]
    assert set(alone.values()) == {None}
    assert temporal_scores(np.repeat(people[0].targets[:1], 3, 0), trial)["warping_error"] == 0


def test_one_frame_has_no_steadiness() -> None:
    frames = smooth(0, count=1)
    assert temporal_scores(frames, trial_of(frames)) == {metric.name: None for metric in TEMPORAL_METRICS}
    assert Motion.of(frames).flow.shape == (0, 64, 64, 2)


def test_a_still_and_true_still_is_as_steady_as_can_be() -> None:
    frames = np.repeat(smooth(0, count=1), 3, 0)
    got = temporal_scores(frames, trial_of(frames))
    assert got == {"warping_error": 0, "flicker": 1, "temporal_difference": 0}
    assert temporal_scores(noisy(frames, 3), trial_of(frames))["flicker"] > 3


# --- motion of the face ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fidelity() -> Iterator[MotionFidelity]:
    with MotionFidelity() as fidelity:
        yield fidelity


def test_true_frames_move_as_asked(people: list[Trial], fidelity: MotionFidelity) -> None:
    for trial in people:
        scores = fidelity.scores(trial.targets, trial)
        assert list(scores) == [metric.name for metric in MOTION_METRICS]
        assert scores["faces_found"] == 1
        assert scores["landmark_error"] < 12
        assert scores["mouth_error"] < 8
        assert scores["pose_error"] < 15
        assert scores["pose_correlation"] > 0.9
        assert scores["motion_correlation"] > 0.7
        backwards = fidelity.scores(trial.targets[::-1], trial)
        still = fidelity.scores(np.repeat(trial.targets[:1], 6, 0), trial)
        for other in (backwards, still):
            assert other["motion_correlation"] < scores["motion_correlation"] - 0.4
            assert other["pose_error"] > scores["pose_error"]
        assert still["motion_correlation"] == 0


def test_shifted_frames_are_off_by_the_shift(people: list[Trial], fidelity: MotionFidelity) -> None:
    for trial in people:
        # Against what is found in the true frames, so that the detector's own fault does not count.
        found = [fidelity._find(frame) for frame in trial.targets]
        own = replace(trial, keypoints=np.stack(found))
        moved = np.stack([shifted(frame, 4, 0) for frame in trial.targets])
        scores = fidelity.scores(moved, own)
        corners = np.linalg.norm(own.keypoints[:, 33] - own.keypoints[:, 263], axis=-1)
        expected = 100 * 4 / corners.mean()
        assert scores["landmark_error"] == pytest.approx(expected, rel=0.15)
        assert scores["mouth_error"] == pytest.approx(expected, rel=0.15)
        assert scores["eyelid_error"] < 0.3 * expected  # the eyes are elsewhere, and as open
        assert scores["pose_error"] < 3


def turned(degrees: float, jaw: float = 0.0, lids: float = 0.0) -> np.ndarray:
    """The mean face, 40 pixels between the eyes, turned to the side, with opened mouth and closed eyes."""
    face = face_template().astype(np.float64)
    for index in (178, 87, 14, 317, 402):
        face[index, 1] += jaw
    for index in (160, 159, 158, 387, 386, 385):
        face[index, 1] += lids
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return (40 * face @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T + [64, 60, 0]).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(st.floats(-50, 50), st.floats(-15, 15), st.floats(0, 0.1), st.floats(0, 0.05))
def test_errors_are_what_was_done(yaw: float, turn: float, jaw: float, lids: float) -> None:
    asked = np.stack([turned(yaw)] * 2)
    exact = landmark_scores(list(asked), asked)
    for name in ("landmark_error", "mouth_error", "eyelid_error", "pose_error"):
        assert exact[name] == pytest.approx(0, abs=1e-3), name
    assert landmark_scores([turned(yaw + turn)] * 2, asked)["pose_error"] == pytest.approx(
        abs(turn), abs=1e-2
    )
    # A shift weighs the same however the head is turned.
    moved = landmark_scores(list(asked + np.float32([4, 0, 0])), asked)
    assert moved["landmark_error"] == pytest.approx(10, rel=1e-3)
    changed = landmark_scores([turned(yaw, jaw, lids)] * 2, asked)
    assert changed["eyelid_error"] == pytest.approx(100 * lids, abs=1e-2)
    assert changed["pose_error"] == pytest.approx(0, abs=1e-2)  # an expression is no pose


def test_correlations_are_free_of_constant_faults() -> None:
    angles, jaws = [-20, -10, 0, 10, 20], [0.0, 0.1, 0.05, 0.1, 0.0]
    asked = np.stack([turned(a, j) for a, j in zip(angles, jaws, strict=True)])
    biased = [turned(0.8 * a + 7, 0.03 + 0.5 * j) for a, j in zip(angles, jaws, strict=True)]
    scores = landmark_scores(biased, asked)
    assert scores["mouth_correlation"] == pytest.approx(1, abs=1e-3)
    assert scores["pose_correlation"] == pytest.approx(1, abs=1e-2)
    assert scores["eyelid_correlation"] is None  # they were not asked to move
    assert scores["motion_correlation"] == pytest.approx(1, abs=1e-2)
    opposite = landmark_scores(biased[::-1], asked)
    assert opposite["pose_correlation"] == pytest.approx(-1, abs=1e-2)
    assert landmark_scores(biased[:3], asked[:3])["motion_correlation"] is None


def test_frames_without_a_face() -> None:
    asked = np.stack([turned(a) for a in (0, 10, 20, 30)])
    scores = landmark_scores([asked[0], None, asked[2], None], asked)
    assert scores["faces_found"] == 0.5
    assert scores["landmark_error"] == 0
    blind = landmark_scores([None] * 4, asked)
    assert blind.pop("faces_found") == 0
    assert set(blind.values()) == {None}
    asked[1] = np.nan  # nothing was asked for
    assert landmark_scores([asked[0], None, asked[2], None], asked)["faces_found"] == pytest.approx(2 / 3)
    assert set(landmark_scores([None] * 4, np.full_like(asked, np.nan)).values()) == {None}
    with pytest.raises(ValueError, match="2 frames for 4 keypoints"):
        landmark_scores([None] * 2, asked)


def test_any_detector_will_do() -> None:
    """The detector sees an enlarged frame, and its landmarks come back in pixels of the frame."""
    keypoints = np.stack([turned(0)] * 2)
    sides = []

    def detector(image: np.ndarray) -> np.ndarray:
        sides.append(len(image))
        return keypoints[0] * (len(image) / 128)

    frames = np.zeros((2, 128, 128, 3), np.uint8)
    with MotionFidelity(detector) as fidelity:
        scores = fidelity.scores(frames, trial_of(frames, keypoints=keypoints))
        fidelity._find(np.zeros((600, 600, 3), np.uint8))
    assert scores["landmark_error"] == pytest.approx(0, abs=1e-4)
    assert sides == [512, 512, 600]
