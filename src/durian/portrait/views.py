"""Several pictures of one person, or of one attribute, in place of a single one.

Not in the paper: what a single picture does not show must be guessed. Attention to references composes any
number of them, so a network needs no training for more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from durian.portrait.expression import EYES, LIPS, opening
from durian.portrait.face_choice import LARGEST, FaceChoice
from durian.portrait.head_pose import head_pose

_TURN, _LIPS, _LIDS = 12.0, 0.15, 0.06  # degrees and face coordinates that make two pictures unlike
_BLURRED = 0.6  # of the median sharpness; no picture is taken that has less


@dataclass(frozen=True)
class View:
    """A picture, and which of its faces is meant."""

    image: UInt8[np.ndarray, "H W 3"]
    face: FaceChoice = LARGEST


@dataclass(frozen=True)
class Sighting:
    """A face in a frame: its landmarks in pixels, and how sharp it is (`face_sharpness`)."""

    landmarks: Float[np.ndarray, "478 3"]
    sharpness: float


def choose_views(seen: Sequence[Sighting | None], count: int) -> list[int]:
    """Which frames of a video to take, at most `count`, of those in which the face was seen.

    First the one that shows the face best: from the front, with open eyes and a closed mouth. Then, one after
    the other, the one in which the head is turned most unlike all that are taken, until none is unlike any
    more. Another expression counts against a frame: a mouth that is open in one picture of several is made of
    all of them.
    """
    indices = [index for index, each in enumerate(seen) if each is not None]
    sightings = [each for each in seen if each is not None]
    if not sightings:
        return []
    sharpness = np.array([each.sharpness for each in sightings])
    features = np.stack([_features(each.landmarks) for each in sightings])
    turn, expression = features[:, :2], features[:, 2:]
    blurred = sharpness < _BLURRED * np.median(sharpness)
    faults = np.abs(turn).sum(1) + expression[:, 0] - expression[:, 1]
    chosen = [int(np.where(blurred, np.inf, faults).argmin())]
    unlike = np.abs(expression - expression[chosen[0]]).sum(1)
    distance = np.full(len(features), np.inf)
    while len(chosen) < count:
        distance = np.minimum(distance, np.linalg.norm(turn - turn[chosen[-1]], axis=1))
        worth = np.where(blurred, 0, distance - unlike)
        if worth.max() < 1:
            break
        chosen.append(int(worth.argmax()))
    return [indices[each] for each in chosen]


def _features(landmarks: Float[np.ndarray, "478 3"]) -> Float[np.ndarray, " 4"]:
    """Yaw and pitch, and how far lips and eyelids are open, in units of what makes a difference."""
    pose = head_pose(landmarks)
    shape = pose.to_face(landmarks)
    lids = float(np.mean([opening(shape, pairs) for pairs, _, _ in EYES]))
    return np.array([pose.yaw / _TURN, pose.pitch / _TURN, opening(shape, LIPS) / _LIPS, lids / _LIDS])
