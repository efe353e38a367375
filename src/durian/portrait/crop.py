"""The square head-and-shoulder crop that the model works on."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from durian.portrait.geometry import face_template, fit_similarity, transform_points, warp_image

# The framing of the synthetic portraits that the small model is trained on (medians over their frames):
# the distance between the outer eye corners, seen from the front, and the point between the eyes, all in
# fractions of the image's side.
EYE_DISTANCE = 0.283
EYE_CENTRE = (0.5, 0.459)


@dataclass(frozen=True)
class FaceCrop:
    """An upright square of an image. It may reach beyond the image's border.

    Attributes:
        matrix: from the image's pixels to the crop's.
        size: side of the crop in pixels.
        source_size: (height, width) of the image.
    """

    matrix: Float[np.ndarray, "2 3"]
    size: int
    source_size: tuple[int, int]

    @classmethod
    def from_landmarks(
        cls,
        landmarks: Float[np.ndarray, "478 3"],
        size: int,
        image_shape: tuple[int, ...],
        scale: float = EYE_DISTANCE,
    ) -> FaceCrop:
        """Frame a face like the training data.

        Scale and place come from a 3D fit of the mean face, so that a turned head, whose eyes are closer
        together in the image, is not framed larger than a frontal one.

        Args:
            landmarks: of the face, in pixels of the image.
            size: side of the crop in pixels.
            image_shape: of the image, height and width first.
            scale: distance between the outer eye corners in the crop, in fractions of its side.
        """
        eye_distance, _, centre = fit_similarity(face_template(), landmarks)
        zoom = scale * size / eye_distance
        shift = np.array(EYE_CENTRE) * size - zoom * centre[:2]
        matrix = np.concatenate([zoom * np.eye(2), shift[:, None]], 1)
        return cls(matrix, size, (image_shape[0], image_shape[1]))

    def apply(self, image: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "size size 3"]:
        """Cut the crop out of the image; beyond its border the border's colours fade out softly."""
        zoom = self.matrix[0, 0]
        low = -self.matrix[:, 2] / zoom
        high = low + self.size / zoom
        limit = np.array(self.source_size[::-1])
        # Only what the crop can see is padded and filtered, however large the photo.
        first = np.clip(np.floor(low).astype(int) - 2, 0, limit - 1)
        last = np.clip(np.ceil(high).astype(int) + 2, first + 1, limit)
        left, top = np.maximum(0, np.ceil(-low)).astype(int)
        right, bottom = np.maximum(0, np.ceil(high - limit)).astype(int)
        part = image[first[1] : last[1], first[0] : last[0]]
        padded = cv2.copyMakeBorder(part, top, bottom, left, right, cv2.BORDER_REPLICATE)
        moved = self.matrix.copy()
        moved[:, 2] += zoom * (first - (left, top))
        crop = warp_image(padded, moved, (self.size, self.size))
        if not (left or top or right or bottom):
            return crop
        return _soften(crop, self.apply_mask(np.ones(self.source_size, np.float32)))

    def apply_mask(self, mask: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "size size"]:
        """Cut the crop out of a mask of the image; beyond the border it is 0."""
        return np.clip(warp_image(mask, self.matrix, (self.size, self.size)), 0, 1)

    def points(self, landmarks: Float[np.ndarray, "*N C"]) -> np.ndarray:
        """Landmarks of the image in pixels of the crop."""
        return transform_points(self.matrix, landmarks)


def _soften(crop: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Blur replicated border pixels, more the farther out, so that they show no streaks."""
    size = len(crop)
    distance = cv2.distanceTransform((inside < 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    weight = np.clip(distance / (0.1 * size), 0, 1)[..., None]
    # At a quarter of the size: the blur is so wide that it looks the same, and takes a fifth of the time.
    small = cv2.resize(crop, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    blurred = cv2.resize(cv2.GaussianBlur(small, (0, 0), 0.0125 * size), (size, size))
    return np.round(crop * (1 - weight) + blurred * weight).astype(np.uint8)
