"""Hair: its parameters and how they are drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from durian.synth.attributes.colours import DYED_HAIR, Colour, mix, natural_hair_colour
from durian.synth.attributes.styles import FREE_FORM, Split, StyleTable, draw_seed

STYLES = StyleTable(
    weights={
        "shaved": (0.3, 1.5),
        "buzz-cut": (0.3, 2.0),
        "crew-cut": (0.4, 3.0),
        "side-part": (0.6, 3.0),
        "slick-back": (0.6, 1.6),
        "quiff": (0.2, 1.8),
        "pompadour": (0.2, 1.0),
        "undercut": (0.4, 1.2),
        "caesar": (0.1, 1.2),
        "receding": (0.05, 2.0),
        "fringe-of-hair": (0.0, 1.2),
        "mohawk": (0.3, 0.6),
        "curly-short": (1.0, 2.0),
        "curly-long": (2.0, 0.4),
        "coily-short": (0.8, 1.4),
        "afro": (1.4, 1.0),
        "dreadlocks": (0.7, 0.9),
        "box-braids": (1.2, 0.2),
        "two-braids": (1.0, 0.1),
        "cornrows": (0.6, 0.7),
        "straight-long": (2.5, 0.4),
        "wavy-long": (2.5, 0.3),
        "fringe-long": (1.6, 0.1),
        "curtain-long": (1.6, 0.3),
        "shag": (1.2, 0.7),
        "bob": (1.6, 0.1),
        "bob-fringe": (1.6, 0.1),
        "lob": (1.6, 0.2),
        "pixie": (1.6, 0.3),
        "ponytail": (1.4, 0.2),
        "side-ponytail": (1.0, 0.05),
        "bun": (1.2, 0.2),
        "top-knot": (0.6, 0.6),
        "pigtails": (0.8, 0.02),
    },
    held_out=frozenset({"pompadour", "shag", "bob-fringe", "side-ponytail", "dreadlocks", "curly-long"}),
)
TRAIN_STYLES = STYLES.train_styles
HELD_OUT_STYLES = STYLES.held_out_styles


@dataclass(frozen=True)
class Hair:
    """Head hair. Numbers are relative to the style's usual look, which has 0 or 1 as named."""

    style: str
    seed: int
    colour: Colour
    """Linear RGB of the strands before their variation."""
    streak_colour: Colour = (0.5, 0.4, 0.3)
    streak_share: float = 0.0
    """Share of clumps in the streak colour, in [0, 0.6]."""
    grey: float = 0.0
    """Share of grey strands, in [0, 1]."""
    length: float = 1.0
    """Factor on the style's length, in [0.75, 1.3]."""
    volume: float = 1.0
    """Factor on the height above the scalp, in [0.6, 1.5]."""
    curl: float = 0.0
    """Added curl, in [-0.5, 1]: at -0.5 curls of the style are flatter, at 1 straight hair is wavy."""
    frequency: float = 1.0
    """Factor on the turns of a curl per length, in [0.7, 1.4]."""
    fringe: float = 1.0
    """Factor on the length of hair over the forehead, in [0.6, 1.15]."""
    parting: float = 0.4
    """Where the parting lies, from -1 (image's left temple) over 0 (middle) to 1."""
    layers: float = 0.3
    """How uneven the ends are, in [0, 1]."""
    messiness: float = 0.3
    """Stray directions, in [0, 1]."""
    recession: float = 0.0
    """How far the hairline is drawn back at the temples, in [-0.3, 1]."""

    def __post_init__(self) -> None:
        STYLES.check(self.style, "hair")


def sample_free_hair(rng: np.random.Generator, masculinity: float, age: float) -> Hair:
    """Draws hair of no style, in the colours of a person's; `free_hair` says what it looks like."""
    return replace(sample_hair(rng, masculinity, age), style=FREE_FORM)


def sample_hair(rng: np.random.Generator, masculinity: float, age: float, split: Split = "train") -> Hair:
    """Draws hair for a person; `masculinity` in [-1, 1] and `age` in [0, 1] shift the odds."""
    style = STYLES.draw(rng, masculinity, split)
    colour, grey = natural_hair_colour(rng, age)
    if rng.random() < 0.08:
        dye = DYED_HAIR[int(rng.integers(len(DYED_HAIR)))]
        colour, grey = mix(colour, dye, float(rng.uniform(0.75, 1.0))), 0.0
    lighter = mix(colour, (0.75, 0.6, 0.38), float(rng.uniform(0.2, 0.6)))
    dyed = DYED_HAIR[int(rng.integers(len(DYED_HAIR)))]
    streaked = rng.random() < 0.22
    receding = max(0.0, 0.5 * masculinity + 0.5) * age
    return Hair(
        style=style,
        seed=draw_seed(rng),
        colour=colour,
        streak_colour=dyed if rng.random() < 0.3 else lighter,
        streak_share=float(rng.uniform(0.1, 0.5)) if streaked else 0.0,
        grey=grey,
        length=float(rng.uniform(0.8, 1.25)),
        volume=float(rng.uniform(0.7, 1.4)),
        curl=float(rng.uniform(-0.4, 0.4) if rng.random() < 0.7 else rng.uniform(0.3, 1.0)),
        frequency=float(rng.uniform(0.75, 1.35)),
        fringe=float(rng.uniform(0.65, 1.1)),
        parting=float(rng.uniform(-0.75, 0.75)),
        layers=float(rng.uniform(0.0, 0.9)),
        messiness=float(rng.uniform(0.05, 0.9)),
        recession=float(np.clip(rng.normal(0.0, 0.12) + receding * rng.uniform(0.0, 0.8), -0.3, 1.0)),
    )
