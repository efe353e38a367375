"""A bank of other people's attribute masks, from which the portrait's mask is expanded (section 3.3).

In the paper `M_gen` is the attribute's mask in an image that a diffusion model generates for the portrait's
keypoints. A bank holds such masks, made beforehand (`durian mask-bank`), or without any generator the masks
of the other clips; either way the landmarks bring a mask onto the portrait's face.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from durian.portrait.geometry import ANCHORS, face_template, fit_similarity, similarity_matrix, warp_image


@dataclass(frozen=True)
class MaskSource:
    """Masks of one attribute of one person.

    Attributes:
        landmarks: of each frame, in pixels of its mask.
        frames: those in which the attribute can be seen.
        read: the mask of a frame, in {0, 1}.
    """

    landmarks: Float[np.ndarray, "F 478 3"]
    frames: Int[np.ndarray, " N"]
    read: Callable[[int], np.ndarray]


class MaskBank:
    """Draws masks and brings them to a face.

    Args:
        sources: by attribute.
        nearest: draw among so many sources whose first face is most like the portrait's in pose and shape,
            as a generator that follows the portrait's keypoints would; None draws among all.
    """

    def __init__(self, sources: Mapping[str, Sequence[MaskSource]], nearest: int | None = None):
        self.sources = sources
        self.nearest = nearest
        self._shapes = {}
        if nearest is not None:
            self._shapes = {
                name: np.stack([_shape(one.landmarks[one.frames[0]]) for one in each])
                for name, each in sources.items()
            }

    def counts(self) -> dict[str, int]:
        """Sources of each attribute."""
        return {name: len(each) for name, each in self.sources.items()}

    def pick(
        self, rng: np.random.Generator, attribute: str, landmarks: Float[np.ndarray, "478 3"]
    ) -> MaskSource:
        """Whose mask to take for a face."""
        sources = self.sources[attribute]
        if self.nearest is None or len(sources) <= self.nearest:
            return sources[int(rng.integers(len(sources)))]
        distance = np.linalg.norm(self._shapes[attribute] - _shape(landmarks), axis=1)
        return sources[np.argsort(distance, kind="stable")[rng.integers(self.nearest)]]

    def draw(
        self,
        rng: np.random.Generator,
        attribute: str,
        landmarks: Float[np.ndarray, "478 3"],
        shape: tuple[int, int],
    ) -> Float[np.ndarray, "H W"]:
        """`M_gen`: somebody's mask of `attribute`, brought by a similarity to the face with `landmarks` in
        an image of `shape` (height, width)."""
        source = self.pick(rng, attribute, landmarks)
        frame = int(rng.choice(source.frames))
        matrix = similarity_matrix(source.landmarks[frame], landmarks)
        return warp_image(np.asarray(source.read(frame), np.float32), matrix, shape)


def _shape(landmarks: Float[np.ndarray, "478 3"]) -> Float[np.ndarray, " D"]:
    """Landmarks without place, size and roll: what is left is pose, expression and face."""
    anchors = np.asarray(landmarks, np.float64)[list(ANCHORS), :2]
    scale, rotation, shift = fit_similarity(anchors, face_template()[list(ANCHORS), :2])
    return (scale * anchors @ rotation.T + shift).ravel()
