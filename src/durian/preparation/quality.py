"""What is measured of a candidate, and why it may be dropped."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from durian.portrait.crop import FaceCrop
from durian.portrait.geometry import ANCHORS, face_template, fit_similarity
from durian.portrait.sharpness import face_patch, sharpness
from durian.preparation.settings import Filters
from durian.preparation.tracks import Landmarks

_EQUAL = 0.25  # mean difference in grey levels up to which two faces are one picture, encoded twice


class Reason(StrEnum):
    """Why something was not kept. A candidate counts under the first that applies, in this order."""

    SHORT_SCENE = "scene too short"
    NO_FACE = "no face in the scene"
    SHORT_TRACK = "face followed too shortly"
    LOST = "too few frames with a face"
    SMALL = "face too small"
    BEYOND = "crop beyond the picture"
    LEAVES = "face leaves the crop"
    POSE = "extreme pose"
    OTHERS = "another face in the crop"
    STILL = "too little motion"
    DARK = "too dark"
    BRIGHT = "too bright"
    BLURRED = "too blurred"
    NO_ATTRIBUTE = "no attribute visible"


@dataclass(frozen=True)
class Geometry:
    """What landmarks and crop tell.

    Attributes:
        face_share: share of the frames in which the face was found.
        scale: the video's pixels for a pixel of the crop's side.
        beyond: share of the crop beyond the picture's border.
        leaves: whether any landmark is outside of the crop in any frame.
        yaw, pitch, roll: largest of all frames, in degrees, without sign.
        other_face: largest share of the crop that another face's bounding box covers.
        motion: standard deviation of the landmarks over time, in distances between the outer eye corners.
    """

    face_share: float
    scale: float
    beyond: float
    leaves: bool
    yaw: float
    pitch: float
    roll: float
    other_face: float
    motion: float


@dataclass(frozen=True)
class Look:
    """What the pixels of the face tell.

    Attributes:
        brightness: median grey value of the face in [0, 255].
        sharpness: variance of the smoothed Laplacian over the variance of grey, of the face at 128 pixels or
            its smaller own size: neither a large crop nor light count. Median over the frames.
        duplicates: share of the frames whose face equals the one before.
    """

    brightness: float
    sharpness: float
    duplicates: float


def head_pose(landmarks: Landmarks) -> tuple[float, float, float]:
    """Yaw (positive to the image's right), pitch (positive down) and roll (positive clockwise) in degrees."""
    _, rotation, _ = fit_similarity(face_template(), landmarks)
    forward = -rotation[:, 2]  # the face looks towards the camera, along -z
    yaw = np.degrees(np.arctan2(forward[0], -forward[2]))
    pitch = np.degrees(np.arcsin(np.clip(forward[1], -1, 1)))
    roll = np.degrees(np.arctan2(rotation[1, 0], rotation[0, 0]))
    return float(yaw), float(pitch), float(roll)


def measure_geometry(
    crop: FaceCrop, landmarks: Float[np.ndarray, "F 478 3"], others: list[list[Landmarks]]
) -> Geometry:
    """Measure a candidate. `landmarks` and `others` are in the video's pixels, NaN where the face was lost;
    at least one frame must have a face."""
    seen = landmarks[np.isfinite(landmarks).all((1, 2))]
    points = np.stack([crop.points(face)[:, :2] for face in seen])
    poses = np.abs([head_pose(face) for face in seen]).max(0)
    eyes = float(np.median([fit_similarity(face_template(), face)[0] for face in seen])) * crop.matrix[0, 0]
    covered = [_covered(crop.points(face), crop.size) for faces in others for face in faces]
    return Geometry(
        face_share=len(seen) / len(landmarks),
        scale=float(1 / crop.matrix[0, 0]),
        beyond=_beyond(crop),
        leaves=bool((points < 0).any() or (points > crop.size).any()),
        yaw=float(poses[0]),
        pitch=float(poses[1]),
        roll=float(poses[2]),
        other_face=max(covered, default=0.0),
        motion=float(np.sqrt(points[:, list(ANCHORS)].var(0).sum(-1).mean()) / eyes),
    )


def measure_look(frames: UInt8[np.ndarray, "F H W 3"], landmarks: Float[np.ndarray, "F 478 3"]) -> Look:
    """Measure the faces of a crop. `landmarks` are in its pixels, NaN where the face was lost; at least one
    frame must have a face, and all landmarks lie in the crop."""
    seen = np.isfinite(landmarks).all((1, 2))
    low = np.floor(np.nanmin(landmarks[seen][..., :2], (0, 1))).astype(int)
    high = np.ceil(np.nanmax(landmarks[seen][..., :2], (0, 1))).astype(int)
    box = slice(max(low[1], 0), high[1]), slice(max(low[0], 0), high[0])
    grey = np.stack([cv2.cvtColor(frame[box], cv2.COLOR_RGB2GRAY) for frame in frames])
    steps = np.abs(np.diff(grey.astype(np.int16), axis=0)).mean((1, 2))
    faces = [face_patch(frame, face) for frame, face in zip(frames[seen], landmarks[seen], strict=True)]
    return Look(
        brightness=float(np.median([np.median(patch[inside]) for patch, inside in faces])),
        sharpness=float(np.median([sharpness(patch, inside) for patch, inside in faces])),
        duplicates=float((steps < _EQUAL).mean()) if len(steps) else 0.0,
    )


def judge_geometry(measured: Geometry, filters: Filters) -> Reason | None:
    """The first reason to drop a candidate before its pixels are looked at, if there is one."""
    extreme = (
        measured.yaw > filters.max_yaw
        or measured.pitch > filters.max_pitch
        or measured.roll > filters.max_roll
    )
    checks = {
        Reason.LOST: measured.face_share < filters.min_face_share,
        Reason.SMALL: measured.scale < filters.min_scale,
        Reason.BEYOND: measured.beyond > filters.max_beyond,
        Reason.LEAVES: measured.leaves,
        Reason.POSE: extreme,
        Reason.OTHERS: measured.other_face > filters.max_other_face,
        Reason.STILL: measured.motion < filters.min_motion,
    }
    return next((reason for reason, applies in checks.items() if applies), None)


def judge_look(measured: Look, filters: Filters) -> Reason | None:
    """The first reason to drop a candidate for its pixels, if there is one."""
    checks = {
        Reason.STILL: measured.duplicates > filters.max_duplicates,
        Reason.DARK: measured.brightness < filters.min_brightness,
        Reason.BRIGHT: measured.brightness > filters.max_brightness,
        Reason.BLURRED: measured.sharpness < filters.min_sharpness,
    }
    return next((reason for reason, applies in checks.items() if applies), None)


def _beyond(crop: FaceCrop) -> float:
    zoom = crop.matrix[0, 0]
    low = -crop.matrix[:, 2] / zoom
    high = low + crop.size / zoom
    inside = np.clip(np.minimum(high, crop.source_size[::-1]) - np.maximum(low, 0), 0, None)
    return float(1 - inside.prod() / (high - low).prod())


def _covered(points: np.ndarray, size: int) -> float:
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    return float(np.clip(np.minimum(high, size) - np.maximum(low, 0), 0, None).prod() / size**2)
