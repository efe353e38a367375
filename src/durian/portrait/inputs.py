"""What the model sees, whatever it was made from: photos, a prepared video or a synthetic case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8


@dataclass(frozen=True)
class Reference:
    """One reference image at the model's resolution.

    Attributes:
        image: RGB, not yet masked.
        mask: in [0, 1]. For an attribute, where the attribute is (`M_attr`). For the portrait, where
            attributes may go (`M_port = M_init ∪ M_aligned`, section 3.3 of the paper).
        landmarks: the face's landmarks in pixels of `image`.
        views: further pictures of the same, in other poses, each masked like this one. A portrait's are of
            the same camera and light, since all that they show may be seen in the result.
    """

    image: UInt8[np.ndarray, "H W 3"]
    mask: Float[np.ndarray, "H W"]
    landmarks: Float[np.ndarray, "478 3"]
    views: tuple[Reference, ...] = ()


@dataclass(frozen=True)
class AnimationInputs:
    """Everything `DurianPipeline.animate` needs.

    Attributes:
        portrait: whose person is animated.
        attributes: what that person shall wear, by attribute name.
        keypoints: driving landmarks of every frame, already retargeted to the portrait's face, in
            pixels of the output frames.
        fps: frames a second of the result.
    """

    portrait: Reference
    attributes: Mapping[str, Reference]
    keypoints: Float[np.ndarray, "F 478 3"]
    fps: float = 25.0
