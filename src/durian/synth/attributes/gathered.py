"""Hair that is gathered: ponytails, buns, pigtails and braids, and the scalp hair drawn to them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numba import njit

from durian.synth.attributes import growth, ropes
from durian.synth.attributes.ceiling import Ceiling
from durian.synth.attributes.hair import Hair
from durian.synth.attributes.scalp import Roots
from durian.synth.fields import JIT, skull_distance

if TYPE_CHECKING:
    from durian.synth.head import Head

Array = np.ndarray


@dataclass(frozen=True)
class Gathering:
    """Where hair is gathered and what hangs from there."""

    kind: Literal["tail", "bun", "braid"]
    point: tuple[float, float, float]
    """For hair at the image's right or in the middle; mirrored for the left."""
    pair: bool = False
    length: float = 1.5
    direction: tuple[float, float, float] = (0.0, 0.3, -1.0)
    radius: float = 0.07
    """Of the bundle at its tie, or of the bun."""
    lowered: tuple[float, float, float] = (0.0, -0.30, -0.93)
    """The point to use where a hat covers the usual one."""


GATHERINGS: dict[str, Gathering] = {
    "ponytail": Gathering("tail", (0.0, 1.17, -0.42), length=2.0, direction=(0.75, 1.15, -0.2), radius=0.10),
    "side-ponytail": Gathering(
        "tail", (0.70, -0.28, -0.30), length=1.55, direction=(0.75, -0.35, 0.35), lowered=(0.70, -0.28, -0.30)
    ),
    "pigtails": Gathering(
        "tail", (0.76, 0.52, -0.18), pair=True, length=1.25, direction=(0.95, 0.35, 0.05), radius=0.055,
        lowered=(0.70, -0.28, -0.25),
    ),
    "two-braids": Gathering(
        "braid", (0.72, -0.25, -0.12), pair=True, length=1.6, direction=(0.5, -0.7, 0.35), radius=0.13,
        lowered=(0.70, -0.28, -0.22),
    ),
    "bun": Gathering("bun", (0.0, 1.16, -0.50), radius=0.31),
    "top-knot": Gathering("bun", (0.0, 1.24, -0.12), radius=0.20),
}  # fmt: skip


@dataclass(frozen=True)
class Gathered:
    """Strands over the scalp and those of tail, bun or braid."""

    scalp: Array
    bundle: Array
    tied_by: Array
    """Draws (n,) that colour the bundle's strands."""
    softness: float


def gather_hair(
    gathering: Gathering, roots: Roots, hair: Hair, head: Head, ceiling: Ceiling, rng: np.random.Generator
) -> Gathered:
    """Draws the scalp's hair to the gathering point and hangs the bundle there."""
    mirrored = 1.0 if hair.parting >= 0 else -1.0
    point = np.array(gathering.point)
    if ceiling.covers(point[None])[0]:
        point = np.array(gathering.lowered)
    points = np.stack([point * (-1, 1, 1), point]) if gathering.pair else (point * (mirrored, 1, 1))[None]
    parting = 0.25 * hair.parting
    side = (roots.positions[:, 0] > parting).astype(int) if gathering.pair else np.zeros(len(roots), int)
    heights = 0.015 + 0.05 * hair.volume * roots.draws[:, 4]
    # Not quite one point: the strands end spread over the tie.
    spread = (roots.draws[:, 5:8] - 0.5) * 0.09
    scalp = _over_scalp(roots.positions, points[side] + spread, heights, 9, head.shape)
    growth.confine(scalp, 0.004, head.shape, ceiling.radius)
    build = {"tail": _tails, "bun": _buns, "braid": _braids}[gathering.kind]
    bundle = build(gathering, points, hair, head, ceiling, rng)
    growth.confine(bundle, 0.01, head.shape, ceiling.radius)
    softness = {"tail": 0.9, "bun": 0.0, "braid": 0.35}[gathering.kind]
    return Gathered(scalp, bundle, rng.random(len(bundle)), softness)


@njit(**JIT)
def _over_scalp(starts, ends, heights, points, shape):
    """Paths over the skull from starts to ends, at a height above it that grows from the root on."""
    out = np.empty((starts.shape[0], points, 3), np.float32)
    cy, cz = 0.15, -0.12
    for s in range(starts.shape[0]):
        # A straight way to the far side would pass near the middle and fan out: go over the back instead.
        dx, dy, dz = starts[s, 0] - ends[s, 0], starts[s, 1] - ends[s, 1], starts[s, 2] - ends[s, 2]
        around = min(1.0, max(0.0, math.sqrt(dx * dx + dy * dy + dz * dz) - 0.8))
        for k in range(points):
            u = k / (points - 1.0)
            bow = around * 4.0 * u * (1.0 - u)
            x = starts[s, 0] * (1 - u) + ends[s, 0] * u
            y = starts[s, 1] * (1 - u) + ends[s, 1] * u - cy + 0.30 * bow
            z = starts[s, 2] * (1 - u) + ends[s, 2] * u - cz - 0.75 * bow
            r = math.sqrt(x * x + y * y + z * z) + 1e-9
            x, y, z = x / r, y / r, z / r
            height = heights[s] * min(1.0, 4.0 * u)
            if k > 0:
                for _ in range(5):
                    d = skull_distance(x * r, cy + y * r, cz + z * r, shape) - height
                    r -= d
                    if abs(d) < 1e-3:
                        break
            out[s, k, 0], out[s, k, 1], out[s, k, 2] = x * r, cy + y * r, cz + z * r
    return out


def _hang(
    starts: Array, velocity: Array, length: Array, layer: Array, gravity: float, points: int, head: Head,
    ceiling: Ceiling,
) -> Array:  # fmt: skip
    count = len(starts)
    path = np.empty((count, growth.STEPS + 1, 3), np.float32)
    force = np.tile([0.0, -3.0 * gravity, 0.0], (count, 1))
    last = growth.grow(
        starts, velocity, length, np.full(count, -9.0), layer, force, np.full(count, 0.5),
        ceiling.collar, head.shape, ceiling.radius, path,
    )  # fmt: skip
    return growth.divide(path, last, points)


def _tails(
    gathering: Gathering, points: Array, hair: Hair, head: Head, ceiling: Ceiling, rng: np.random.Generator
) -> Array:
    tails = []
    for point in points:
        count = 520 if len(points) == 1 else 300
        starts = point + rng.normal(size=(count, 3)) * gathering.radius * 0.55
        sign = (
            math.copysign(1.0, point[0]) if abs(point[0]) > 0.1 else math.copysign(1.0, hair.parting + 1e-9)
        )
        direction = np.array(gathering.direction) * (sign, 1, 1)
        velocity = direction + rng.normal(size=(count, 3)) * (0.10 + 0.06 * hair.volume)
        ragged = 1 - (0.1 + 0.3 * hair.layers) * rng.random(count)
        length = gathering.length * hair.length * ragged
        layer = 0.05 + 0.16 * hair.volume * rng.random(count)
        hung = _hang(starts, velocity, length, layer, 0.85, 14, head, ceiling)
        leaders = rng.integers(0, count, 24)
        growth.gather(
            hung, leaders[growth.nearest(hung[:, -1], hung[leaders, -1])], np.full(count, 0.55), 0.6
        )
        wave = np.full(count, max(0.0, 0.012 + 0.05 * hair.curl))
        phase = rng.normal(size=count) * 0.4
        curled = np.empty_like(hung)
        growth.curl(hung, wave, np.full(count, 1.4 * hair.frequency), phase, 0.3, curled)
        tails.append(curled)
    return np.concatenate(tails)


def _braids(
    gathering: Gathering, points: Array, hair: Hair, head: Head, ceiling: Ceiling, rng: np.random.Generator
) -> Array:
    signs = np.sign(points[:, :1])
    velocity = np.array(gathering.direction) * np.concatenate([signs, signs * 0 + 1, signs * 0 + 1], 1)
    thickness = gathering.radius * (0.75 + 0.25 * hair.volume)
    length = np.full(len(points), gathering.length * hair.length)
    layer = np.full(len(points), thickness * 1.15)
    guides = _hang(points, velocity, length, layer, 1.5, 15, head, ceiling)
    return ropes.braid(ropes.resample(guides, 40), 66, thickness, 6.0 * hair.frequency, rng)


def _buns(
    gathering: Gathering, points: Array, hair: Hair, head: Head, ceiling: Ceiling, rng: np.random.Generator
) -> Array:
    """Strands wound about an axis that stands on the skull."""
    count, turns = 520, 15
    radius = gathering.radius * (0.6 + 0.25 * hair.volume + 0.15 * hair.length)
    point = points[0]
    axis = point - np.array([0.0, 0.15, -0.12])
    axis /= np.linalg.norm(axis)
    across = np.cross(axis, [1.0, 0.0, 0.0])
    across /= np.linalg.norm(across)
    other = np.cross(axis, across)
    start = rng.random(count) * 2 * math.pi
    angle = start[:, None] + np.linspace(0, 2.7, turns)[None]
    lift = rng.uniform(-0.75, 0.95, count)[:, None] + 0.22 * np.sin(angle + 1.7 * start[:, None])
    reach = radius * (0.86 + 0.14 * rng.random(count))[:, None]
    flat = np.cos(lift) * reach
    centre = point + axis * radius * 0.45
    bun = centre + (
        across * (np.cos(angle) * flat)[..., None]
        + other * (np.sin(angle) * flat)[..., None]
        + axis * (np.sin(lift) * reach * 0.85)[..., None]
    )
    stray = rng.normal(size=(count, 1, 3)) * 0.012 * (1 + 2 * hair.messiness)
    return (bun + stray * np.linspace(0, 1, turns)[None, :, None]).astype(np.float32)
