"""Forms of hats: shells that follow the skull, turned crowns with brims, visors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from durian.synth.attributes.meshes import SKULL_CENTRE, clear_of_skull, shell_radii
from durian.synth.fields import SKD, SKH, SKW

if TYPE_CHECKING:
    from durian.synth.head import Head

Array = np.ndarray
AROUND = 65


@dataclass(frozen=True)
class Fit:
    """Where and how wide a hat sits on one head."""

    head: Head
    padding: float
    """How far it stands off the skull, for the hair below."""
    tilt: Array
    """Rotation (3, 3) about the skull's middle."""

    @property
    def forehead(self) -> float:
        """Height of a rim that leaves the brows free."""
        return self.head.brow_y + 0.17

    @property
    def half_width(self) -> float:
        return float(self.head.shape[SKW]) + self.padding

    @property
    def half_depth(self) -> float:
        return float(self.head.shape[SKD]) + self.padding

    @property
    def top(self) -> float:
        """Height of the top of the skull with the padding."""
        return SKULL_CENTRE[1] + float(self.head.shape[SKH]) + self.padding

    def settle(self, points: Array, least: float | Array = 0.02) -> Array:
        """Tilts points (..., 3) about the skull's middle and lifts them off the skull where they touch."""
        turned = (points - SKULL_CENTRE) @ self.tilt.T + SKULL_CENTRE
        flat = np.ascontiguousarray(turned, np.float64).reshape(-1, 3)
        clear_of_skull(flat, np.broadcast_to(np.asarray(least, float), (len(flat),)).copy(), self.head.shape)
        return flat.reshape(points.shape)


def crown_height(fit: Fit, height: float) -> float:
    """Height of a crown above the rim that always covers the skull."""
    return max(fit.top + 0.04, fit.forehead + height) - fit.forehead


def longitudes(count: int = AROUND) -> Array:
    return np.linspace(-math.pi, math.pi, count)


def rim_height(front: float, back: float, lon: Array, sides: float = 0.0) -> Array:
    """Height of a rim around the head; `sides` raises it over the ears."""
    share = 0.5 + 0.5 * np.cos(lon)
    return back + (front - back) * share + sides * np.sin(lon) ** 2


def shell(
    fit: Fit, low: Array, high: float | Array, height: Array, rows: int, lon: Array
) -> tuple[Array, Array]:
    """A shell over the skull from rim heights `low` (W) up, and its uv.

    `high` is the latitude about the skull's middle of the last row (pi / 2 closes the top);
    `height` (rows, W) is the distance above the skull.
    """
    start = np.arctan2(low - SKULL_CENTRE[1], 0.82)
    share = np.linspace(0, 1, rows)[:, None]
    latitude = start[None] + (np.asarray(high) - start)[None] * share
    across = np.cos(latitude)
    directions = np.stack([np.sin(lon) * across, np.sin(latitude), np.cos(lon) * across], -1)
    radius = shell_radii(
        np.ascontiguousarray(directions.reshape(-1, 3)),
        np.ascontiguousarray(np.broadcast_to(height, across.shape)).ravel().astype(float),
        fit.head.shape,
    )
    points = np.asarray(SKULL_CENTRE) + directions * radius.reshape(across.shape)[..., None]
    uv = np.stack(np.broadcast_arrays(lon[None] * 0.85, latitude * 0.95), -1)
    return points, uv


def turned(
    fit: Fit, profile: list[tuple[float, float]], lon: Array, per_span: int = 4
) -> tuple[Array, Array, Array]:
    """A crown and brim turned about the vertical: points (rows, W, 3), uv, and the profile parameter.

    The profile is (radius as a share of the head's half-axes, height above the rim) from the brim's edge
    to the top; the parameter counts its corners.
    """
    corners = np.array(profile)
    at = np.linspace(0, len(corners) - 1, (len(corners) - 1) * per_span + 1)
    radius = np.interp(at, np.arange(len(corners)), corners[:, 0])
    height = np.interp(at, np.arange(len(corners)), corners[:, 1])
    x = np.sin(lon)[None] * radius[:, None] * fit.half_width
    z = np.cos(lon)[None] * radius[:, None] * fit.half_depth + SKULL_CENTRE[2]
    y = np.broadcast_to(height[:, None], x.shape) + fit.forehead
    along = np.concatenate([[0], np.cumsum(np.hypot(np.diff(radius), np.diff(height)))])
    uv = np.stack(np.broadcast_arrays(lon[None] * 0.9, along[:, None]), -1)
    return np.stack([x, y, z], -1), uv, at


def visor(rim: Array, lon: Array, length: float, droop: float, spread: float = 1.1) -> tuple[Array, Array]:
    """A visor grown from the front of a rim (W, 3): a thin double sheet, and its uv."""
    angle = np.linspace(-spread, spread, 33)
    base = np.stack([np.interp(angle, lon, rim[:, k]) for k in range(3)], -1)
    reach = np.clip(np.cos(angle / spread * math.pi / 2), 0, 1) ** 0.55
    share = np.linspace(0, 1, 7)[:, None]
    outward = np.stack([0.16 * np.sin(angle), np.zeros_like(angle), np.ones_like(angle)], -1)
    sheet = base[None] + outward[None] * (share * length * reach[None])[..., None]
    sheet[..., 1] -= share**1.3 * droop * reach[None] + 0.30 * share * (np.sin(angle) ** 2)[None] * length
    top = sheet + np.array([0.0, 0.018, 0.0])
    both = np.concatenate([top, sheet[::-1]])
    uv = np.stack(np.broadcast_arrays(angle[None], np.concatenate([share, share[::-1]]) * length), -1)
    return both, uv
