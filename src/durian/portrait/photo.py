"""A photo and the face in it that is meant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from durian.errors import DurianError
from durian.portrait.crop import FaceCrop
from durian.portrait.face_choice import LARGEST, FaceChoice
from durian.portrait.landmarks import LandmarkDetector


@dataclass(frozen=True)
class Photo:
    """A photo and its chosen face.

    Attributes:
        title: what to call it: "the portrait".
        image: the whole picture.
        landmarks: of the face, in its pixels.
        crop: the square that the model sees.
        rivals: landmarks of all faces, where nobody chose among them and the largest was taken.
    """

    title: str
    image: UInt8[np.ndarray, "H W 3"]
    landmarks: Float[np.ndarray, "478 3"]
    crop: FaceCrop
    rivals: tuple[Float[np.ndarray, "478 3"], ...] = ()

    @classmethod
    def find(
        cls,
        title: str,
        image: UInt8[np.ndarray, "H W 3"],
        size: int,
        detector: LandmarkDetector,
        choice: FaceChoice = LARGEST,
    ) -> Photo:
        """Look for the faces of a photo; `size` is the side of the model's pictures in pixels.

        Raises:
            DurianError: there is no face, or not so many as were counted.
        """
        faces = choice.candidates(image, detector)
        landmarks = choice.choose(faces)
        if not faces:
            raise DurianError(f"no face was found in {title}: choose one that shows a face from the front")
        if landmarks is None:
            count = "one face" if len(faces) == 1 else f"{len(faces)} faces"
            raise DurianError(f"face {choice.index} was asked for, but only {count} can be found in {title}")
        crop = FaceCrop.from_landmarks(landmarks, size, image.shape)
        # Who chose a face knows of the others.
        return cls(title, image, landmarks, crop, tuple(faces) if choice == LARGEST else ())
