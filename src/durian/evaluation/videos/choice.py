"""Which frames of a video are portrait, attribute reference and targets; the same on every machine."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float, Int

from durian.portrait.geometry import face_template, fit_similarity, rotation_angle

_CANDIDATES = 48  # frames that may become references: as many, evenly spread
_TURN = 30.0  # degrees between two heads that tell as much as the whole length of the video


def faces_found(landmarks: Float[np.ndarray, "F 478 3"]) -> Bool[np.ndarray, " F"]:
    """Frames with a face: those of the others are NaN."""
    return np.asarray(np.isfinite(landmarks).all((1, 2)))


def rotations(landmarks: Float[np.ndarray, "F 478 3"]) -> Float[np.ndarray, "F 3 3"]:
    """Rotation of each head from the frontal view; NaN where there is no face."""
    result = np.full((len(landmarks), 3, 3), np.nan)
    for index in np.flatnonzero(faces_found(landmarks)):
        result[index] = fit_similarity(face_template(), landmarks[index])[1]
    return result


def windows(found: Bool[np.ndarray, " F"], frames: int, stride: int) -> Int[np.ndarray, "W frames"]:
    """All runs of `frames` frames, `stride` apart, that show a face throughout."""
    starts = np.arange(max(0, len(found) - (frames - 1) * stride))
    runs = starts[:, None] + stride * np.arange(frames)
    return runs[found[runs].all(1)]


def choose_driving(
    found: Bool[np.ndarray, " F"], frames: int, stride: int
) -> Int[np.ndarray, " frames"] | None:
    """The run of frames with a face that is nearest to the middle of the video; None where there is none."""
    runs = windows(found, frames, stride)
    if not len(runs):
        return None
    off_centre = np.abs(runs.mean(1) - (len(found) - 1) / 2)
    return runs[off_centre.argmin()]


def choose_self(
    landmarks: Float[np.ndarray, "F 478 3"], worn: Bool[np.ndarray, " F"], frames: int, stride: int
) -> tuple[int, int, Int[np.ndarray, " frames"]] | None:
    """Portrait frame, attribute frame and target frames of one video, all different.

    The two references are the frames with a face and the attribute that are farthest apart, in the turn
    of the head and in time (30° weigh as much as the whole length of the video), among those pairs that
    leave room for the targets. The more frontal of them is the portrait, as people photograph themselves.
    The targets are the run of frames, between or beside the references, farthest from the nearer one.

    Args:
        landmarks: of every frame, NaN where there is no face.
        worn: frames that show the attribute well enough to be a reference.
        frames, stride: how many targets, and how many frames of the video one is after the other.

    Returns:
        Indices of frames; None where the video is too short.
    """
    found = faces_found(landmarks)
    runs = windows(found, frames, stride)
    candidates = np.flatnonzero(found & worn)
    if len(candidates) < 2 or not len(runs):
        return None
    picked = np.linspace(0, len(candidates) - 1, min(_CANDIDATES, len(candidates)))
    candidates = candidates[picked.round().astype(int)]
    heads = rotations(landmarks)

    def apart(pair: tuple[int, int]) -> float:
        first, last = pair
        return rotation_angle(heads[first], heads[last]) / _TURN + (last - first) / (len(landmarks) - 1)

    for pair in sorted(combinations(candidates.tolist(), 2), key=apart, reverse=True):
        gap = np.min([_gap(runs, reference) for reference in pair], axis=0)
        best = int(gap.argmax())
        if gap[best] > 0:
            portrait, attribute = sorted(pair, key=lambda index: rotation_angle(heads[index], np.eye(3)))
            return portrait, attribute, runs[best]
    return None


def _gap(runs: Int[np.ndarray, "W frames"], reference: int) -> Int[np.ndarray, " W"]:
    """Frames between a reference and the run; none where it lies within."""
    return np.maximum(np.maximum(runs[:, 0] - reference, reference - runs[:, -1]), 0)
