"""Eyeglasses: parameters and how they are drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from durian.synth.attributes.colours import Colour, cloth_colour, metal_colour, srgb
from durian.synth.attributes.styles import FREE_FORM, Split, StyleTable, draw_seed

STYLES = StyleTable(
    weights={
        "round-wire": (1.0, 1.0),
        "round-acetate": (1.0, 1.0),
        "oval-wire": (1.0, 0.8),
        "square": (0.8, 1.2),
        "rectangular": (0.9, 1.4),
        "cat-eye": (1.4, 0.1),
        "aviator": (0.8, 1.2),
        "browline": (0.6, 1.0),
        "half-rim": (0.8, 1.0),
        "rimless": (0.8, 0.8),
        "hexagonal": (0.7, 0.6),
        "oversized": (1.2, 0.3),
        "narrow": (0.6, 0.7),
        "wayfarer": (1.0, 1.3),
        "goggles": (0.2, 0.3),
        "shield": (0.3, 0.5),
    },
    held_out=frozenset({"browline", "hexagonal", "wayfarer", "shield"}),
)
TRAIN_STYLES = STYLES.train_styles
HELD_OUT_STYLES = STYLES.held_out_styles


@dataclass(frozen=True)
class Glasses:
    """A pair of eyeglasses or sunglasses."""

    style: str
    seed: int
    colour: Colour
    """Linear RGB of the frame."""
    second_colour: Colour = (0.1, 0.1, 0.1)
    """Linear RGB of the temples and, where a style has two colours, of the lower rim."""
    lens_colour: Colour = (0.05, 0.06, 0.07)
    """Linear RGB of the tint."""
    lens_opacity: float = 0.1
    """In [0.05, 0.92]: 0.1 is clear, above 0.7 sunglasses."""
    gradient: float = 0.0
    """How much the tint brightens towards the lens's lower edge, in [0, 1]."""
    width: float = 1.0
    """Factor on the lens's width, in [0.9, 1.1]."""
    height: float = 1.0
    """Factor on the lens's height, in [0.85, 1.15]."""
    thickness: float = 1.0
    """Factor on the rim's thickness, in [0.7, 1.5]."""
    slide: float = 0.0
    """How far the glasses have slid down the nose, in [0, 1]."""

    def __post_init__(self) -> None:
        STYLES.check(self.style, "glasses")


_WIRE = {"round-wire", "oval-wire", "aviator", "half-rim", "rimless", "hexagonal", "goggles"}
_TORTOISE = srgb(92, 52, 26)


def sample_free_glasses(rng: np.random.Generator, masculinity: float, age: float) -> Glasses:
    """Draws glasses of no style: `lens_shapes.shape_of` says what they look like."""
    return replace(sample_glasses(rng, masculinity, age), style=FREE_FORM)


def sample_glasses(
    rng: np.random.Generator, masculinity: float, age: float, split: Split = "train"
) -> Glasses:
    """Draws glasses; `masculinity` in [-1, 1] shifts the odds."""
    style = STYLES.draw(rng, masculinity, split)
    plastic = _TORTOISE if rng.random() < 0.2 else cloth_colour(rng)
    colour = metal_colour(rng) if style in _WIRE else plastic
    shades = rng.random() < (0.6 if style in ("aviator", "shield", "goggles") else 0.25)
    tinted = rng.random() < 0.15
    opacity = rng.uniform(0.72, 0.92) if shades else rng.uniform(0.25, 0.55) if tinted else 0.09
    tint = cloth_colour(rng) if tinted else srgb(*rng.uniform(20, 55, 3))
    return Glasses(
        style=style,
        seed=draw_seed(rng),
        colour=colour,
        second_colour=colour if rng.random() < 0.6 else cloth_colour(rng),
        lens_colour=tint,
        lens_opacity=float(opacity),
        gradient=float(rng.uniform(0.3, 1.0)) if rng.random() < 0.35 else 0.0,
        width=float(rng.uniform(0.93, 1.08)),
        height=float(rng.uniform(0.88, 1.12)),
        thickness=float(rng.uniform(0.75, 1.4)),
        slide=float(max(0.0, rng.normal(0.0, 0.25))),
    )
