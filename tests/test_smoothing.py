"""Smoothing of landmarks: steady at rest, quick where something moves."""

from __future__ import annotations

import numpy as np
import pytest

from durian.portrait.geometry import face_template
from durian.portrait.head_pose import head_pose
from durian.portrait.smoothing import LandmarkSmoother

UPPER = [160, 159, 158, 387, 386, 385, 161, 157, 384, 388]
LOWER = [144, 145, 153, 373, 374, 380, 163, 154, 381, 390]


def smooth(frames: np.ndarray, **options: float) -> np.ndarray:
    smoother = LandmarkSmoother(25.0, **options)
    return np.stack([smoother(frame) for frame in frames])


def noisy(frames: np.ndarray, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=frames.shape) * (0.5, 0.5, 0.5)
    return (frames + noise).astype(np.float32)


def still(frames: int = 60) -> np.ndarray:
    return np.stack([100 * face_template() + (200, 180, 0)] * frames).astype(np.float32)


def lid_gap(faces: np.ndarray) -> np.ndarray:
    return (faces[:, LOWER, 1] - faces[:, UPPER, 1]).mean(1)


def tremble(faces: np.ndarray) -> float:
    return float(np.sqrt((np.diff(faces[..., :2], axis=0) ** 2).sum(-1).mean()))


def test_noise_at_rest_is_taken_away() -> None:
    found = noisy(still())
    assert tremble(smooth(found)[10:]) < 0.4 * tremble(found[10:])
    assert tremble(smooth(found, strength=3.0)[10:]) < tremble(smooth(found)[10:])
    assert smooth(found).mean(0) == pytest.approx(still()[0], abs=0.5), "nothing is moved"
    assert (smooth(found, strength=0) == found).all()


def test_a_blink_stays_deep_and_in_time() -> None:
    frames = still()
    for step, closed in zip(range(30, 35), (0.5, 1.0, 1.0, 0.6, 0.3), strict=True):
        gap = frames[step, LOWER] - frames[step, UPPER]
        frames[step, UPPER] += closed * gap
    found = noisy(frames)
    before, after = lid_gap(found), lid_gap(smooth(found))
    rest = np.median(before)
    assert rest - after.min() > 0.93 * (rest - before.min())
    assert abs(int(after.argmin()) - int(before.argmin())) <= 1
    assert after[45:] == pytest.approx(rest, abs=0.1 * float(rest)), "and the eyes open again"


def test_a_moving_head_is_followed() -> None:
    steps = 40 * np.sin(np.arange(60) / 6)
    frames = still() + np.stack([steps, 0 * steps, 0 * steps], -1)[:, None].astype(np.float32)
    found = noisy(frames)
    places = [head_pose(face).shift[0] for face in smooth(found)]
    late = places - (200 + steps)
    assert np.abs(late).max() < 3, "of a swing by 80 pixels, at up to 7 a frame"
