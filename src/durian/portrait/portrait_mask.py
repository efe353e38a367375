"""The portrait's mask `M_port`: where attributes may go."""

from __future__ import annotations

from collections.abc import Collection

import cv2
import numpy as np
from jaxtyping import Float

from durian.portrait.aligner import MaskAligner, align_mask
from durian.portrait.inputs import Reference

_MARGIN = 0.02  # it grows by this part of the image's side, so that no rim of the old attribute is left


def portrait_mask(
    own: Float[np.ndarray, "S S"],
    landmarks: Float[np.ndarray, "478 3"],
    attributes: Collection[Reference],
    aligner: MaskAligner = align_mask,
) -> Float[np.ndarray, "S S"]:
    """`M_port = M_init ∪ M_aligned` over all attributes (section 3.3 of the paper), a little grown.

    Args:
        own: `M_init`, where the portrait wears such attributes itself, in [0, 1].
        landmarks: of the portrait, in pixels of `own`.
        attributes: the references; their masks are brought to the portrait's pose.
        aligner: by which.
    """
    size = len(own)
    aligned = [aligner(each.mask, each.landmarks, landmarks, size) for each in attributes]
    radius = max(1, round(_MARGIN * size))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.dilate(np.max([own, *aligned], axis=0), disc)
