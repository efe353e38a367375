"""Which of several faces in a picture is meant."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from durian.errors import DurianError
from durian.portrait.landmarks import FaceFinder, LandmarkDetector


@dataclass(frozen=True)
class FaceChoice:
    """The largest face, or one of the others.

    Attributes:
        index: the face's number from left to right, from 1.
        point: x, y in pixels; the face nearest to it.
    """

    index: int | None = None
    point: tuple[float, float] | None = None

    @classmethod
    def parse(cls, text: str) -> FaceChoice:
        """`largest`, a number from left to right, or `X,Y`.

        Raises:
            DurianError: it is none of these.
        """
        try:
            numbers = [] if text == "largest" else [float(part) for part in text.split(",")]
        except ValueError:
            numbers = [math.nan]
        if not numbers:
            return cls()
        if len(numbers) == 2 and np.isfinite(numbers).all():
            return cls(point=(numbers[0], numbers[1]))
        if len(numbers) == 1 and numbers[0] >= 1 and numbers[0] % 1 == 0:
            return cls(index=int(numbers[0]))
        raise DurianError(
            f"face {text!r}: write 'largest', a number counted from 1 at the left, or X,Y in pixels"
        )

    def choose(self, faces: Sequence[Float[np.ndarray, "478 3"]]) -> Float[np.ndarray, "478 3"] | None:
        """The face that is meant, or None if it is not among these."""
        if not faces:
            return None
        centres = np.stack([(face[:, :2].min(0) + face[:, :2].max(0)) / 2 for face in faces])
        if self.point is not None:
            return faces[int(np.linalg.norm(centres - self.point, axis=1).argmin())]
        if self.index is not None:
            return faces[np.argsort(centres[:, 0])[self.index - 1]] if self.index <= len(faces) else None
        sizes = [np.ptp(face[:, :2], axis=0).prod() for face in faces]
        return faces[int(np.argmax(sizes))]

    def candidates(
        self, image: UInt8[np.ndarray, "H W 3"], detector: LandmarkDetector
    ) -> list[Float[np.ndarray, "478 3"]]:
        """Landmarks of the faces of an image to choose among.

        Args:
            image: RGB.
            detector: for a choice other than the largest it must find all faces (`FaceFinder`).
        """
        if isinstance(detector, FaceFinder):
            return detector.search(image, thorough=True)
        if self != LARGEST:
            raise TypeError("this detector finds one face only: it cannot choose among several")
        landmarks = detector(image)
        return [] if landmarks is None else [landmarks]


LARGEST = FaceChoice()
