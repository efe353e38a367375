"""One video: from its frames to encoded clips."""

from __future__ import annotations

import io
import json
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np

from durian.portrait.crop import FaceCrop
from durian.portrait.landmarks import MediaPipeLandmarks
from durian.portrait.parsers import AttributeParser
from durian.preparation.candidates import Candidate, CandidateCutter
from durian.preparation.labels import label_images
from durian.preparation.quality import Reason, judge_geometry, judge_look, measure_geometry, measure_look
from durian.preparation.scenes import resample, split_scenes
from durian.preparation.settings import Settings
from durian.preparation.tracks import FaceFinder, FaceTracker
from durian.video import VideoReader

_PARSING_SIZE = 384  # attributes are searched at this size, as at inference: smaller ones hide thin glasses

Members = dict[str, bytes]


@dataclass
class VideoClips:
    """What became of a video.

    Attributes:
        clips: members of each clip's tar entry.
        frames, scenes: looked at, at the clips' rate.
        dropped: how many times each reason applied.
        attributes: how many clips show each.
    """

    clips: list[Members] = field(default_factory=list)
    frames: int = 0
    scenes: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    attributes: Counter[str] = field(default_factory=Counter)


def cut_clips(
    path: Path,
    name: str,
    settings: Settings,
    parser: AttributeParser,
    finder: FaceFinder | None = None,
) -> VideoClips:
    """Find the clips of a video that are good to train on, at most `settings.clips_per_video`.

    Args:
        path: of the video. name: of it, kept in the clips.
        settings: what is wanted.
        parser: finds attributes.
        finder: finds faces; MediaPipe by default.

    Raises:
        DurianError: the video cannot be read.
    """
    result = VideoClips()
    with ExitStack() as stack:
        reader = stack.enter_context(VideoReader(path))
        faces = finder or stack.enter_context(MediaPipeLandmarks())
        fps = min(settings.fps, reader.fps)
        cutter = CandidateCutter(
            settings.frames,
            round(settings.gap * fps),
            new_tracker=lambda: FaceTracker(faces),
            drop=lambda reason: result.dropped.update([reason.value]),
        )
        # Cuts are looked for at the video's own rate: at a lower one quick movement looks like a cut.
        frames = resample(split_scenes(reader, settings.cut_threshold), reader.fps, settings.fps)
        for candidate in cutter.cut(frames):
            outcome = _make_clip(candidate, name, fps, settings, parser)
            if isinstance(outcome, Reason):
                result.dropped[outcome.value] += 1
                continue
            members, attributes = outcome
            cutter.keep(candidate)
            result.clips.append(members)
            result.attributes.update(attributes)
            if len(result.clips) == settings.clips_per_video:
                break
        result.frames, result.scenes = cutter.frames_seen, cutter.scenes_seen
    return result


def frame_clip(landmarks: np.ndarray, size: int, shape: tuple[int, ...]) -> FaceCrop:
    """One square for all frames: the median of the crops that inference would make of each."""
    crops = [FaceCrop.from_landmarks(face, size, shape) for face in landmarks if np.isfinite(face).all()]
    return FaceCrop(np.median([crop.matrix for crop in crops], axis=0), size, crops[0].source_size)


def _make_clip(
    candidate: Candidate, name: str, fps: float, settings: Settings, parser: AttributeParser
) -> tuple[Members, list[str]] | Reason:
    """The clip and the attributes in it, or why there is none."""
    filters, size = settings.filters, settings.size
    shape = candidate.images[0].shape
    crop = frame_clip(candidate.landmarks, size, shape)
    geometry = measure_geometry(crop, candidate.landmarks, candidate.others)
    if reason := judge_geometry(geometry, filters):
        return reason
    frames = np.stack([crop.apply(image) for image in candidate.images])
    landmarks = np.stack([crop.points(face) for face in candidate.landmarks])
    look = measure_look(frames, landmarks)
    if reason := judge_look(look, filters):
        return reason

    wanted = [attribute for attribute in settings.attributes if attribute in parser.attributes]
    masks = parser(*_for_parsing(candidate, frames, landmarks), wanted)
    seen = np.asarray(np.isfinite(landmarks).all((1, 2)))
    labels, areas = label_images(masks, size, seen, filters.min_attribute, filters.min_attribute_share)
    if not areas:
        return Reason.NO_ATTRIBUTE
    about = {
        "video": name,
        "scene": candidate.scene,
        "track": candidate.track,
        "start": round(candidate.first / fps, 3),
        "fps": round(fps, 3),
        "attributes": _rounded(areas),
        **_rounded(asdict(geometry)),
        **_rounded(asdict(look)),
    }
    return _encode(frames, labels, landmarks, about), sorted(areas)


def _for_parsing(
    candidate: Candidate, frames: np.ndarray, landmarks: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Frames and landmarks at the size that attributes are searched at."""
    size = frames.shape[1]
    if size >= _PARSING_SIZE:
        target = (_PARSING_SIZE, _PARSING_SIZE)
        smaller = [cv2.resize(frame, target, interpolation=cv2.INTER_AREA) for frame in frames]
        return np.stack(smaller), landmarks * np.float32(_PARSING_SIZE / size)
    fine = frame_clip(candidate.landmarks, _PARSING_SIZE, candidate.images[0].shape)
    images = [fine.apply(image) for image in candidate.images]
    return np.stack(images), np.stack([fine.points(face) for face in candidate.landmarks])


def _encode(frames: np.ndarray, labels: np.ndarray, landmarks: np.ndarray, about: dict) -> Members:
    members = {"about.json": json.dumps(about).encode()}
    for index, (frame, label) in enumerate(zip(frames, labels, strict=True)):
        members[f"frame{index:02d}.webp"] = _image(".webp", frame[..., ::-1], cv2.IMWRITE_WEBP_QUALITY, 93)
        members[f"label{index:02d}.png"] = _image(".png", label, cv2.IMWRITE_PNG_COMPRESSION, 9)
    buffer = io.BytesIO()
    np.save(buffer, landmarks.astype(np.float32))
    members["landmarks.npy"] = buffer.getvalue()
    return members


def _image(suffix: str, image: np.ndarray, option: int, value: int) -> bytes:
    return cv2.imencode(suffix, image, [option, value])[1].tobytes()


def _rounded(values: dict) -> dict:
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in values.items()}
