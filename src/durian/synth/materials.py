"""Colours that are drawn rather than given: eyes, lids, teeth and the patterns of cloth and hats.

All are worked out per sample, since their edges are finer than a pixel.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numba import njit

from durian.synth.eyelids import eye_coordinates, lid_curves, lid_gap
from durian.synth.fields import JIT
from durian.synth.scene import CLOTHES_PATTERNS, Clothes

IRIS_ANGLE, PUPIL_ANGLE = 0.60, 0.25  # radians from the pupil's middle, as seen from the eyeball's centre
PLAIN, STRIPES, CHECKS, DOTS, BLOTCHES = range(len(CLOTHES_PATTERNS))


class FaceArrays(NamedTuple):
    """What drawing eyes and lids needs in one frame.

    `to_eye_left` and `to_eye_right` turn posed directions into an eyeball's own frame, in which z looks
    out of the pupil. `catch` is where the key light mirrors in an eye, in posed directions.
    """

    lids: Float[np.ndarray, " 8"]
    to_eye: Float[np.ndarray, "3 3"]
    iris: Float[np.ndarray, " 3"]
    catch: Float[np.ndarray, " 2"]
    lash: float
    shadow: float
    shadow_colour: Float[np.ndarray, " 3"]


class ClothArrays(NamedTuple):
    """A garment's second colour and pattern."""

    second: Float[np.ndarray, " 3"]
    pattern: int
    scale: float


def cloth_arrays(clothes: Clothes) -> ClothArrays:
    """Clothes as numba loops take them."""
    return ClothArrays(
        np.array(clothes.second), CLOTHES_PATTERNS.index(clothes.pattern), float(clothes.scale)
    )


@njit(**JIT)
def step(low, high, x):
    t = (x - low) / (high - low)
    t = 0.0 if t < 0 else (1.0 if t > 1 else t)
    return t * t * (3 - 2 * t)


@njit(**JIT)
def bump(x):
    """exp(x) for x <= 0, quickly; 0 below -16."""
    t = 1.0 + x * 0.0625
    if t < 0:
        return 0.0
    t *= t
    t *= t
    t *= t
    return t * t


@njit(**JIT)
def eye_colour(nx, ny, nz, x, y, face):
    """Colour and glint of an eyeball whose posed normal is n and whose place on the face is (x, y)."""
    m = face.to_eye
    ex = m[0, 0] * nx + m[0, 1] * ny + m[0, 2] * nz
    ey = m[1, 0] * nx + m[1, 1] * ny + m[1, 2] * nz
    ez = m[2, 0] * nx + m[2, 1] * ny + m[2, 2] * nz
    angle = math.acos(min(1.0, max(-1.0, ez)))
    vein = 0.08 * bump(-(((angle - 1.2) / 0.4) ** 2))
    r, g, b = 0.82, 0.80 - vein, 0.78 - vein
    k = 1 - step(IRIS_ANGLE - 0.03, IRIS_ANGLE + 0.03, angle)
    if k > 0:
        around = math.atan2(ey, ex)
        rays = (
            0.5 + 0.25 * math.sin(around * 11 + 3 * math.sin(around * 3)) + 0.25 * math.sin(around * 17 + 1)
        )
        light = (0.60 + 0.5 * rays) * (1 - 0.72 * step(IRIS_ANGLE * 0.76, IRIS_ANGLE, angle))
        light *= 1.25 - 0.65 * step(-0.3, 0.4, ey / IRIS_ANGLE)  # light gathers opposite the key
        inner = 1 - step(PUPIL_ANGLE - 0.03, PUPIL_ANGLE + 0.03, angle)
        r += (face.iris[0] * light - r) * k
        g += (face.iris[1] * light - g) * k
        b += (face.iris[2] * light - b) * k
        r += (0.006 - r) * inner
        g += (0.006 - g) * inner
        b += (0.006 - b) * inner
    across, up = eye_coordinates(x, y, face.lids)
    high, low = lid_curves(across, face.lids[6] if x < 0 else face.lids[7], face.lids)
    shade = 0.58 * (1 - step(0.0, 0.36, high - up)) + 0.2 * (1 - step(0.0, 0.2, up - low))
    shade = 1 - min(0.8, shade + 0.3 * step(0.55, 1.0, abs(across)))
    glint = 1.25 * (
        1 - step(0.4, 1.0, ((nx - face.catch[0]) / 0.13) ** 2 + ((ny - face.catch[1]) / 0.13) ** 2)
    )
    second = ((nx + face.catch[0] * 0.8) / 0.10) ** 2 + ((ny + face.catch[1] * 0.6) / 0.10) ** 2
    glint += 0.25 * (1 - step(0.3, 1.0, second))
    return r * shade, g * shade, b * shade, glint


@njit(**JIT)
def lid_colour(r, g, b, gloss, x, y, face):
    """Skin about an eye: eyeshadow, the crease of the lid, the lash line and the wet rim."""
    lids = face.lids
    across, up = eye_coordinates(x, y, lids)
    if abs(across) > 1.5 or abs(up) > 1.5:
        return r, g, b, gloss
    high, low = lid_curves(across, lids[6] if x < 0 else lids[7], lids)
    inside = max(0.0, 1 - across * across)
    k = face.shadow * step(0.0, 0.2, up - high + 0.1) * (1 - step(0.3, 0.75, up - lids[3] * 0.7))
    k *= 1 - step(0.9, 1.4, abs(across))
    r += (face.shadow_colour[0] - r) * k
    g += (face.shadow_colour[1] - g) * k
    b += (face.shadow_colour[2] - b) * k
    crease = lids[3] * max(0.0, 1.3 - across * across) ** 0.6 * 0.95 + 0.14
    k = 0.45 * bump(-(((up - crease) / 0.06) ** 2)) * (1 - step(0.8, 1.15, abs(across)))
    r, g, b = r * (1 - 0.8 * k), g * (1 - k), b * (1 - k)
    gap = lid_gap(x, y, lids)
    if gap < 0:  # the inside of a corner of the eye
        return 0.55 * r + 0.10, 0.36 * g + 0.04, 0.34 * b + 0.04, gloss
    k = (1 - step(0.03, 0.10, gap)) * 0.35
    if abs(across) >= 1:
        k *= bump(-((up / 0.08) ** 2))
    r, g, b = r * (1 - 0.4 * k), g * (1 - 0.75 * k), b * (1 - 0.75 * k)
    width = face.lash * (0.6 + 0.5 * max(-1.0, across))
    over = up - high
    if over > -0.25 and (up > low + 0.02 or inside == 0.0 or high - low < 0.1):
        k = 0.93 * (1 - step(width * 0.6, width, over)) * (1 - step(1.0, 1.13, abs(across)))
        if inside == 0.0:  # beyond the corners the line ends in a point
            k *= step(-0.10, -0.02, over)
        r += (0.012 - r) * k
        g += (0.008 - g) * k
        b += (0.008 - b) * k
        gloss *= 1 - k
    return r, g, b, gloss


@njit(**JIT)
def tooth_shade(u, v):
    """What the gaps between teeth and the gums take from red, and from green and blue."""
    off = (u + 100.5) % 1.0 - 0.5
    gap = 0.14 * bump(-(((0.5 - abs(off)) / 0.07) ** 2))
    gum = step(0.6, 1.0, v)
    return (1 - gap) * (1 - 0.3 * gum), (1 - gap) * (1 - 0.55 * gum)


@njit(**JIT)
def cloth_share(u, v, cloth):
    """The share of a garment's second colour; u is across and v up in head-space units."""
    if v > 50 or cloth.pattern == PLAIN:
        return 0.0
    s = cloth.scale
    if cloth.pattern == STRIPES:
        return step(0.0, 0.3, math.sin(v * s))
    if cloth.pattern == CHECKS:
        return 0.5 * step(0.2, 0.4, math.sin(v * s)) + 0.5 * step(0.2, 0.4, math.sin(u * s))
    if cloth.pattern == DOTS:
        return step(0.45, 0.62, math.sin(u * s) * math.sin(v * s))
    waves = math.sin(u * 5.1 + 1.7 * math.sin(v * 3.3)) + math.sin(v * 6.3 + 1.9 * math.sin(u * 4.1))
    return step(0.1, 0.5, waves)


@njit(**JIT)
def knit_shade(u, v):
    """Ribs of knitted wool; u is around and v along the rows, in head-space units."""
    rib = 0.5 + 0.5 * math.sin(u * 62.0)
    return 0.66 + 0.38 * rib + 0.12 * math.sin(v * 58.0 + 2 * rib)


@njit(**JIT)
def straw_shade(u, v):
    """Plaited straw: rows with slanting stalks."""
    row = math.sin(v * 75.0)
    return 0.84 + 0.13 * row + 0.12 * math.sin(u * 45.0 + 2.5 * row)
