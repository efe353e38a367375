"""Scarves: parameters and how they are drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from durian.synth.attributes.colours import Colour, cloth_colour
from durian.synth.attributes.styles import Split, StyleTable, draw_seed

STYLES = StyleTable(
    weights={"wrapped": (1.0, 1.0), "hanging": (1.0, 1.2), "snood": (0.8, 0.5), "neckerchief": (0.8, 0.6)},
    held_out=frozenset({"neckerchief"}),
)
TRAIN_STYLES = STYLES.train_styles
HELD_OUT_STYLES = STYLES.held_out_styles


@dataclass(frozen=True)
class Scarf:
    """A scarf around the neck."""

    style: str
    seed: int
    colour: Colour
    """Linear RGB."""
    second_colour: Colour = (0.6, 0.6, 0.55)
    """Linear RGB of the pattern."""
    stripes: float = 0.0
    """Contrast of cross stripes, in [0, 1]."""
    checks: float = 0.0
    """Contrast of length stripes, in [0, 1]; with cross stripes they make a tartan."""
    scale: float = 1.0
    """Factor on the pattern's size, in [0.7, 1.4]."""
    volume: float = 1.0
    """Factor on the thickness, in [0.75, 1.3]."""

    def __post_init__(self) -> None:
        if self.style not in STYLES.weights:
            raise ValueError(f"unknown scarf style {self.style!r}; known: {', '.join(STYLES.styles)}")


def sample_scarf(rng: np.random.Generator, masculinity: float, age: float, split: Split = "train") -> Scarf:
    """Draws a scarf; `masculinity` in [-1, 1] shifts the odds."""
    return Scarf(
        style=STYLES.draw(rng, masculinity, split),
        seed=draw_seed(rng),
        colour=cloth_colour(rng),
        second_colour=cloth_colour(rng),
        stripes=float(rng.uniform(0.5, 1.0)) if rng.random() < 0.5 else 0.0,
        checks=float(rng.uniform(0.5, 1.0)) if rng.random() < 0.3 else 0.0,
        scale=float(rng.uniform(0.75, 1.35)),
        volume=float(rng.uniform(0.8, 1.25)),
    )
