"""Landmarks of a video made steadier, without rounding off blinks and speech."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

from durian.portrait import keypoints
from durian.portrait.geometry import face_template
from durian.portrait.head_pose import HeadPose, head_pose

_GROUPS = (
    (*keypoints.RIGHT_EYE, *keypoints.RIGHT_IRIS, 468),
    (*keypoints.LEFT_EYE, *keypoints.LEFT_IRIS, 473),
    (*keypoints.RIGHT_BROW, *keypoints.LEFT_BROW),
    (*keypoints.LIPS_OUTER, *keypoints.LIPS_INNER),
)


@dataclass(frozen=True)
class Smoothness:
    """How a One-Euro filter (Casiez et al., 2012) weighs steadiness against delay.

    Attributes:
        cutoff: Hz at rest; lower is steadier.
        beta: Hz by which a unit of speed raises it, beyond `noise`.
        noise: speed that things at rest seem to have.
    """

    cutoff: float
    beta: float
    noise: float


POSE = Smoothness(0.5, 60.0, 0.2)  # speeds in radians or distances between the outer eye corners a second
SHAPE = Smoothness(0.5, 150.0, 0.15)
_SPEED_CUTOFF = 6.0  # Hz, of the speeds' own low pass


class LandmarkSmoother:
    """A filter of landmarks that come frame by frame, each as soon as it comes.

    The head's pose and the face's shape are filtered apart: a head at rest does not tremble because the lips
    move, and the other way round. Speeds are those of whole parts of the face (an eye, the brows, the lips),
    in which the noise of single landmarks averages out while a blink moves all, so that a part at rest is
    filtered strongly and one that moves hardly at all.

    Args:
        fps: frames a second.
        strength: how much lower the cut-off frequencies are than usual; 0 leaves everything as it is.
    """

    def __init__(self, fps: float, strength: float = 1.0) -> None:
        self._step, self._strength = 1 / fps, strength
        self._weights = _part_weights()
        self._pose: HeadPose | None = None
        self._shape = self._shape_speed = np.zeros((478, 3))
        self._pose_speed = np.zeros(7)

    def __call__(self, landmarks: Float[np.ndarray, "478 3"]) -> Float[np.ndarray, "478 3"]:
        """The smoothed landmarks of the next frame."""
        if self._strength <= 0:
            return landmarks
        pose = head_pose(landmarks)
        shape = pose.to_face(np.asarray(landmarks, np.float64))
        if self._pose is None:
            self._pose, self._shape = pose, shape
            return landmarks
        self._pose = self._next_pose(self._pose, pose)
        self._shape = self._next_shape(shape)
        return self._pose.to_image(self._shape).astype(np.float32)

    def _next_pose(self, last: HeadPose, new: HeadPose) -> HeadPose:
        turn = cv2.Rodrigues(new.rotation @ last.rotation.T)[0][:, 0]
        change = np.array([*turn, *(new.shift - last.shift) / last.scale, np.log(new.scale / last.scale)])
        self._pose_speed += self._share(_SPEED_CUTOFF) * (change / self._step - self._pose_speed)
        speeds = np.array([np.linalg.norm(part) for part in np.split(self._pose_speed, (3, 5, 6))])
        share = self._follow(speeds, POSE)
        rotation = cv2.Rodrigues(share[0] * turn)[0] @ last.rotation
        shift = last.shift + np.repeat(share[1:3], (2, 1)) * (new.shift - last.shift)
        return HeadPose(last.scale * float(np.exp(share[3] * change[6])), rotation, shift)

    def _next_shape(self, new: Float[np.ndarray, "478 3"]) -> Float[np.ndarray, "478 3"]:
        change = new - self._shape
        self._shape_speed = self._shape_speed + self._share(_SPEED_CUTOFF) * (
            change / self._step - self._shape_speed
        )
        speeds = np.sqrt(self._weights @ (self._shape_speed[:, :2] ** 2).sum(-1))
        # A point follows the part that it belongs to most, softly between parts.
        share = self._weights.T @ self._follow(speeds, SHAPE) / self._weights.sum(0)
        return self._shape + share[:, None] * change

    def _follow(self, speeds: np.ndarray, how: Smoothness) -> np.ndarray:
        return self._share((how.cutoff + how.beta * np.maximum(0, speeds - how.noise)) / self._strength)

    def _share(self, cutoff: np.ndarray | float) -> np.ndarray:
        """Of a change that a low pass lets through in one frame."""
        return 1 / (1 + 1 / (2 * np.pi * np.asarray(cutoff) * self._step))


def _part_weights() -> Float[np.ndarray, "P 478"]:
    """How much each point counts in each part of the face, the last of which is what no other has."""
    points = face_template().astype(np.float64)
    near = [np.linalg.norm(points[:, None] - points[None, list(group)], axis=-1).min(1) for group in _GROUPS]
    weights = np.exp(-((np.stack(near) / 0.06) ** 2))
    weights = np.concatenate([weights, np.maximum(0.05, 1 - weights.sum(0, keepdims=True))])
    return weights / weights.sum(1, keepdims=True)
