"""Eyelids where they are when they are shut."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from durian.portrait.expression import EYES

_SHUT, _OPEN = 0.05, 0.2
"""Mean distance of the lids in widths of the eye, as MediaPipe finds it: of shut eyes, and from which on it
is right (`benchmarks/found_lids.py`)."""


def lids_shut(landmarks: Float[np.ndarray, "478 3"]) -> Float[np.ndarray, "478 3"]:
    """Landmarks as MediaPipe finds them, with the upper lids nearer to the lower ones where they nearly meet.

    Of shut eyes it leaves the lids a little apart, and an animation's eyes would stay half open in a blink.

    Args:
        landmarks: in pixels.
    """
    made = landmarks.copy()
    for lids, corners, _ in EYES:
        upper, lower = np.array(lids).T
        gap = landmarks[upper] - landmarks[lower]
        width = float(np.linalg.norm(landmarks[corners[0]] - landmarks[corners[1]]))
        found = float(np.linalg.norm(gap[:, :2], axis=1).mean()) / max(width, 1e-6)
        if 0 < found < _OPEN:
            true = max(0.0, found - _SHUT) * _OPEN / (_OPEN - _SHUT)
            made[upper] = landmarks[lower] + gap * (true / found)
    return made
