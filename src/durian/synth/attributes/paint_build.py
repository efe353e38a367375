"""Drawing face paint onto the head's longitude-latitude texture."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from durian.labels import Label
from durian.synth.attributes.paint import Paint
from durian.synth.attributes.scalp import smoothstep
from durian.synth.parts import AttributeParts, Painted

if TYPE_CHECKING:
    from durian.synth.head import Head

Array = np.ndarray
ROWS, COLUMNS = 224, 448
LON, LAT = 1.35, (-1.15, 0.95)
SOFT = 0.012
"""Half-width of a figure's soft edge, in head-space units."""


def build_paint(paint: Paint, head: Head) -> AttributeParts:
    """One painted texture; figures are laid out in the x and y of the face seen from the front."""
    longitude = -math.pi + 2 * math.pi * (np.arange(COLUMNS) + 0.5) / COLUMNS
    latitude = -math.pi / 2 + math.pi * (np.arange(ROWS) + 0.5) / ROWS
    columns = np.flatnonzero(np.abs(longitude) < LON)
    rows = np.flatnonzero((latitude > LAT[0]) & (latitude < LAT[1]))
    lon, lat = np.meshgrid(longitude[columns], latitude[rows])
    points = head.surface(lon, lat)
    first, second = _FIGURES[paint.style](points[..., 0], points[..., 1], paint, head)
    skin = smoothstep(0.0, 0.06, head.hairline(lon) - lat)
    fade = smoothstep(0.0, 0.12, LON - np.abs(lon))
    both = np.maximum(first, second)
    share = second / np.maximum(both, 1e-6)
    texture = np.zeros((ROWS, COLUMNS, 4), np.float32)
    window = np.ix_(rows, columns)
    colour = np.asarray(paint.colour) + (np.asarray(paint.second_colour) - paint.colour) * share[..., None]
    texture[..., :3] = np.asarray(paint.colour, np.float32)
    texture[window] = np.concatenate([colour, (both * skin * fade * paint.opacity)[..., None]], -1)
    return AttributeParts(painted=(Painted(Label.PAINT, texture),))


def _inside(distance: Array) -> Array:
    """Coverage from a signed distance, 1 inside."""
    return 1 - smoothstep(-SOFT, SOFT, distance)


def _disc(x: Array, y: Array, cx: float, cy: float, radius: float) -> Array:
    return _inside(np.hypot(x - cx, y - cy) - radius)


def _stroke(x: Array, y: Array, start: tuple[float, float], end: tuple[float, float], half: float) -> Array:
    """A brush stroke that tapers towards its end."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    t = np.clip(((x - start[0]) * dx + (y - start[1]) * dy) / (dx * dx + dy * dy), 0, 1)
    return _inside(np.hypot(x - start[0] - t * dx, y - start[1] - t * dy) - half * (1 - 0.5 * t))


Figure = Callable[[Array, Array, Paint, "Head"], tuple[Array, Array]]


def _cheek_stripes(x: Array, y: Array, paint: Paint, head: Head) -> tuple[Array, Array]:
    ax = np.abs(x)
    size = paint.size
    stripes = [
        _stroke(
            ax,
            y,
            (0.26, -0.24 - k * 0.085 * size),
            (0.26 + 0.36 * size, -0.18 - k * 0.085 * size),
            0.028 * size,
        )
        for k in range(2)
    ]
    return stripes[0], stripes[1]


def _whiskers(x: Array, y: Array, paint: Paint, head: Head) -> tuple[Array, Array]:
    ax = np.abs(x)
    root = head.mouth_y + 0.20
    lines = [
        _stroke(ax, y, (0.22, root - 0.02 * k), (0.22 + 0.42 * paint.size, root + 0.10 - 0.12 * k), 0.022)
        for k in range(3)
    ]
    tip = _disc(x, y, 0.0, head.identity.nose.height, 0.10 * paint.size)
    return np.maximum.reduce([*lines, tip]), np.zeros_like(x)


def _heart(x: Array, y: Array, paint: Paint, head: Head) -> tuple[Array, Array]:
    size = 0.125 * paint.size
    u = np.abs(math.copysign(1, paint.side) * x - 0.44) / size
    v = (y + 0.27) / size
    # The classic implicit heart, scaled to roughly a distance.
    body = (u**2 + (1.25 * v - 0.9 * np.sqrt(np.abs(u) + 1e-6)) ** 2) ** 0.5 - 1.0
    figure = _inside(body * size * 0.6)
    return figure, np.zeros_like(x)


def _star(x: Array, y: Array, paint: Paint, head: Head) -> tuple[Array, Array]:
    size = 0.19 * paint.size
    dx, dy = math.copysign(1, paint.side) * x - 0.42, y + 0.22
    angle, radius = np.arctan2(dx, dy), np.hypot(dx, dy)
    sector = 2 * math.pi / 5
    folded = np.abs(np.mod(angle + sector / 2, sector) - sector / 2)
    px, py = radius * np.cos(folded), radius * np.sin(folded)
    # The edge from a tip at (size, 0) to the notch between two tips.
    notch = 0.42 * size
    ex, ey = notch * math.cos(sector / 2) - size, notch * math.sin(sector / 2)
    length = math.hypot(ex, ey)
    distance = ((px - size) * ey - py * ex) / length
    return _inside(distance), np.zeros_like(x)


def _half_face(x: Array, y: Array, paint: Paint, head: Head) -> tuple[Array, Array]:
    edge = 0.035 * np.sin(y * 14)
    half = smoothstep(-0.015, 0.015, math.copysign(1, paint.side) * x - edge)
    return half, np.zeros_like(x)


def _dots(x: Array, y: Array, paint: Paint, head: Head) -> tuple[Array, Array]:
    ax = np.abs(x)
    first, second = np.zeros_like(x), np.zeros_like(x)
    for k in range(6):
        share = k / 5
        cx, cy = 0.12 + 0.46 * share, head.brow_y + 0.14 - 0.20 * share**2
        dot = _disc(ax, y, cx, cy, (0.048 - 0.014 * share) * paint.size)
        first, second = (np.maximum(first, dot), second) if k % 2 == 0 else (first, np.maximum(second, dot))
    for k in range(3):
        first = np.maximum(first, _disc(ax, y, 0.36 + 0.11 * k, -0.24 + 0.03 * k, 0.042 * paint.size))
    return first, second


def _eye_mask(x: Array, y: Array, paint: Paint, head: Head) -> tuple[Array, Array]:
    ax = np.abs(x)
    half = 0.19 * paint.size * (1 - 0.35 * np.exp(-((ax / 0.12) ** 2))) + 0.10 * np.clip(ax - 0.45, 0, 1)
    centre = head.eye_y + 0.03 + 0.12 * np.clip(ax - 0.3, 0, 1)
    band = _inside(np.abs(y - centre) - half) * _inside(ax - 0.66)
    rim = _inside(np.abs(np.abs(y - centre) - half) - 0.018) * _inside(ax - 0.67)
    return band * (1 - rim), rim


def _nose_stripe(x: Array, y: Array, paint: Paint, head: Head) -> tuple[Array, Array]:
    half = 0.055 * paint.size
    middle = -0.14 + 0.05 * np.abs(x)
    upper = _inside(np.abs(y - middle - half) - half) * _inside(np.abs(x) - 0.58)
    lower = _inside(np.abs(y - middle + half) - half) * _inside(np.abs(x) - 0.58)
    return upper, lower


def _clown_cheeks(x: Array, y: Array, paint: Paint, head: Head) -> tuple[Array, Array]:
    cheeks = _disc(np.abs(x), y, 0.44, -0.30, 0.13 * paint.size)
    nose = _disc(x, y, 0.0, head.identity.nose.height, 0.135 * paint.size)
    return np.maximum(cheeks, nose), np.zeros_like(x)


_FIGURES: dict[str, Figure] = {
    "cheek-stripes": _cheek_stripes,
    "whiskers": _whiskers,
    "heart": _heart,
    "star": _star,
    "half-face": _half_face,
    "dots": _dots,
    "eye-mask": _eye_mask,
    "nose-stripe": _nose_stripe,
    "clown-cheeks": _clown_cheeks,
}
