"""Thin lines in a face: rims of glasses, but lids and brows too."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float

from durian.portrait.face_frame import FaceFrame


def line_contrast(face: FaceFrame) -> Float[np.ndarray, "H W"]:
    """Thin dark or (less telling) bright lines, relative to what a cheek's skin shows of them; from 0 on."""
    grey = cv2.GaussianBlur(face.lab[..., 0], (0, 0), 0.01 * face.unit)
    radius = max(1, round(0.04 * face.unit))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    dark = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, kernel)
    bright = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, kernel)
    lines = np.maximum(dark, 0.7 * bright)
    cheeks = face.oval & (face.v > 0.5) & (face.v < 0.65) & (np.abs(face.u) < 0.5)
    return lines / (2 + (lines[cheeks].mean() if cheeks.any() else 0))
