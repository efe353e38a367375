"""Building blocks of meshes: grids, tubes, spheres, shells over the skull."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from durian.labels import Label
from durian.synth.attributes.colours import Colour
from durian.synth.fields import JIT, SKH, skull_distance
from durian.synth.parts import Binding, Material, Mesh

Array = np.ndarray
SKULL_CENTRE = (0.0, 0.28, -0.12)
"""Middle of the cranium, which hats are built around."""


def grid_triangles(rows: int, columns: int) -> Array:
    """Triangles of a row-major grid of vertices, facing where (columns × rows) points."""
    a = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)[None]).ravel()
    b, c, d = a + 1, a + columns, a + columns + 1
    return np.concatenate([np.stack([a, b, d], -1), np.stack([a, d, c], -1)]).astype(np.int32)


def mesh(
    label: Label,
    material: Material,
    binding: Binding,
    vertices: Array,
    triangles: Array,
    colour: Colour | Array,
    uv: Array | None = None,
    opacity: float = 1.0,
) -> Mesh:
    """A mesh of vertices (..., 3) in one colour or with a colour for each vertex."""
    points = np.ascontiguousarray(vertices, np.float32).reshape(-1, 3)
    colours = np.asarray(colour, np.float32).reshape(-1, 3)
    coordinates = np.zeros((len(points), 2)) if uv is None else uv
    return Mesh(
        label,
        material,
        binding,
        points,
        np.ascontiguousarray(triangles, np.int32),
        np.ascontiguousarray(np.broadcast_to(colours, points.shape), np.float32),
        np.ascontiguousarray(coordinates, np.float32).reshape(-1, 2),
        opacity=opacity,
    )


def grid(
    label: Label,
    material: Material,
    binding: Binding,
    points: Array,
    colour: Colour | Array,
    uv: Array | None = None,
) -> Mesh:
    """A mesh of a grid of points (rows, columns, 3)."""
    return mesh(label, material, binding, points, grid_triangles(*points.shape[:2]), colour, uv)


def merged(meshes: list[Mesh]) -> Mesh:
    """One mesh of several that share label, material and binding."""
    first = meshes[0]
    offsets = np.cumsum([0] + [len(m.vertices) for m in meshes[:-1]])
    return Mesh(
        first.label,
        first.material,
        first.binding,
        np.concatenate([m.vertices for m in meshes]),
        np.concatenate([m.triangles + int(o) for m, o in zip(meshes, offsets, strict=True)]).astype(np.int32),
        np.concatenate([m.colours for m in meshes]),
        np.concatenate([m.uv for m in meshes]),
        first.two_sided,
        first.opacity,
    )


def smooth_path(points: Array, count: int) -> Array:
    """A Catmull-Rom curve of `count` points through points (K, 3)."""
    at = np.linspace(0, len(points) - 1, count)
    i = np.minimum(at.astype(int), len(points) - 2)
    t = (at - i)[:, None]
    before, a = points[np.maximum(i - 1, 0)], points[i]
    b, after = points[i + 1], points[np.minimum(i + 2, len(points) - 1)]
    return 0.5 * (
        2 * a
        + (b - before) * t
        + (2 * before - 5 * a + 4 * b - after) * t * t
        + (3 * a - before - 3 * b + after) * t**3
    )


def tube(
    path: Array,
    width: float | Array,
    depth: float | Array | None = None,
    sides: int = 8,
    up: tuple[float, float, float] = (0.0, 0.0, 1.0),
    closed: bool = False,
) -> tuple[Array, Array]:
    """Vertices and triangles of a tube along a path (K, 3).

    `width` is its radius across `up` and the path, `depth` the one along `up`, each one number or K.
    """
    count = len(path)
    tangent = np.roll(path, -1, 0) - np.roll(path, 1, 0) if closed else np.gradient(path, axis=0)
    tangent = tangent / (np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9)
    across = np.cross(tangent, np.asarray(up))
    across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-9
    along = np.cross(across, tangent)
    angle = np.linspace(0, 2 * math.pi, sides + 1)
    w = np.broadcast_to(width, (count,))[:, None, None]
    d = w if depth is None else np.broadcast_to(depth, (count,))[:, None, None]
    points = (
        path[:, None]
        + across[:, None] * (np.cos(angle)[None, :, None] * w)
        + along[:, None] * (np.sin(angle)[None, :, None] * d)
    )
    if closed:
        points = np.concatenate([points, points[:1]])
    else:  # closes the ends with a point each
        points = np.concatenate(
            [path[:1, None].repeat(sides + 1, 1), points, path[-1:, None].repeat(sides + 1, 1)]
        )
    return points.reshape(-1, 3), grid_triangles(len(points), sides + 1)[:, ::-1]


def sphere(centre: Array, radius: float | Array, rows: int = 10, columns: int = 16) -> tuple[Array, Array]:
    """Vertices and triangles of a sphere, or of a lumpy one where `radius` is (rows, columns + 1)."""
    latitude = np.linspace(-math.pi / 2, math.pi / 2, rows)[:, None]
    longitude = np.linspace(-math.pi, math.pi, columns + 1)[None]
    unit = np.stack(
        np.broadcast_arrays(
            np.sin(longitude) * np.cos(latitude), np.sin(latitude), np.cos(longitude) * np.cos(latitude)
        ),
        -1,
    )
    points = np.asarray(centre) + unit * np.asarray(radius)[..., None]
    return points.reshape(-1, 3), grid_triangles(rows, columns + 1)


@njit(**JIT)
def shell_radii(directions, heights, shape):
    """Distances from `SKULL_CENTRE` in unit directions (n, 3) to given heights above the skull."""
    out = np.empty(directions.shape[0])
    for i in range(directions.shape[0]):
        r = shape[SKH] + heights[i]
        x, y, z = directions[i, 0], directions[i, 1], directions[i, 2]
        for _ in range(12):
            d = skull_distance(x * r, 0.28 + y * r, -0.12 + z * r, shape) - heights[i]
            r -= d
            if abs(d) < 5e-4:
                break
        out[i] = r
    return out


@njit(**JIT)
def clear_of_skull(points, height, shape):
    """Moves points (n, 3) that lie nearer to the skull than `height` (n) outwards, in place."""
    e = 0.01
    for i in range(points.shape[0]):
        for _ in range(2):
            x, y, z = points[i, 0], points[i, 1], points[i, 2]
            d = skull_distance(x, y, z, shape)
            if d >= height[i]:
                break
            gx = skull_distance(x + e, y, z, shape) - d
            gy = skull_distance(x, y + e, z, shape) - d
            gz = skull_distance(x, y, z + e, shape) - d
            push = (height[i] - d) / (math.sqrt(gx * gx + gy * gy + gz * gz) + 1e-9)
            points[i, 0], points[i, 1], points[i, 2] = x + gx * push, y + gy * push, z + gz * push
