"""Trials of the protocols `self` and `cross`, listed at once and loaded one by one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, zip_longest
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float

from durian.errors import DurianError
from durian.evaluation.cases import resize
from durian.evaluation.trial import Request, Trial, TrialRef
from durian.evaluation.videos.choice import choose_driving, choose_self, rotations
from durian.evaluation.videos.clip import Shot, VideoClip, find_videos
from durian.portrait.attributes import ATTRIBUTES, check_attribute
from durian.portrait.geometry import face_template, rotation_angle, transform_points
from durian.portrait.inputs import AnimationInputs, Reference
from durian.portrait.keypoints import FACE_OVAL
from durian.portrait.landmarks import LandmarkDetector
from durian.portrait.lenses import attribute_alone
from durian.portrait.masks import AttributeMasker
from durian.portrait.motion_transfer import choose_reference
from durian.portrait.portrait_mask import portrait_mask
from durian.portrait.retarget import retarget

_LEAST = 0.002  # of the crop must be the attribute in its reference
_MIN_SIZE = 32


@dataclass(frozen=True)
class _Settings:
    size: int
    frames: int
    stride: int
    masker: AttributeMasker | None
    seed: int

    def __post_init__(self) -> None:
        for name, least in (("size", _MIN_SIZE), ("frames", 1), ("stride", 1)):
            if getattr(self, name) < least:
                raise DurianError(f"{name} is {getattr(self, name)}: at least {least} is needed")

    @property
    def fingerprint(self) -> tuple:
        """What decides the trials of given files."""
        return self.size, self.frames, self.stride, type(self.masker).__qualname__


def self_trials(
    folder: str | Path,
    *,
    size: int = 512,
    frames: int = 16,
    stride: int = 1,
    attributes: Sequence[str] = ATTRIBUTES,
    masker: AttributeMasker | None = None,
    detector: LandmarkDetector | None = None,
    seed: int = 0,
) -> list[TrialRef]:
    """Self-attribute transfer: portrait, attribute and motion from one video, whose frames are the answer.

    A trial for each attribute worn in each video. `durian.evaluation.videos.choice.choose_self` says which
    frames are taken.

    Args:
        folder: as `find_videos` reads it.
        size: side of the trials' images in pixels.
        frames: targets of each trial.
        stride: 1 takes consecutive frames of the video, 2 every second, …
        attributes: those that count.
        masker: finds the attributes that have no mask on disk, in every video; a trial whose masks were
            found so has the fact `masks_estimated` 1. None takes what has no mask as not worn.
        detector: finds landmarks where none are on disk; None is MediaPipe.
        seed: trial number n is sampled with `seed + n`.

    Raises:
        DurianError: a bad folder or option, or no attribute is known to be worn in any video.
    """
    settings = _Settings(size, frames, stride, masker, seed)
    clips = find_videos(folder, detector)
    trials = [
        (clip.name, (clip,), attribute) for clip in clips for attribute in _worn(clip, attributes, masker)
    ]
    refs = [_ref("self", _load_self, settings, index, *trial) for index, trial in enumerate(trials)]
    return refs or _no_masks(folder, attributes)


def cross_trials(
    folder: str | Path,
    *,
    size: int = 512,
    frames: int = 16,
    stride: int = 1,
    attributes: Sequence[str] = ATTRIBUTES,
    count: int | None = None,
    masker: AttributeMasker | None = None,
    detector: LandmarkDetector | None = None,
    seed: int = 0,
) -> list[TrialRef]:
    """Cross-attribute transfer: portrait, attribute and motion from videos of three people; no answer.

    The portrait and the attribute come from the most frontal frame at rest, and the motion from the run
    of frames nearest to the middle of its video, retargeted to the portrait's face as at inference.

    Args:
        count: trials in all; None takes each pair of an attribute's video and a portrait once. Attributes
            take turns, and for each its videos, so any count is as balanced as the folder allows.

    The other arguments are `self_trials`'s. Raises also where fewer than three people are in the folder.
    """
    settings = _Settings(size, frames, stride, masker, seed)
    if count is not None and count < 1:
        raise DurianError(f"count is {count}: at least one trial is needed")
    clips = find_videos(folder, detector)
    if len({clip.person for clip in clips}) < 3:
        raise DurianError(
            f"{folder} has videos of {len({clip.person for clip in clips})} people: cross-attribute "
            "transfer needs three, for portrait, attribute and motion (ann@1.mp4 and ann@2.mp4 are one)"
        )
    by_attribute = [
        [("+".join(clip.name for clip in three), three, name) for three in _threesomes(clips, donors)]
        for name in attributes
        if (donors := [clip for clip in clips if name in _worn(clip, attributes, masker)])
    ]
    turns = (trial for turn in zip_longest(*by_attribute) for trial in turn if trial is not None)
    refs = [
        _ref("cross", _load_cross, settings, index, *trial)
        for index, trial in enumerate(islice(turns, count))
    ]
    return refs or _no_masks(folder, attributes)


def _ref(
    protocol: str,
    load: Callable[..., Trial],
    settings: _Settings,
    index: int,
    name: str,
    clips: Sequence[VideoClip],
    attribute: str,
) -> TrialRef:
    known = {
        "id": f"{protocol}/{name}/{attribute}",
        "groups": (protocol, f"{protocol}, {attribute}"),
        "attributes": (attribute,),
    }
    seed = settings.seed + index
    made_from = (seed, settings.fingerprint, [clip.files() for clip in clips])
    return TrialRef(
        **known,
        load=partial(load, *clips, attribute, settings, known | {"seed": seed}),
        fingerprint=hashlib.sha256(repr(made_from).encode()).hexdigest(),
    )


def _worn(clip: VideoClip, attributes: Sequence[str], masker: AttributeMasker | None) -> list[str]:
    """Attributes that a video may have; with a masker that is known only when it is decoded."""
    return [name for name in map(check_attribute, attributes) if masker is not None or name in clip.masks]


def _no_masks(folder: str | Path, attributes: Sequence[str]) -> list[TrialRef]:
    raise DurianError(
        f"{folder}: no video has a mask of {' or '.join(attributes)}: put NAME.hair.mp4, or a folder "
        "NAME.hair of PNGs, beside NAME.mp4 (white where the hair is), or choose a masker that finds them"
    )


def _threesomes(
    clips: list[VideoClip], donors: list[VideoClip]
) -> Iterator[tuple[VideoClip, VideoClip, VideoClip]]:
    """Portrait, donor and driver of three people: each donor with one portrait, then with another, …"""
    for shift in range(1, len(clips)):
        for donor in donors:
            place = clips.index(donor)
            ring = [*clips[place + 1 :], *clips[:place]]  # the others, beginning after the donor
            portrait = ring[shift - 1]
            drivers = [
                each for each in ring[shift:] + ring if each.person not in (donor.person, portrait.person)
            ]
            if portrait.person != donor.person and drivers:
                yield portrait, donor, drivers[0]


def _load_self(clip: VideoClip, attribute: str, settings: _Settings, known: Mapping) -> Trial:
    landmarks = clip.landmarks
    chosen = choose_self(landmarks, _shows(clip, attribute), settings.frames, settings.stride)
    if chosen is None:
        raise _too_few(clip, settings, "besides two references")
    portrait_index, donor_index, targets = chosen
    shots = clip.shots(
        [portrait_index, donor_index, *targets.tolist()], [attribute], settings.size, settings.masker
    )
    portrait, donor = shots[portrait_index], shots[donor_index]
    _check_worn(donor, attribute, clip, donor_index)
    answer = [shots[index] for index in targets.tolist()]
    keypoints = np.stack([shot.landmarks for shot in answer])
    worn = np.stack([shot.masks[attribute] > 0.5 for shot in answer])
    oval = np.stack([_face_oval(shot.landmarks, settings.size) for shot in answer])
    heads = rotations(landmarks[[portrait_index, donor_index]])
    return _trial(
        known,
        portrait,
        donor,
        attribute,
        keypoints,
        clip.fps / settings.stride,
        targets=np.stack([shot.image for shot in answer]),
        regions={"attribute": worn, "face": oval & ~worn, "rest": ~oval & ~worn},
        facts={
            "pose_gap": rotation_angle(heads[0], heads[1]),
            "portrait_frame": portrait_index,
            "attribute_frame": donor_index,
            "first_frame": int(targets[0]),
            "reference_gap": int(np.abs(targets[:, None] - [portrait_index, donor_index]).min()),
            "masks_estimated": float(attribute not in clip.masks),
        },
    )


def _load_cross(
    portrait_clip: VideoClip,
    donor_clip: VideoClip,
    driver: VideoClip,
    attribute: str,
    settings: _Settings,
    known: Mapping,
) -> Trial:
    run = choose_driving(driver.found, settings.frames, settings.stride)
    if run is None:
        raise _too_few(driver, settings, "for the motion")
    portrait_index = _frontal(portrait_clip, np.ones(len(portrait_clip.landmarks), bool))
    donor_index = _frontal(donor_clip, _shows(donor_clip, attribute))
    portrait, donor = (
        clip.shots([index], [attribute], settings.size, settings.masker)[index]
        for clip, index in ((portrait_clip, portrait_index), (donor_clip, donor_index))
    )
    _check_worn(donor, attribute, donor_clip, donor_index)
    heads = rotations(np.stack([portrait.landmarks, donor.landmarks]))
    estimated = any(attribute not in clip.masks for clip in (portrait_clip, donor_clip))
    return _trial(
        known,
        portrait,
        donor,
        attribute,
        retarget(driver.landmarks[run], portrait.landmarks),
        driver.fps / settings.stride,
        motion_is_own=False,
        facts={
            "pose_gap": rotation_angle(heads[0], heads[1]),
            "portrait_frame": portrait_index,
            "attribute_frame": donor_index,
            "first_frame": int(run[0]),
            "masks_estimated": float(estimated and settings.masker is not None),
        },
    )


def _trial(
    known: Mapping,
    portrait: Shot,
    donor: Shot,
    attribute: str,
    keypoints: Float[np.ndarray, "F 478 3"],
    fps: float,
    **truth,
) -> Trial:
    def request(size: int) -> Request:
        landmarks = _scaled(portrait, portrait.landmarks, size)
        reference = Reference(
            resize(donor.image, size),
            resize(attribute_alone(attribute, donor.masks[attribute], donor.image, donor.landmarks), size),
            _scaled(donor, donor.landmarks, size),
        )
        own = attribute_alone(attribute, portrait.masks[attribute], portrait.image, portrait.landmarks)
        mask = portrait_mask(resize(own, size), landmarks, [reference])
        return Request(
            AnimationInputs(
                portrait=Reference(resize(portrait.image, size), mask, landmarks),
                attributes={attribute: reference},
                keypoints=_scaled(portrait, keypoints, size),
                fps=fps,
            )
        )

    own = request(len(portrait.image)).inputs
    return Trial(
        **known,
        request=request,
        portrait=own.portrait,
        donors=own.attributes,
        keypoints=own.keypoints,
        **truth,
    )


def _scaled(shot: Shot, points: Float[np.ndarray, "*N 3"], size: int) -> np.ndarray:
    scale = size / len(shot.image)
    return transform_points(np.array([[scale, 0, 0], [0, scale, 0]]), points)


def _shows(clip: VideoClip, attribute: str) -> Bool[np.ndarray, " F"]:
    """Frames whose mask shows enough of the attribute; all where there is no mask to ask."""
    if attribute not in clip.masks:
        return np.ones(len(clip.landmarks), bool)
    shows = clip.areas(attribute) >= _LEAST
    if not shows.any():
        raise DurianError(
            f"video {clip.name}: the mask {clip.masks[attribute].name} shows no {attribute} in any frame"
        )
    return shows


def _check_worn(donor: Shot, attribute: str, clip: VideoClip, index: int) -> None:
    """What a mask promised may lie outside the crop, and a masker promises nothing."""
    if donor.masks[attribute].mean() < _LEAST:
        raise DurianError(f"video {clip.name}: no {attribute} was found in frame {index}")


def _frontal(clip: VideoClip, allowed: Bool[np.ndarray, " F"]) -> int:
    """The frame that looks most like a photograph: frontal, at rest, with open eyes."""
    indices = np.flatnonzero(clip.found & allowed)
    if not len(indices):
        raise DurianError(f"video {clip.name}: no frame shows both a face and the attribute")
    return int(indices[choose_reference(clip.landmarks[indices].astype(np.float64), face_template())])


def _too_few(clip: VideoClip, settings: _Settings, purpose: str) -> DurianError:
    return DurianError(
        f"video {clip.name}: too short, it has {len(clip.found)} frames ({clip.found.sum()} with a face): "
        f"needed are {settings.frames} in a row, {settings.stride} apart, {purpose}; ask for fewer"
    )


def _face_oval(landmarks: Float[np.ndarray, "478 3"], size: int) -> Bool[np.ndarray, "size size"]:
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [np.round(landmarks[list(FACE_OVAL), :2] - 0.5).astype(np.int32)], 1)
    return mask.astype(bool)
