"""Outlines of eyeglass lenses and what of them is framed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from durian.synth.attributes.styles import FREE_FORM
from durian.synth.parts import Material

POINTS = 48

Rim = Literal["full", "top", "none", "browline", "goggle"]


@dataclass(frozen=True)
class LensShape:
    """A lens about its own middle, x away from the nose; lengths in head-space units."""

    width: float
    """Half-width."""
    height: float
    """Half-height."""
    exponent: float = 2.0
    """Of the superellipse: 2 is an ellipse, 5 nearly a rectangle."""
    sweep: float = 0.0
    """How far the upper outer corner is drawn up."""
    taper: float = 0.0
    """How much narrower it is at the bottom, as a share."""
    droop: float = 0.0
    """How far the bottom leans outwards and the top inner corner inwards, as in aviators."""
    corners: int = 0
    """Corners of a polygon instead of a superellipse."""
    thickness: float = 0.02
    rim: Rim = "full"
    material: Material = Material.PLASTIC
    double_bridge: bool = False
    offset: float = 0.0
    """Height of the lens's middle above the pupil."""
    one_lens: bool = False


SHAPES: dict[str, LensShape] = {
    "round-wire": LensShape(0.215, 0.21, thickness=0.018, material=Material.METAL),
    "round-acetate": LensShape(0.225, 0.215, thickness=0.031),
    "oval-wire": LensShape(0.235, 0.165, thickness=0.018, material=Material.METAL),
    "square": LensShape(0.235, 0.205, exponent=5.0, thickness=0.030),
    "rectangular": LensShape(0.25, 0.145, exponent=5.0, thickness=0.027),
    "cat-eye": LensShape(0.25, 0.175, exponent=2.6, sweep=0.17, taper=0.12, thickness=0.028),
    "aviator": LensShape(
        0.265, 0.225, exponent=2.5, taper=0.16, droop=0.05, thickness=0.018, material=Material.METAL,
        double_bridge=True, offset=-0.03,
    ),
    "browline": LensShape(0.245, 0.185, exponent=2.8, taper=0.08, thickness=0.020, rim="browline"),
    "half-rim": LensShape(
        0.245, 0.165, exponent=3.2, taper=0.06, thickness=0.021, rim="top", material=Material.METAL
    ),
    "rimless": LensShape(
        0.235, 0.165, exponent=3.2, taper=0.04, thickness=0.015, rim="none", material=Material.METAL
    ),
    "hexagonal": LensShape(0.235, 0.215, corners=6, thickness=0.019, material=Material.METAL),
    "oversized": LensShape(0.275, 0.265, exponent=3.0, taper=0.06, thickness=0.030, offset=-0.02),
    "narrow": LensShape(0.235, 0.095, exponent=2.8, thickness=0.024),
    "wayfarer": LensShape(0.26, 0.195, exponent=3.6, sweep=0.05, taper=0.17, thickness=0.036),
    "goggles": LensShape(0.225, 0.225, thickness=0.040, rim="goggle", material=Material.METAL),
    "shield": LensShape(
        0.255, 0.175, exponent=3.4, taper=0.20, thickness=0.020, rim="top", one_lens=True, offset=-0.01
    ),
}  # fmt: skip


def shape_of(style: str, seed: int) -> LensShape:
    """The lens of a style, or of none: one that the seed draws."""
    if style != FREE_FORM:
        return SHAPES[style]
    rng = np.random.default_rng([seed, 2])
    rims: tuple[Rim, ...] = ("full", "top", "none", "browline")
    rim = rims[int(rng.choice(4, p=(0.65, 0.14, 0.1, 0.11)))]
    wire = rim == "none" or rng.random() < 0.4
    width = float(rng.uniform(0.2, 0.285))
    return LensShape(
        width,
        float(np.clip(width * rng.uniform(0.4, 1.08), 0.09, 0.27)),
        exponent=float(np.exp(rng.uniform(math.log(1.7), math.log(6)))),
        sweep=float(rng.uniform(0, 0.17)) if rng.random() < 0.35 else 0.0,
        taper=float(rng.uniform(0, 0.22)),
        droop=float(rng.uniform(0, 0.06)) if rng.random() < 0.3 else 0.0,
        corners=int(rng.integers(5, 10)) if rng.random() < 0.15 else 0,
        thickness=float(rng.uniform(0.014, 0.022) if wire else rng.uniform(0.02, 0.04)),
        rim=rim,
        material=Material.METAL if wire else Material.PLASTIC,
        double_bridge=bool(rng.random() < 0.15),
        offset=float(rng.uniform(-0.03, 0.01)),
    )


def outline(shape: LensShape, width: float, height: float) -> Float[np.ndarray, "48 2"]:
    """The lens's edge, counter-clockwise from its outermost point; `width`, `height` scale it."""
    angle = np.arange(POINTS) / POINTS * 2 * math.pi
    c, s = np.cos(angle), np.sin(angle)
    if shape.corners:
        sector = 2 * math.pi / shape.corners
        folded = np.mod(angle, sector) - sector / 2
        radius = math.cos(sector / 2) / np.cos(folded)
        radius = 0.92 * radius + 0.08
    else:
        radius = (np.abs(c) ** shape.exponent + np.abs(s) ** shape.exponent) ** (-1 / shape.exponent)
    x, y = c * radius, s * radius
    narrowing = 1 - shape.taper * np.clip(0.5 - 0.5 * y, 0, 1)
    across = x * narrowing * shape.width * width
    across = across + shape.droop * width * np.where(y < 0, -y * 0.6, 0.0)
    up = y * shape.height * height
    # The sweep lifts the upper outer corner and leaves the lower edge where it is.
    up = up + shape.sweep * np.clip(x, 0, 1) ** 2 * np.clip(0.35 + y, 0, 1)
    return np.stack([across, up], -1)
