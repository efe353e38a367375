"""A 3D proxy of the head and its surroundings: where on another head a pixel of one head lies.

The proxy is a family of nested ellipsoids about the skull, for hair and hats beyond it, and a face that
follows the landmarks. A head is seen in weak perspective.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

from durian.portrait.geometry import ANCHORS, face_template, fit_similarity
from durian.portrait.head_shape import MAX_TILT, head_depth, undo_parallax

# The skull with some hair in face coordinates (`face_template`).
_CENTRE = np.array([0.0, 0.1, 0.8])
_RADII = np.array([1.0, 1.25, 1.05])
_REACH = 0.18  # of a landmark's influence, in distances between the outer eye corners

MIRROR = np.array([-1.0, 1.0, 1.0])
"""Brings a point of the head to its other side."""


@dataclass(frozen=True)
class Head:
    """A head in an image: `pixels = (scale · rotation @ point + shift)[:2]` of points in face coordinates.

    Attributes:
        scale: pixels to the distance between the outer eye corners.
        rotation: from face coordinates to the camera's (x right, y down, z away).
        shift: of the point between the eyes, in pixels.
        anchors: the landmarks `ANCHORS` in pixels, x and y, for the face's own shape.
    """

    scale: float
    rotation: Float[np.ndarray, "3 3"]
    shift: Float[np.ndarray, " 3"]
    anchors: Float[np.ndarray, "A 2"]

    @classmethod
    def of(cls, landmarks: Float[np.ndarray, "478 3"]) -> Head:
        """The pose that brings the mean face to the landmarks."""
        scale, rotation, shift = fit_similarity(face_template(), landmarks)
        return cls(scale, rotation, shift, np.asarray(landmarks, np.float64)[list(ANCHORS), :2])

    def project(self, points: Float[np.ndarray, "*N 3"]) -> Float[np.ndarray, "*N 2"]:
        """Points in face coordinates to pixels."""
        return self.scale * points @ self.rotation[:2].T + self.shift[:2]

    def shell(
        self, pixels: Float[np.ndarray, "N 2"], radius: float = 1.0
    ) -> tuple[Float[np.ndarray, "N 3"], Float[np.ndarray, " N"]]:
        """What pixels show of an ellipsoid about the skull, and how far beside it they look.

        Args:
            pixels: of the image.
            radius: of the ellipsoid, relative to the skull's.

        Returns:
            In face coordinates the front of the ellipsoid or, where the line of sight passes it by, the
            point of that line nearest to it; and the line's least distance from the centre in radii.
        """
        radii = radius * _RADII
        start = (pixels - self.project(_CENTRE)) / self.scale @ self.rotation[:2]
        sight = self.rotation[2]
        # The first crossing is the smaller root of a quadratic equation.
        a = ((sight / radii) ** 2).sum()
        b = (start / radii) @ (sight / radii)
        c = ((start / radii) ** 2).sum(1)
        depth = (-b - np.sqrt(np.maximum(b**2 - a * (c - 1), 0))) / a
        return start + depth[:, None] * sight + _CENTRE, np.sqrt(np.maximum(c - b**2 / a, 0))

    def facing(self, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, " N"]:
        """Cosine at which the skull below points faces the camera; negative where it is hidden."""
        normals = (points - _CENTRE) / _RADII**2
        return -(normals @ self.rotation[2]) / (np.linalg.norm(normals, axis=1) + 1e-9)

    def face_points(self, pixels: Float[np.ndarray, "N 2"]) -> Float[np.ndarray, "N 3"]:
        """Points of the mean face that pixels show: near landmarks by these, else by a smooth depth."""
        place, template = self._flat(pixels), face_template()[list(ANCHORS)].astype(np.float64)
        place = place + _spread(place, self._flat(self.anchors), template[:, :2])
        return np.concatenate([place, head_depth(place[:, :1], place[:, 1:])], 1)

    def face_pixels(self, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 2"]:
        """Where points of `face_points` are in this image."""
        template = face_template()[list(ANCHORS)].astype(np.float64)
        smooth = np.concatenate([template[:, :2], head_depth(template[:, :1], template[:, 1:2])], 1)
        return self.project(points) + _spread(
            points[:, :2], template[:, :2], self.anchors, self.project(smooth)
        )

    def _flat(self, pixels: Float[np.ndarray, "N 2"]) -> Float[np.ndarray, "N 2"]:
        inverse = np.linalg.inv(self.scale * self.rotation[:2, :2])
        tilt = self.scale * inverse @ self.rotation[:2, 2]
        tilt *= min(1.0, MAX_TILT / max(float(np.linalg.norm(tilt)), 1e-9))
        flat = (pixels - self.shift[:2]) @ inverse.T
        return np.stack(undo_parallax(flat[:, 0], flat[:, 1], *tilt), -1)


def _spread(
    points: Float[np.ndarray, "N 2"],
    anchors: Float[np.ndarray, "A 2"],
    targets: Float[np.ndarray, "A 2"],
    places: Float[np.ndarray, "A 2"] | None = None,
) -> Float[np.ndarray, "N 2"]:
    """How far points move so that anchors come from `places` (or where they are) to their targets."""
    squared = ((points[:, None] - anchors[None]) ** 2).sum(-1)
    weight = np.exp(-squared / (2 * _REACH**2))
    moves = targets - (anchors if places is None else places)
    return weight @ moves / (weight.sum(1, keepdims=True) + 0.3)


def warp_around_skull(
    image: np.ndarray,
    source_landmarks: Float[np.ndarray, "478 3"],
    target_landmarks: Float[np.ndarray, "478 3"],
    size: int,
) -> np.ndarray:
    """An image or mask laid on the skull's ellipsoid and turned with it from one head to another.

    Each pixel of the target looks for its point of the ellipsoid, and is read where the source has that
    point, seen or hidden. Looking back from the target leaves no holes.
    """
    source, target = Head.of(source_landmarks), Head.of(target_landmarks)
    axis = np.arange(size) + 0.5
    pixels = np.stack(np.meshgrid(axis, axis, indexing="xy"), -1).reshape(-1, 2)
    places = source.project(target.shell(pixels)[0]) - 0.5  # OpenCV's pixel centres lie at whole numbers
    places = places.reshape(size, size, 2).astype(np.float32)
    return cv2.remap(image.astype(np.float32), places[..., 0], places[..., 1], cv2.INTER_LINEAR)
