"""The guided filter (He, Sun and Tang, 2010): values that follow a picture's edges."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8


def guided_filter(
    values: Float[np.ndarray, "H W"], guide: UInt8[np.ndarray, "H W 3"], radius: int, smoothness: float
) -> Float[np.ndarray, "H W"]:
    """What is nearest to `values` and, within each window, linear in the guide's colours.

    Args:
        values: any; say a mask in [0, 1].
        guide: the picture.
        radius: of the square windows, in pixels.
        smoothness: edges of the guide with a contrast far below this, in parts of 1, are not followed.
    """
    colours = guide.astype(np.float32) / 255
    mean = _mean(colours, radius)
    level = _mean(values.astype(np.float32), radius)
    pairs = _mean(np.einsum("hwi,hwj->hwij", colours, colours).reshape(*values.shape, 9), radius)
    spread = pairs.reshape(*values.shape, 3, 3) - np.einsum("hwi,hwj->hwij", mean, mean)
    common = _mean(colours * values[..., None], radius) - mean * level[..., None]
    slope = np.linalg.solve(spread + smoothness**2 * np.eye(3, dtype=np.float32), common[..., None])[..., 0]
    offset = level - (slope * mean).sum(-1)
    return (_mean(slope.astype(np.float32), radius) * colours).sum(-1) + _mean(offset, radius)


def _mean(values: np.ndarray, radius: int) -> np.ndarray:
    side = 2 * radius + 1
    if values.ndim == 3 and values.shape[-1] > 4:  # more channels than OpenCV's filters take at once
        return np.stack([_mean(part, radius) for part in np.moveaxis(values, -1, 0)], -1)
    return cv2.blur(values, (side, side), borderType=cv2.BORDER_REPLICATE)
