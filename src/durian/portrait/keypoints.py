"""Keypoint images `K`: the driving landmarks, drawn."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8

# Polylines over MediaPipe's 478 points (468 of the face mesh, then the irises). Left and right are the
# person's own. Each group has a colour of its own, so that the guider can tell a lip from a brow.
FACE_OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
             148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109, 10)  # fmt: skip
LIPS_OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185, 61)
LIPS_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191, 78)
RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246, 33)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466, 263)
RIGHT_BROW = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46, 70)
LEFT_BROW = (300, 293, 334, 296, 336, 285, 295, 282, 283, 276, 300)
NOSE_BRIDGE = (168, 6, 197, 195, 5, 4)
NOSE_BASE = (98, 97, 2, 326, 327)
RIGHT_IRIS = (469, 470, 471, 472, 469)
LEFT_IRIS = (474, 475, 476, 477, 474)

_LINES = (
    (FACE_OVAL, (128, 128, 128)),
    (RIGHT_BROW, (255, 128, 0)),
    (LEFT_BROW, (255, 200, 0)),
    (NOSE_BRIDGE, (0, 0, 255)),
    (NOSE_BASE, (0, 128, 255)),
    (LIPS_OUTER, (255, 0, 0)),
    (LIPS_INNER, (255, 0, 200)),
    (RIGHT_EYE, (0, 255, 0)),
    (LEFT_EYE, (0, 255, 160)),
    (RIGHT_IRIS, (255, 255, 255)),
    (LEFT_IRIS, (255, 255, 255)),
)

_SUBPIXEL_BITS = 4


def draw_keypoints(landmarks: Float[np.ndarray, "478 C"], size: int) -> UInt8[np.ndarray, "H W 3"]:
    """Draw one frame's landmarks as coloured, anti-aliased lines on black.

    Args:
        landmarks: x, y (further columns are ignored) in pixels of a `size`×`size` image; a frame with
            any NaN has no face and gives a black image.
        size: side of the square image in pixels.

    Returns:
        RGB image of shape (size, size, 3).
    """
    canvas = np.zeros((size, size, 3), np.uint8)
    points = np.asarray(landmarks, np.float64)[:, :2]
    if not np.isfinite(points).all():
        return canvas
    # Pixel centres lie at .5 in our convention and at whole numbers in OpenCV's.
    fixed = np.clip(np.round((points - 0.5) * 2**_SUBPIXEL_BITS), -(2**20), 2**20).astype(np.int32)
    for line, colour in _LINES:
        cv2.polylines(canvas, [fixed[list(line)]], False, colour, 1, cv2.LINE_AA, _SUBPIXEL_BITS)
    return canvas
