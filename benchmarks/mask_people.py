"""Synthetic people with exact masks, for the built-in masks to be trained on and measured with."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from rich.console import Console
from rich.progress import track

from durian.portrait.attributes import ATTRIBUTES
from durian.synth.model import build
from durian.synth.performance import sample_performance
from durian.synth.person import Person, sample_person
from durian.synth.recipes import SAMPLERS, wear
from durian.synth.render import Rendered, render

MASKS = 5  # domain of seeds beside `durian.synth.dataset.CLIPS` and `CASES`
TRAIN, TEST = 0, 1
SIZE, SAMPLES = 128, 2  # of the pictures to train on
POSES = 2  # of each person to train on
CHUNK = 100  # people in a file

console = Console(width=110)


@dataclass(frozen=True)
class People:
    """Pictures to train on.

    Attributes:
        rgb: sRGB.
        labels: of `durian.synth.parts.Label`; bit 7 is set behind a lens.
        masks: the share in which each of `ATTRIBUTES` is seen, in 0 to 255.
        worn: whether an attribute is worn, seen or not.
        landmarks: in pixels.
    """

    rgb: UInt8[np.ndarray, "N S S 3"]
    labels: UInt8[np.ndarray, "N S S"]
    masks: UInt8[np.ndarray, "N A S S"]
    worn: np.ndarray
    landmarks: Float[np.ndarray, "N 478 3"]


def render_people(folder: Path, people: int) -> None:
    """Write files of `CHUNK` people each, going on from what the folder holds."""
    folder.mkdir(parents=True, exist_ok=True)
    for first in track(range(0, people, CHUNK), "render", console=console):
        path = folder / f"people-{first // CHUNK:03d}.npz"
        if path.is_file():
            continue
        rows = [row for index in range(first, first + CHUNK) for row in _rows(index)]
        columns = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
        temporary = path.with_name(f".{path.name}")
        with temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **columns)
        os.replace(temporary, path)


def load_people(folder: Path) -> People:
    """All people of a folder, in their order."""
    parts = []
    for path in sorted(folder.glob("people-*.npz")):
        with np.load(path, allow_pickle=False) as file:
            parts.append({key: file[key] for key in file.files})
    return People(**{key: np.concatenate([part[key] for part in parts]) for key in parts[0]})


def test_frame(index: int, size: int) -> Rendered:
    """Somebody whom training has not; one attribute, in turns, has a style that training never shows."""
    rng = np.random.default_rng([MASKS, TEST, index])
    kind = ATTRIBUTES[index % len(ATTRIBUTES)]
    while True:
        person = sample_person(rng, "train")
        if kind != "beard" or person.identity.masculinity > 0:
            break
    person = wear(person, **{kind: _draw(rng, person, kind, "test")})
    if kind == "hair":
        person = wear(person, hat=None)
    return render(build(person), sample_performance(rng, 1, static=True).frames[0], size, 2)


def _draw(rng: np.random.Generator, person: Person, kind: str, split: Any) -> Any:
    return SAMPLERS[kind](rng, person.identity.masculinity, person.identity.age, split)


def _rows(index: int) -> list[dict[str, np.ndarray]]:
    """A person in training styles, turned in a few ways; what is rare in the world is less rare here."""
    rng = np.random.default_rng([MASKS, TRAIN, index])
    person = sample_person(rng, "train")
    match index % 8:
        case 0:
            person = wear(person, hair=None)
        case 1 | 2:
            person = wear(person, hat=_draw(rng, person, "hat", "train"))
        case 3 | 4 if person.identity.masculinity > -0.2:
            person = wear(person, beard=_draw(rng, person, "beard", "train"))
        case _:
            pass
    model = build(person)
    states = (sample_performance(rng, 1, static=True).frames[0] for _ in range(POSES))
    return [_row(render(model, replace(state, roll=0.0), SIZE, SAMPLES)) for state in states]


def _row(frame: Rendered) -> dict[str, np.ndarray]:
    empty = np.zeros((SIZE, SIZE), np.float32)
    masks = [np.round(255 * frame.visible.get(name, empty)).astype(np.uint8) for name in ATTRIBUTES]
    return {
        "rgb": frame.rgb,
        "labels": frame.labels,
        "masks": np.stack(masks),
        "worn": np.array([name in frame.visible for name in ATTRIBUTES]),
        "landmarks": frame.landmarks,
    }
