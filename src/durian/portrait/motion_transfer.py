"""Relative motion transfer, frame by frame: the driver's motion on the portrait's own face.

The paper animates the portrait with LivePortrait and detects the keypoints in the result, so that the
driver's face shape does not leak (section 3.3). The same goal is reached here with landmarks alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

import cv2
import numpy as np
from jaxtyping import Float

from durian.errors import DurianError
from durian.portrait import keypoints
from durian.portrait.expression import EYES, opening, transfer_expression
from durian.portrait.geometry import face_template, fit_similarity
from durian.portrait.head_pose import HeadPose, head_pose

Region = Literal["pose", "eyes", "brows", "lips"]
REGIONS: tuple[Region, ...] = get_args(Region)
WARM_UP = 12  # frames from which a stream's reference is chosen

_PIVOT = np.array([0.0, 0.4, 0.9])  # about where the head turns, in face coordinates


@dataclass(frozen=True)
class MotionOptions:
    """What of the driver's motion is taken over, and how much.

    Attributes:
        regions: which parts of the face move; `pose` is the head as a whole, `lips` also the jaw.
        head_scale: of the head's turns and shifts; 1 is as the driver's, 0 none.
        absolute: turn the head as the driver's is turned, and not from the portrait's own pose by as much
            as the driver's turns from its.
        max_shift: the farthest that the head may go from the portrait's place, in distances between the
            outer eye corners; wider motion (a driver walking, a moving camera) is scaled down as a whole.
        max_zoom: how much larger or smaller than in the portrait the head may get; likewise.
    """

    regions: Collection[Region] = REGIONS
    head_scale: float = 1.0
    absolute: bool = False
    max_shift: float = 0.6
    max_zoom: float = 1.25

    def __post_init__(self) -> None:
        if unknown := [name for name in self.regions if name not in REGIONS]:
            raise DurianError(f"unknown region {unknown[0]!r}: choose from {', '.join(REGIONS)}")


class MotionTransfer:
    """Maps a driver's landmarks to the portrait's.

    Every face is taken apart into head pose (a 3D similarity) and shape in face coordinates. The head turns,
    shifts and grows by what the driver's does since a reference frame. The shape is the portrait's with the
    driver's change of expression, see `transfer_expression`. `fit` comes before the first frame is mapped.

    Args:
        portrait: the portrait's landmarks, in pixels of the output.
        options: what is taken over.
    """

    def __init__(self, portrait: Float[np.ndarray, "478 3"], options: MotionOptions | None = None) -> None:
        self._options = options or MotionOptions()
        self.portrait = np.asarray(portrait, np.float64)
        self._portrait_pose = template_pose(self.portrait)
        self._portrait_shape = self._portrait_pose.to_face(self.portrait)
        self._weights = _region_weights(self._options.regions)

    def fit(
        self,
        driving: Float[np.ndarray, "F 478 3"],
        reference_frame: int | None = None,
        whole: bool = True,
    ) -> None:
        """Settle which of the driver's poses and shapes corresponds to the portrait as it is.

        Args:
            driving: the driver's frames, all with a face.
            reference_frame: see `durian.portrait.retarget.retarget`.
            whole: these are all the frames that there will be: motion beyond the limits is scaled down as a
                whole. Otherwise what goes far is slowed down softly.
        """
        driving = np.asarray(driving, np.float64)
        index = choose_reference(driving, self.portrait) if reference_frame is None else reference_frame
        self._reference_pose = template_pose(driving[index])
        self._reference_shape = self._reference_pose.to_face(driving[index])
        poses = [self._pose(frame) for frame in driving]
        shifts = np.stack([self._shift(pose) for pose in poses])
        zooms = np.log([[pose.scale] for pose in poses])
        centred = reference_frame is None
        options = self._options
        self._shifts = _Limit.of(shifts, None if centred else index, options.max_shift, whole)
        self._zooms = _Limit.of(zooms, None if centred else index, float(np.log(options.max_zoom)), whole)

    def __call__(self, landmarks: Float[np.ndarray, "478 3"]) -> Float[np.ndarray, "478 3"]:
        """The portrait's landmarks for one frame of the driver, in pixels of the portrait's image."""
        pose = self._pose(np.asarray(landmarks, np.float64))
        portrait, options = self._portrait_pose, self._options
        shape = transfer_expression(
            self._portrait_shape, self._reference_shape, pose.to_face(np.asarray(landmarks, np.float64))
        )
        shape = self._portrait_shape + self._weights * (shape - self._portrait_shape)
        if "pose" not in options.regions:
            return portrait.to_image(shape).astype(np.float32)
        strength = options.head_scale
        if options.absolute:
            turn = _scaled(pose.rotation, strength)
        else:
            turn = _scaled(pose.rotation @ self._reference_pose.rotation.T, strength) @ portrait.rotation
        zoom = np.exp(strength * self._zooms(np.log([pose.scale]))[0])
        moved = HeadPose(portrait.scale * zoom, turn, np.zeros(3))
        pivot = portrait.to_image(_PIVOT) + portrait.scale * strength * self._shifts(self._shift(pose))
        return (moved.to_image(shape) + (pivot - moved.to_image(_PIVOT))).astype(np.float32)

    def _pose(self, landmarks: np.ndarray) -> HeadPose:
        # Fitted to the driver's own shape, so that neither expression nor identity passes for pose.
        return head_pose(landmarks, self._reference_shape)

    def _shift(self, pose: HeadPose) -> np.ndarray:
        return pose.to_image(_PIVOT) / self._reference_pose.scale


def transfer_stream(
    faces: Iterable[Float[np.ndarray, "478 3"] | None], transfer: MotionTransfer, warm_up: int = WARM_UP
) -> Iterator[Float[np.ndarray, "478 3"]]:
    """Map a driver's frames as they come; one result for every frame.

    The reference is chosen from the first `warm_up` frames with a face, which are waited for. Before these,
    frames without a face (None) leave the portrait as it is, at once; later ones as it was last.
    """
    waiting: list[np.ndarray] = []
    last, fitted = transfer.portrait.astype(np.float32), False
    for face in faces:
        if face is None:
            if waiting and not fitted:
                waiting.append(waiting[-1])
            else:
                yield last
        elif fitted:
            last = transfer(face)
            yield last
        else:
            waiting.append(face)
        if len(waiting) >= warm_up:
            transfer.fit(np.stack(waiting), whole=False)
            fitted = True
            for frame in waiting:
                last = transfer(frame)
                yield last
            waiting = []
    if waiting:
        transfer.fit(np.stack(waiting), whole=False)
        yield from map(transfer, waiting)


def choose_reference(driving: Float[np.ndarray, "F 478 3"], portrait: Float[np.ndarray, "478 3"]) -> int:
    """The driver's frame whose head pose is closest to the portrait's, at rest and with open eyes."""
    own = template_pose(portrait)
    poses = [template_pose(frame) for frame in driving]
    shapes = np.stack([pose.to_face(frame) for pose, frame in zip(poses, driving, strict=True)])
    turn = np.radians([pose.angle_to(own) for pose in poses])
    unrest = np.linalg.norm(shapes - np.median(shapes, 0), axis=-1).mean(1)
    lids = np.array([[opening(shape, eye[0]) for eye in EYES] for shape in shapes]).mean(1)
    closed = np.maximum(0, 1 - lids / np.median(lids))
    # 0.05 of the eye distance of mean deviation from rest is a strong expression: it weighs like 30°.
    return int(np.argmin(turn + 10 * unrest + closed))


def template_pose(landmarks: Float[np.ndarray, "478 3"]) -> HeadPose:
    """The pose that lays the whole mean face onto landmarks."""
    return HeadPose(*fit_similarity(face_template(), landmarks))


@dataclass(frozen=True)
class _Limit:
    """Deviations from a centre, kept within a bound."""

    centre: Float[np.ndarray, " D"]
    factor: float
    bound: float | None  # None where the factor does it

    @classmethod
    def of(cls, values: Float[np.ndarray, "F D"], reference: int | None, bound: float, whole: bool) -> _Limit:
        centre = np.median(values, 0) if reference is None else values[reference]
        if not whole:
            return cls(centre, 1.0, bound)
        farthest = np.linalg.norm((values - centre)[:, :2], axis=1).max()  # depth is no matter of framing
        return cls(centre, min(1.0, bound / max(float(farthest), 1e-9)), None)

    def __call__(self, value: Float[np.ndarray, " D"]) -> Float[np.ndarray, " D"]:
        deviation = (value - self.centre) * self.factor
        if self.bound is None:
            return deviation
        knee, far = self.bound / 2, float(np.linalg.norm(deviation[:2]))
        if far <= knee or not np.isfinite(knee):
            return deviation
        return deviation * ((knee + knee * np.tanh((far - knee) / knee)) / far)


def _scaled(rotation: Float[np.ndarray, "3 3"], factor: float) -> Float[np.ndarray, "3 3"]:
    """The same axis, `factor` times the angle."""
    return rotation if factor == 1 else cv2.Rodrigues(cv2.Rodrigues(rotation)[0] * factor)[0]


_JAW = (152, 148, 377, 176, 400, 150, 379, 172, 397, 58, 288)
_PARTS: dict[Region, tuple[int, ...]] = {
    "eyes": (*keypoints.RIGHT_EYE, *keypoints.LEFT_EYE, *keypoints.RIGHT_IRIS, *keypoints.LEFT_IRIS),
    "brows": (*keypoints.RIGHT_BROW, *keypoints.LEFT_BROW, 10, 109, 338, 67, 297, 151, 9),
    "lips": (*keypoints.LIPS_OUTER, *keypoints.LIPS_INNER, *_JAW),
}


def _region_weights(regions: Collection[Region]) -> Float[np.ndarray, "478 1"]:
    """How far each point follows the chosen regions: each belongs to the nearest, softly in between."""
    shares = _region_shares()
    return np.sum([shares[part] for part in _PARTS if part in regions], axis=0) + np.zeros((478, 1))


@cache
def _region_shares() -> dict[Region, Float[np.ndarray, "478 1"]]:
    points = face_template().astype(np.float64)
    distance = np.stack(
        [
            np.linalg.norm(points[:, None] - points[None, list(part)], axis=-1).min(1)
            for part in _PARTS.values()
        ]
    )
    weight = np.exp(-((distance / 0.08) ** 2) + (distance.min(0) / 0.08) ** 2)
    weight /= weight.sum(0)
    return {part: share[:, None] for part, share in zip(_PARTS, weight, strict=True)}
