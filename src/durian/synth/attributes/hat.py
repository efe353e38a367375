"""Hats and other headwear: parameters and how they are drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from durian.synth.attributes.colours import Colour, cloth_colour, scaled, srgb
from durian.synth.attributes.styles import FREE_FORM, Split, StyleTable, draw_seed

STYLES = StyleTable(
    weights={
        "beanie": (1.2, 1.4),
        "pom-beanie": (1.2, 0.7),
        "baseball-cap": (1.0, 1.8),
        "fedora": (0.6, 1.0),
        "bowler": (0.4, 0.7),
        "bucket-hat": (0.9, 0.8),
        "cowboy-hat": (0.6, 0.9),
        "sun-hat": (1.2, 0.3),
        "beret": (1.0, 0.4),
        "top-hat": (0.2, 0.5),
        "turban": (0.6, 0.6),
        "headband": (1.2, 0.5),
        "flat-cap": (0.3, 0.9),
    },
    held_out=frozenset({"bowler", "cowboy-hat", "turban"}),
)
TRAIN_STYLES = STYLES.train_styles
HELD_OUT_STYLES = STYLES.held_out_styles


@dataclass(frozen=True)
class Hat:
    """Headwear."""

    style: str
    seed: int
    colour: Colour
    """Linear RGB of the crown."""
    second_colour: Colour = (0.05, 0.05, 0.05)
    """Linear RGB of the band, the cuff, the pompom or the stripes."""
    stripes: float = 0.0
    """Contrast of stripes in the second colour, in [0, 1]."""
    height: float = 1.0
    """Factor on the crown's height above the head, in [0.85, 1.2]."""
    brim: float = 1.0
    """Factor on the brim's width, in [0.8, 1.25]."""
    pitch: float = 0.0
    """Tilt towards the back, in [-1, 1]."""
    roll: float = 0.0
    """Tilt towards the image's right, in [-1, 1]."""

    def __post_init__(self) -> None:
        STYLES.check(self.style, "hat")


_STRIPED = {"beanie", "pom-beanie", "bucket-hat", "turban", "headband", "flat-cap"}


def sample_hat(rng: np.random.Generator, masculinity: float, age: float, split: Split = "train") -> Hat:
    """Draws a hat; `masculinity` in [-1, 1] shifts the odds."""
    style = STYLES.draw(rng, masculinity, split)
    colour = cloth_colour(rng)
    if style == "sun-hat" and rng.random() < 0.8:
        colour = scaled(srgb(226, 196, 138), float(rng.uniform(0.7, 1.1)))
    if style == "cowboy-hat" and rng.random() < 0.7:
        colour = scaled(srgb(140, 92, 56), float(rng.uniform(0.5, 1.5)))
    if style == "top-hat" and rng.random() < 0.7:
        colour = srgb(30, 30, 34)
    return Hat(
        style=style,
        seed=draw_seed(rng),
        colour=colour,
        second_colour=cloth_colour(rng) if rng.random() < 0.75 else scaled(colour, 0.35),
        stripes=float(rng.uniform(0.4, 1.0)) if style in _STRIPED and rng.random() < 0.4 else 0.0,
        height=float(rng.uniform(0.88, 1.15)),
        brim=float(rng.uniform(0.85, 1.2)),
        pitch=float(rng.uniform(-0.6, 0.6)),
        roll=float(rng.uniform(-0.6, 0.6)),
    )


def sample_free_hat(rng: np.random.Generator) -> Hat:
    """Draws a hat of no style, of a wider range of sizes, so that a network meets more than a dozen forms."""
    return Hat(
        style=FREE_FORM,
        seed=draw_seed(rng),
        colour=cloth_colour(rng),
        second_colour=cloth_colour(rng),
        stripes=float(rng.uniform(0.3, 1.0)) if rng.random() < 0.3 else 0.0,
        height=float(rng.uniform(0.85, 1.2)),
        brim=float(rng.uniform(0.8, 1.25)),
        pitch=float(rng.uniform(-1, 1)),
        roll=float(rng.uniform(-1, 1)),
    )
