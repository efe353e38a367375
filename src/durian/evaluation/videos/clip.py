"""A folder of videos with the masks of what is worn in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from durian.errors import DurianError
from durian.evaluation.videos.choice import faces_found
from durian.portrait.attributes import ATTRIBUTES
from durian.portrait.crop import FaceCrop
from durian.portrait.landmarks import LandmarkDetector, MediaPipeLandmarks
from durian.portrait.masks import AttributeMasker
from durian.video import VideoReader, read_mask

SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".gif")
_LANDMARKS = ".landmarks.npy"
_MASKING_SIZE = (
    384  # attributes are searched in crops of at least this side, as `durian.portrait.prepare` does
)


@dataclass(frozen=True)
class Shot:
    """One frame of a video, cropped to S pixels a side.

    Attributes:
        image, landmarks: in pixels of the crop.
        masks: by attribute, where it is, in [0, 1].
    """

    image: UInt8[np.ndarray, "S S 3"]
    landmarks: Float[np.ndarray, "478 3"]
    masks: dict[str, Float[np.ndarray, "S S"]]


@dataclass(eq=False)
class VideoClip:
    """A video on disk; what is decoded is what is asked for, and only landmarks are kept.

    Attributes:
        name: of its file, without the suffix.
        path: of its file.
        masks: where masks are, by attribute: a video, or a folder of PNGs in order of name; white on black.
        landmarks_path: of given landmarks; None where they are to be detected.
        detector: finds landmarks in the frames in their order; None is MediaPipe.
    """

    name: str
    path: Path
    masks: dict[str, Path] = field(default_factory=dict)
    landmarks_path: Path | None = None
    detector: LandmarkDetector | None = None

    @property
    def person(self) -> str:
        """Who it shows: what is before an "@" in its name, so that `ann@1` and `ann@2` are one person."""
        return self.name.split("@")[0]

    def files(self) -> list[tuple[str, int, int]]:
        """Name, size and time of what it is read from: they tell that a file was replaced."""
        paths = [self.path, *([self.landmarks_path] if self.landmarks_path else [])]
        for mask in self.masks.values():
            paths += sorted(mask.glob("*.png")) if mask.is_dir() else [mask]
        return [(path.name, (stat := path.stat()).st_size, stat.st_mtime_ns) for path in paths]

    @cached_property
    def landmarks(self) -> Float[np.ndarray, "F 478 3"]:
        """Of every frame, in its pixels; NaN where there is no face.

        Raises:
            DurianError: the video cannot be read or shows no face, or given landmarks do not fit it.
        """
        if self.landmarks_path is not None:
            landmarks = self._given_landmarks(self.landmarks_path)
        else:
            with ExitStack() as stack:
                detect = self.detector or stack.enter_context(MediaPipeLandmarks(static=False))
                found = [detect(frame) for frame in self._decode()]
            missing = np.full((478, 3), np.nan, np.float32)
            landmarks = np.stack([missing if points is None else points for points in found])
        if not faces_found(landmarks).any():
            raise DurianError(f"video {self.name}: no face was found in any frame")
        return landmarks

    @property
    def found(self) -> Bool[np.ndarray, " F"]:
        """Frames with a face."""
        return faces_found(self.landmarks)

    @cached_property
    def shape(self) -> tuple[int, int]:
        """(height, width) of its frames."""
        return next(self._decode()).shape[:2]

    @cached_property
    def fps(self) -> float:
        """Frames a second."""
        with VideoReader(self.path) as reader:
            return reader.fps

    def crop(self, size: int) -> FaceCrop:
        """The one crop of all its frames, `size` pixels a side, around the median face."""
        middle = np.nanmedian(self.landmarks, axis=0)
        return FaceCrop.from_landmarks(middle, size, self.shape)

    def areas(self, attribute: str) -> Float[np.ndarray, " F"]:
        """Share of the crop that the attribute covers in each frame, from its mask.

        Raises:
            DurianError: the mask has another size or number of frames than the video, or cannot be read.
        """
        zoom = self.crop(1).matrix[0, 0]
        areas = [mask.sum() * zoom**2 for mask in self._read_masks(attribute)]
        if len(areas) != len(self.landmarks):
            raise DurianError(
                f"video {self.name}: the mask {self.masks[attribute].name} has {len(areas)} frames, "
                f"the video has {len(self.landmarks)}: give one for each"
            )
        return np.array(areas)

    def shots(
        self, indices: Iterable[int], attributes: Iterable[str], size: int, masker: AttributeMasker | None
    ) -> dict[int, Shot]:
        """Decode some frames and what is worn in them.

        Args:
            indices: of frames with a face.
            attributes: whose masks are needed. One without a mask on disk is found by `masker`; without a
                masker either, it is taken as not worn.
            size: side of the crop in pixels.
        """
        wanted, attributes = sorted(set(indices)), tuple(attributes)
        crop, fine = self.crop(size), self.crop(max(size, _MASKING_SIZE))
        given = {
            name: dict(_pick(self._read_masks(name), wanted)) for name in attributes if name in self.masks
        }
        result = {}
        for index, frame in _pick(self._decode(), wanted):
            masks = {}
            for name in attributes:
                if name in given:
                    masks[name] = crop.apply_mask(given[name][index])
                elif masker is not None:
                    found = masker(fine.apply(frame), fine.points(self.landmarks[index]), name)
                    masks[name] = cv2.resize(found, (size, size), interpolation=cv2.INTER_AREA)
                else:
                    masks[name] = np.zeros((size, size), np.float32)
            result[index] = Shot(crop.apply(frame), crop.points(self.landmarks[index]), masks)
        return result

    def _decode(self) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        with VideoReader(self.path) as reader:
            yield from reader

    def _read_masks(self, attribute: str) -> Iterator[Float[np.ndarray, "H W"]]:
        path = self.masks[attribute]
        if path.is_dir():
            for file in sorted(path.glob("*.png")):
                yield read_mask(file, self.shape)
            return
        with VideoReader(path) as reader:
            for frame in reader:
                if frame.shape[:2] != self.shape:
                    raise DurianError(
                        f"{path}: the mask is {_text(frame.shape)} pixels but its video is "
                        f"{_text(self.shape)}: give a mask of the video's size"
                    )
                yield frame.mean(-1, dtype=np.float32) / 255

    def _given_landmarks(self, path: Path) -> np.ndarray:
        try:
            landmarks = np.load(path, allow_pickle=False).astype(np.float32)
        except (OSError, ValueError, EOFError) as error:
            raise DurianError(f"{path}: not an array that can be read ({error})") from error
        frames = sum(1 for _ in self._decode())
        if landmarks.shape != (frames, 478, 3):
            raise DurianError(
                f"{path}: landmarks are of shape {landmarks.shape}, the video needs {(frames, 478, 3)}"
            )
        return landmarks


def find_videos(folder: str | Path, detector: LandmarkDetector | None = None) -> list[VideoClip]:
    """The videos in a folder, in order of name, each with what lies beside it; nothing is decoded.

    Beside `NAME.mp4` may lie `NAME.ATTRIBUTE.mp4` or a folder `NAME.ATTRIBUTE` (masks), for each attribute
    worn, and `NAME.landmarks.npy`.

    Raises:
        DurianError: no folder, no videos, two videos of a name, or a mask of no video or no attribute.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DurianError(f"{folder} is not a folder: give a folder of videos")
    paths = {
        path: path.name if path.is_dir() else path.stem
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".") and (path.is_dir() or path.suffix.lower() in SUFFIXES)
    }
    videos = {name for path, name in paths.items() if path.is_file()}
    clips: dict[str, VideoClip] = {}
    masks: list[tuple[str, str, Path]] = []
    for path, name in paths.items():
        owner, _, attribute = name.rpartition(".")
        if owner and (attribute in ATTRIBUTES or owner in videos):
            masks.append((owner, attribute, path))
        elif path.is_file():
            if name in clips:
                raise DurianError(f"{folder} has two videos {name}: rename {path.name}")
            given = folder / (name + _LANDMARKS)
            clips[name] = VideoClip(name, path, {}, given if given.is_file() else None, detector)
    if not clips:
        raise DurianError(f"{folder} has no videos ({', '.join(SUFFIXES)}): give a folder of videos")
    for owner, attribute, path in masks:
        if attribute not in ATTRIBUTES:
            raise DurianError(
                f"{path} is no mask of an attribute: name masks of {owner} after {', '.join(ATTRIBUTES)}"
            )
        if owner not in clips:
            raise DurianError(f"{path} is a mask, but there is no video {owner}: rename or remove it")
        if attribute in clips[owner].masks:
            raise DurianError(f"{path} is a second mask of the {attribute} of {owner}: remove one of them")
        clips[owner].masks[attribute] = path
    return list(clips.values())


def _pick(items: Iterable[np.ndarray], indices: list[int]) -> Iterator[tuple[int, np.ndarray]]:
    """The items of these indices, with them; nothing is read beyond the last."""
    left = iter(indices)
    wanted = next(left, None)
    for index, item in enumerate(items):
        if index == wanted:
            yield index, item
            wanted = next(left, None)
        if wanted is None:
            return


def _text(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}×{shape[0]}"
