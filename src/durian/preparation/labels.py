"""Attribute masks as the label images that `durian.data.clips` reads."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from durian.labels import ATTRIBUTE_LABELS

# From the back to the front: where two masks overlap, the nearer one is what is seen.
_ORDER = ("hair", "beard", "hat", "glasses")


def label_images(
    masks: Mapping[str, Float[np.ndarray, "F S S"]],
    size: int,
    seen: Bool[np.ndarray, " F"],
    min_area: float,
    min_share: float,
) -> tuple[UInt8[np.ndarray, "F size size"], dict[str, float]]:
    """Draw the attributes that are worn, and say how much of the frame each covers.

    An attribute that a parser sees in a few frames only is its mistake: nobody puts on a hat for a tenth of
    a second. Such an attribute is left out of all frames. Glasses are drawn as frame and lens in one; no
    parser tells them apart.

    Args:
        masks: by attribute, in [0, 1].
        size: side of the label images in pixels.
        seen: frames with a face.
        min_area: share of a frame that an attribute must cover to be seen in it.
        min_share: share of the frames with a face in which it must be seen.

    Returns:
        Label images (0 where there is no attribute), and by attribute worn its mean area in `seen`.
    """
    labels = np.zeros((len(seen), size, size), np.uint8)
    for name in _ORDER:
        if name in masks:
            labels[_resize(masks[name], size) > 0.5] = ATTRIBUTE_LABELS[name]
    areas: dict[str, float] = {}
    for name in _ORDER:
        mask = labels == ATTRIBUTE_LABELS[name]
        area = mask[seen].mean((1, 2))
        if (area >= min_area).mean() >= min_share and area.any():
            areas[name] = float(area.mean())
        else:
            labels[mask] = 0
    return labels, areas


def _resize(masks: np.ndarray, size: int) -> np.ndarray:
    way = cv2.INTER_AREA if size < masks.shape[1] else cv2.INTER_LINEAR
    return np.stack([cv2.resize(mask, (size, size), interpolation=way) for mask in masks])
