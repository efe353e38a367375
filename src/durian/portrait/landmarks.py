"""Face landmarks: 478 points of MediaPipe's face mesh with irises."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8
from mediapipe.python.solutions import face_detection, face_mesh, selfie_segmentation

from durian.portrait.geometry import warp_image
from durian.portrait.lids import lids_shut


class LandmarkDetector(Protocol):
    """Finds the landmarks of the largest face in an image."""

    def __call__(self, image: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, "478 3"] | None:
        """Landmarks in pixels of `image` (pixel centres at .5), or None where there is no face."""
        ...


@runtime_checkable
class FaceFinder(Protocol):
    """Finds all faces of an image, and the one in a part of it."""

    def search(
        self, image: UInt8[np.ndarray, "H W 3"], thorough: bool = False
    ) -> list[Float[np.ndarray, "478 3"]]:
        """All faces of an image; `thorough`: small ones too."""
        ...

    def look(self, image: UInt8[np.ndarray, "H W 3"], box: FaceBox) -> Float[np.ndarray, "478 3"] | None:
        """The face in one square of an image."""
        ...


class MediaPipeLandmarks:
    """MediaPipe's face detectors, then its face mesh on a crop, so that small faces are found too.

    What looks like a face but is no person (a dog's, say) is refused by MediaPipe's person segmentation.

    Args:
        static: True takes every image on its own; False is for the frames of one video in their order:
            the face is followed from frame to frame, which is faster, and steadier in a crop that is
            held while the face stays in it.
        lids: whether those of shut eyes are brought together (`lids_shut`).
    """

    def __init__(self, static: bool = True, lids: bool = True) -> None:
        self._static, self._lids = static, lids
        self._box: FaceBox | None = None  # where the followed face is searched
        self._warm = False
        with quiet_stderr():
            self._mesh: Any = face_mesh.FaceMesh(static_image_mode=True, refine_landmarks=True)
            # Two ranges: the short one is for faces that fill the picture, the full one for small ones.
            self._finders: list[Any] = [
                face_detection.FaceDetection(model_selection=reach) for reach in (0, 1)
            ]
            self._person: Any = selfie_segmentation.SelfieSegmentation(model_selection=0)
            blank = np.zeros((FaceBox.PIXELS, FaceBox.PIXELS, 3), np.uint8)
            for graph in self._graphs:  # each starts, and logs, in threads of its own: wait for them
                graph.process(blank)

    def __call__(self, image: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, "478 3"] | None:
        if self._warm:
            return self._detect(image)
        with quiet_stderr():  # one more message comes with the first face
            landmarks = self._detect(image)
        self._warm = landmarks is not None
        return landmarks

    def search(
        self, image: UInt8[np.ndarray, "H W 3"], thorough: bool = False
    ) -> list[Float[np.ndarray, "478 3"]]:
        """Landmarks of every face that is found in the whole image at once, the largest first, each once.

        Args:
            image: RGB.
            thorough: look at parts of the image, too, if the whole has no face.
        """
        if self._warm:
            return self._search(image, thorough)
        with quiet_stderr():
            faces = self._search(image, thorough)
        self._warm = bool(faces)
        return faces

    def look(self, image: UInt8[np.ndarray, "H W 3"], box: FaceBox) -> Float[np.ndarray, "478 3"] | None:
        """Landmarks of the face in one square of the image, or None where there is none."""
        faces = self._mesh.process(box.cut(image)).multi_face_landmarks
        if not faces:
            return None
        points = np.array([(p.x - 0.5, p.y - 0.5, p.z) for p in faces[0].landmark], np.float64)
        landmarks = (points * box.side + (box.x, box.y, 0)).astype(np.float32)
        return lids_shut(landmarks) if self._lids else landmarks

    @property
    def _graphs(self) -> tuple[Any, ...]:
        return (self._mesh, *self._finders, self._person)

    def close(self) -> None:
        """Release the native graphs."""
        for graph in self._graphs:
            graph.close()

    def __enter__(self) -> MediaPipeLandmarks:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _detect(self, image: np.ndarray) -> np.ndarray | None:
        if self._box is not None:
            landmarks = self.look(image, self._box)
            if landmarks is not None and self._box.holds(landmarks):
                return landmarks
            self._box = None
        for box in self._find(image):
            landmarks = self.look(image, box)
            if landmarks is not None and self._is_person(image, landmarks):
                self._box = None if self._static else FaceBox.around(landmarks)
                return landmarks
        return None

    def _search(self, image: np.ndarray, thorough: bool) -> list[np.ndarray]:
        faces: list[np.ndarray] = []
        whole = self._faces(image, FaceBox.whole(image))
        for box in self._find(image) if thorough and not whole else sorted(whole, key=lambda box: -box.side):
            landmarks = self.look(image, box)
            if landmarks is None or any(face_overlap(landmarks, face) > 0.3 for face in faces):
                continue
            if self._is_person(image, landmarks):
                faces.append(landmarks)
        return faces

    def _find(self, image: np.ndarray) -> Iterator[FaceBox]:
        """Search boxes of the faces, the largest first; of parts of the image only if the whole has none."""
        found = self._faces(image, FaceBox.whole(image))
        if not found:
            height, width = image.shape[:2]
            # Not smaller than an eighth of the length: a strip of pixels would have thousands of tiles.
            side = max(min(height, width) / 2, max(height, width) / 8)
            tiles = [
                FaceBox(x, y, side) for y in _tile_centres(height, side) for x in _tile_centres(width, side)
            ]
            found = [face for tile in tiles for face in self._faces(image, tile)]
        yield from sorted(found, key=lambda box: -box.side)

    def _faces(self, image: np.ndarray, box: FaceBox) -> list[FaceBox]:
        crop = box.cut(image)
        found = []
        for finder in self._finders:
            for detection in finder.process(crop).detections or ():
                face = detection.location_data.relative_bounding_box
                side = max(face.width, face.height) * box.side
                x = box.x + (face.xmin + face.width / 2 - 0.5) * box.side
                y = box.y + (face.ymin + face.height / 2 - 0.5) * box.side
                found.append(FaceBox(x, y, 2.2 * side))
        return found

    def _is_person(self, image: np.ndarray, landmarks: np.ndarray) -> bool:
        probability = self._person.process(FaceBox.around(landmarks).cut(image)).segmentation_mask
        third = len(probability) // 3  # the middle of the crop is face
        return float(probability[third:-third, third:-third].mean()) > 0.5


def _tile_centres(length: int, side: float) -> Iterable[float]:
    """Of tiles that overlap by half."""
    return np.arange(side / 2, length - side / 2 + 1, side / 2) if side < length else [length / 2]


class FaceBox:
    """A square of the image (it may reach beyond): centre x, y and side, in pixels."""

    PIXELS = 384  # of the crop that the detectors see; they shrink it to 128–256 themselves

    def __init__(self, x: float, y: float, side: float) -> None:
        self.x, self.y, self.side = x, y, side

    @classmethod
    def around(cls, landmarks: np.ndarray) -> FaceBox:
        low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
        return cls(*((low + high) / 2), 2.2 * float((high - low).max()))

    @classmethod
    def whole(cls, image: np.ndarray) -> FaceBox:
        """All of an image, and a margin: a face may touch the border."""
        height, width = image.shape[:2]
        return cls(width / 2, height / 2, 1.2 * max(height, width))

    def holds(self, landmarks: np.ndarray) -> bool:
        """Whether the face is still well inside and of about the size that the box was made for."""
        other = FaceBox.around(landmarks)
        shift = max(abs(other.x - self.x), abs(other.y - self.y))
        return shift < 0.2 * self.side and 0.7 < other.side / self.side < 1.4

    def cut(self, image: np.ndarray) -> np.ndarray:
        scale = self.PIXELS / self.side
        corner = (self.x - self.side / 2, self.y - self.side / 2)
        # Cut before scaling, so that the cost does not grow with the image.
        limit = np.array(image.shape[1::-1])
        low = np.clip(np.floor(corner).astype(int), 0, limit - 1)
        high = np.maximum(np.ceil(np.add(corner, self.side)).astype(int), low + 1)
        part = image[low[1] : high[1], low[0] : high[0]]
        matrix = np.array(
            [[scale, 0, (low[0] - corner[0]) * scale], [0, scale, (low[1] - corner[1]) * scale]]
        )
        return warp_image(part, matrix, (self.PIXELS, self.PIXELS))


def face_overlap(one: Float[np.ndarray, "478 3"], other: Float[np.ndarray, "478 3"]) -> float:
    """Intersection over union of two faces' bounding boxes."""
    (low, high), (low2, high2) = ((face[:, :2].min(0), face[:, :2].max(0)) for face in (one, other))
    common = np.clip(np.minimum(high, high2) - np.maximum(low, low2), 0, None).prod()
    return float(common / max((high - low).prod() + (high2 - low2).prod() - common, 1e-9))


_STDERR = threading.Lock()


@contextmanager
def quiet_stderr() -> Generator[None]:
    """Keep the start-up chatter of MediaPipe's C++ from the terminal.

    It is written straight to file descriptor 2 and heeds neither Python's logging nor the documented
    environment variables. The lock keeps two threads from restoring each other's descriptor.
    """
    with _STDERR:
        try:
            saved = os.dup(2)
        except OSError:  # no standard error at all
            yield
            return
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            os.close(sink)
