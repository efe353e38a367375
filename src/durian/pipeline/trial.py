"""An animation of the packaged pictures, for whoever needs to see a network at work."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from durian.media.images import read_image, read_mask
from durian.portrait.geometry import face_template
from durian.portrait.inputs import AnimationInputs, Reference

_SAMPLES = Path(__file__).parents[1] / "samples"


def trial_inputs(size: int, frames: int) -> AnimationInputs:
    """The portrait, hair and eyeglasses with landmarks of the mean face, which moves to the right.

    Args:
        size: side of the pictures in pixels.
        frames: how many the animation has.
    """
    landmarks = face_template() * size / 4
    landmarks[:, :2] += size / 2
    landmarks = landmarks.astype(np.float32)

    def reference(name: str) -> Reference:
        image, mask = read_image(_SAMPLES / f"{name}.png"), read_mask(_SAMPLES / f"{name}_mask.png")
        small, area = (cv2.resize(x, (size, size), interpolation=cv2.INTER_AREA) for x in (image, mask))
        return Reference(small, (area > 0.5).astype(np.float32), landmarks)

    steps = np.zeros((frames, 1, 3), np.float32)
    steps[:, 0, 0] = np.linspace(0, size / 10, frames)
    attributes = {name: reference(name) for name in ("hair", "glasses")}
    return AnimationInputs(reference("portrait"), attributes, landmarks[None] + steps)
