"""Signed distances of head, skull and body as smooth unions of primitives, for numba loops.

Every function takes points in head space (`durian.synth.parts`) and, where the shape of a person matters,
the vector that `durian.synth.head.Head.shape` holds; the constants here index it.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Any

import numpy as np
from numba import njit

JIT: dict[str, Any] = {"cache": True, "fastmath": True, "nogil": True}
INLINE: dict[str, Any] = {"inline": "always", **JIT}

CENTRE_Y = -0.12
"""Height of the point that longitude and latitude are measured from; it lies on the y axis."""


class Shape(IntEnum):
    """Entries of a head's shape vector, in head-space units."""

    SKULL_WIDTH = 0
    SKULL_HEIGHT = 1
    SKULL_DEPTH = 2
    JAW_WIDTH = 3
    JAW_Y = 4
    CHIN_WIDTH = 5
    CHIN_Y = 6
    CHIN_Z = 7
    CHEEK = 8
    CHEEK_Y = 9
    BROW = 10
    FOREHEAD = 11
    EYE_X = 12
    EYE_Y = 13
    EYE_RADIUS = 14
    NOSE_Y = 15
    NOSE_WIDTH = 16
    NOSE_RADIUS = 17
    NOSE_UP = 18
    BRIDGE = 19
    ALA = 20
    MOUTH_Y = 21
    MOUTH_Z = 22
    FULLNESS = 23
    NECK = 24
    SHOULDERS = 25


# Plain integers: numba reads members of an IntEnum slowly at compile time.
SKW, SKH, SKD, JAWW, JAWY, CHINW, CHINY, CHINZ, CHEEK, CHEEKY, BROW, FOREH, EYEX, EYEY, EYER = range(15)
NOSEY, NOSEW, NOSER, NOSEUP, BRIDGE, ALA, MOUTHY, MOUTHZ, FULL, NECK, SHOULDERS = range(15, 26)

EYE_Z = 0.575
"""Depth of the centres of the eyeballs."""


@njit(**INLINE)
def ellipsoid(x, y, z, a, b, c):
    """Approximate distance to an axis-aligned ellipsoid about the origin, exact near its surface."""
    # Reciprocals first: divisions are what this costs, and nothing is asked as often.
    a, b, c = 1.0 / a, 1.0 / b, 1.0 / c
    x, y, z = x * a, y * b, z * c
    k0 = math.sqrt(x * x + y * y + z * z)
    x, y, z = x * a, y * b, z * c
    return k0 * (k0 - 1.0) / (math.sqrt(x * x + y * y + z * z) + 1e-9)


@njit(**INLINE)
def smooth_union(a, b, k):
    """The smaller of two distances with a fillet about `k` wide."""
    h = 0.5 + 0.5 * (b - a) / k
    h = 0.0 if h < 0.0 else (1.0 if h > 1.0 else h)
    return b * (1.0 - h) + a * h - k * h * (1.0 - h)


@njit(**INLINE)
def capsule(x, y, z, ax, ay, az, bx, by, bz, r0, r1):
    """Distance to a capsule from a to b whose radius runs from r0 to r1."""
    px, py, pz = x - ax, y - ay, z - az
    dx, dy, dz = bx - ax, by - ay, bz - az
    t = (px * dx + py * dy + pz * dz) / (dx * dx + dy * dy + dz * dz)
    t = 0.0 if t < 0.0 else (1.0 if t > 1.0 else t)
    return math.sqrt((px - t * dx) ** 2 + (py - t * dy) ** 2 + (pz - t * dz) ** 2) - (r0 + (r1 - r0) * t)


@njit(**JIT)
def skull_distance(x, y, z, p):
    """Coarse distance to the head without its features: what hair lies on."""
    d = ellipsoid(x, y - 0.28, z + 0.12, p[SKW], p[SKH], p[SKD])
    return smooth_union(d, ellipsoid(x, y + 0.25, z - 0.12, 0.66 + p[FULL] * 0.5, 0.75, 0.68), 0.25)


@njit(**JIT)
def body_distance(x, y, z, p):
    """Coarse distance to neck and shoulders: what long hair falls on."""
    d = ellipsoid(x, y + 2.02, z + 0.22, p[SHOULDERS] + 0.10, 0.60, 0.56)
    return smooth_union(d, capsule(x, y, z, 0.0, -0.8, -0.2, 0.0, -1.9, -0.25, p[NECK] + 0.02, 0.45), 0.25)


@njit(**JIT)
def head_distance(x, y, z, p):
    """Distance to the surface of the head with nose, sockets and lids, without ears, neck and lip relief."""
    ax = abs(x)
    full = p[FULL]
    d = ellipsoid(x, y - 0.28, z + 0.12, p[SKW], p[SKH], p[SKD])
    d = smooth_union(d, ellipsoid(x, y + 0.22, z - 0.12, 0.65 + full * 0.6, 0.72, 0.66), 0.25)
    d = smooth_union(d, ellipsoid(x, y - p[JAWY], z - 0.18, p[JAWW] + full, 0.42, 0.50), 0.22)
    if z > -0.35:  # the features lie in front; the back of the head needs none of them
        d = _features(ax, x, y, z, p, d)
        socket = ellipsoid(ax - p[EYEX], y - p[EYEY], z - 0.90, 0.24, 0.17, 0.22)
        d = -smooth_union(-d, socket, 0.12)
        ex, ey, ez = ax - p[EYEX], y - p[EYEY], z - EYE_Z
        lid = math.sqrt(ex * ex + ey * ey + ez * ez) - (p[EYER] + 0.03)
        d = smooth_union(d, lid, 0.045)
        d = smooth_union(d, _nose(ax, x, y, z, p), 0.09)
    return d


@njit(**INLINE)
def _features(ax, x, y, z, p, d):
    full = p[FULL]
    chin = capsule(
        ax, y, z, 0.0, p[CHINY] + 0.03, p[CHINZ], p[CHINW], p[CHINY] + 0.05, p[CHINZ] - 0.03, 0.16, 0.15
    )
    d = smooth_union(d, chin, 0.16)
    size = p[CHEEK]
    cheek = ellipsoid(ax - 0.42 - full * 0.4, y - p[CHEEKY], z - 0.42, size + full * 0.3, size * 0.9, size)
    d = smooth_union(d, cheek, 0.16)
    muzzle = ellipsoid(x, y - p[MOUTHY], z - p[MOUTHZ], 0.30, 0.22, 0.20)
    d = smooth_union(d, muzzle, 0.16)
    brow = capsule(ax, y, z, 0.10, 0.25, 0.66 + p[FOREH], 0.44, 0.27, 0.52, p[BROW], p[BROW] * 0.8)
    return smooth_union(d, brow, 0.14)


@njit(**INLINE)
def _nose(ax, x, y, z, p):
    tip_y, tip_z = p[NOSEY], p[BRIDGE] + 0.26
    radius, width, ala = p[NOSER], p[NOSEW], p[ALA]
    ridge = capsule(
        x, y, z, 0.0, 0.14, p[BRIDGE] - 0.06, 0.0, tip_y + 0.02, tip_z - radius - 0.01, 0.06, width + 0.01
    )
    tip = math.sqrt(x * x + (y - tip_y - p[NOSEUP] * 0.3) ** 2 + (z - tip_z + radius) ** 2) - radius
    wing = ellipsoid(ax - width - 0.05, y - tip_y + 0.03, z - tip_z + 0.17, ala, ala * 0.9, ala * 1.25)
    return smooth_union(smooth_union(ridge, tip, 0.07), wing, 0.05)


@njit(**INLINE)
def solve_radius(lon, lat, start, p):
    """Distance from the centre to the head's surface in a direction; `start` is a first guess."""
    c = math.cos(lat)
    dx, dy, dz = math.sin(lon) * c, math.sin(lat), math.cos(lon) * c
    t, step, before = start, 0.0, 0.0
    for _ in range(40):
        d = head_distance(t * dx, CENTRE_Y + t * dy, t * dz, p)
        if abs(d) < 4e-4:
            return t - d
        # Where the surface is met at a slant the distance falls slower than the way: learn how much.
        ratio = 0.9
        if step != 0.0:
            ratio = min(1.6, max(0.5, step / (before - d))) if before != d else 0.9
        step, before = d * ratio, d
        t -= step
    return t


@njit(**JIT)
def radius_grid(lons, lats, p):
    """Radii over the right half of a grid that is symmetric in longitude, mirrored to the whole."""
    half = lons.size // 2
    out = np.empty((lats.size, lons.size), np.float32)
    for i in range(lats.size):
        t = 1.5
        for j in range(half, lons.size):
            # Carried on from three neighbours, the first guess is close: a step or two from there suffice.
            if i > 0 and j > half:
                t += out[i - 1, j] - out[i - 1, j - 1]
            t = solve_radius(lons[j], lats[i], t, p)
            out[i, j] = t
            out[i, lons.size - 1 - j] = t
    return out


@njit(**JIT)
def radii(lon, lat, p):
    """Radii in any directions."""
    out = np.empty(lon.size, np.float32)
    for i in range(lon.size):
        out[i] = solve_radius(lon[i], lat[i], 1.3, p)
    return out


@njit(**JIT)
def front_depths(x, y, p):
    """z of the head's surface in front of (x, y); where a ray misses the head, the z of closest approach."""
    out = np.empty(x.size, np.float32)
    for i in range(x.size):
        z = 1.3
        best, at = 1e9, 0.0
        for _ in range(60):
            d = head_distance(x[i], y[i], z, p)
            if d < best:
                best, at = d, z
            if d < 4e-4 or z < -0.6:
                break
            z -= max(d * 0.85, 4e-4)
        out[i] = at
    return out


@njit(**JIT)
def skull_distances(points, p):
    """`skull_distance` of many points."""
    out = np.empty(points.shape[0], np.float32)
    for i in range(points.shape[0]):
        out[i] = skull_distance(points[i, 0], points[i, 1], points[i, 2], p)
    return out


@njit(**JIT)
def body_distances(points, p):
    """`body_distance` of many points."""
    out = np.empty(points.shape[0], np.float32)
    for i in range(points.shape[0]):
        out[i] = body_distance(points[i, 0], points[i, 1], points[i, 2], p)
    return out
