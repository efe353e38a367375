"""Earrings: parameters and how they are drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from durian.synth.attributes.colours import Colour, cloth_colour, metal_colour
from durian.synth.attributes.styles import Split, StyleTable, draw_seed

STYLES = StyleTable(
    weights={
        "stud": (1.2, 1.4),
        "hoop": (1.4, 0.6),
        "drop": (1.2, 0.1),
        "disc": (0.8, 0.1),
        "chandelier": (0.6, 0.02),
    },
    held_out=frozenset({"disc"}),
)
TRAIN_STYLES = STYLES.train_styles
HELD_OUT_STYLES = STYLES.held_out_styles


@dataclass(frozen=True)
class Earrings:
    """A pair of earrings."""

    style: str
    seed: int
    colour: Colour
    """Linear RGB of the metal."""
    gem_colour: Colour = (0.6, 0.1, 0.1)
    """Linear RGB of the stone or bead."""
    size: float = 1.0
    """Factor on the style's size, in [0.7, 1.5]."""

    def __post_init__(self) -> None:
        if self.style not in STYLES.weights:
            raise ValueError(f"unknown earrings style {self.style!r}; known: {', '.join(STYLES.styles)}")


def sample_earrings(
    rng: np.random.Generator, masculinity: float, age: float, split: Split = "train"
) -> Earrings:
    """Draws earrings; `masculinity` in [-1, 1] shifts the odds."""
    return Earrings(
        style=STYLES.draw(rng, masculinity, split),
        seed=draw_seed(rng),
        colour=metal_colour(rng),
        gem_colour=cloth_colour(rng),
        size=float(rng.uniform(0.75, 1.45)),
    )
