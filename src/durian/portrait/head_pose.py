"""Where a head is and how it is turned, from its landmarks and a 3D template of the face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from durian.portrait.geometry import face_template, fit_similarity, rotation_angle

# Points that move with the skull and not with the expression: forehead, temples, bridge of the nose, eye
# corners, cheekbones, the upper part of the oval.
RIGID = (10, 338, 297, 332, 284, 251, 389, 356, 454, 127, 162, 21, 54, 103, 67, 109, 234, 168, 6, 197, 195,
         33, 133, 362, 263, 116, 345, 123, 352, 151, 9, 8, 143, 372, 34, 264)  # fmt: skip

# Degrees that the mean face, laid onto a head that looks straight ahead, is pitched: 6.4 for exact landmarks
# of synthetic people, 7.7 for those that MediaPipe finds in them, 5.8 to 14 on photos.
_TEMPLATE_PITCH = 7.0


@dataclass(frozen=True)
class HeadPose:
    """A 3D similarity from face coordinates (see `face_template`) to the image.

    Attributes:
        scale: pixels between the outer eye corners as they would be seen from the front.
        rotation: of the head, in image axes (x right, y down, z away from the camera).
        shift: of the point between the eyes, in pixels.
    """

    scale: float
    rotation: Float[np.ndarray, "3 3"]
    shift: Float[np.ndarray, " 3"]

    @property
    def yaw(self) -> float:
        """Degrees; positive turns the face to the image's right."""
        return float(np.degrees(np.arcsin(np.clip(self.rotation[2, 0], -1, 1))))

    @property
    def pitch(self) -> float:
        """Degrees; positive looks down, 0 is straight ahead."""
        return float(np.degrees(np.arctan2(self.rotation[2, 1], self.rotation[2, 2]))) - _TEMPLATE_PITCH

    @property
    def roll(self) -> float:
        """Degrees; positive tips the head's top to the image's left."""
        return float(np.degrees(np.arctan2(-self.rotation[1, 0], self.rotation[0, 0])))

    def angle_to(self, other: HeadPose) -> float:
        """Degrees of the one turn that brings this head's rotation to the other's."""
        return rotation_angle(self.rotation, other.rotation)

    def to_image(self, points: Float[np.ndarray, "*N 3"]) -> Float[np.ndarray, "*N 3"]:
        """Points of the face in pixels."""
        return self.scale * points @ self.rotation.T + self.shift

    def to_face(self, points: Float[np.ndarray, "*N 3"]) -> Float[np.ndarray, "*N 3"]:
        """Pixels in face coordinates."""
        return (points - self.shift) @ self.rotation / self.scale


def head_pose(
    landmarks: Float[np.ndarray, "478 3"], shape: Float[np.ndarray, "478 3"] | None = None
) -> HeadPose:
    """The pose of a head.

    Args:
        landmarks: in pixels, with z in the same unit.
        shape: the person's own face in face coordinates, where it is known; the mean face by default.
    """
    template = face_template() if shape is None else shape
    rigid = list(RIGID)
    return HeadPose(*fit_similarity(template[rigid], landmarks[rigid]))
