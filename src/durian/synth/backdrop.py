"""What lies behind a person."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float32

from durian.synth.scene import Background


@lru_cache(maxsize=16)
def draw_background(background: Background, size: int) -> Float32[np.ndarray, "h w 3"]:
    """A picture of the background in linear light; callers must not change it."""
    rng = np.random.default_rng(background.seed)
    y, x = np.mgrid[0:size, 0:size] / size
    top, bottom, accent = (np.array(c) for c in (background.top, background.bottom, background.accent))
    image = top * (1 - y[..., None]) + bottom * y[..., None]
    painter = {"bokeh": _bokeh, "curtain": _curtain, "wall": _wall, "room": _room, "garden": _garden}
    if background.kind in painter:
        image = painter[background.kind](rng, x, y, image, accent)
    vignette = 1 - 0.35 * ((x - 0.5) ** 2 + (y - 0.45) ** 2)
    out = np.clip(image * vignette[..., None], 0.005, 1.2).astype(np.float32)
    out.setflags(write=False)
    return out


def _disc(x: np.ndarray, y: np.ndarray, at: tuple[float, float], radius: float, edge: float) -> np.ndarray:
    distance = np.hypot(x - at[0], y - at[1]) / radius
    return (1 / (1 + np.exp(np.clip((distance - 1) / edge, -30, 30))))[..., None]


def _bokeh(rng, x, y, image, accent):
    for _ in range(14):
        at, radius = (rng.uniform(), rng.uniform()), rng.uniform(0.04, 0.13)
        light = accent * rng.uniform(0.0, 0.35) + rng.uniform(-0.04, 0.14, 3)
        image = image + _disc(x, y, at, radius, 0.08) * light
    return image


def _curtain(rng, x, y, image, accent):
    folds = np.sin(x * rng.uniform(10, 22) + 0.6 * np.sin(x * 9 + rng.uniform(0, 6)) + rng.uniform(0, 6))
    return image * (1 + 0.22 * folds[..., None]) + accent * 0.08 * (folds[..., None] > 0.6)


def _wall(rng, x, y, image, accent):
    glow = _disc(x, y, (rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.5)), rng.uniform(0.3, 0.6), 0.35)
    return image * (0.75 + 0.6 * glow)


def _room(rng, x, y, image, accent):
    """A wall, a picture or a lit window on it, and something dark to sit on, all out of focus."""
    left, top = rng.choice((rng.uniform(-0.05, 0.15), rng.uniform(0.65, 0.8))), rng.uniform(0.02, 0.25)
    wide, tall = rng.uniform(0.18, 0.35), rng.uniform(0.25, 0.45)
    inside = _edge(x, left) * (1 - _edge(x, left + wide)) * _edge(y, top) * (1 - _edge(y, top + tall))
    image = image + (accent * rng.uniform(0.6, 1.2) - image) * inside[..., None]
    floor = _edge(y, rng.uniform(0.68, 0.85))[..., None]
    return image * (1 - 0.55 * floor)


def _garden(rng, x, y, image, accent):
    """Sky over leaves."""
    sky = np.array([0.42, 0.55, 0.72]) * rng.uniform(0.7, 1.1)
    leaf = np.array([0.10, 0.22, 0.06]) * rng.uniform(0.6, 1.3) + accent * 0.08
    ground = _edge(y, rng.uniform(0.25, 0.6) + 0.04 * np.sin(x * 7 + rng.uniform(0, 6)))[..., None]
    image = sky * (1 - ground) + leaf * ground
    for _ in range(26):
        at, radius = (rng.uniform(), rng.uniform(0.2, 1)), rng.uniform(0.03, 0.12)
        image = image * (1 + _disc(x, y, at, radius, 0.2) * rng.uniform(-0.35, 0.6))
    return image


def _edge(values: np.ndarray, at: float | np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(np.clip((at - values) / 0.012, -30, 30)))
