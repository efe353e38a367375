"""How a face deforms: weights per point, worked out once, that a frame's expression is multiplied with."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32
from numba import njit

from durian.synth.fields import CENTRE_Y, INLINE, JIT
from durian.synth.head import Head
from durian.synth.performance import FrameState

JAW_ANGLE = 0.33  # radians that a fully open jaw turns
HINGE_Y = -0.10  # height of the axis that the jaw turns about; its depth is 0
SHAPES = 5  # smile, cheeks (that only a smile lifts), pucker, brow_up, brow_in


@dataclass(frozen=True)
class Rig:
    """Deformation weights of points of the face.

    `jaw` is the share of the jaw's rotation that a point follows; `shapes` holds a displacement per unit
    of each expression.
    """

    jaw: Float32[np.ndarray, " n"]
    shapes: Float32[np.ndarray, "n 5 3"]

    @classmethod
    def of(cls, head: Head, points: Float[np.ndarray, "n 3"], side: np.ndarray | None = None) -> Rig:
        """The weights of points in head space.

        `side` is +1 for points of the upper lip, -1 for the lower and 0 where the height decides.
        """
        points = np.ascontiguousarray(points, np.float64)
        side = np.zeros(len(points)) if side is None else np.asarray(side, np.float64)
        mouth = (head.mouth_lon, head.mouth_lat, head.mouth_y)
        return cls(*_weights(points, side, *mouth, head.eye_x, head.brow_y))

    @classmethod
    def rigid(cls, count: int, jaw: float = 0.0) -> Rig:
        """Points without expression that follow the jaw by one share: teeth, tongue."""
        return cls(np.full(count, jaw, np.float32), np.zeros((count, SHAPES, 3), np.float32))

    def repeat(self, times: int) -> Rig:
        """Every point `times` times in a row."""
        return Rig(np.repeat(self.jaw, times), np.repeat(self.shapes, times, 0))


def expression_vector(state: FrameState) -> Float[np.ndarray, " 6"]:
    """Jaw angle in radians, then the strengths of the shapes."""
    return np.array(
        [
            state.jaw * JAW_ANGLE,
            state.smile,
            max(state.smile, 0.0),
            state.pucker,
            state.brow_up,
            state.brow_in,
        ]
    )


@njit(**JIT)
def deform(points, jaw, shapes, expression, out):
    """Deform points by a rig's weights and an `expression_vector`."""
    for i in range(points.shape[0]):
        x, y, z = points[i, 0], points[i, 1] - HINGE_Y, points[i, 2]
        w = jaw[i]
        angle = expression[0] * w
        c, s = math.cos(angle), math.sin(angle)
        ox = x * (1.0 - 0.15 * angle)
        oy = c * y - s * z + HINGE_Y
        oz = s * y + c * z
        for k in range(SHAPES):
            e = expression[k + 1]
            ox += e * shapes[i, k, 0]
            oy += e * shapes[i, k, 1]
            oz += e * shapes[i, k, 2]
        out[i, 0], out[i, 1], out[i, 2] = ox, oy, oz


@njit(**INLINE)
def _bump(x):
    """exp(-x), which costs, only where it matters."""
    return math.exp(-x) if x < 16.0 else 0.0


@njit(**JIT)
def _weights(points, side, mouth_lon, mouth_lat, mouth_y, eye_x, brow_y):
    n = points.shape[0]
    jaw = np.zeros(n, np.float32)
    shapes = np.zeros((n, SHAPES, 3), np.float32)
    corner_x = mouth_lon * 0.80
    for i in range(n):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        if z <= -0.05:
            continue
        level = math.sqrt(x * x + z * z)
        above = (math.atan2(y - CENTRE_Y, level) - mouth_lat) * 0.9
        upper = side[i] > 0 or (side[i] == 0 and above > 0)
        # The lips part in the middle and stay together at the corners.
        joined = 0.5 * _bump((above / 0.22) ** 2)
        if joined > 0.0:
            away = min(1.0, abs(math.atan2(x, z)) / mouth_lon)
            joined *= away * away * math.sqrt(away)
        front = min(1.0, max(0.0, (z + 0.05) / 0.35))
        jaw[i] = (joined if upper else 1.0 - joined) * front * front * (3 - 2 * front)
        if z <= 0:
            continue
        # Not a step: nothing may jump in the middle of the face.
        sign = math.tanh(x / 0.07) if abs(x) < 0.6 else math.copysign(1.0, x)
        ax = abs(x)
        dy = y - mouth_y
        corner = _bump(((ax - corner_x) / 0.20) ** 2 + (dy / 0.19) ** 2)
        shapes[i, 0, 0] = sign * corner * 0.085
        shapes[i, 0, 1] = corner * 0.085
        shapes[i, 0, 2] = -corner * 0.03
        cheek = _bump(((ax - 0.44) / 0.2) ** 2 + ((y + 0.27) / 0.16) ** 2)
        shapes[i, 1, 0] = sign * cheek * 0.02
        shapes[i, 1, 1] = cheek * 0.045
        shapes[i, 1, 2] = cheek * 0.035
        shapes[i, 2, 0] = -sign * corner * 0.10
        shapes[i, 2, 2] = 0.04 * _bump((x / 0.2) ** 2 + (dy / 0.15) ** 2)
        brow = _bump(((y - brow_y + 0.015) / 0.15) ** 2) * min(1.0, z / 0.2)
        if brow == 0.0:
            continue
        shapes[i, 3, 1] = brow * 0.10 * _bump(((ax - eye_x) / 0.4) ** 2)
        shapes[i, 4, 0] = -sign * brow * 0.03 * _bump((ax - 0.12) ** 2 / 0.02)
        shapes[i, 4, 1] = -brow * 0.09 * _bump((ax - 0.1) ** 2 / 0.03)
    return jaw, shapes
