"""A driver as a stream of frames at a constant rate."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
from jaxtyping import UInt8

from durian.errors import DurianError
from durian.media.sources import open_source
from durian.media.timing import constant_rate, steady


class VideoReader:
    """The frames of a video, an animated picture, a still or a folder of pictures, decoded one at a time.

    Use it as a context manager and iterate over it, once, for RGB uint8 frames of shape (H, W, 3), upright
    and with square pixels. They come at a constant rate: where the file's own rate varies or another one is
    wanted, each moment shows the frame nearest to it, so that the sound stays in sync.

    Args:
        path: of the file or folder, whatever its name says.
        limit: at most so many frames. duration: at most so many seconds. The shorter one counts.
        fps: frames a second; by default the file's own. A still and a folder have none: they are 25, or
            what is given, without leaving out or repeating pictures.
        start: seconds to leave out at the beginning.

    Attributes:
        path, fps, start: as they are used.
        frame_count: number of frames, or None where the file does not tell.

    Raises:
        DurianError: the file is missing, unreadable or has no picture in it; while iterating, that it
            holds no frame at all, or none after `start`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        limit: int | None = None,
        *,
        fps: float | None = None,
        start: float = 0.0,
        duration: float | None = None,
    ) -> None:
        self.path, self.start = Path(path), start
        self._source = open_source(self.path)
        if self._source.free_rate and fps:
            self._source.rate = fps
        self.fps = fps or self._source.rate
        length = self._source.duration
        if length is not None and start > 0 and start >= length:
            self._source.close()
            raise DurianError(f"{self.path}: lasts {length:.2f} s, there is nothing after {start:g} s")
        limits = [] if limit is None else [limit]
        if duration is not None:
            limits.append(max(1, round(duration * self.fps)))
        self._limit = min(limits, default=None)
        self.frame_count = self._count(length)

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        period = 1 / self._source.rate
        timed = steady(self._source.frames(self.start), period, self.start)
        count = 0
        for image in constant_rate(timed, self.fps, start=self.start, period=period):
            if count == self._limit:
                return
            count += 1
            yield image
        if count == 0:
            raise DurianError(f"{self.path}: there are no frames after {self.start:g} s")

    def close(self) -> None:
        """Release the file."""
        self._source.close()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _count(self, length: float | None) -> int | None:
        count = self._source.count
        if (self.fps != self._source.rate or self.start > 0) and length is not None:
            count = max(1, round((length - self.start) * self.fps))
        return count if self._limit is None or count is None else min(count, self._limit)
