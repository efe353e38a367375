"""Turning, shifting and projecting posed points."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numba import njit

from durian.synth.fields import JIT
from durian.synth.performance import FrameState
from durian.synth.scene import Camera

PIVOT_Y, PIVOT_Z = -0.75, -0.25  # the head turns about a point in the neck
NECK_TOP, NECK_FOOT = -0.65, -1.6  # between them the neck follows the head less and less
BODY_SHIFT = 0.8  # share of a shift that the shoulders follow


@dataclass(frozen=True)
class HeadPose:
    """Rotation matrix and shift of the head."""

    rotation: Float[np.ndarray, "3 3"]
    shift: Float[np.ndarray, " 3"]

    @classmethod
    def of(cls, state: FrameState) -> HeadPose:
        """The pose that a frame's state asks for."""
        rotation = euler(state.yaw, state.pitch, state.roll)
        return cls(rotation, np.array([state.x, state.y, state.z], np.float64))


def euler(yaw: float, pitch: float, roll: float) -> Float[np.ndarray, "3 3"]:
    """Roll after yaw after pitch, in radians; signs as in `FrameState`."""
    cy, sy = math.cos(yaw), math.sin(yaw)
    cp, sp = math.cos(pitch), math.sin(pitch)
    cr, sr = math.cos(roll), math.sin(roll)
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    return about_z @ about_y @ about_x


@dataclass(frozen=True)
class View:
    """A camera for one frame: x, y in pixels are `centre ± scale * offset / distance`.

    Pixel centres lie at .5.
    """

    height: float
    distance: float
    scale: float
    centre: float

    @classmethod
    def of(cls, camera: Camera, zoom: float, size: int) -> View:
        """The view of a square image of `size` pixels (or samples)."""
        return cls(camera.height, camera.distance, camera.focal * zoom * size / 2, size / 2)

    def project(self, points: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """x, y in pixels and the distance along the viewing axis."""
        away = self.distance - points[..., 2]
        x = self.centre + self.scale * points[..., 0] / away
        y = self.centre - self.scale * (points[..., 1] - self.height) / away
        return np.stack([x, y, away], -1)


@njit(**JIT)
def turn(points, start, stop, rotation, shift, out):
    """Move rigid points [start, stop) with the head."""
    for i in range(start, stop):
        x, y, z = points[i, 0], points[i, 1] - PIVOT_Y, points[i, 2] - PIVOT_Z
        out[i, 0] = rotation[0, 0] * x + rotation[0, 1] * y + rotation[0, 2] * z + shift[0]
        out[i, 1] = rotation[1, 0] * x + rotation[1, 1] * y + rotation[1, 2] * z + shift[1] + PIVOT_Y
        out[i, 2] = rotation[2, 0] * x + rotation[2, 1] * y + rotation[2, 2] * z + shift[2] + PIVOT_Z


@njit(**JIT)
def turn_normals(normals, start, stop, rotation, out):
    """Turn directions [start, stop) with the head."""
    for i in range(start, stop):
        x, y, z = normals[i, 0], normals[i, 1], normals[i, 2]
        out[i, 0] = rotation[0, 0] * x + rotation[0, 1] * y + rotation[0, 2] * z
        out[i, 1] = rotation[1, 0] * x + rotation[1, 1] * y + rotation[1, 2] * z
        out[i, 2] = rotation[2, 0] * x + rotation[2, 1] * y + rotation[2, 2] * z


@njit(**JIT)
def bend_neck(points, normals, start, stop, rotation, shift, out, out_normals):
    """Move points of the neck: with the head at the top, with the shoulders at the foot."""
    for i in range(start, stop):
        t = (points[i, 1] - NECK_FOOT) / (NECK_TOP - NECK_FOOT)
        t = min(1.0, max(0.0, t))
        w = t * t * (3 - 2 * t)
        follow = BODY_SHIFT + (1 - BODY_SHIFT) * w
        x, y, z = points[i, 0] * 1.0, points[i, 1] - PIVOT_Y, points[i, 2] - PIVOT_Z
        nx, ny, nz = normals[i, 0], normals[i, 1], normals[i, 2]
        still, base, still_normal = (x, y, z), (0.0, PIVOT_Y, PIVOT_Z), (nx, ny, nz)
        for a in range(3):
            turned = rotation[a, 0] * x + rotation[a, 1] * y + rotation[a, 2] * z
            out[i, a] = still[a] + (turned - still[a]) * w + base[a] + shift[a] * follow
            turned = rotation[a, 0] * nx + rotation[a, 1] * ny + rotation[a, 2] * nz
            out_normals[i, a] = still_normal[a] + (turned - still_normal[a]) * w


@njit(**JIT)
def blend_lag(points, softness, rotation, shift, lag_rotation, lag_shift, out):
    """Move soft points between where the head is and where it lags behind."""
    for i in range(points.shape[0]):
        w = softness[i]
        x, y, z = points[i, 0], points[i, 1] - PIVOT_Y, points[i, 2] - PIVOT_Z
        base = (0.0, PIVOT_Y, PIVOT_Z)
        for a in range(3):
            q = rotation[a, 0] * x + rotation[a, 1] * y + rotation[a, 2] * z + shift[a]
            if w > 0:
                r = lag_rotation[a, 0] * x + lag_rotation[a, 1] * y + lag_rotation[a, 2] * z + lag_shift[a]
                q += (r - q) * w
            out[i, a] = q + base[a]


@njit(**JIT)
def project_samples(points, height, distance, scale, centre, out):
    """Screen x, y and inverse distance of points."""
    for i in range(points.shape[0]):
        inverse = 1.0 / (distance - points[i, 2])
        out[i, 0] = centre + scale * points[i, 0] * inverse
        out[i, 1] = centre - scale * (points[i, 1] - height) * inverse
        out[i, 2] = inverse


@njit(**JIT)
def vertex_normals(points, triangles, out):
    """Area-weighted unit normals of a mesh's vertices."""
    for i in range(points.shape[0]):
        out[i, 0] = out[i, 1] = out[i, 2] = 0.0
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ux, uy, uz = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]
        vx, vy, vz = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1], points[c, 2] - points[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for k in (a, b, c):
            out[k, 0] += nx
            out[k, 1] += ny
            out[k, 2] += nz
    for i in range(points.shape[0]):
        scale = 1.0 / math.sqrt(out[i, 0] ** 2 + out[i, 1] ** 2 + out[i, 2] ** 2 + 1e-18)
        out[i, 0] *= scale
        out[i, 1] *= scale
        out[i, 2] *= scale
