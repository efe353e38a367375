"""One face followed through a video, frame by frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from durian.portrait.face_choice import FaceChoice
from durian.portrait.geometry import warp_image
from durian.portrait.landmarks import FaceBox, FaceFinder, MediaPipeLandmarks, face_overlap
from durian.portrait.smoothing import LandmarkSmoother

Landmarks = Float[np.ndarray, "478 3"]
Look = Float[np.ndarray, "24 24 3"]

PATIENCE = 8  # frames that are waited for a lost face, so that the gap can be bridged
_SAME_PLACE = 0.3  # overlap with its last place from which on a face is the same
_REACH = (
    0.6,
    0.15,
)  # how far from its last place a lost face may come back, in its sizes: at once, and a frame
_ALIKE = 0.75  # correlation of looks from which on a face anywhere in the picture is the same
_UNLIKE = 0.4  # and below which it is not, wherever it is
_SEARCH_EVERY = 5  # frames between searches for small faces, which are slow


@dataclass(frozen=True)
class TrackedFace:
    """One frame's face.

    Attributes:
        landmarks: in pixels of the frame; None before a face has been seen for the first time.
        source: `seen` in this frame; `bridged` between the frames before and after; or `held` from the last
            frame in which it was seen, because it did not come back in time.
    """

    landmarks: Landmarks | None
    source: Literal["seen", "bridged", "held"]


class FaceTracker:
    """Finds the chosen face in the first frame that has one, and the same face in the frames after it.

    The face is looked for where it was, in a square that is held while the face stays in it, which makes
    landmarks steadier. When it is lost the whole picture is searched, and a face is taken for the same if it
    is near where the last was seen and looks no different, or looks very much like it.

    Args:
        choice: which of several faces.
        finder: finds faces; MediaPipe by default, closed with the tracker.
    """

    def __init__(self, choice: FaceChoice | None = None, finder: FaceFinder | None = None) -> None:
        self._stack = ExitStack()
        self._finder = finder or self._stack.enter_context(MediaPipeLandmarks())
        self._choice = choice or FaceChoice()
        self._box: FaceBox | None = None  # where the face is searched, None while it is lost
        self._last: Landmarks | None = None
        self._look: Look | None = None
        self._lost = 0

    def __call__(self, image: UInt8[np.ndarray, "H W 3"]) -> Landmarks | None:
        """The landmarks of the next frame, in its pixels, or None where the face is not to be seen."""
        found = self._follow(image) or self._find(image)
        if found is None:
            self._box = None
            self._lost += 1
            return None
        landmarks, look = found
        if self._box is None or not self._box.holds(landmarks):
            self._box = FaceBox.around(landmarks)
        self._look = look if self._look is None else 0.9 * self._look + 0.1 * look
        self._last, self._lost = landmarks, 0
        return landmarks

    def close(self) -> None:
        """Release the detector, if it is the tracker's own."""
        self._stack.close()

    def __enter__(self) -> FaceTracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _follow(self, image: np.ndarray) -> tuple[Landmarks, Look] | None:
        landmarks = None if self._box is None else self._finder.look(image, self._box)
        if landmarks is None or self._last is None or face_overlap(landmarks, self._last) < _SAME_PLACE:
            return None
        look = _appearance(image, landmarks)
        return (landmarks, look) if self._likeness(look) > _UNLIKE else None

    def _find(self, image: np.ndarray) -> tuple[Landmarks, Look] | None:
        faces = self._finder.search(image, thorough=self._lost % _SEARCH_EVERY == 0)
        if self._last is None:
            chosen = self._choice.choose(faces)
            return None if chosen is None else (chosen, _appearance(image, chosen))
        looks = [(face, _appearance(image, face)) for face in faces]
        same = [
            (face, look)
            for face, look in looks
            if self._likeness(look) > (_UNLIKE if self._within_reach(face) else _ALIKE)
        ]
        return max(same, key=lambda pair: self._likeness(pair[1]), default=None)

    def _within_reach(self, landmarks: Landmarks) -> bool:
        assert self._last is not None
        now, last = FaceBox.around(landmarks), FaceBox.around(self._last)
        away = np.hypot(now.x - last.x, now.y - last.y) / (last.side / 2.2)
        growth = max(now.side / last.side, last.side / now.side)
        return bool(away < _REACH[0] + _REACH[1] * self._lost and growth < 1.5 + 0.05 * self._lost)

    def _likeness(self, look: Look) -> float:
        """Correlation with what the face has looked like of late."""
        if self._look is None:
            return 1.0
        return float((look * self._look).mean() / max(float(self._look.std()), 1e-6))


def track_face(
    frames: Iterable[UInt8[np.ndarray, "H W 3"]],
    tracker: FaceTracker,
    patience: int = PATIENCE,
    smoother: LandmarkSmoother | None = None,
) -> Iterator[TrackedFace]:
    """Follow a face; one result for every frame, at most `patience` frames late.

    A gap of up to `patience` frames is bridged by straight lines once the face is back; so are frames before
    the first face, by that face. In a longer gap the face is held where it was.
    """
    bridge = GapBridge(patience)
    for frame in frames:
        landmarks = tracker(frame)
        if landmarks is not None and smoother is not None:
            landmarks = smoother(landmarks)
        yield from bridge.push(landmarks)
    yield from bridge.finish()


class GapBridge:
    """Fills gaps in a track that comes frame by frame.

    Args:
        patience: frames that may be waited for the face; 0 never waits.
    """

    def __init__(self, patience: int = PATIENCE) -> None:
        self._patience = patience
        self._waiting = 0
        self._last: Landmarks | None = None

    def push(self, landmarks: Landmarks | None) -> list[TrackedFace]:
        """Take the next frame; give those that are settled, in their order."""
        if landmarks is None:
            self._waiting += 1
            return self.finish() if self._waiting > self._patience else []
        last = landmarks if self._last is None else self._last
        steps = np.arange(1, self._waiting + 1) / (self._waiting + 1)
        bridged = [TrackedFace(last + np.float32(step) * (landmarks - last), "bridged") for step in steps]
        self._last, self._waiting = landmarks, 0
        return [*bridged, TrackedFace(landmarks, "seen")]

    def finish(self) -> list[TrackedFace]:
        """Give up waiting, as at the video's end."""
        count, self._waiting = self._waiting, 0
        return [TrackedFace(self._last, "held")] * count


_SIDE = 24
_CORNERS = (33, 263, 152)  # outer eye corners and chin
_PLACES = np.array([[6, 8], [18, 8], [12, 23]], np.float32)


def _appearance(image: UInt8[np.ndarray, "H W 3"], landmarks: Landmarks) -> Look:
    """What a face looks like, upright and of one size: colours less their mean, of deviation 1."""
    box = FaceBox.around(landmarks)
    corners = (landmarks[list(_CORNERS), :2] - (box.x, box.y)) * (box.PIXELS / box.side) + box.PIXELS / 2
    matrix = cv2.getAffineTransform(corners.astype(np.float32), _PLACES)
    patch = warp_image(box.cut(image), matrix, (_SIDE, _SIDE)).astype(np.float32)
    patch -= patch.mean((0, 1))
    return patch / max(float(patch.std()), 1e-3)
