"""How a person moves: the state of every frame, and smooth random performances."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np


@dataclass(frozen=True)
class FrameState:
    """Pose and expression of one frame.

    Angles are in radians: `yaw` positive turns the face to the image's right, `pitch` positive looks
    down, `roll` positive tips the head's top to the image's left. `x`, `y`, `z` shift the person in head
    space; `zoom` scales the focal length. `jaw` in [0, 1] opens the mouth; `smile` in [-0.6, 1]; `pucker`
    in [0, 1]; `brow_up` in [-0.5, 1]; `brow_in` in [0, 1]; `blink_left` and `blink_right` in [0, 1], 1
    closed, at the image's left and right; `gaze_x` (to the image's right) and `gaze_y` (up) in radians.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    zoom: float = 1.0
    jaw: float = 0.0
    smile: float = 0.15
    pucker: float = 0.0
    brow_up: float = 0.0
    brow_in: float = 0.0
    blink_left: float = 0.0
    blink_right: float = 0.0
    gaze_x: float = 0.0
    gaze_y: float = 0.0


@dataclass(frozen=True)
class Performance:
    """Frames at a constant rate, in frames a second."""

    frames: tuple[FrameState, ...]
    fps: float = 15.0


_LIMITS = {
    "roll": (-0.35, 0.35),
    "jaw": (0.0, 1.0),
    "smile": (-0.6, 1.0),
    "pucker": (0.0, 1.0),
    "brow_up": (-0.5, 1.0),
    "brow_in": (0.0, 1.0),
    "gaze_x": (-0.5, 0.5),
    "gaze_y": (-0.3, 0.3),
}
_PERIOD = 2.0  # seconds of the slowest of the usual movements


def sample_performance(
    rng: np.random.Generator,
    frames: int,
    fps: float = 15.0,
    *,
    static: bool = False,
    max_yaw: float = 0.75,
    max_pitch: float = 0.3,
) -> Performance:
    """A smooth random performance with blinks.

    Args:
        rng: equal generators give equal performances.
        frames: how many; the movement a second is the same whatever the rate.
        fps: frames a second.
        static: hold one random pose and expression, with open eyes.
        max_yaw: bound of |yaw|, in radians.
        max_pitch: bound of |pitch|, in radians.
    """
    seconds = np.zeros(frames) if static else np.arange(frames) / fps
    tracks = _pose_tracks(rng, seconds, max_yaw, max_pitch) | _expression_tracks(rng, seconds)
    for name, (low, high) in _LIMITS.items():
        tracks[name] = np.clip(tracks[name], low, high)
    closed = np.zeros(frames) if static else _blinks(rng, seconds)
    tracks["blink_left"] = tracks["blink_right"] = closed
    rows = ({name: float(track[i]) for name, track in tracks.items()} for i in range(frames))
    return Performance(tuple(FrameState(**row) for row in rows), fps)


def shifted(state: FrameState, **by: float) -> FrameState:
    """A state with some of its values moved, say `shifted(state, yaw=0.1)`."""
    known = {field.name for field in fields(state)}
    if unknown := set(by) - known:
        raise ValueError(f"no such value: {sorted(unknown)[0]}")
    return replace(state, **{name: getattr(state, name) + value for name, value in by.items()})


def _pose_tracks(
    rng: np.random.Generator, seconds: np.ndarray, max_yaw: float, max_pitch: float
) -> dict[str, np.ndarray]:
    def soft_limit(values: np.ndarray, limit: float) -> np.ndarray:
        # Turns round smoothly at the bound instead of stopping dead.
        return limit * np.tanh(values / max(limit, 1e-6))

    yaw = _wander(rng, seconds, 0.30 * max_yaw / 0.75, rng.normal() * 0.2 * max_yaw / 0.75)
    pitch = _wander(rng, seconds, 0.10 * max_pitch / 0.3, rng.normal() * 0.06 * max_pitch / 0.3)
    return {
        "yaw": soft_limit(yaw, max_yaw),
        "pitch": soft_limit(pitch, max_pitch),
        "roll": _wander(rng, seconds, 0.08),
        "x": _wander(rng, seconds, 0.05, rng.normal() * 0.06),
        "y": _wander(rng, seconds, 0.03, rng.normal() * 0.04),
        "z": np.zeros(len(seconds)),
        "zoom": rng.uniform(0.86, 1.16) * np.exp(_wander(rng, seconds, 0.025)),
    }


def _expression_tracks(rng: np.random.Generator, seconds: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "jaw": _wander(rng, seconds, 0.42, -0.05),
        "smile": _wander(rng, seconds, 0.4, 0.28),
        "pucker": _wander(rng, seconds, 0.4, -0.35),
        "brow_up": _wander(rng, seconds, 0.45),
        "brow_in": _wander(rng, seconds, 0.4, -0.25),
        "gaze_x": _wander(rng, seconds, 0.16),
        "gaze_y": _wander(rng, seconds, 0.08),
    }


def _wander(rng: np.random.Generator, seconds: np.ndarray, scale: float, mean: float = 0.0) -> np.ndarray:
    """A sum of three slow sines of random height and phase."""
    out = np.full(len(seconds), mean, np.float64)
    for rate in (0.5, 1.0, 1.7):
        angle = 2 * np.pi * (rate * seconds / _PERIOD + rng.random())
        out += scale * rng.normal() / (rate + 0.5) * np.sin(angle)
    return out


def _blinks(rng: np.random.Generator, seconds: np.ndarray) -> np.ndarray:
    """How far the eyes are closed: shut in about 80 ms, open again in about 140 ms."""
    out = np.zeros(len(seconds))
    if not len(seconds):
        return out
    at = float(rng.uniform(-0.5, 1.2))
    while at < seconds[-1]:
        since = seconds - at
        lid = np.where(since < 0, 1 + since / 0.09, 1 - since / 0.15)
        out = np.maximum(out, np.clip(lid * 1.15, 0, 1))
        at += float(rng.uniform(1.0, 3.5))
    return out
