"""Stretches of a face's track that may become clips."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, UInt8

from durian.preparation.quality import Reason
from durian.preparation.tracks import FaceTracker, Landmarks


@dataclass(frozen=True)
class Candidate:
    """A face for the length of a clip, in the whole picture.

    Attributes:
        scene, track, first: where it is: scene and track in it by number, first frame of the video
            (after resampling).
        images: the video's frames.
        landmarks: in the video's pixels, NaN where the face was lost.
        others: landmarks of the other faces, by frame.
    """

    scene: int
    track: int
    first: int
    images: list[UInt8[np.ndarray, "H W 3"]]
    landmarks: Float[np.ndarray, "F 478 3"]
    others: list[list[Landmarks]]


@dataclass
class _Scene:
    """The frames of a scene that a clip may still begin in, and the faces in them."""

    number: int
    tracker: FaceTracker
    length: int = 0
    images: deque[np.ndarray] = field(default_factory=deque)
    faces: deque[dict[int, Landmarks | None]] = field(default_factory=deque)
    starts: dict[int, int] = field(default_factory=dict)  # by track, where its next clip begins
    tracks: set[int] = field(default_factory=set)
    used: set[int] = field(default_factory=set)  # tracks that made a candidate


class CandidateCutter:
    """Cuts tracks into candidates that do not overlap.

    Args:
        frames: of a candidate.
        gap: frames to leave out after a candidate that was kept.
        new_tracker: makes the tracker of a scene.
        drop: told of what never becomes a candidate.
    """

    def __init__(
        self, frames: int, gap: int, new_tracker: Callable[[], FaceTracker], drop: Callable[[Reason], None]
    ) -> None:
        self._frames, self._gap, self._new_tracker, self._drop = frames, gap, new_tracker, drop
        self._scene: _Scene | None = None
        self.frames_seen = 0
        self.scenes_seen = 0

    def cut(self, frames: Iterable[tuple[int, UInt8[np.ndarray, "H W 3"]]]) -> Iterator[Candidate]:
        """Candidates of a video, given its frames with the number of their scene.

        Only the frames of one clip's length are held.
        """
        for number, image in frames:
            if self._scene is None or self._scene.number != number:
                self._end_scene()
                self._scene = _Scene(number, self._new_tracker())
                self.scenes_seen += 1
            yield from self._add(self._scene, image)
            self.frames_seen += 1
        self._end_scene()

    def keep(self, candidate: Candidate) -> None:
        """Leave a gap after this candidate: it became a clip."""
        scene = self._scene
        if scene is not None and scene.number == candidate.scene and candidate.track in scene.starts:
            scene.starts[candidate.track] += self._gap

    def _add(self, scene: _Scene, image: np.ndarray) -> Iterator[Candidate]:
        faces = scene.tracker.update(image)
        scene.images.append(image)
        scene.faces.append(faces)
        if len(scene.images) > self._frames:
            scene.images.popleft()
            scene.faces.popleft()
        for ended in scene.starts.keys() - faces.keys():
            self._end_track(scene, ended)
        for track in faces:
            start = scene.starts.setdefault(track, scene.length)
            scene.tracks.add(track)
            if scene.length - start + 1 == self._frames:
                scene.starts[track] = scene.length + 1
                scene.used.add(track)
                yield self._candidate(scene, track)
        scene.length += 1

    def _candidate(self, scene: _Scene, track: int) -> Candidate:
        missing = np.full((478, 3), np.nan, np.float32)
        seen = [faces.get(track) for faces in scene.faces]
        others = [
            [face for other, face in faces.items() if other != track and face is not None]
            for faces in scene.faces
        ]
        return Candidate(
            scene=scene.number,
            track=track,
            first=self.frames_seen - self._frames + 1,
            images=list(scene.images),
            landmarks=np.stack([missing if face is None else face for face in seen]),
            others=others,
        )

    def _end_track(self, scene: _Scene, track: int) -> None:
        del scene.starts[track]
        if track not in scene.used:
            self._drop(Reason.SHORT_TRACK)

    def _end_scene(self) -> None:
        scene = self._scene
        if scene is None:
            return
        self._scene = None
        if scene.length < self._frames:
            self._drop(Reason.SHORT_SCENE)
        elif not scene.tracks:
            self._drop(Reason.NO_FACE)
        else:
            for track in list(scene.starts):
                self._end_track(scene, track)
