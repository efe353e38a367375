"""Face paint: parameters and how they are drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from durian.synth.attributes.colours import Colour, cloth_colour, srgb
from durian.synth.attributes.styles import Split, StyleTable, draw_seed

STYLES = StyleTable(
    weights={
        "cheek-stripes": (1.0, 1.0),
        "whiskers": (1.0, 1.0),
        "heart": (1.0, 0.5),
        "star": (1.0, 0.8),
        "half-face": (1.0, 1.0),
        "dots": (1.0, 0.6),
        "eye-mask": (1.0, 1.0),
        "nose-stripe": (0.8, 1.2),
        "clown-cheeks": (1.0, 1.0),
    },
    held_out=frozenset({"star", "nose-stripe"}),
)
TRAIN_STYLES = STYLES.train_styles
HELD_OUT_STYLES = STYLES.held_out_styles


@dataclass(frozen=True)
class Paint:
    """Paint on the face."""

    style: str
    seed: int
    colour: Colour
    """Linear RGB."""
    second_colour: Colour = (0.7, 0.7, 0.7)
    """Linear RGB of the second tone, where a style has one."""
    size: float = 1.0
    """Factor on the figure's size, in [0.75, 1.3]."""
    opacity: float = 0.9
    """In [0.5, 1]."""
    side: float = 1.0
    """Which cheek or half, from -1 (image's left) to 1; only its sign matters to one-sided figures."""

    def __post_init__(self) -> None:
        if self.style not in STYLES.weights:
            raise ValueError(f"unknown paint style {self.style!r}; known: {', '.join(STYLES.styles)}")


def sample_paint(rng: np.random.Generator, masculinity: float, age: float, split: Split = "train") -> Paint:
    """Draws face paint."""
    style = STYLES.draw(rng, masculinity, split)
    colour = cloth_colour(rng)
    return Paint(
        style=style,
        seed=draw_seed(rng),
        colour=srgb(22, 20, 22) if style == "whiskers" and rng.random() < 0.7 else colour,
        second_colour=cloth_colour(rng),
        size=float(rng.uniform(0.8, 1.25)),
        opacity=float(rng.uniform(0.7, 1.0)),
        side=1.0 if rng.random() < 0.5 else -1.0,
    )
