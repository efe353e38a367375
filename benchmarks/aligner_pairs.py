"""Pairs of synthetic people for the Face Aligner: an attribute on its donor, and the same on somebody else.

In no real picture does one person wear another's hair in a pose of their own; here that is rendered, so the
mask that the aligner has to find is exact.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from rich.console import Console
from rich.progress import track

from durian.portrait.geometry import rotation_angle
from durian.synth.model import build
from durian.synth.performance import FrameState, sample_performance
from durian.synth.person import sample_person
from durian.synth.pose import euler
from durian.synth.recipes import KINDS, SAMPLERS, wear
from durian.synth.render import Rendered, render

PAIRS = 4  # domain of seeds beside `durian.synth.dataset.CLIPS` and `CASES`
TRAIN, TEST = 0, 1
SIZE, SAMPLES = 96, 2
TARGETS = 3  # poses of each training portrait
CHUNK = 100  # donors in a file
GAPS = (0.0, 15.0, 30.0, 45.0, 60.0, 80.0)  # degrees; the bins of the test, equally filled
_FURTHEST = 0.9  # radians of yaw in training

console = Console(width=110)


@dataclass(frozen=True)
class Pairs:
    """Masks in 0 to 255 and landmarks in pixels of `SIZE`; `kind` indexes `KINDS`, `gap` is in degrees."""

    source: UInt8[np.ndarray, "N S S"]
    target: UInt8[np.ndarray, "N S S"]
    source_landmarks: Float[np.ndarray, "N 478 3"]
    target_landmarks: Float[np.ndarray, "N 478 3"]
    kind: np.ndarray
    gap: np.ndarray


def render_pairs(folder: Path, role: int, donors: int) -> None:
    """Write files of `CHUNK` donors each, going on from what the folder holds."""
    folder.mkdir(parents=True, exist_ok=True)
    name = ("train", "test")[role]
    for first in track(range(0, donors, CHUNK), f"render {name}", console=console):
        path = folder / f"{name}-{first // CHUNK:03d}.npz"
        if path.is_file():
            continue
        rows = [row for index in range(first, first + CHUNK) for row in _pairs(role, index)]
        columns = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
        temporary = path.with_name(f".{path.name}")
        with temporary.open("wb") as file:
            np.savez_compressed(file, **columns)
        os.replace(temporary, path)


def load_pairs(folder: Path, role: int) -> Pairs:
    """All pairs of a role, in their order."""
    parts = []
    for path in sorted(folder.glob(f"{('train', 'test')[role]}-*.npz")):
        with np.load(path, allow_pickle=False) as file:
            parts.append({key: file[key] for key in file.files})
    return Pairs(**{key: np.concatenate([part[key] for part in parts]) for key in parts[0]})


def _pairs(role: int, index: int) -> list[dict[str, np.ndarray]]:
    """Training styles in training; in the test, people and styles that it has not seen."""
    rng = np.random.default_rng([PAIRS, role, index])
    kind = KINDS[index % len(KINDS)]
    split = "train" if role == TRAIN else "test"
    while True:
        donor, portrait = sample_person(rng, "train"), sample_person(rng, "train")
        donor = wear(
            donor, **{kind: SAMPLERS[kind](rng, donor.identity.masculinity, donor.identity.age, split)}
        )
        if kind == "hair":
            donor, portrait = wear(donor, hat=None), wear(portrait, hat=None)
        if kind == "beard" and min(p.identity.masculinity for p in (donor, portrait)) <= 0:
            continue
        worn = wear(portrait, **{kind: getattr(donor.attributes, kind)})
        source_state, target_states = _states(rng, role, index // len(KINDS))
        source = render(build(donor), source_state, SIZE, SAMPLES)
        model = build(worn)
        rows = [
            _row(KINDS.index(kind), source, render(model, state, SIZE, SAMPLES), source_state, state)
            for state in target_states
        ]
        if all(min((row[key] > 127).mean() for key in ("source", "target")) > 0.002 for row in rows):
            return rows  # else it is hidden, say glasses by a fringe


def _states(rng: np.random.Generator, role: int, number: int) -> tuple[FrameState, list[FrameState]]:
    def still(yaw: float) -> FrameState:
        state = sample_performance(rng, 1, static=True, max_pitch=0.35).frames[0]
        return replace(state, yaw=float(yaw), pitch=float(np.clip(1.6 * state.pitch, -0.35, 0.35)))

    if role == TRAIN:
        yaws = rng.uniform(-_FURTHEST, _FURTHEST, 1 + TARGETS)
        return still(yaws[0]), [still(yaw) for yaw in yaws[1:]]
    low, high = np.radians(GAPS[number % (len(GAPS) - 1) :][:2])
    while True:
        half, middle = rng.uniform(low, high) / 2 * rng.choice((-1, 1)), rng.uniform(-0.15, 0.15)
        source, target = still(middle + half), still(middle - half)
        if low <= np.radians(_gap(source, target)) < high:
            return source, [target]


def _gap(source: FrameState, target: FrameState) -> float:
    one, other = (euler(state.yaw, state.pitch, 0) for state in (source, target))  # a roll is in the plane
    return rotation_angle(one, other)


def _row(
    kind: int, source: Rendered, target: Rendered, source_state: FrameState, target_state: FrameState
) -> dict[str, np.ndarray]:
    masks = (np.round(255 * frame.visible[KINDS[kind]]).astype(np.uint8) for frame in (source, target))
    return {
        **dict(zip(("source", "target"), masks, strict=True)),
        "source_landmarks": source.landmarks,
        "target_landmarks": target.landmarks,
        "kind": np.array(kind),
        "gap": np.array(_gap(source_state, target_state)),
    }
