"""From one attribute to another over a video (section 3.4 of the paper)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from durian.errors import DurianError


def shares(blend: tuple[float, float], frames: int) -> Float[np.ndarray, " F"]:
    """How far each of so many frames is on the way, from the first one's share to the last one's.

    Raises:
        DurianError: these are not in 0 … 1.
    """
    if not all(0 <= end <= 1 for end in blend):
        raise DurianError(f"a blend from {blend[0]:g} to {blend[1]:g}: both must be in 0 … 1")
    return np.linspace(*blend, frames, dtype=np.float32)
