"""The pictures of a reference that files, folders and videos have to offer."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from durian.errors import DurianError
from durian.media.checks import is_folder
from durian.media.images import read_image
from durian.media.reader import VideoReader
from durian.media.sources import pictures_in
from durian.portrait.face_choice import LARGEST, FaceChoice
from durian.portrait.sharpness import face_sharpness
from durian.portrait.tracking import FaceTracker
from durian.portrait.views import Sighting, View, choose_views

_LOOKED_AT = 500  # frames of a video, among which pictures are chosen


def read_views(
    path: str | os.PathLike[str],
    count: int,
    face: FaceChoice = LARGEST,
    progress: Callable[[int, int | None], None] | None = None,
) -> list[View]:
    """The pictures that a file or folder has to offer, the most telling one first.

    A still is one, the pictures of a folder are all of them, in natural order. Of the first 500 frames of a
    video, of an animated picture, or of a folder of more than `count` pictures, those are chosen that differ
    most.

    Args:
        count: at most so many; 1 is the best one alone.
        face: which of several faces; in a video the one in its first frame.
        progress: called with frames looked at, and in all if that is known.

    Raises:
        DurianError: it cannot be read, or no frame of a video shows a face.
    """
    path = Path(path)
    if is_folder(path):
        pictures = pictures_in(path)
        if len(pictures) <= count:
            return [View(read_image(each), face) for each in pictures]
    with VideoReader(path, _LOOKED_AT) as video:
        if video.frame_count == 1:
            return [View(next(iter(video)), face)]
        seen = _look(video, face, progress)
    chosen = choose_views(seen, count)
    if not chosen:
        raise DurianError(f"{path}: no face was found in it: choose one that shows a face from the front")
    with VideoReader(path, max(chosen) + 1) as video:
        frames = {index: frame for index, frame in enumerate(video) if index in chosen}
    return [View(frames[index], _face_of(seen[index])) for index in chosen]


def _look(
    video: VideoReader, face: FaceChoice, progress: Callable[[int, int | None], None] | None
) -> list[Sighting | None]:
    """The face in every frame."""
    seen: list[Sighting | None] = []
    with FaceTracker(face) as tracker:
        for frame in video:
            landmarks = tracker(frame)
            seen.append(None if landmarks is None else Sighting(landmarks, face_sharpness(frame, landmarks)))
            if progress is not None:
                progress(len(seen), video.frame_count)
    return seen


def _face_of(sighting: Sighting | None) -> FaceChoice:
    assert sighting is not None
    points = sighting.landmarks[:, :2]
    x, y = (points.min(0) + points.max(0)) / 2
    return FaceChoice(point=(float(x), float(y)))
