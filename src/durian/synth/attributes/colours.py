"""Colours of hair, frames and cloth as linear RGB."""

from __future__ import annotations

import colorsys

import numpy as np
from jaxtyping import Float32

Colour = tuple[float, float, float]
"""Linear RGB, each in [0, 1]."""


def srgb(red: float, green: float, blue: float) -> Colour:
    """Linear RGB of a display colour with channels in [0, 255]."""
    return (float(red / 255) ** 2.2, float(green / 255) ** 2.2, float(blue / 255) ** 2.2)


def mix(a: Colour, b: Colour, t: float) -> Colour:
    """The colour at share `t` of the way from `a` to `b`."""
    return (a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t)


def scaled(colour: Colour, factor: float) -> Colour:
    """The colour, lighter or darker, kept within [0, 1]."""
    red, green, blue = (min(1.0, max(0.0, c * factor)) for c in colour)
    return (red, green, blue)


NATURAL_HAIR: dict[str, Colour] = {
    "black": srgb(28, 24, 24),
    "soft-black": srgb(44, 34, 30),
    "dark-brown": srgb(66, 44, 32),
    "brown": srgb(108, 72, 47),
    "light-brown": srgb(146, 104, 68),
    "auburn": srgb(132, 62, 34),
    "ginger": srgb(200, 104, 46),
    "dark-blond": srgb(184, 142, 88),
    "blond": srgb(222, 182, 118),
    "platinum": srgb(238, 224, 194),
}
NATURAL_WEIGHTS = (5.0, 4.0, 5.0, 4.0, 2.5, 2.0, 2.0, 2.5, 2.5, 1.0)
GREY_HAIR: tuple[Colour, ...] = (srgb(150, 150, 152), srgb(186, 186, 188), srgb(226, 225, 222))
DYED_HAIR: tuple[Colour, ...] = (
    srgb(48, 84, 190),
    srgb(224, 96, 162),
    srgb(58, 152, 92),
    srgb(120, 62, 168),
    srgb(190, 28, 44),
    srgb(40, 168, 176),
    srgb(236, 130, 40),
)


def natural_hair_colour(rng: np.random.Generator, age: float) -> tuple[Colour, float]:
    """A natural hair colour and its share of grey strands; `age` in [0, 1] brings grey and white."""
    weights = np.array(NATURAL_WEIGHTS)
    colour = list(NATURAL_HAIR.values())[int(rng.choice(len(weights), p=weights / weights.sum()))]
    colour = scaled(colour, float(rng.uniform(0.8, 1.2)))
    if rng.random() < max(0.0, age - 0.45) * 1.3:
        return GREY_HAIR[int(rng.integers(len(GREY_HAIR)))], 0.0
    grey = float(rng.uniform(0.1, 0.7)) if rng.random() < max(0.0, age - 0.2) else 0.0
    return colour, grey


def cloth_colour(rng: np.random.Generator) -> Colour:
    """A colour for cloth and plastic: mostly muted, at times saturated, black or white."""
    kind = rng.random()
    hue = float(rng.random())
    if kind < 0.14:
        value = float(rng.uniform(20, 60))
        return srgb(value, value, value * 1.05)
    if kind < 0.26:
        value = float(rng.uniform(190, 240))
        return srgb(value, value * 0.99, value * 0.95)
    saturation = float(rng.uniform(0.6, 0.95) if kind > 0.6 else rng.uniform(0.2, 0.55))
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, float(rng.uniform(0.35, 0.9)))
    return srgb(255 * red, 255 * green, 255 * blue)


METALS: tuple[Colour, ...] = (
    srgb(212, 172, 92),
    srgb(196, 198, 202),
    srgb(206, 150, 122),
    srgb(70, 70, 76),
    srgb(150, 112, 70),
)


def metal_colour(rng: np.random.Generator) -> Colour:
    """Gold, silver, rose gold, gunmetal or bronze."""
    return scaled(METALS[int(rng.integers(len(METALS)))], float(rng.uniform(0.85, 1.1)))


def strand_colours(
    base: Colour,
    grey: float,
    streak: Colour,
    streak_share: float,
    clump: Float32[np.ndarray, " s"],
    single: Float32[np.ndarray, "s 3"],
) -> Float32[np.ndarray, "s 3"]:
    """Colours of strands: brightness by clump and strand, grey and streak strands strewn in.

    `clump` in [0, 1] is equal for the strands of a clump; `single` holds three uniform draws a strand.
    """
    brightness = (0.66 + 0.68 * clump) * (0.8 + 0.4 * single[:, 0])
    warmth = (single[:, 1] - 0.5) * 0.12
    colours = np.asarray(base, np.float32)[None] * brightness[:, None]
    colours *= 1 + warmth[:, None] * np.array([1.0, 0.0, -1.0], np.float32)
    # Whole clumps carry a streak; grey comes strand by strand. Narrow ramps keep interpolation smooth.
    streaked = np.clip((streak_share - np.mod(clump * 7.31, 1.0)) * 12 + 0.5, 0, 1) * (streak_share > 0)
    target = np.asarray(streak, np.float32)[None] * (0.8 + 0.4 * single[:, :1])
    colours += (target - colours) * streaked[:, None]
    greyed = np.clip((grey - single[:, 2]) * 6 + 0.5, 0, 1) * (grey > 0)
    silver = np.array([0.55, 0.55, 0.56], np.float32)[None] * (0.8 + 0.4 * single[:, :1])
    colours += (silver - colours) * (0.85 * greyed[:, None])
    return np.clip(colours, 0.002, 1.0).astype(np.float32)
