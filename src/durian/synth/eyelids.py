"""The curves of the eyelids, drawn on the relaxed face seen from the front.

A `lids` vector holds eye x, eye y, half width, opening up, opening down, tilt, then how far the eyes at
the image's left and right are open (1 as drawn, 0 closed).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numba import njit

from durian.synth.fields import JIT
from durian.synth.identity import Identity
from durian.synth.performance import FrameState


def lid_vector(identity: Identity, state: FrameState) -> Float[np.ndarray, " 8"]:
    """The lids of one frame: the upper lid follows the gaze, a smile lifts the lower one."""
    eyes = identity.eyes
    upper = eyes.upper * (1 + 0.5 * state.gaze_y + 0.06 * state.brow_up - 0.06 * max(0.0, state.smile))
    lower = eyes.lower * (1 - 0.28 * max(0.0, state.smile) - 0.3 * state.gaze_y)
    return np.array(
        [
            *(eyes.x, eyes.y, eyes.width, upper, lower, eyes.tilt),
            *(1 - state.blink_left, 1 - state.blink_right),
        ]
    )


@njit(**JIT)
def eye_coordinates(x, y, lids):
    """Place in an eye's own frame: -1 to 1 from inner to outer corner, and up in the same unit."""
    ax = abs(x)
    return (ax - lids[0]) / lids[2], (y - lids[1] - lids[5] * (ax - lids[0])) / lids[2]


@njit(**JIT)
def lid_curves(across, open_, lids):
    """Heights of the upper and the lower lid's edge."""
    inside = max(0.0, 1.0 - across * across)
    low = -lids[4] * inside * (0.55 + 0.45 * open_)  # the lower lid rises slightly in a blink
    high = lids[3] * inside**0.75
    return low + (high - low) * open_, low


@njit(**JIT)
def lid_gap(x, y, lids):
    """Negative between the lids, positive on the skin, in half widths of the eye."""
    across, up = eye_coordinates(x, y, lids)
    if abs(across) >= 1.0:
        return abs(across) - 0.999
    open_ = lids[6] if x < 0 else lids[7]
    high, low = lid_curves(across, open_, lids)
    return max(up - high, low - up)
