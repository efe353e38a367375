"""Twisted and braided hair: bundles of strands wound about guides."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float32

Array = np.ndarray


def resample(points: Array, count: int) -> Array:
    """Polylines (..., K, 3) as Catmull-Rom curves at `count` even parameters."""
    at = np.linspace(0, points.shape[-2] - 1, count)
    i = np.minimum(at.astype(int), points.shape[-2] - 2)
    t = (at - i)[:, None]
    last = points.shape[-2] - 1
    before, a = points[..., np.maximum(i - 1, 0), :], points[..., i, :]
    b, after = points[..., i + 1, :], points[..., np.minimum(i + 2, last), :]
    return 0.5 * (
        2 * a
        + (b - before) * t
        + (2 * before - 5 * a + 4 * b - after) * t * t
        + (3 * a - before - 3 * b + after) * t**3
    )


def frames(guides: Array) -> tuple[Array, Array]:
    """Two unit vectors across every point of guides (S, K, 3): sideways and outwards."""
    tangent = np.gradient(guides, axis=1)
    tangent /= np.linalg.norm(tangent, axis=-1, keepdims=True) + 1e-9
    outward = guides - np.array([0.0, 0.1, -0.1])
    outward[..., 1] *= 0.4
    side = np.cross(tangent, outward)
    side /= np.linalg.norm(side, axis=-1, keepdims=True) + 1e-9
    return side, np.cross(side, tangent)


def travelled(guides: Array) -> Array:
    """Length along guides (S, K, 3) up to every point."""
    steps = np.linalg.norm(np.diff(guides, axis=1), axis=-1)
    return np.concatenate([np.zeros((len(guides), 1)), np.cumsum(steps, 1)], 1)


def twist(
    guides: Array, strands: int, radius: float, turns: float, rng: np.random.Generator, loose: float = 0.0
) -> Float32[np.ndarray, "s k 3"]:
    """Winds `strands` strands about each guide; `turns` per unit of length, `loose` is jitter in [0, 1]."""
    side, out = frames(guides)
    along = travelled(guides)[:, None]
    phase = 2 * math.pi * (np.arange(strands)[None, :, None] / strands + rng.random((len(guides), 1, 1)))
    angle = phase + 2 * math.pi * turns * along
    share = along / (along[..., -1:] + 1e-9)
    profile = radius * np.minimum(1.0, 0.35 + 4 * share) * (1 - 0.45 * share**6)
    profile = profile * (1 + loose * rng.uniform(-0.5, 0.9, (len(guides), strands, 1)))
    wound = (
        guides[:, None]
        + side[:, None] * (np.cos(angle) * profile)[..., None]
        + out[:, None] * (np.sin(angle) * profile)[..., None]
    )
    return wound.reshape(-1, *guides.shape[1:]).astype(np.float32)


def braid(
    guides: Array, strands: int, width: float, crossings: float, rng: np.random.Generator
) -> Float32[np.ndarray, "s k 3"]:
    """Three-stranded braids of half-width `width` along guides; `crossings` per unit of length."""
    side, out = frames(guides)
    along = travelled(guides)[:, None]
    share = along / (along[..., -1:] + 1e-9)
    bundle = np.arange(strands) % 3
    angle = 2 * math.pi * (along * crossings / 3 + bundle[None, :, None] / 3)
    size = width * (1 - 0.35 * share) * np.minimum(1.0, 0.5 + 5 * share)
    # Every bundle is itself round: its strands keep their own place in a small disc.
    own = rng.uniform(-1, 1, (2, len(guides), strands, 1)) * 0.33
    # The last part is the loose tuft below the tie.
    tuft = np.clip((share - 0.88) / 0.12, 0, 1)
    lateral = np.cos(angle) * 0.72 * (1 - tuft) + own[0] * (1 + 1.2 * tuft) - 0.25 * own[0] * _tie(share)
    depth = np.sin(2 * angle) * 0.42 * (1 - tuft) + own[1]
    squeeze = 1 - 0.55 * _tie(share)
    offset = side[:, None] * (lateral * size * squeeze)[..., None]
    offset = offset + out[:, None] * (depth * size * squeeze)[..., None]
    return (guides[:, None] + offset).reshape(-1, *guides.shape[1:]).astype(np.float32)


def _tie(share: Array) -> Array:
    """1 where a braid is tied near its end."""
    return np.exp(-(((share - 0.88) / 0.03) ** 2))
