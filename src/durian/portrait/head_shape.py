"""A head's rough shape in face coordinates, on NumPy arrays and on tensors alike."""

from __future__ import annotations

import math
from typing import Any, NamedTuple


class HeadShape(NamedTuple):
    """Depth far from the face, how much nearer the face's middle is, and how wide, high and low that lies, in
    distances between the outer eye corners."""

    far: Any
    bulge: Any
    width: Any
    height: Any
    centre: Any


HEAD_SHAPE = HeadShape(1.1, 1.2, 0.9, 1.2, 0.35)
"""Of a few shapes the one with which hair that was moved between two frames of a synthetic clip by face
coordinates alone matched best (19.3 dB; 16.3 dB in the image plane). `benchmarks/head_shape.py` fits one that
says better what is where; networks want to be trained with it."""

MAX_TILT = 0.85
"""The parallax up to which no two places of the shape are seen at the same spot."""


def head_depth(x: Any, y: Any, shape: HeadShape = HEAD_SHAPE) -> Any:
    """Depth of the head's surface, away from the camera, where a frontal view shows it at x, y."""
    far, bulge, width, height, centre = shape
    return far - bulge * math.e ** -((x / width) ** 2 + ((y - centre) / height) ** 2)


def undo_parallax(
    x: Any, y: Any, tilt_x: Any, tilt_y: Any, iterations: int = 8, shape: HeadShape = HEAD_SHAPE
) -> tuple[Any, Any]:
    """Face coordinates of what is seen at x, y of a head that is turned.

    The inverse of x + tilt_x · depth(x, y), and of y alike, by fixed-point iteration.

    Args:
        tilt_x, tilt_y: how far a place moves in the image for a unit of depth, at most `MAX_TILT` together.
    """
    face_x, face_y = x, y
    for _ in range(iterations):
        depth = head_depth(face_x, face_y, shape)
        face_x, face_y = x - tilt_x * depth, y - tilt_y * depth
    return face_x, face_y
