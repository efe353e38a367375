"""Does the face move as it was asked to: landmarks found in the frames against the keypoints.

A detector has faults of its own, and those of one face model are not another's, so the true frames do not
score 0 either: read every error beside that of the truth. MediaPipe on the synthetic people of 40 cases
(`single`, true frames, 128 pixels): landmarks 4.6 %, mouth 2.7 %, head pose 5.8°; their eyes look to it a
third less open than they are, so `eyelid_error` (6.9 %, a still portrait 6.7 %) tells little there. The
correlations are free of any constant fault: eyelids 0.94, head 0.96, mouth 0.73 (median 0.90), and 0 for a
still portrait.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from durian.evaluation.trial import Frames, Metric, Scores, Trial
from durian.portrait.geometry import face_template, fit_similarity, rotation_angle
from durian.portrait.head_pose import RIGID
from durian.portrait.keypoints import LIPS_INNER, LIPS_OUTER

if TYPE_CHECKING:
    from durian.portrait.landmarks import LandmarkDetector

_OF_EYES = "in % of the inter-ocular distance"

MOTION_METRICS: tuple[Metric, ...] = (
    Metric(
        "landmark_error",
        "landmarks",
        "lower",
        "%",
        2,
        f"mean distance of all landmarks found in the frames from the keypoints, {_OF_EYES}",
    ),
    Metric("mouth_error", "mouth", "lower", "%", 2, f"the same of the lips' landmarks, {_OF_EYES}"),
    Metric(
        "eyelid_error",
        "eyelids",
        "lower",
        "%",
        2,
        f"mean absolute error of how far each eye is open, {_OF_EYES}; where the eye is doesn't count",
    ),
    Metric("pose_error", "head pose", "lower", "°", 2, "mean angle between found and asked head rotation"),
    Metric(
        "mouth_correlation",
        "mouth follows",
        "higher",
        "",
        3,
        "correlation over the frames of mouth opening found and asked, in [-1, 1]",
    ),
    Metric(
        "eyelid_correlation",
        "eyelids follow",
        "higher",
        "",
        3,
        "correlation over the frames of the eyes' mean opening found and asked, in [-1, 1]",
    ),
    Metric(
        "pose_correlation",
        "head follows",
        "higher",
        "",
        3,
        "mean of the correlations over the frames of yaw and of pitch found and asked, in [-1, 1]",
    ),
    Metric(
        "motion_correlation",
        "motion follows",
        "higher",
        "",
        3,
        "mean of the correlations of mouth, eyelids and head that apply, in [-1, 1]; 0 for a still picture",
    ),
    Metric("faces_found", "faces found", "higher", "", 3, "share of frames in which a face was found"),
)

# (upper, lower) landmarks along the middle of each opening.
_RIGHT_EYE = ((160, 144), (159, 145), (158, 153))
_LEFT_EYE = ((387, 373), (386, 374), (385, 380))
_MOUTH = ((81, 178), (82, 87), (13, 14), (312, 317), (311, 402))
_LIPS = sorted({*LIPS_INNER, *LIPS_OUTER})

# Keypoints that vary less than this (standard deviation over the frames) ask for nothing that could be
# followed. Openings are in inter-ocular distances.
_STILL_OPENING = 0.015
_STILL_ANGLE = 2.0  # degrees
_MIN_FRAMES = 4  # of a correlation

# MediaPipe finds smaller faces worse: frames of 128 pixels enlarged four times have a tenth less error at the
# lips (30 cases, true frames), those of 64 lose 2 faces of 240 instead of 5 and gain nothing else.
_DETECTOR_SIDE, _MAX_ENLARGED = 512, 4


class MotionFidelity:
    """Finds the landmarks of frames and holds them against a trial's keypoints.

    The inter-ocular distance is that between the outer eye corners of the mean face, in the size in which a
    3D similarity lays it onto the keypoints' rigid points. So it does not shrink when the head turns, as the
    distance seen in the image does, and errors in profile do not look larger than they are.

    Every frame is searched on its own, so that scores do not hang on what was scored before.

    Args:
        detector: finds landmarks; None makes a `MediaPipeLandmarks` and closes it at the end.
    """

    def __init__(self, detector: LandmarkDetector | None = None) -> None:
        self._stack = ExitStack()
        if detector is None:
            from durian.portrait.landmarks import MediaPipeLandmarks

            detector = self._stack.enter_context(MediaPipeLandmarks())
        self._detector = detector

    def close(self) -> None:
        """Release the detector that it made itself."""
        self._stack.close()

    def __enter__(self) -> MotionFidelity:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def scores(self, frames: Frames, trial: Trial) -> Scores:
        """All of `MOTION_METRICS` of one trial.

        Errors are means over the frames in which a face was found, None where there is none. A correlation
        is None where the keypoints hardly vary or fewer than 4 frames show a face.

        Args:
            frames: at the trial's size.

        Raises:
            ValueError: there is not one frame for each of the trial's keypoints.
        """
        return landmark_scores([self._find(frame) for frame in frames], trial.keypoints)

    def _find(self, frame: UInt8[np.ndarray, "S S 3"]) -> Float[np.ndarray, "478 3"] | None:
        factor = min(_MAX_ENLARGED, -(-_DETECTOR_SIDE // len(frame)))
        if factor > 1:
            frame = cv2.resize(frame, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        found = self._detector(frame)
        return None if found is None else found / max(factor, 1)


def landmark_scores(
    found: Sequence[Float[np.ndarray, "478 3"] | None], asked: Float[np.ndarray, "F 478 3"]
) -> Scores:
    """All of `MOTION_METRICS` from the landmarks of each frame, None where no face was found.

    Frames whose keypoints are NaN ask for no face and are left out.
    """
    if len(found) != len(asked):
        raise ValueError(f"{len(found)} frames for {len(asked)} keypoints")
    scores: Scores = {metric.name: None for metric in MOTION_METRICS}
    wanted = [(f, a) for f, a in zip(found, asked, strict=True) if np.isfinite(a).all()]
    if not wanted:
        return scores
    pairs = [(f, a) for f, a in wanted if f is not None]
    scores["faces_found"] = len(pairs) / len(wanted)
    if not pairs:
        return scores
    faces = [(_Face.of(f), _Face.of(a)) for f, a in pairs]
    distances = np.array(
        [
            np.linalg.norm((f - a)[:, :2], axis=-1) / face.scale
            for (f, a), (_, face) in zip(pairs, faces, strict=True)
        ]
    )
    scores["landmark_error"] = float(100 * distances.mean())
    scores["mouth_error"] = float(100 * distances[:, _LIPS].mean())
    scores["eyelid_error"] = float(
        100 * np.mean([np.abs(f.eyes * f.scale / a.scale - a.eyes) for f, a in faces])
    )
    scores["pose_error"] = float(np.mean([rotation_angle(f.rotation, a.rotation) for f, a in faces]))
    return scores | _correlations([f for f, _ in faces], [a for _, a in faces])


@dataclass(frozen=True)
class _Face:
    """What a face does, whoever it is of.

    Attributes:
        scale: inter-ocular distance in pixels.
        rotation: from face coordinates to the image.
        eyes: how far the right and the left eye are open. mouth: likewise; in inter-ocular distances.
    """

    scale: float
    rotation: Float[np.ndarray, "3 3"]
    eyes: Float[np.ndarray, " 2"]
    mouth: float

    @classmethod
    def of(cls, landmarks: Float[np.ndarray, "478 3"]) -> _Face:
        rigid = list(RIGID)
        scale, rotation, shift = fit_similarity(face_template()[rigid], landmarks[rigid])
        shape = (landmarks - shift) @ rotation / scale

        def opening(pairs: Sequence[tuple[int, int]]) -> float:
            upper, lower = np.array(pairs).T
            return float((shape[lower, 1] - shape[upper, 1]).mean())

        return cls(scale, rotation, np.array([opening(_RIGHT_EYE), opening(_LEFT_EYE)]), opening(_MOUTH))

    @property
    def yaw_pitch(self) -> tuple[float, float]:
        """Of where the face looks, in degrees."""
        x, y, z = -self.rotation[:, 2]
        return float(np.degrees(np.arctan2(x, -z))), float(np.degrees(np.arctan2(y, np.hypot(x, z))))


def _correlations(found: Sequence[_Face], asked: Sequence[_Face]) -> Scores:
    def follow(signal, still: float) -> float | None:
        return _correlation([signal(f) for f in found], [signal(a) for a in asked], still)

    turns = [follow(lambda face, axis=axis: face.yaw_pitch[axis], _STILL_ANGLE) for axis in (0, 1)]
    scores: Scores = {
        "mouth_correlation": follow(lambda face: face.mouth, _STILL_OPENING),
        "eyelid_correlation": follow(lambda face: face.eyes.mean(), _STILL_OPENING),
        "pose_correlation": _mean(turns),
    }
    return scores | {"motion_correlation": _mean(scores.values())}


def _correlation(found: Sequence[float], asked: Sequence[float], still: float) -> float | None:
    """Pearson's; None where `asked` hardly varies, 0 where `found` does not."""
    if len(asked) < _MIN_FRAMES or np.std(asked) < still:
        return None
    if np.std(found) < 1e-6:
        return 0.0
    return float(np.corrcoef(found, asked)[0, 1])


def _mean(values) -> float | None:
    present = [value for value in values if value is not None]
    return float(np.mean(present)) if present else None
