"""How sharp a face is, whatever its light and the size of its picture."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from durian.portrait.keypoints import FACE_OVAL

_FACE_PIXELS = 128  # side of the face, at most, that sharpness is measured at


def face_sharpness(image: UInt8[np.ndarray, "H W 3"], landmarks: Float[np.ndarray, "478 3"]) -> float:
    """See `sharpness`, of one face whose landmarks are in pixels of the image."""
    return sharpness(*face_patch(image, landmarks))


def face_patch(
    frame: UInt8[np.ndarray, "H W 3"], landmarks: Float[np.ndarray, "478 3"]
) -> tuple[Float[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """The face's bounding box in grey at the size for sharpness, and where in it the face is."""
    low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
    # Never enlarged: of a small crop a face is as sharp as its pixels allow.
    scale = min(1.0, _FACE_PIXELS / max(*(high - low), 1.0))
    first, last = np.maximum(np.floor(low).astype(int), 0), np.ceil(high).astype(int)
    grey = cv2.cvtColor(frame[first[1] : last[1], first[0] : last[0]], cv2.COLOR_RGB2GRAY).astype(np.float32)
    patch = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    oval = np.round((landmarks[list(FACE_OVAL), :2] - first) * scale - 0.5).astype(np.int32)
    inside = np.zeros(patch.shape, np.uint8)
    cv2.fillPoly(inside, [oval], 1)
    return patch, inside.astype(bool)


def sharpness(patch: Float[np.ndarray, "h w"], inside: Bool[np.ndarray, "h w"]) -> float:
    """Variance of the smoothed Laplacian over the variance of grey, inside the face."""
    # Smoothed first: the rounding to 8 bits alone would make a blurred face in flat light look sharp.
    edges = cv2.Laplacian(cv2.GaussianBlur(patch, (0, 0), 1), cv2.CV_32F)
    return float(edges[inside].var() / max(float(patch[inside].var()), 1.0))
