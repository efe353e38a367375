"""Where the frames of a driver come from: a video file, an animated picture, a still, a folder of pictures.

Every source gives its frames with the seconds since its first one, and is read once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from durian.errors import DurianError
from durian.media.images import is_picture, open_picture, read_image, upright_rgb
from durian.media.linear import may_be_linear

STILL_RATE = 25.0
PICTURE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".webp", ".avif", ".heic", ".bmp", ".gif"),
    *(".tif", ".tiff", ".exr", ".hdr", ".jp2", ".ppm"),
)
_LEAST_DELAY = 0.015  # seconds: browsers show frames of GIFs that ask for less for 0.1 s
_BROWSER_DELAY = 0.1


class Source(Protocol):
    """Frames with times.

    Attributes:
        rate: frames a second, on average.
        free_rate: whether it has no rate of its own, so that any other can be given to it.
        count: of its frames, None where that is not known.
        duration: in seconds, None where that is not known.
    """

    rate: float

    @property
    def free_rate(self) -> bool: ...

    @property
    def count(self) -> int | None: ...

    @property
    def duration(self) -> float | None: ...

    def frames(self, start: float) -> Iterator[tuple[float | None, np.ndarray]]:
        """Seconds since the first frame, None where the file does not tell, and RGB frames.

        Args:
            start: frames before this time may be left out.
        """
        ...

    def close(self) -> None:
        """Release the file."""
        ...


class PictureFolder:
    """Pictures of a folder in natural order: `2.png` comes before `10.png`, missing numbers do not matter."""

    free_rate = True

    def __init__(self, folder: Path) -> None:
        self._paths = pictures_in(folder)
        self.rate, self.count = STILL_RATE, len(self._paths)

    @property
    def duration(self) -> float:
        """In seconds, at the rate that it has been given."""
        return self.count / self.rate

    def frames(self, start: float) -> Iterator[tuple[float | None, np.ndarray]]:
        """As `Source.frames`."""
        shape = None
        first = min(int(start * self.rate + 1e-6), len(self._paths))
        for index, path in enumerate(self._paths[first:], first):
            image = read_image(path)
            shape = shape or image.shape
            if image.shape != shape:
                raise DurianError(
                    f"{path}: is {image.shape[1]}×{image.shape[0]} pixels but the pictures before it are "
                    f"{shape[1]}×{shape[0]}: give pictures of one size"
                )
            yield index / self.rate, image

    def close(self) -> None:
        """Nothing is held open."""


class PictureFile:
    """A still picture, or an animated GIF, WebP, PNG or AVIF."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rate, self.free_rate, self.count, self.duration = STILL_RATE, True, 1, None
        if may_be_linear(path):  # no animations, and not all are known to Pillow
            return
        with open_picture(path) as image:
            if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
                delays = self._measure(image)
                self.count, self.duration, self.free_rate = len(delays), sum(delays), False
                self.rate = max(1.0, self.count / self.duration)

    def frames(self, start: float) -> Iterator[tuple[float | None, np.ndarray]]:
        """As `Source.frames`."""
        if self.count == 1:
            yield 0.0, read_image(self._path)
            return
        time = 0.0
        with open_picture(self._path) as image:
            for index in self._shown(image):
                _seek(image, index, self._path)
                frame = upright_rgb(image, self._path)
                yield time, frame
                time += _delay(image)

    def close(self) -> None:
        """Nothing is held open."""

    def _measure(self, image: Image.Image) -> list[float]:
        """Seconds that each frame is shown; a file cut short ends where it is cut."""
        delays: list[float] = []
        for index in self._shown(image):
            try:
                image.seek(index)
                image.load()
            except Exception as error:  # as in `open_picture`
                if not delays:
                    raise DurianError(f"{self._path}: the animation is damaged") from error
                break
            delays.append(_delay(image))
        return delays

    def _shown(self, image: Image.Image) -> range:
        # Some animated PNGs have a still for old readers that is no frame.
        first = 1 if getattr(image, "default_image", False) else 0
        return range(first, getattr(image, "n_frames", 1) if self.free_rate else first + self.count)


def open_source(path: Path) -> Source:
    """The source that fits what the file holds, whatever its name says.

    Raises:
        DurianError: there is none.
    """
    from durian.media.checks import check_file, is_folder
    from durian.media.container import ContainerFile

    if is_folder(path):
        return PictureFolder(path)
    check_file(path)
    return PictureFile(path) if is_picture(path) else ContainerFile(path)


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder in natural order.

    Raises:
        DurianError: there are none.
    """
    paths = sorted(
        (path for path in folder.iterdir() if _is_shown(path)), key=lambda path: natural_key(path.name)
    )
    if not paths:
        suffixes = ", ".join(PICTURE_SUFFIXES)
        raise DurianError(f"{folder}: there are no pictures in this folder ({suffixes})")
    return paths


def natural_key(name: str) -> list[tuple[int, str]]:
    """Sorts numbers in names by their value."""
    parts = re.split(r"([0-9]+)", name)  # text and digits in turn
    return [(int(part) if index % 2 else 0, part) for index, part in enumerate(parts)]


def _is_shown(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def _seek(image: Image.Image, index: int, path: Path) -> None:
    try:
        image.seek(index)
    except Exception as error:
        raise DurianError(f"{path}: the animation is damaged") from error


def _delay(image: Image.Image) -> float:
    seconds = float(image.info.get("duration") or 0) / 1000
    return seconds if seconds >= _LEAST_DELAY else _BROWSER_DELAY
