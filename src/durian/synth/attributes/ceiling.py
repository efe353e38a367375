"""The space a hat leaves for hair: how far from the head's centre hair may reach in each direction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32
from numba import njit

from durian.synth.attributes.growth import FREE
from durian.synth.fields import CENTRE_Y, JIT
from durian.synth.parts import Mesh

ROWS, COLUMNS = 64, 128
MARGIN = 0.03
"""What hair keeps from the hat's surface: half a strand's width and a little."""


@dataclass(frozen=True)
class Ceiling:
    """Radii about the head's centre that hair stays within; row 0 is at the chin's side."""

    radius: Float32[np.ndarray, "h w"]
    covered: Bool[np.ndarray, "h w"]
    """Directions in which the hat lies over the head."""
    collar: float = 0.0
    """How thick a scarf lies around the neck, for hair to fall over."""

    def covers(self, points: np.ndarray) -> np.ndarray:
        """Which of the points (..., 3) lie below the hat."""
        x, y, z = points[..., 0], points[..., 1] - CENTRE_Y, points[..., 2]
        column = ((np.arctan2(x, z) / (2 * math.pi) + 0.5) * COLUMNS).astype(int) % COLUMNS
        row = ((np.arctan2(y, np.hypot(x, z)) / math.pi + 0.5) * ROWS).astype(int).clip(0, ROWS - 1)
        return self.covered[row, column]


def bare() -> Ceiling:
    """No hat at all."""
    return Ceiling(np.full((ROWS, COLUMNS), FREE, np.float32), np.zeros((ROWS, COLUMNS), bool))


def under(meshes: Sequence[Mesh]) -> Ceiling:
    """The space below the meshes of a hat."""
    radius = np.full((ROWS, COLUMNS), FREE, np.float32)
    for mesh in meshes:
        _nearest_surface(mesh.vertices, mesh.triangles, radius)
    covered = radius < FREE
    return Ceiling(_eased(np.where(covered, radius - MARGIN, FREE).astype(np.float32)), covered)


def _eased(radius: np.ndarray) -> np.ndarray:
    """Lets the ceiling rise away from the rim by steps, so that hair leaves the hat in a slope."""
    for rise in (0.0, 0.05, 0.08, 0.14, 0.3):
        wide = np.concatenate([radius[:, -1:], radius, radius[:, :1]], 1)
        tall = np.concatenate([wide[:1], wide, wide[-1:]], 0)
        around = np.minimum.reduce([tall[:-2, 1:-1], tall[2:, 1:-1], tall[1:-1, :-2], tall[1:-1, 2:]])
        radius = np.where(radius > FREE - 1, np.minimum(radius, around + rise), radius)
    return radius.astype(np.float32)


@njit(**JIT)
def _nearest_surface(vertices, triangles, radius):
    """Lowers the map to the nearest surface, from samples closer together than its texels."""
    rows, columns = radius.shape
    texel = math.pi / rows
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        longest = 0.0
        for k in range(3):
            longest = max(longest, abs(vertices[b, k] - vertices[a, k]))
            longest = max(longest, abs(vertices[c, k] - vertices[a, k]))
            longest = max(longest, abs(vertices[c, k] - vertices[b, k]))
        parts = min(24, 1 + int(longest * 1.6 / (0.85 * texel)))
        for i in range(parts + 1):
            for j in range(parts + 1 - i):
                u, v = i / parts, j / parts
                w = 1 - u - v
                x = vertices[a, 0] * w + vertices[b, 0] * u + vertices[c, 0] * v
                y = vertices[a, 1] * w + vertices[b, 1] * u + vertices[c, 1] * v - CENTRE_Y
                z = vertices[a, 2] * w + vertices[b, 2] * u + vertices[c, 2] * v
                across = math.sqrt(x * x + z * z)
                column = int((math.atan2(x, z) / (2 * math.pi) + 0.5) * columns) % columns
                row = min(max(int((math.atan2(y, across) / math.pi + 0.5) * rows), 0), rows - 1)
                distance = math.sqrt(across * across + y * y)
                radius[row, column] = min(radius[row, column], distance)
