"""Contact sheets of the synthetic world, to look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count

import numpy as np
from jaxtyping import UInt8

from durian.labels import LENS_BIT, pixel_classes
from durian.synth.attributes import Attributes
from durian.synth.attributes import beard as beard_module
from durian.synth.attributes import glasses as glasses_module
from durian.synth.attributes import hair as hair_module
from durian.synth.attributes import hat as hat_module
from durian.synth.attributes.collection import sample_free_form
from durian.synth.model import build
from durian.synth.performance import FrameState, sample_performance
from durian.synth.person import Person, sample_person
from durian.synth.recipes import wear
from durian.synth.render import Rendered, render

Tiles = list[UInt8[np.ndarray, "S S 3"]]

LABEL_COLOURS = np.array(
    [
        (40, 40, 46), (222, 170, 140), (240, 240, 240), (150, 40, 50), (120, 80, 50), (70, 45, 30),
        (160, 110, 60), (70, 130, 230), (90, 180, 90), (130, 110, 170), (240, 200, 60), (230, 80, 180),
        (70, 200, 200),
    ],
    np.uint8,
)  # fmt: skip
"""By `Label`."""


def random_people(seed: int, size: int) -> tuple[Tiles, int]:
    """48 people as training sees them."""
    tiles = []
    for index in range(48):
        rng = np.random.default_rng([seed, index])
        person = sample_person(rng)
        tiles.append(render(build(person), sample_performance(rng, 1, static=True).frames[0], size).rgb)
    return tiles, 8


def identities(seed: int, size: int) -> tuple[Tiles, int]:
    """Six people, a row each, bare and with one attribute after another."""
    rng = np.random.default_rng(seed)
    worn = [sample_person(np.random.default_rng([seed, i]), "all").attributes for i in range(200)]

    def with_kind(kind: str) -> object:
        return next(getattr(a, kind) for a in rng.permutation(np.array(worn, object)) if getattr(a, kind))

    columns: list[dict[str, object]] = [{}]
    columns += [{"hair": with_kind("hair")} for _ in range(3)]
    columns += [{"hair": with_kind("hair"), "glasses": with_kind("glasses")} for _ in range(2)]
    columns += [{"hair": with_kind("hair"), "hat": with_kind("hat")} for _ in range(2)]
    columns += [{"beard": with_kind("beard"), "hair": with_kind("hair")}]
    columns += [{kind: with_kind(kind) for kind in ("hair", "earrings", "paint", "scarf")}]
    tiles = []
    for row in range(6):
        rng = np.random.default_rng([seed, 1000, row])
        person = sample_person(rng)
        state = sample_performance(rng, 1, static=True, max_yaw=0.5).frames[0]
        for column in columns:
            tiles.append(
                render(build(replace(person, attributes=Attributes(**column))), state, size).rgb  # ty: ignore
            )
    return tiles, len(columns)


def swaps(seed: int, size: int) -> tuple[Tiles, int]:
    """Everybody (rows) wears everybody's attributes (columns); the diagonal is how they came."""
    people = [sample_person(np.random.default_rng([seed, 2000, i]), "all") for i in range(7)]
    tiles = []
    for row, person in enumerate(people):
        state = sample_performance(np.random.default_rng([seed, 3000, row]), 1, static=True, max_yaw=0.5)
        for other in people:
            tiles.append(
                render(build(replace(person, attributes=other.attributes)), state.frames[0], size).rgb
            )
    return tiles, len(people)


POSES = (
    FrameState(),
    FrameState(yaw=-0.9),
    FrameState(yaw=-0.45),
    FrameState(yaw=0.45),
    FrameState(yaw=0.9),
    FrameState(pitch=-0.35),
    FrameState(pitch=0.35),
    FrameState(roll=0.35),
    FrameState(smile=1.0, jaw=0.35),
    FrameState(jaw=1.0, brow_up=1.0),
    FrameState(pucker=1.0),
    FrameState(smile=-0.6, brow_in=1.0),
    FrameState(blink_left=0.9),
    FrameState(blink_left=1.0, blink_right=1.0),
    FrameState(gaze_x=0.5),
    FrameState(gaze_x=-0.4, gaze_y=-0.3, brow_up=0.6),
)


def poses(seed: int, size: int) -> tuple[Tiles, int]:
    """One person in 16 poses and expressions, with labels and landmarks below."""
    model = build(_dressed(seed))
    rendered = [render(model, state, size) for state in POSES]
    tiles = []
    for start in (0, 8):
        half = rendered[start : start + 8]
        tiles += [frame.rgb for frame in half]
        tiles += [draw_labels(frame) for frame in half]
        tiles += [draw_landmarks(frame) for frame in half]
    return tiles, 8


def styles(seed: int, size: int) -> tuple[Tiles, int]:
    """Every style of hair, eyeglasses, hats and beards, each on another person."""
    tiles = []
    modules = {"hair": hair_module, "glasses": glasses_module, "hat": hat_module, "beard": beard_module}
    for kind, module in modules.items():
        for index, style in enumerate(module.STYLES.styles):
            rng = np.random.default_rng([seed, 4000, index])
            person = _with_style(rng, kind, style)
            tiles.append(render(build(person), FrameState(yaw=0.35 * (-1) ** index, smile=0.4), size).rgb)
    return tiles, 10


def free_forms(seed: int, size: int) -> tuple[Tiles, int]:
    """Hair, eyeglasses, beards and hats of no style, 20 people for each of them."""
    tiles = []
    for row, kind in enumerate(("hair", "glasses", "beard", "hat")):
        for index in range(20):
            rng = np.random.default_rng([seed, 6000, row, index])
            person = sample_person(rng)
            body = person.identity.masculinity, person.identity.age
            person = wear(wear(person, hat=None), **{kind: sample_free_form(rng, kind, *body)})
            tiles.append(render(build(person), FrameState(yaw=0.35 * (-1) ** index, smile=0.4), size).rgb)
    return tiles, 10


SHEETS: dict[str, Callable[[int, int], tuple[Tiles, int]]] = {
    "random": random_people,
    "identities": identities,
    "swaps": swaps,
    "poses": poses,
    "styles": styles,
    "free-forms": free_forms,
}


def arrange(tiles: Sequence[np.ndarray], columns: int) -> UInt8[np.ndarray, "H W 3"]:
    """Tiles of one size in rows of `columns`; what is missing in the last row is black."""
    size = tiles[0].shape[0]
    rows = -(-len(tiles) // columns)
    sheet = np.zeros((rows * size, columns * size, 3), np.uint8)
    for index, tile in enumerate(tiles):
        y, x = divmod(index, columns)
        sheet[y * size : (y + 1) * size, x * size : (x + 1) * size] = tile
    return sheet


def draw_labels(frame: Rendered) -> UInt8[np.ndarray, "S S 3"]:
    """A label image in colours; what lies behind a lens is bluish."""
    picture = LABEL_COLOURS[pixel_classes(frame.labels)]
    lens = frame.labels >= LENS_BIT
    picture[lens] = picture[lens] // 2 + np.array((20, 50, 120), np.uint8)
    return picture


def draw_landmarks(frame: Rendered) -> UInt8[np.ndarray, "S S 3"]:
    """Landmarks over the darkened picture: green where they can be seen, red where not."""
    picture = (frame.rgb * 0.6).astype(np.uint8)
    for (x, y, _), visible in zip(frame.landmarks, frame.landmark_visible, strict=True):
        if 0 <= x < picture.shape[1] and 0 <= y < picture.shape[0]:
            picture[int(y), int(x)] = (90, 255, 90) if visible else (255, 80, 80)
    return picture


def _dressed(seed: int) -> Person:
    people = (sample_person(np.random.default_rng([seed, 5000, i]), "all") for i in count())
    return next(p for p in people if p.attributes.hair and p.attributes.glasses and not p.attributes.hat)


def _with_style(rng: np.random.Generator, kind: str, style: str) -> Person:
    people = (sample_person(rng, "all") for _ in count())
    person = next(p for p in people if getattr(getattr(p.attributes, kind), "style", None) == style)
    return person if kind == "hat" else wear(person, hat=None)
