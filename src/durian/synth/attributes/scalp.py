"""Where hair grows: roots on the scalp and the scalp painted beneath."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numba import njit

from durian.labels import Label
from durian.synth.attributes.colours import Colour
from durian.synth.fields import CENTRE_Y, JIT, skull_distance
from durian.synth.parts import Painted

if TYPE_CHECKING:
    from durian.synth.head import Head

Array = np.ndarray
TEXTURE_ROWS, TEXTURE_COLUMNS = 96, 192


@dataclass(frozen=True)
class Roots:
    """Points of the scalp with what grooming needs to know about them."""

    positions: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]
    longitude: Float[np.ndarray, " n"]
    latitude: Float[np.ndarray, " n"]
    margin: Float[np.ndarray, " n"]
    """Latitude above the hairline, radians."""
    draws: Float[np.ndarray, "n 12"]
    """Uniform draws in [0, 1] that belong to the root whatever else changes."""

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def top(self) -> Float[np.ndarray, " n"]:
        """0 on the sides and the back, 1 on top."""
        return np.clip((self.latitude - 0.35) / 0.5, 0.0, 1.0)

    @property
    def front(self) -> Float[np.ndarray, " n"]:
        """1 at the forehead, 0 from the crown backwards."""
        return np.clip(self.positions[:, 2] / 0.6, 0.0, 1.0)

    def noise(self, column: int) -> Float[np.ndarray, " n"]:
        """A draw in [-1, 1]."""
        return self.draws[:, column] * 2 - 1

    def select(self, keep: Array) -> Roots:
        return Roots(
            self.positions[keep],
            self.normals[keep],
            self.longitude[keep],
            self.latitude[keep],
            self.margin[keep],
            self.draws[keep],
        )


def hairline(head: Head, longitude: Array, recession: float) -> Array:
    """Latitude above which hair grows; `recession` of 1 bares the temples down to a peak in the middle."""
    away = np.abs(longitude)
    temples = np.exp(-(((away - 0.60) / 0.30) ** 2))
    middle = np.exp(-((away / 0.4) ** 2))
    return np.asarray(head.hairline(longitude)) + recession * (0.30 * temples + 0.10 * middle)


def grow_roots(head: Head, count: int, seed: int, recession: float) -> Roots:
    """Even roots over the scalp: about `count` for a whole head of hair.

    Candidates and their draws depend on the seed alone, so hair with other parameters keeps its roots.
    """
    candidates = int(count * 1.9)
    rng = np.random.default_rng(seed)
    draws = rng.random((candidates, 12))
    index = np.arange(candidates) + 0.5
    height = 1 - 2 * index / candidates
    longitude = np.mod(index * (math.pi * (3 - math.sqrt(5))), 2 * math.pi) - math.pi
    # The spiral's jitter is about the distance between its points: even, but no visible rows.
    spacing = math.sqrt(4 * math.pi / candidates)
    latitude = np.arcsin(np.clip(height, -1, 1)) + (draws[:, 0] - 0.5) * spacing
    latitude = np.clip(latitude, -1.5, 1.5)
    longitude = longitude + (draws[:, 1] - 0.5) * spacing / np.maximum(np.cos(latitude), 0.15)
    margin = latitude - hairline(head, longitude, recession)
    keep = margin > (draws[:, 2] - 0.35) * 0.07
    longitude, latitude, margin, draws = longitude[keep], latitude[keep], margin[keep], draws[keep]
    positions, normals = _on_skull(longitude, latitude, head.shape)
    return Roots(positions, normals, longitude, latitude, margin, draws)


@njit(**JIT)
def _on_skull(longitude, latitude, shape):
    count = longitude.size
    positions = np.empty((count, 3))
    normals = np.empty((count, 3))
    e = 0.01
    for i in range(count):
        c = math.cos(latitude[i])
        dx, dy, dz = math.sin(longitude[i]) * c, math.sin(latitude[i]), math.cos(longitude[i]) * c
        t = 1.1
        for _ in range(12):
            d = skull_distance(t * dx, CENTRE_Y + t * dy, t * dz, shape)
            t -= d
            if abs(d) < 5e-4:
                break
        t -= 0.012  # a root starts within the skin, so no gap shows under it
        x, y, z = t * dx, CENTRE_Y + t * dy, t * dz
        d = skull_distance(x, y, z, shape)
        nx = skull_distance(x + e, y, z, shape) - d
        ny = skull_distance(x, y + e, z, shape) - d
        nz = skull_distance(x, y, z + e, shape) - d
        norm = 1.0 / (math.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9)
        positions[i, 0], positions[i, 1], positions[i, 2] = x, y, z
        normals[i, 0], normals[i, 1], normals[i, 2] = nx * norm, ny * norm, nz * norm
    return positions, normals


def texture_grid() -> tuple[Array, Array]:
    """Longitude and latitude of the texels of a painted texture, (rows, columns)."""
    longitude = -math.pi + 2 * math.pi * (np.arange(TEXTURE_COLUMNS) + 0.5) / TEXTURE_COLUMNS
    latitude = -math.pi / 2 + math.pi * (np.arange(TEXTURE_ROWS) + 0.5) / TEXTURE_ROWS
    lon, lat = np.meshgrid(longitude, latitude)
    return lon.astype(np.float32), lat.astype(np.float32)


def smoothstep(low: float | Array, high: float | Array, x: Array) -> Array:
    t = np.clip((x - low) / (np.asarray(high) - low), 0.0, 1.0)
    return t * t * (3 - 2 * t)


def painted(label: Label, colour: Colour, alpha: Array, shade: Array | None = None) -> Painted:
    """A texture of one colour, times `shade` where given, with the alpha of every texel."""
    texture = np.empty((*alpha.shape, 4), np.float32)
    texture[..., :3] = np.asarray(colour, np.float32)
    if shade is not None:
        texture[..., :3] *= shade[..., None]
    texture[..., 3] = np.clip(alpha, 0.0, 1.0)
    return Painted(label, texture)


def speckle(seed: int, scale: int = 1) -> Array:
    """Noise in [0, 1] for a texture, smoother with a larger `scale` in texels."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((TEXTURE_ROWS // scale, TEXTURE_COLUMNS // scale), np.float32)
    return np.repeat(np.repeat(coarse, scale, 0), scale, 1)
