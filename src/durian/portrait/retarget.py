"""Motion transfer of a whole clip."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from durian.errors import DurianError
from durian.portrait.motion_transfer import MotionOptions, MotionTransfer


def retarget(
    driving: Float[np.ndarray, "F 478 3"],
    portrait: Float[np.ndarray, "478 3"],
    reference_frame: int | None = None,
    max_shift: float | None = None,
    max_zoom: float | None = None,
    options: MotionOptions | None = None,
) -> Float[np.ndarray, "F 478 3"]:
    """Move the portrait's landmarks as the driver moves relative to one of its own frames.

    Args:
        driving: the driver's landmarks in pixels; frames with NaN (no face) are bridged in time.
        portrait: the portrait's landmarks, in pixels of the output.
        reference_frame: the driver's frame that corresponds to the portrait as it is. By default the one
            most like the portrait in pose, at rest and with open eyes: then the head stays about as far
            from the frontal view as the driver's does, wherever the clip begins; and the portrait's place
            and size correspond to the medians of the clip.
        max_shift, max_zoom: instead of the options'.
        options: what of the motion is taken over.

    Returns:
        Landmarks of every frame, in pixels of the portrait's image.

    Raises:
        DurianError: no frame of the driver has a face.
    """
    options = options or MotionOptions()
    options = replace(
        options,
        max_shift=options.max_shift if max_shift is None else max_shift,
        max_zoom=options.max_zoom if max_zoom is None else max_zoom,
    )
    driving = bridge_gaps(driving)
    transfer = MotionTransfer(portrait, options)
    transfer.fit(driving, reference_frame)
    return np.stack([transfer(frame) for frame in driving])


def bridge_gaps(landmarks: Float[np.ndarray, "F 478 3"]) -> Float[np.ndarray, "F 478 3"]:
    """Fill frames with NaN by linear interpolation in time, at the ends by the nearest frame."""
    found = np.isfinite(landmarks).all((1, 2))
    if not found.any():
        raise DurianError("no face was found in any frame of the driving video: choose one that shows a face")
    if found.all():
        return landmarks
    frames = np.arange(len(landmarks))
    flat = landmarks.reshape(len(landmarks), -1)
    filled = [np.interp(frames, frames[found], column[found]) for column in flat.T]
    return np.stack(filled, 1).reshape(landmarks.shape).astype(landmarks.dtype)
