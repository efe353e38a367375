"""Where glasses are: the place, size and shape of lenses that collect the most line around the eyes."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Float

from durian.portrait.face_frame import FaceFrame
from durian.portrait.keypoints import LEFT_BROW, LEFT_EYE, RIGHT_BROW, RIGHT_EYE

_BRIDGE = 0.5  # the least contrast (`line_contrast`) of a bridge of glasses
_RIM = 0.04  # of glasses, in distances between the outer eye corners
_STIFFNESS = 0.5  # of lenses against being unlike each other


def find_glasses(face: FaceFrame, lines: Float[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """Frame and lenses, if a bridge crosses the nose: two superellipses, nearly mirrored about it.

    `lines` are the face's (`line_contrast`).
    """
    across = face.sample(lines, *np.meshgrid(np.linspace(-0.06, 0.06, 7), np.linspace(-0.15, 0.2, 24)))
    if across.min(1).max() < _BRIDGE:
        return np.zeros(face.v.shape, bool)
    lines = _foreign(face, lines)
    grid = np.meshgrid(
        np.linspace(0.30, 0.42, 5),  # centre, from the nose
        np.linspace(-0.05, 0.2, 6),  # centre, below the eyes
        np.linspace(0.2, 0.36, 6),  # half width
        np.linspace(0.14, 0.34, 6),  # half height
        [2.0, 3.0],  # exponent: round, nearly square
    )
    shapes = np.stack([axis.ravel() for axis in grid], 1)
    shapes = shapes[shapes[:, 0] - shapes[:, 2] > 0.03]  # the nose is between the lenses
    score = sum(_line_along(face, lines, shapes, side) for side in (-1, 1))
    both = shapes[np.argmax(score)]
    inside = np.zeros(face.v.shape, bool)
    for side in (-1, 1):
        u0, v0, a, b, power = _own_lens(face, lines, both, side)
        beside, below = np.abs(side * face.u - u0), np.abs(face.v - v0)
        inside |= (beside / (a + _RIM)) ** power + (below / (b + _RIM)) ** power < 1
    u0, v0, a, b, _ = both
    bridge = (np.abs(face.u) < u0 - a + _RIM) & (np.abs(face.v - v0 + 0.4 * b) < 0.3 * b)
    return inside | bridge


def better_outlined(
    face: FaceFrame,
    lines: Float[np.ndarray, "H W"],
    one: Bool[np.ndarray, "H W"],
    other: Bool[np.ndarray, "H W"],
) -> bool:
    """Whether there is more line along the outline of one mask than along that of the other."""
    side = 2 * round(_RIM * face.unit) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    near = cv2.dilate(_capped(_foreign(face, lines)), disc)
    first, second = (
        cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
        for mask in (one, other)
    )
    return bool(first.any() and (not second.any() or near[first].mean() > near[second].mean()))


def _foreign(face: FaceFrame, lines: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    """Without lids and brows, which are lines too, but not of glasses."""
    own = (LEFT_EYE, RIGHT_EYE, LEFT_BROW, RIGHT_BROW)
    return np.where(np.any([face.grow(face.polygon(part), 0.05) for part in own], axis=0), 0, lines)


def _capped(lines: np.ndarray) -> np.ndarray:
    """The logarithm and a cap: a whole rim counts for more than a strong piece of one."""
    return np.minimum(np.log1p(lines), 2)


def _own_lens(face: FaceFrame, lines: np.ndarray, both: np.ndarray, side: int) -> np.ndarray:
    """One lens, moved and stretched a little where that collects clearly more line: heads are turned, and
    glasses sit askew."""
    steps = np.meshgrid([-0.05, 0, 0.05], [-0.04, 0, 0.04], [-0.04, 0, 0.04, 0.08], [-0.03, 0, 0.03, 0.06])
    changes = np.stack([axis.ravel() for axis in steps], 1)
    shapes = np.concatenate([both[:4] + changes, np.full((len(changes), 1), both[4])], 1)
    shapes = shapes[shapes[:, 0] - shapes[:, 2] > 0.03]
    cost = _STIFFNESS * np.abs(shapes - both).sum(1)
    return shapes[np.argmax(_line_along(face, lines, shapes, side) - cost)]


def _line_along(face: FaceFrame, lines: np.ndarray, shapes: np.ndarray, side: int) -> np.ndarray:
    """How much line each superellipse (centre, half sides, exponent) collects on a side of the nose."""
    u0, v0, a, b, power = shapes.T[..., None]
    cos, sin = np.cos(turn := np.linspace(0, 2 * np.pi, 64, endpoint=False)), np.sin(turn)
    u = u0 + a * np.sign(cos) * np.abs(cos) ** (2 / power)
    v = v0 + b * np.sign(sin) * np.abs(sin) ** (2 / power)
    return _capped(face.sample(lines, side * u, v)).mean(1)
