"""Pictures that say of every pixel which point of the person it shows, in 16 bits.

Synthetic clips have them (`durian.synth.surface`). The same point of a person has the same place in every
picture, so two of them tell where what one frame shows is in another.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, UInt16

REACH = 4.0
"""Places lie in (-REACH, REACH), in head-space units."""

_NOBODY, _STEPS = 0, 65534


def encode_surface(surface: Float32[np.ndarray, "H W 3"]) -> UInt16[np.ndarray, "H W 3"]:
    """Places to whole numbers, 0 for NaN."""
    steps = np.rint((np.clip(surface, -REACH, REACH) + REACH) * (_STEPS / (2 * REACH))) + 1
    return np.where(np.isfinite(surface), steps, _NOBODY).astype(np.uint16)


def decode_surface(encoded: UInt16[np.ndarray, "*N 3"]) -> Float32[np.ndarray, "*N 3"]:
    """The inverse, to within 1e-4."""
    places = (encoded.astype(np.float32) - 1) * np.float32(2 * REACH / _STEPS) - REACH
    return np.where(encoded == _NOBODY, np.float32(np.nan), places)
