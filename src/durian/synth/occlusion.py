"""Depth maps along a direction, and the ambient light that reaches every point of a person.

Ambient occlusion is worked out once per person, in head space, from depth maps along many directions;
nothing of it depends on the picture, so it cannot shimmer.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from jaxtyping import Float, Float32
from numba import njit

from durian.synth.fields import JIT

EXTENT = 4.6  # head-space units that a map is wide
MIDDLE = (0.0, -0.25, -0.1)  # what a map is centred on
DIRECTIONS = 8
RESOLUTION = 64


def basis_of(direction: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "3 3"]:
    """Rows: two axes across a direction, then the direction itself."""
    forward = direction / np.linalg.norm(direction)
    across = np.cross((0.0, 1.0, 0.0), forward)
    if np.linalg.norm(across) < 1e-3:
        across = np.array((1.0, 0.0, 0.0))
    across /= np.linalg.norm(across)
    return np.stack([across, np.cross(forward, across), forward])


@njit(**JIT)
def project_along(points, basis, middle, scale, centre, out):
    """Map coordinates of points, with the third growing towards where the direction comes from."""
    for i in range(points.shape[0]):
        x, y, z = points[i, 0] - middle[0], points[i, 1] - middle[1], points[i, 2] - middle[2]
        out[i, 0] = centre + scale * (basis[0, 0] * x + basis[0, 1] * y + basis[0, 2] * z)
        out[i, 1] = centre - scale * (basis[1, 0] * x + basis[1, 1] * y + basis[1, 2] * z)
        out[i, 2] = basis[2, 0] * x + basis[2, 1] * y + basis[2, 2] * z + 10.0


@njit(**JIT)
def _draw_shade(screen, triangles, closed, depth):
    """The depths of triangles, most of them smaller than a cell and between the cells' centres.

    The first `closed` enclose a solid, so those that face away are not the nearest.
    """
    height, width = depth.shape
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x0, x1, x2 = screen[a, 0], screen[b, 0], screen[c, 0]
        left = max(0, math.ceil(min(x0, x1, x2) - 0.5))
        right = min(width - 1, math.floor(max(x0, x1, x2) - 0.5))
        if left > right:
            continue
        y0, y1, y2 = screen[a, 1], screen[b, 1], screen[c, 1]
        top = max(0, math.ceil(min(y0, y1, y2) - 0.5))
        bottom = min(height - 1, math.floor(max(y0, y1, y2) - 0.5))
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if top > bottom or abs(area) < 1e-9 or (area > 0 and t < closed):
            continue
        scale = 1.0 / area
        z0, dz1, dz2 = screen[a, 2], screen[b, 2] - screen[a, 2], screen[c, 2] - screen[a, 2]
        for iy in range(top, bottom + 1):
            py = iy + 0.5 - y0
            for ix in range(left, right + 1):
                px = ix + 0.5 - x0
                w1 = (px * (y2 - y0) - py * (x2 - x0)) * scale
                w2 = (py * (x1 - x0) - px * (y1 - y0)) * scale
                if w1 >= -1e-6 and w2 >= -1e-6 and w1 + w2 <= 1.000001:
                    depth[iy, ix] = max(depth[iy, ix], z0 + w1 * dz1 + w2 * dz2)


@njit(**JIT)
def splat_strands(screen, last, start, stop, step, depth):
    """Draw every `step`-th strand of points [start, stop) as lines one cell wide."""
    height, width = depth.shape
    strand = 0
    for p in range(start, stop):
        if last[p]:
            strand += 1
            continue
        if strand % step != 0:
            continue
        x, y, z = screen[p, 0], screen[p, 1], screen[p, 2]
        dx, dy, dz = screen[p + 1, 0] - x, screen[p + 1, 1] - y, screen[p + 1, 2] - z
        count = int(max(abs(dx), abs(dy))) + 1
        for k in range(count):
            t = (k + 0.5) / count
            ix, iy = int(x + dx * t), int(y + dy * t)
            if 0 <= ix < width and 0 <= iy < height and z + dz * t > depth[iy, ix]:
                depth[iy, ix] = z + dz * t


def bake_occlusion(
    vertices: Float32[np.ndarray, "n 3"],
    normals: Float32[np.ndarray, "n 3"],
    asked: np.ndarray,
    triangles: np.ndarray,
    closed: int,
    points: Float32[np.ndarray, "m 3"],
    last: np.ndarray,
    steps: list[tuple[int, int, int]],
) -> tuple[Float32[np.ndarray, " n"], Float32[np.ndarray, " m"]]:
    """The share of ambient light that reaches vertices and strand points, each in [0, 1].

    Args:
        vertices: of all meshes, in head space.
        normals: of the vertices.
        asked: indices of the vertices whose share is wanted; the others get 1.
        triangles: those that cast shade; their corners are all among `asked`.
        closed: how many of them, from the first on, enclose a solid and face outwards.
        points: of all strands.
        last: marks the last point of every strand.
        steps: ranges of strand points that cast shade, each with the stride over its strands.
    """
    ao = np.ones(len(vertices), np.float32)
    # Only vertices that are asked for cast shade, too: the others need not be looked at.
    place = np.zeros(len(vertices), np.int32)
    place[asked] = np.arange(len(asked))
    triangles, vertices, normals = place[triangles], vertices[asked], normals[asked]
    reach, weight = np.zeros(len(vertices), np.float32), np.full(len(vertices), 1e-6, np.float32)
    strand_reach = np.zeros(len(points), np.float32)
    screen = np.empty((len(vertices), 3), np.float32)
    strand_screen = np.empty((len(points), 3), np.float32)
    depth = np.empty((RESOLUTION, RESOLUTION), np.float32)
    middle = np.array(MIDDLE)
    scale = RESOLUTION / EXTENT
    for direction, basis in _looks():
        project_along(vertices, basis, middle, scale, RESOLUTION / 2, screen)
        project_along(points, basis, middle, scale, RESOLUTION / 2, strand_screen)
        depth.fill(0)
        _draw_shade(screen, triangles, closed, depth)
        for start, stop, step in steps:
            splat_strands(strand_screen, last, start, stop, step, depth)
        _gather_mesh(screen, normals, direction, depth, reach, weight)
        _gather_strands(strand_screen, last, depth, strand_reach)
    ao[asked] = reach / weight
    return ao, strand_reach / DIRECTIONS


@cache
def _looks() -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    return tuple((direction, basis_of(direction)) for direction in _sphere(DIRECTIONS))


def _sphere(count: int) -> Float[np.ndarray, "n 3"]:
    """Directions spread evenly over the sphere, those from far below left out."""
    k = np.arange(count) + 0.5
    y = 1 - 1.75 * k / count
    around = k * math.pi * (3 - math.sqrt(5))
    r = np.sqrt(1 - y * y)
    return np.stack([r * np.cos(around), y, r * np.sin(around)], -1)


@njit(**JIT)
def _open(screen, i, depth, bias, fade):
    """How open a point is towards a map's direction, from the four nearest cells."""
    height, width = depth.shape
    x, y = screen[i, 0] - 0.5, screen[i, 1] - 0.5
    ix, iy = int(x), int(y)
    if ix < 0 or iy < 0 or ix >= width - 1 or iy >= height - 1:
        return 1.0
    fx, fy = x - ix, y - iy
    total = 0.0
    for b in range(2):
        for a in range(2):
            over = (depth[iy + b, ix + a] - screen[i, 2] - bias) / fade
            over = min(1.0, max(0.0, over))
            total += (fx if a else 1 - fx) * (fy if b else 1 - fy) * (1.0 - over)
    return total


@njit(**JIT)
def _gather_mesh(screen, normals, direction, depth, reach, weight):
    for i in range(screen.shape[0]):
        facing = (
            normals[i, 0] * direction[0] + normals[i, 1] * direction[1] + normals[i, 2] * direction[2] + 0.15
        )
        if facing > 0:
            weight[i] += facing
            reach[i] += facing * _open(screen, i, depth, 0.05, 0.12)


@njit(**JIT)
def _gather_strands(screen, last, depth, reach):
    """Every other point along a strand is looked at; those between get their neighbour's value."""
    i = 0
    while i < screen.shape[0]:
        value = _open(screen, i, depth, 0.05, 0.30)
        reach[i] += value
        if not last[i]:
            reach[i + 1] += value
            i += 1
        i += 1
