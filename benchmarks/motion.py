"""Measure motion transfer, head poses and the smoothing of landmarks on synthetic people.

    python benchmarks/motion.py transfer
    python benchmarks/motion.py fit OUT.npz
    python benchmarks/motion.py detect FOLDER
    python benchmarks/motion.py pose FOLDER
    python benchmarks/motion.py smoothing FOLDER

`transfer` needs no pictures; `fit` makes `src/durian/portrait/expression.npz`. `detect` renders clips, spoils
them as a camera does and keeps the landmarks that MediaPipe finds in them; the last two measure on these.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from durian.evaluation.statistics import interval
from durian.portrait import keypoints as lines
from durian.portrait.geometry import similarity_matrix, transform_points
from durian.portrait.head_pose import head_pose
from durian.portrait.motion_transfer import choose_reference, template_pose
from durian.portrait.retarget import retarget
from durian.portrait.smoothing import LandmarkSmoother
from durian.portrait.tracking import FaceTracker
from durian.synth.head import Head
from durian.synth.landmarks import LandmarkRig, place_landmarks
from durian.synth.model import build
from durian.synth.performance import FrameState, sample_performance
from durian.synth.person import Person, sample_person
from durian.synth.pose import HeadPose, View, euler
from durian.synth.render import render

console = Console()
SEED = 7_000
SIZE, FPS = 256, 25.0
REGIONS = {
    "all": tuple(range(478)),
    "contour": lines.FACE_OVAL[:-1],
    "eyes": (*lines.RIGHT_EYE[:-1], *lines.LEFT_EYE[:-1]),
    "irises": (468, 473),
    "brows": (*lines.RIGHT_BROW[:-1], *lines.LEFT_BROW[:-1]),
    "lips": (*lines.LIPS_OUTER[:-1], *lines.LIPS_INNER[:-1]),
}
TURNS = ((0, 15), (15, 30), (30, 45))
LIDS = ((159, 145), (386, 374))


class Actor:
    """A person of whom only the landmarks are wanted."""

    def __init__(self, person: Person, size: int = SIZE) -> None:
        self.camera, self.size = person.scene.camera, size
        self.rig = LandmarkRig.of(Head(person.identity))
        self._nothing = np.zeros((size, size), np.float32)

    def landmarks(self, state: FrameState) -> np.ndarray:
        view = View.of(self.camera, state.zoom, self.size)
        return place_landmarks(self.rig, state, HeadPose.of(state), view, 1, self._nothing)[0]

    def perform(self, states: tuple[FrameState, ...]) -> np.ndarray:
        return np.stack([self.landmarks(state) for state in states])


def opening(landmarks: np.ndarray, pairs: tuple[tuple[int, int], ...] = ((13, 14),)) -> np.ndarray:
    """Mean distance of pairs of landmarks, in distances between the outer eye corners."""
    upper, lower = np.array(pairs).T
    gap = np.linalg.norm(landmarks[..., lower, :2] - landmarks[..., upper, :2], axis=-1).mean(-1)
    return gap / np.array([head_pose(frame).scale for frame in landmarks])


# Motion transfer


def ours(driver: np.ndarray, portrait: np.ndarray, reference: int) -> np.ndarray:
    return retarget(driver, portrait, reference, max_shift=np.inf, max_zoom=np.inf)


def copied(driver: np.ndarray, portrait: np.ndarray, reference: int) -> np.ndarray:
    """The driver's own landmarks, in the portrait's place and size."""
    mine, other = template_pose(portrait), template_pose(driver[reference])
    zoom = mine.scale / other.scale
    return zoom * (driver - other.shift) + mine.shift


def similar(driver: np.ndarray, portrait: np.ndarray, reference: int) -> np.ndarray:
    """The similarity that brings the driver's reference frame to the portrait, on all frames."""
    matrix = similarity_matrix(driver[reference], portrait)
    return np.stack([transform_points(matrix, frame) for frame in driver])


METHODS: dict[str, Callable[[np.ndarray, np.ndarray, int], np.ndarray]] = {
    "ours": ours,
    "similarity transform": similar,
    "driver's landmarks copied": copied,
}


def composed(state: FrameState, reference: FrameState, portrait: FrameState) -> FrameState:
    """What the portrait's person does when it moves as the driver does since the reference frame."""
    turn = euler(state.yaw, state.pitch, state.roll) @ euler(reference.yaw, reference.pitch, reference.roll).T
    rotation = turn @ euler(portrait.yaw, portrait.pitch, portrait.roll)
    return replace(
        state,
        yaw=float(np.arcsin(-rotation[2, 0])),
        pitch=float(np.arctan2(rotation[2, 1], rotation[2, 2])),
        roll=float(np.arctan2(rotation[1, 0], rotation[0, 0])),
        **{name: getattr(portrait, name) + getattr(state, name) - getattr(reference, name) for name in "xyz"},
        zoom=portrait.zoom * state.zoom / reference.zoom,
    )


def transfer(pairs: int = 100, frames: int = 30) -> None:
    """The same performance on two people: what was transferred against what the other does."""
    errors: dict[tuple[str, str, str], list[float]] = {}
    openings: dict[tuple[str, str], list[float]] = {}
    for pair in track(range(pairs), "transfer", console=console):
        rng = np.random.default_rng((SEED, pair))
        driver, person = Actor(sample_person(rng)), Actor(sample_person(rng))
        states = sample_performance(rng, frames, 10.0, max_yaw=1.1).frames
        own = sample_performance(rng, 1, static=True, max_yaw=0.3, max_pitch=0.15).frames[0]
        portrait, driving = person.landmarks(own), driver.perform(states)
        reference = choose_reference(driving, portrait)
        wanted = tuple(composed(state, states[reference], own) for state in states)
        truth = person.perform(wanted)
        scale = np.median([head_pose(frame).scale for frame in truth])
        yaw = np.degrees(np.abs([state.yaw for state in wanted]))
        for name, method in METHODS.items():
            moved = method(driving, portrait, reference)
            off = np.linalg.norm((moved - truth)[..., :2], axis=-1) / scale * 100
            for region, points in REGIONS.items():
                each = off[:, list(points)].mean(1)
                errors.setdefault((name, region, "all"), []).append(each.mean())
                for low, high in TURNS:
                    if (inside := (yaw >= low) & (yaw < high)).any():
                        errors.setdefault((name, region, f"{low}–{high}°"), []).append(each[inside].mean())
            for what, gaps in (("lips", ((13, 14),)), ("lids", LIDS)):
                got, asked = opening(moved, gaps), opening(truth, gaps)
                openings.setdefault((name, f"{what}, error"), []).append(100 * np.abs(got - asked).mean())
                if asked.std() > 0.015:
                    slope = float(np.polyfit(asked, got, 1)[0])
                    openings.setdefault((name, f"{what}, gain"), []).append(slope)
                    match = float(np.corrcoef(asked, got)[0, 1]) if got.std() > 0 else 0.0
                    openings.setdefault((name, f"{what}, correlation"), []).append(match)
    columns = ["all", *(f"{low}–{high}°" for low, high in TURNS)]
    out = Table("region", "head turn", *METHODS, title=f"error, % of the distance of the eyes, {pairs} pairs")
    for region in REGIONS:
        for turn in columns:
            out.add_row(region, turn, *(spread(errors.get((name, region, turn), [])) for name in METHODS))
    console.print(out)
    out = Table("opening", *METHODS, title="openings, % of the distance of the eyes")
    for what in dict.fromkeys(key[1] for key in openings):
        out.add_row(what, *(spread(openings.get((name, what), []), 2) for name in METHODS))
    console.print(out)


def spread(values: list[float], digits: int = 1) -> str:
    found = interval(values)
    if found.low is None:
        return "too few"
    return f"{found.mean:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"


def fit(out: Path, people: int = 400) -> None:
    """Make the packaged `ExpressionModel`."""
    names = ("jaw", "smile", "pucker", "brow_up", "brow_in")
    shapes, strengths, basis = [], [], []
    for number in track(range(people), "fit", console=console):
        rng = np.random.default_rng((SEED, 9, number))
        actor = Actor(sample_person(rng))
        for _ in range(4):
            state = sample_performance(rng, 1, static=True, max_yaw=0.6).frames[0]
            landmarks = actor.landmarks(state)
            shapes.append(template_pose(landmarks).to_face(landmarks).ravel())
            strengths.append([getattr(state, name) for name in names])
        rest = FrameState(smile=0.0)
        still = actor.landmarks(rest)
        pose, strength = template_pose(still), 0.6
        moved = [actor.landmarks(replace(rest, **{name: strength})) for name in names]
        basis.append([(pose.to_face(face) - pose.to_face(still)) / strength for face in moved])
    x, y = np.array(shapes), np.array(strengths)
    x, y = x - x.mean(0), y - y.mean(0)
    noise = 0.04  # of the distance of the eyes: real faces and detectors differ in ways that these do not
    gain = np.linalg.solve(x.T @ x / len(x) + noise**2 * np.eye(x.shape[1]), x.T @ y / len(x)).T
    np.savez_compressed(out, gain=gain.astype(np.float16), basis=np.mean(basis, 0).astype(np.float16))


# Detected landmarks


def detect(folder: Path, people: int = 12) -> None:
    """Render a person at rest and one who moves, and keep what MediaPipe finds beside what is true."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in track(range(people), "detect", console=console):
        path = folder / f"{number:03}.npz"
        if path.exists():
            continue
        rng = np.random.default_rng((SEED, 1, number))
        model = build(sample_person(rng))
        rest = sample_performance(rng, 1, static=True, max_yaw=0.4).frames * 50
        moving = sample_performance(rng, 75, FPS, max_yaw=0.5).frames
        still = render(model, rest[0], SIZE, 2)
        kept = {"rest_truth": np.stack([still.landmarks] * len(rest))}
        kept["rest"] = _found([still.rgb] * len(rest), rng)
        shown = [render(model, state, SIZE, 2) for state in moving]
        kept["moving_truth"] = np.stack([frame.landmarks for frame in shown])
        kept["moving"] = _found([frame.rgb for frame in shown], rng)
        angles = [np.degrees([state.yaw, state.pitch, state.roll]) for state in moving]
        np.savez(path, **kept, angles=np.stack(angles))


def _found(pictures: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    with FaceTracker() as tracker:
        found = [tracker(_filmed(picture, rng)) for picture in pictures]
    return np.stack([np.full((478, 3), np.nan, np.float32) if face is None else face for face in found])


def _filmed(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Noise of a sensor and of compression."""
    noisy = np.clip(picture + rng.normal(size=picture.shape) * 4, 0, 255).astype(np.uint8)
    return cv2.imdecode(cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 80])[1], cv2.IMREAD_COLOR)


def pose(folder: Path) -> None:
    """Head angles from exact and from detected landmarks against the true ones."""
    clips = [np.load(path) for path in sorted(folder.glob("*.npz"))]
    out = Table("landmarks", "", "yaw", "pitch", "roll", title=f"error in degrees, {len(clips)} clips")
    for what, name in (("exact", "moving_truth"), ("MediaPipe", "moving")):
        off = np.concatenate([_angles(clip[name]) - clip["angles"] for clip in clips])
        out.add_row(what, "mean", *(f"{value:+.1f}" for value in off.mean(0)))
        out.add_row(what, "deviation", *(f"{value:.1f}" for value in off.std(0)))
    console.print(out)


def _angles(landmarks: np.ndarray) -> np.ndarray:
    poses = [head_pose(frame) for frame in landmarks]
    return np.array([[pose.yaw, pose.pitch, pose.roll] for pose in poses])


class LowPass:
    """A first-order low pass of every coordinate, for comparison."""

    def __init__(self, cutoff: float) -> None:
        self._share = 1 / (1 + FPS / (2 * np.pi * cutoff))
        self._value: np.ndarray | None = None

    def __call__(self, value: np.ndarray) -> np.ndarray:
        last = value if self._value is None else self._value
        self._value = last + self._share * (value - last)
        return self._value


FILTERS: dict[str, Callable[[], Callable[[np.ndarray], np.ndarray]]] = {
    "as found": lambda: lambda value: value,
    "low pass of 3 Hz": lambda: LowPass(3.0),
    "ours, strength 1": lambda: LandmarkSmoother(FPS),
    "ours, strength 2": lambda: LandmarkSmoother(FPS, 2.0),
}


def smoothing(folder: Path) -> None:
    """How much steadier faces at rest are, and what it costs those that move."""
    clips = [np.load(path) for path in sorted(folder.glob("*.npz"))]
    names = (
        "jitter, %",
        "head jitter, °",
        "blinks",
        "mouth",
        "lag of lids",
        "of lips",
        "of head",
        "error, %",
    )
    out = Table("filter", *names, title=f"{len(clips)} people, {FPS:.0f} frames a second")
    for title, make in FILTERS.items():
        rows = [row for clip in clips if (row := _steadiness(clip, make)) is not None]
        columns = [[value for value in column if value is not None] for column in zip(*rows, strict=True)]
        out.add_row(title, *(spread(column, 2) for column in columns))
    console.print(out)


def _steadiness(clip, make: Callable[[], Callable[[np.ndarray], np.ndarray]]) -> tuple | None:
    found, truth = clip["moving"], clip["moving_truth"]
    if not (np.isfinite(found).all() and np.isfinite(clip["rest"]).all()):
        return None
    still, moved = (
        np.stack([*map(smoother, clip[name])]) for name in ("rest", "moving") for smoother in [make()]
    )
    scale = np.median([head_pose(frame).scale for frame in truth])
    trembling = np.sqrt((np.diff(still[10:, :, :2], axis=0) ** 2).sum(-1).mean()) / scale * 100
    lids, lids_now, lids_true = (opening(faces, LIDS) for faces in (found, moved, truth))
    lips, lips_now, lips_true = (opening(faces) for faces in (found, moved, truth))
    # A blink's depth is measured where the truth has the deepest one.
    at = int(np.argmin(lids_true[12:])) + 12
    near, usual = slice(max(at - 3, 0), at + 4), np.median(lids)
    blinks = lids_true[at] < 0.4 * np.median(lids_true)
    speaks = lips_true.std() > 0.03
    # The detector's own constant fault on this face is no matter of smoothing.
    off = (moved - truth)[..., :2] - (found - truth)[..., :2].mean(0)
    return (
        trembling,
        np.diff(_angles(still[10:]), axis=0).std(),
        (usual - lids_now[near].min()) / (usual - lids[near].min()) if blinks else None,
        np.ptp(lips_now) / np.ptp(lips) if speaks else None,
        _lag(lids, lids_now) if blinks else None,
        _lag(lips, lips_now) if speaks else None,
        _lag(_angles(found)[:, 0], _angles(moved)[:, 0]),
        100 * np.linalg.norm(off, axis=-1).mean() / scale,
    )


def _lag(before: np.ndarray, after: np.ndarray) -> float:
    """Frames by which a signal is late: where it correlates best with what it was."""
    times = np.arange(0, len(before) - 1, 0.1)
    a, b = (np.interp(times, np.arange(len(values)), values) for values in (before, after))
    matches = [np.corrcoef(a[: len(a) - late], b[late:])[0, 1] for late in range(60)]
    return int(np.argmax(matches)) / 10


if __name__ == "__main__":
    commands = {"transfer": transfer, "fit": fit, "detect": detect, "pose": pose, "smoothing": smoothing}
    commands[sys.argv[1]](*map(Path, sys.argv[2:]))
