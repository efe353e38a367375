"""A face as OpenPose draws it, which is what most published control networks for poses were trained on."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8

# OpenPose's 70 points of a face, as points of MediaPipe's mesh; left and right are the person's own.
_RIGHT_JAW = (127, 234, 93, 132, 58, 136, 150, 176)
_LEFT_JAW = (400, 379, 365, 288, 361, 323, 454, 356)
_JAW = (*_RIGHT_JAW, 152, *_LEFT_JAW)
_BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
_NOSE = (168, 197, 5, 4, 98, 97, 2, 326, 327)
_EYES = (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380)
_LIPS = (61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87)
_PUPILS = (468, 473)
FACE_POINTS = (*_JAW, *_BROWS, *_NOSE, *_EYES, *_LIPS, *_PUPILS)

# Of its body: nose, the eyes' middles and the ears, with the colours of the bones between them.
_NOSE_TIP, _RIGHT_EAR, _LEFT_EAR = 4, 127, 356
_BONES = (
    ("nose", "right eye", (85, 0, 255)),
    ("right eye", "right ear", (170, 0, 255)),
    ("nose", "left eye", (255, 0, 255)),
    ("left eye", "left ear", (255, 0, 170)),
)
_JOINTS = {
    "nose": (255, 0, 0),
    "right eye": (170, 0, 255),
    "left eye": (255, 0, 255),
    "right ear": (255, 0, 170),
    "left ear": (255, 0, 85),
}
_BONE_OPACITY = 0.6


def draw_openpose(landmarks: Float[np.ndarray, "478 C"], size: int) -> UInt8[np.ndarray, "size size 3"]:
    """Head and face of one person on black; shoulders are not known and left out.

    Args:
        landmarks: x, y in pixels of a `size`×`size` image.
        size: side of the image in pixels.
    """
    points = np.asarray(landmarks, np.float64)[:, :2] - 0.5  # OpenCV's pixel centres lie at whole numbers
    thick = max(1, round(size / 128))
    places = {
        "nose": points[_NOSE_TIP],
        "right eye": points[468],
        "left eye": points[473],
        "right ear": points[_RIGHT_EAR],
        "left ear": points[_LEFT_EAR],
    }
    canvas = np.zeros((size, size, 3), np.uint8)
    for first, second, colour in _BONES:
        cv2.line(canvas, _pixel(places[first]), _pixel(places[second]), colour, thick, cv2.LINE_AA)
    canvas = np.round(canvas * _BONE_OPACITY).astype(np.uint8)
    for name, colour in _JOINTS.items():
        cv2.circle(canvas, _pixel(places[name]), thick, colour, -1, cv2.LINE_AA)
    for index in FACE_POINTS:
        cv2.circle(canvas, _pixel(points[index]), max(1, round(size / 256)), (255, 255, 255), -1, cv2.LINE_AA)
    return canvas


def _pixel(point: np.ndarray) -> tuple[int, int]:
    x, y = np.round(point).astype(int).tolist()
    return x, y
