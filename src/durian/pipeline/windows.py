"""Overlapping windows of frames, for videos longer than the motion modules see at once."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def frame_windows(frames: int, length: int, overlap: int) -> list[tuple[int, int]]:
    """Windows [start, stop) of at most `length` frames that cover all frames.

    Neighbours share at least `overlap` frames; all but a lone window have the full length.
    """
    if frames <= length:
        return [(0, frames)]
    count = -(-(frames - overlap) // (length - overlap))
    starts = np.linspace(0, frames - length, count).round().astype(int)
    return [(int(start), int(start) + length) for start in starts]


def window_weights(windows: list[tuple[int, int]]) -> list[Float[np.ndarray, " f"]]:
    """Weights of each window's frames that fade over the overlaps and sum to 1 at every frame."""
    ramps = []
    for index, (start, stop) in enumerate(windows):
        position = np.arange(start, stop) + 0.5
        ramp = np.ones(stop - start)
        if index > 0:
            shared = windows[index - 1][1] - start
            ramp = np.minimum(ramp, (position - start) / max(shared, 1))
        if index < len(windows) - 1:
            shared = stop - windows[index + 1][0]
            ramp = np.minimum(ramp, (stop - position) / max(shared, 1))
        ramps.append(ramp)
    total = np.zeros(windows[-1][1])
    for (start, stop), ramp in zip(windows, ramps, strict=True):
        total[start:stop] += ramp
    return [
        (ramp / total[start:stop]).astype(np.float32)
        for (start, stop), ramp in zip(windows, ramps, strict=True)
    ]
