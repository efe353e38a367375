"""Is it still the portrait's person: one path for every embedding of faces."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from jaxtyping import Float, UInt8

from durian.portrait.inputs import Reference


class IdentityEmbedding(Protocol):
    """Faces as unit vectors whose cosine says how much two of them look like one person.

    How a face is cropped is the embedding's own matter, as each was trained with crops of its own.
    """

    def __call__(
        self, frames: UInt8[np.ndarray, "N H W 3"], landmarks: Float[np.ndarray, "N 478 3"]
    ) -> Float[np.ndarray, "N D"]:
        """One row for each frame. `landmarks` are finite, in pixels of the frames."""
        ...


def identity_similarity(
    embedding: IdentityEmbedding,
    frames: UInt8[np.ndarray, "F H W 3"],
    keypoints: Float[np.ndarray, "F 478 3"],
    portrait: Reference,
) -> float | None:
    """Mean cosine between the faces of the frames and the portrait's, in [-1, 1].

    Args:
        keypoints: landmarks that the frames were asked to have. They are not looked for in the frames: a
            frame without its face in place must not be left out of the mean.

    Returns:
        None where the portrait or all frames have no landmarks.
    """
    known = np.isfinite(keypoints).all((1, 2))
    if not known.any() or not np.isfinite(portrait.landmarks).all():
        return None
    person = embedding(portrait.image[None], portrait.landmarks[None])[0]
    return float((embedding(frames[known], keypoints[known]) @ person).mean())
