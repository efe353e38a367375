"""Relative motion transfer: the driver's motion on the portrait's own face.

The paper animates the portrait with LivePortrait and detects the keypoints in the result, so that the
driver's face shape does not leak (section 3.3). The same goal is reached here with landmarks alone.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from durian.errors import DurianError
from durian.portrait.geometry import face_template, fit_similarity
from durian.portrait.keypoints import LEFT_IRIS, RIGHT_IRIS

# Points that move with the skull and not with the expression: forehead, temples, bridge of the nose, eye
# corners, cheekbones, the upper part of the oval.
RIGID = (10, 338, 297, 332, 284, 251, 389, 356, 454, 127, 162, 21, 54, 103, 67, 109, 234, 168, 6, 197, 195,
         33, 133, 362, 263, 116, 345, 123, 352, 151, 9, 8, 143, 372, 34, 264)  # fmt: skip

# (upper, lower) landmarks of the eyelids and of the inner lips, and the corners of each opening.
_RIGHT_LIDS = ((246, 7), (161, 163), (160, 144), (159, 145), (158, 153), (157, 154), (173, 155))
_LEFT_LIDS = ((466, 249), (388, 390), (387, 373), (386, 374), (385, 380), (384, 381), (398, 382))
_LIPS = ((191, 95), (80, 88), (81, 178), (82, 87), (13, 14), (312, 317), (311, 402), (310, 318), (415, 324))
_EYES = (
    (_RIGHT_LIDS, (33, 133), (468, *RIGHT_IRIS[:-1])),
    (_LEFT_LIDS, (362, 263), (473, *LEFT_IRIS[:-1])),
)
_LOWER_LIP = (
    14, 17, 84, 87, 88, 91, 95, 146, 178, 181, 314, 317, 318, 321, 324, 375, 402, 405, 15, 16, 85, 86, 89, 90,
    96, 77, 179, 180, 315, 316, 319, 320, 325, 307, 403, 404,
)  # fmt: skip
_UPPER_LIP = (
    61, 409, 270, 269, 267, 0, 37, 39, 40, 185, 291, 78, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191,
    62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292, 76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306,
)  # fmt: skip
_BELOW_NOSE = 2
_PIVOT = np.array([0.0, 0.4, 0.9])  # about where the head turns, in face coordinates


def retarget(
    driving: Float[np.ndarray, "F 478 3"],
    portrait: Float[np.ndarray, "478 3"],
    reference_frame: int | None = None,
    max_shift: float = 0.6,
    max_zoom: float = 1.25,
) -> Float[np.ndarray, "F 478 3"]:
    """Move the portrait's landmarks as the driver moves relative to one of its own frames.

    Every face is taken apart into head pose (a 3D similarity) and shape in face coordinates. The head
    turns, shifts and grows by what the driver's does since the reference frame. The shape is the
    portrait's plus the driver's change of shape. Openings do not add up, so they are set: eyelids open to
    the same fraction as the driver's (a blink is full whatever the portrait's eyes), and lips as far as
    the driver's (a portrait with an open mouth closes it).

    Args:
        driving: the driver's landmarks in pixels; frames with NaN (no face) are bridged in time.
        portrait: the portrait's landmarks, in pixels of the output.
        reference_frame: the driver's frame that corresponds to the portrait as it is. By default the one
            most like the portrait in pose, at rest and with open eyes: then the head stays about as far
            from the frontal view as the driver's does, wherever the clip begins; and the portrait's place
            and size correspond to the medians of the clip.
        max_shift: the farthest that the head may go from the portrait's place, in distances between the
            outer eye corners; wider motion (a driver walking, a moving camera) is scaled down as a whole.
        max_zoom: how much larger or smaller than in the portrait the head may get; likewise.

    Returns:
        Landmarks of every frame, in pixels of the portrait's image.

    Raises:
        DurianError: no frame of the driver has a face.
    """
    driving = bridge_gaps(driving).astype(np.float64)
    centred = reference_frame is None
    if reference_frame is None:
        reference_frame = choose_reference(driving, portrait)
    portrait_pose = _Pose.of(portrait)
    portrait_shape = portrait_pose.to_face(portrait)
    reference_pose = _Pose.of(driving[reference_frame])
    reference_shape = reference_pose.to_face(driving[reference_frame])

    # Fitted to the driver's own shape, so that neither expression nor identity passes for pose.
    rigid = list(RIGID)
    poses = [_Pose(*fit_similarity(reference_shape[rigid], frame[rigid])) for frame in driving]
    shifts = np.stack([pose.to_image(_PIVOT) for pose in poses]) / reference_pose.scale
    shifts = _limit(shifts, shifts[reference_frame], centred, max_shift)
    zooms = np.log([pose.scale for pose in poses])
    zooms = np.exp(_limit(zooms[:, None], zooms[[reference_frame]], centred, np.log(max_zoom))[:, 0])

    result = np.empty_like(driving)
    for index, (frame, pose) in enumerate(zip(driving, poses, strict=True)):
        turn = pose.rotation @ reference_pose.rotation.T @ portrait_pose.rotation
        moved = _Pose(portrait_pose.scale * zooms[index], turn, np.zeros(3))
        pivot = portrait_pose.to_image(_PIVOT) + portrait_pose.scale * shifts[index]
        shape = _express(portrait_shape, reference_shape, pose.to_face(frame))
        result[index] = moved.to_image(shape) + (pivot - moved.to_image(_PIVOT))
    return result.astype(np.float32)


def _limit(values: np.ndarray, reference: np.ndarray, centred: bool, bound: float) -> np.ndarray:
    """Deviations of (F, D) values from their median (else from `reference`), shrunk to reach `bound`."""
    deviation = values - (np.median(values, 0) if centred else reference)
    farthest = np.linalg.norm(deviation[:, :2], axis=1).max()  # depth is no matter of framing
    return deviation * min(1.0, bound / max(farthest, 1e-9))


def bridge_gaps(landmarks: Float[np.ndarray, "F 478 3"]) -> Float[np.ndarray, "F 478 3"]:
    """Fill frames with NaN by linear interpolation in time, at the ends by the nearest frame."""
    found = np.isfinite(landmarks).all((1, 2))
    if not found.any():
        raise DurianError("no face was found in any frame of the driving video: choose one that shows a face")
    if found.all():
        return landmarks
    frames = np.arange(len(landmarks))
    flat = landmarks.reshape(len(landmarks), -1)
    filled = [np.interp(frames, frames[found], column[found]) for column in flat.T]
    return np.stack(filled, 1).reshape(landmarks.shape).astype(landmarks.dtype)


def choose_reference(driving: Float[np.ndarray, "F 478 3"], portrait: Float[np.ndarray, "478 3"]) -> int:
    """The driver's frame whose head pose is closest to the portrait's, at rest and with open eyes."""
    portrait_rotation = _Pose.of(portrait).rotation
    poses = [_Pose.of(frame) for frame in driving]
    shapes = np.stack([pose.to_face(frame) for pose, frame in zip(poses, driving, strict=True)])
    turn = np.array([_angle(pose.rotation @ portrait_rotation.T) for pose in poses])
    unrest = np.linalg.norm(shapes - np.median(shapes, 0), axis=-1).mean(1)
    lids = np.array([[_opening(shape, eye[0]) for eye in _EYES] for shape in shapes]).mean(1)
    closed = np.maximum(0, 1 - lids / np.median(lids))
    # 0.05 of the eye distance of mean deviation from rest is a strong expression: it weighs like 30°.
    return int(np.argmin(turn + 10 * unrest + closed))


class _Pose:
    """A 3D similarity from face coordinates to the image."""

    def __init__(self, scale: float, rotation: np.ndarray, shift: np.ndarray) -> None:
        self.scale, self.rotation, self.shift = scale, rotation, shift

    @classmethod
    def of(cls, landmarks: np.ndarray) -> _Pose:
        return cls(*fit_similarity(face_template(), landmarks))

    def to_image(self, points: np.ndarray) -> np.ndarray:
        return self.scale * points @ self.rotation.T + self.shift

    def to_face(self, points: np.ndarray) -> np.ndarray:
        return (points - self.shift) @ self.rotation / self.scale


def _angle(rotation: np.ndarray) -> float:
    return float(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1)))


def _opening(shape: np.ndarray, pairs: tuple[tuple[int, int], ...]) -> float:
    upper, lower = np.array(pairs).T
    return float((shape[lower, 1] - shape[upper, 1]).mean())


def _width(shape: np.ndarray, corners: tuple[int, int]) -> float:
    return float(np.linalg.norm(shape[corners[0]] - shape[corners[1]]))


def _express(portrait: np.ndarray, reference: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """The portrait's shape with the driver's expression; all in face coordinates.

    When portrait and reference are the same shape, the result is `frame` itself.
    """
    change = frame - reference
    shape = portrait + change
    for lids, corners, iris in _EYES:
        ratio = _width(portrait, corners) / _width(reference, corners)
        shape[list(iris)] = portrait[list(iris)] + ratio * change[list(iris)]
        rest = max(_opening(reference, lids), 0.02)  # a reference that blinks must not blow the others up
        wanted = _opening(portrait, lids) * _opening(frame, lids) / rest
        _open_lids(shape, lids, wanted)
    # Lips at rest cannot be told from lips wide open, so where portrait and reference differ much, the
    # opening and the lips are the driver's. Where they differ little, nothing needs to be set.
    mismatch = abs(_opening(portrait, _LIPS) - _opening(reference, _LIPS))
    borrowed = np.clip((mismatch - 0.03) / 0.07, 0, 1)
    _open_jaw(shape, borrowed * (_opening(frame, _LIPS) - _opening(shape, _LIPS)))
    lips = [*_UPPER_LIP, *_LOWER_LIP]
    driven = frame[lips] + shape[_BELOW_NOSE] - frame[_BELOW_NOSE]
    shape[lips] += borrowed * (driven - shape[lips])
    upper, lower = np.array(_LIPS).T
    allowed = np.minimum(frame[lower, 1] - frame[upper, 1], 0)
    crossed = np.minimum(shape[lower, 1] - shape[upper, 1] - allowed, 0)
    shape[upper, 1] += crossed / 2
    shape[lower, 1] -= crossed / 2
    return shape


def _open_lids(shape: np.ndarray, lids: tuple[tuple[int, int], ...], wanted: float) -> None:
    """Bring the upper lid to the mean opening `wanted` over the lower one, in place."""
    upper, lower = np.array(lids).T
    gap = shape[lower, 1] - shape[upper, 1]
    mean = gap.mean()
    # Scaling keeps the lid's curve; lids that touch or cross have none, they are moved apart as one.
    gap = gap * (wanted / mean) if mean > 0.01 else gap + (wanted - mean)
    shape[upper, 1] = shape[lower, 1] - gap


def _open_jaw(shape: np.ndarray, by: float) -> None:
    """Lower the lower lip, the chin and, less, what is above it, in place."""
    template = face_template()
    # Nothing moves from the nose up, most the chin, smoothly in between.
    nose, chin = template[_BELOW_NOSE, 1], template[152, 1]
    below = np.clip((template[:, 1] - nose) / (chin - nose), 0, 1)
    share = below**2 * (3 - 2 * below)
    share[list(_UPPER_LIP)] = 0
    centre = np.abs(template[list(_LOWER_LIP), 0]) / np.abs(template[78, 0])
    share[list(_LOWER_LIP)] = np.clip(1.3 * (1 - centre**2), 0, 1)
    share /= np.mean([share[lower] for _, lower in _LIPS])
    shape[:, 1] += np.minimum(share, 1.5) * by
