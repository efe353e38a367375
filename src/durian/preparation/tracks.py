"""Faces followed from frame to frame, several at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float, UInt8

from durian.portrait.landmarks import FaceBox, face_overlap

_SEARCH_EVERY = 5  # frames: newcomers are found a little late, and that only costs them a few frames
_PATIENCE = 3  # frames that a face may be lost for and still be the same track
_SAME = 0.3  # overlap of a face's places in two frames from which on it is the same face

Landmarks = Float[np.ndarray, "478 3"]


class FaceFinder(Protocol):
    """What tracking needs of a detector, see `MediaPipeLandmarks`."""

    def search(self, image: UInt8[np.ndarray, "H W 3"]) -> list[Landmarks]:
        """All faces of an image."""
        ...

    def look(self, image: UInt8[np.ndarray, "H W 3"], box: FaceBox) -> Landmarks | None:
        """The face in one square of an image."""
        ...


@dataclass
class _Track:
    box: FaceBox
    landmarks: np.ndarray
    lost: int = 0


class FaceTracker:
    """Follows the faces of one scene.

    A face is looked for where it was; the square that is searched is held while the face stays in it, which
    makes landmarks steadier, and is how inference follows a driver. The whole image is searched every few
    frames and when a face is lost.
    """

    def __init__(self, finder: FaceFinder) -> None:
        self._finder = finder
        self._tracks: dict[int, _Track] = {}
        self._frames = 0
        self._next = 0

    def update(self, image: UInt8[np.ndarray, "H W 3"]) -> dict[int, Landmarks | None]:
        """The faces of the next frame by track; None where one is lost for the moment.

        A track that is missing has ended; its number is not used again.
        """
        for track in self._tracks.values():
            self._follow(track, image)
        self._drop_doubles()
        if self._frames % _SEARCH_EVERY == 0 or any(track.lost for track in self._tracks.values()):
            for landmarks in self._finder.search(image):
                self._welcome(landmarks)
        self._frames += 1
        self._tracks = {key: track for key, track in self._tracks.items() if track.lost <= _PATIENCE}
        return {key: None if track.lost else track.landmarks for key, track in self._tracks.items()}

    def _follow(self, track: _Track, image: np.ndarray) -> None:
        landmarks = self._finder.look(image, track.box)
        if landmarks is None or face_overlap(landmarks, track.landmarks) < _SAME:
            track.lost += 1
            return
        track.lost, track.landmarks = 0, landmarks
        if not track.box.holds(landmarks):
            track.box = FaceBox.around(landmarks)

    def _welcome(self, landmarks: np.ndarray) -> None:
        """A face of the whole image: one that is followed, one that was lost, or a new one."""
        overlaps = {key: face_overlap(landmarks, track.landmarks) for key, track in self._tracks.items()}
        best = max(overlaps, key=overlaps.__getitem__, default=None)
        if best is None or overlaps[best] < _SAME:
            self._tracks[self._next] = _Track(FaceBox.around(landmarks), landmarks)
            self._next += 1
        elif self._tracks[best].lost:
            self._tracks[best] = _Track(FaceBox.around(landmarks), landmarks)

    def _drop_doubles(self) -> None:
        """Of two tracks that have come onto one face, the elder stays."""
        for key in sorted(self._tracks, reverse=True):
            seen = self._tracks[key].landmarks
            if any(other < key and face_overlap(track.landmarks, seen) > _SAME * 2
                   for other, track in self._tracks.items()):  # fmt: skip
                del self._tracks[key]
