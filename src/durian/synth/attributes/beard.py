"""Beards and moustaches: parameters and how they are drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from durian.synth.attributes.colours import Colour, natural_hair_colour, scaled
from durian.synth.attributes.styles import FREE_FORM, Split, StyleTable, draw_seed

STYLES = StyleTable(
    weights={
        style: (weight, weight)
        for style, weight in {
            "stubble": 2.0,
            "full-short": 2.0,
            "full-long": 1.2,
            "goatee": 1.2,
            "van-dyke": 0.8,
            "moustache": 1.3,
            "handlebar": 0.8,
            "walrus": 0.7,
            "chin-strap": 0.7,
            "chin-curtain": 0.7,
            "mutton-chops": 0.6,
            "soul-patch": 0.5,
        }.items()
    },
    held_out=frozenset({"van-dyke", "chin-curtain", "mutton-chops"}),
)
TRAIN_STYLES = STYLES.train_styles
HELD_OUT_STYLES = STYLES.held_out_styles


@dataclass(frozen=True)
class Beard:
    """Hair of the lower face."""

    style: str
    seed: int
    colour: Colour
    """Linear RGB of the strands before their variation."""
    grey: float = 0.0
    """Share of grey strands, in [0, 1]."""
    length: float = 1.0
    """Factor on the style's length, in [0.7, 1.5]."""
    density: float = 1.0
    """Share of the strands that grow, in [0.5, 1]."""
    curl: float = 0.3
    """In [0, 1]."""
    messiness: float = 0.3
    """In [0, 1]."""

    def __post_init__(self) -> None:
        STYLES.check(self.style, "beard")


def sample_free_beard(rng: np.random.Generator, masculinity: float, age: float) -> Beard:
    """Draws a beard of no style: `beard_build` says where it grows and how long."""
    return replace(sample_beard(rng, masculinity, age), style=FREE_FORM)


def sample_beard(rng: np.random.Generator, masculinity: float, age: float, split: Split = "train") -> Beard:
    """Draws a beard; `masculinity` in [-1, 1] and `age` in [0, 1] shift the odds."""
    style = STYLES.draw(rng, masculinity, split)
    colour, grey = natural_hair_colour(rng, age)
    return Beard(
        style=style,
        seed=draw_seed(rng),
        colour=scaled(colour, 0.85),
        grey=grey,
        length=float(rng.uniform(0.75, 1.4)),
        density=float(rng.uniform(0.6, 1.0)),
        curl=float(rng.uniform(0.0, 0.9)),
        messiness=float(rng.uniform(0.1, 0.8)),
    )
