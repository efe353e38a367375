"""A face's own coordinates and colours, by which attributes are told from skin."""

from __future__ import annotations

import cv2
import numpy as np

from durian.portrait.geometry import face_template, fit_similarity
from durian.portrait.keypoints import FACE_OVAL

_LIGHTING = (10.0, 3.0, 3.0)  # by how much light varies one colour over a head, in OpenCV's 8-bit Lab


class FaceFrame:
    """A face's places and colours in an image.

    `u`, `v` are every pixel's place in face coordinates: x to the right and y down along the face, in
    distances between the outer eye corners, from the point between the eyes.
    """

    def __init__(self, image: np.ndarray, landmarks: np.ndarray) -> None:
        self.lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32)
        self.image, self.landmarks = image, landmarks
        self.unit, rotation, centre = fit_similarity(face_template(), landmarks)
        # The projections of the head's own axes; dividing by their lengths undoes foreshortening.
        basis = rotation[:2, :2] / np.linalg.norm(rotation[:2, :2], axis=0)
        height, width = image.shape[:2]
        pixels = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), -1)
        self.u, self.v = np.moveaxis((pixels - centre[:2]) @ basis / self.unit, -1, 0)
        self.centre, self.basis = centre[:2], basis
        self.oval = self.polygon(FACE_OVAL)
        self.cheeks = self.oval & (np.abs(self.u) < 0.5) & (self.v > 0.15) & (self.v < 0.4)
        self.skin = self.distance(self.cheeks)

    def polygon(self, indices: tuple[int, ...]) -> np.ndarray:
        mask = np.zeros(self.image.shape[:2], np.uint8)
        cv2.fillPoly(mask, [np.round(self.landmarks[list(indices), :2] - 0.5).astype(np.int32)], 1)
        return mask.astype(bool)

    def grow(self, mask: np.ndarray, by: float) -> np.ndarray:
        """Dilate, or with negative `by` erode, by so many distances between the eye corners."""
        radius = max(1, round(abs(by) * self.unit))
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        change = cv2.dilate if by > 0 else cv2.erode
        return change(mask.astype(np.uint8), kernel).astype(bool)

    def v_of(self, index: int) -> float:
        """A landmark's height in the face."""
        return float(((self.landmarks[index, :2] - self.centre) @ self.basis)[1] / self.unit)

    def sample(self, values: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Values at places in face coordinates."""
        places = np.stack([u, v], -1) @ np.linalg.inv(self.basis) * self.unit + self.centre - 0.5
        return cv2.remap(values, *np.moveaxis(places, -1, 0).astype(np.float32), cv2.INTER_LINEAR)

    def distance(self, region: np.ndarray) -> np.ndarray:
        """How many standard deviations each pixel's colour is from the colours of a region."""
        colours = self.lab[region]
        if len(colours) < 8:
            return np.full(self.u.shape, np.inf, np.float32)
        middle = np.median(colours, 0)
        spread = 1.4826 * np.median(np.abs(colours - middle), 0) + _LIGHTING
        return np.sqrt((((self.lab - middle) / spread) ** 2).sum(-1))

    def difference(self, region: np.ndarray, skin: np.ndarray) -> float:
        """How much a region's median colour differs from that of skin, in parts of what light may change."""
        change = np.median(self.lab[region], 0) - np.median(self.lab[skin], 0)
        return float(np.linalg.norm(change / (2 * np.array(_LIGHTING))))
