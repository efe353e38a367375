"""Masks without specks and holes, with soft edges."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float

from durian.portrait.head_pose import head_pose

_SPECK = 0.012  # area up to which a part beside a larger one is a speck, in squares of the eyes' distance
_HOLE = (
    0.03  # area up to which a hole is filled; the eyes' lenses are larger, and are kept or filled as they are
)
_EDGE = 0.012  # deviation of the soft edge, in distances between the outer eye corners


def clean_mask(
    mask: Float[np.ndarray, "H W"], landmarks: Float[np.ndarray, "478 3"]
) -> Float[np.ndarray, "H W"]:
    """Drop specks, fill small holes, soften hard edges; thin parts that hold together are kept.

    Nothing is opened or eroded, which would cut the frames of glasses and strands of hair.

    Args:
        mask: in [0, 1].
        landmarks: of its wearer, in its pixels: sizes are relative to the face.
    """
    unit = head_pose(landmarks).scale
    inside = mask > 0.5
    kept = _without_small(inside, _SPECK * unit**2, spare_largest=True)
    filled = ~_without_small(~kept, _HOLE * unit**2, spare_largest=False)
    soft = mask.astype(np.float32)
    soft = np.where(filled & ~inside, 1, soft)
    # A dropped speck goes with its own soft edge, but not with that of its neighbours.
    far = cv2.dilate(filled.astype(np.uint8), _disc(4 * _EDGE * unit)) == 0
    soft = np.where((inside & ~filled) | far, 0, soft)
    return np.clip(cv2.GaussianBlur(soft, (0, 0), max(_EDGE * unit, 0.3)), 0, 1)


def _without_small(mask: np.ndarray, least: float, spare_largest: bool) -> np.ndarray:
    """Only connected parts of at least so many pixels, and the largest one in any case if asked."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA].astype(float)
    large = areas >= least
    if spare_largest and count > 1:
        large[1 + int(areas[1:].argmax())] = True
    large[0] = False
    return np.isin(parts, np.flatnonzero(large))


def _disc(radius: float) -> np.ndarray:
    side = 2 * max(1, round(radius)) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
