"""Hair in many ropes: dreadlocks, box braids and cornrows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from durian.synth.attributes import growth, ropes
from durian.synth.attributes.ceiling import Ceiling
from durian.synth.attributes.hair import Hair
from durian.synth.attributes.scalp import Roots, hairline
from durian.synth.fields import radii

if TYPE_CHECKING:
    from durian.synth.head import Head

Array = np.ndarray


@dataclass(frozen=True)
class Braided:
    """A style of ropes."""

    guides: int
    """Ropes on a whole scalp, or rows from the forehead to the nape."""
    strands: int
    """Strands of one rope."""
    radius: float
    """Of a rope."""
    width: float
    """Of a strand."""
    turns: float
    """Of a rope's twist per unit of length."""
    points: int
    length: bool = True
    """Whether the ropes hang; otherwise they lie on the scalp."""
    cut: float = -1.5
    lift: float = 0.5
    loose: float = 0.0
    high: float = 0.2


BRAIDED: dict[str, Braided] = {
    "dreadlocks": Braided(115, 8, 0.034, 0.040, 3.0, 20, cut=-1.15, lift=0.9, loose=0.5, high=0.30),
    "box-braids": Braided(135, 6, 0.024, 0.032, 4.5, 34, cut=-1.7, lift=0.5, high=0.18),
    "cornrows": Braided(17, 8, 0.030, 0.028, 6.0, 44, length=False),
}


def braid_hair(
    braided: Braided, roots: Roots, hair: Hair, head: Head, ceiling: Ceiling, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Strands (S, K, 3) and the rope that each belongs to."""
    guides = _hanging(braided, roots, hair, head, ceiling) if braided.length else _rows(braided, hair, head)
    guides = ropes.resample(guides, braided.points)
    radius = braided.radius * (0.7 + 0.3 * hair.volume)
    loose = braided.loose + 0.4 * hair.messiness * braided.length
    strands = ropes.twist(guides, braided.strands, radius, braided.turns * hair.frequency, rng, loose)
    return strands, np.repeat(np.arange(len(guides)), braided.strands)


def _hanging(braided: Braided, roots: Roots, hair: Hair, head: Head, ceiling: Ceiling) -> Array:
    side = np.tanh((roots.positions[:, 0] - 0.3 * hair.parting) / 0.1)
    down = np.stack([0.9 * side, -0.35 - 0.3 * (1 - roots.top), np.full(len(roots), -0.12)], -1)
    lift = braided.lift * (0.7 + 0.5 * roots.draws[:, 8]) * hair.volume
    velocity = down + roots.normals * lift[:, None]
    velocity += (roots.draws[:, 5:8] - 0.5) * (0.1 + 0.5 * hair.messiness)
    end = 0.3 + (braided.cut - 0.3) * hair.length
    cut = end + (0.05 + 0.5 * hair.layers) * roots.draws[:, 9]
    length = np.maximum(roots.positions[:, 1] - cut, 0.2) + 0.6
    layer = braided.radius + braided.high * hair.volume * roots.draws[:, 4]
    count = len(roots)
    path = np.empty((count, growth.STEPS + 1, 3), np.float32)
    force, clear = np.tile([0.0, -3.3, 0.0], (count, 1)), np.full(count, 0.54)
    last = growth.grow(
        roots.positions, velocity, length, cut, layer, force, clear,
        ceiling.collar, head.shape, ceiling.radius, path,
    )  # fmt: skip
    return growth.divide(path, last, 14)


def _rows(braided: Braided, hair: Hair, head: Head) -> Array:
    """Rows over the scalp from the front hairline to the nape."""
    across = np.linspace(-1.0, 1.0, braided.guides)
    tilt = across * 1.22
    guides = np.empty((braided.guides, 24, 3))
    for row in range(braided.guides):
        angle = np.linspace(0.25, math.pi + 0.5, 240)
        x = np.full_like(angle, math.sin(tilt[row]))
        y, z = np.sin(angle) * math.cos(tilt[row]), np.cos(angle) * math.cos(tilt[row])
        lon, lat = np.arctan2(x, z), np.arcsin(np.clip(y, -1, 1))
        inside = np.flatnonzero(lat > hairline(head, lon, hair.recession) + 0.03)
        if not len(inside):
            inside = np.array([len(angle) // 2])
        at = np.linspace(inside[0], inside[-1], 24).astype(int)
        radius = radii(lon[at], lat[at], head.shape) + 0.012
        flat = np.cos(lat[at]) * radius
        guides[row] = np.stack(
            [np.sin(lon[at]) * flat, np.sin(lat[at]) * radius - 0.12, np.cos(lon[at]) * flat], -1
        )
    return guides
