"""A camera as a driver: frames as they come, never late."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Protocol

import cv2
import numpy as np
from jaxtyping import UInt8

from durian.errors import DurianError
from durian.media.timing import constant_rate

_PATIENCE = 5.0  # seconds to wait for a picture


class Capture(Protocol):
    """What is needed of OpenCV's `VideoCapture`."""

    def isOpened(self) -> bool: ...
    def read(self) -> tuple[bool, np.ndarray | None]: ...
    def get(self, property: int, /) -> float: ...
    def release(self) -> None: ...


class Camera:
    """The frames of a camera, RGB; use it as a context manager and iterate over it, once.

    A thread reads the camera, and each frame that is taken is the newest: whoever is slower than the camera
    misses frames instead of falling behind.

    Args:
        index: of the camera, as OpenCV counts.
        limit: at most so many frames.
        open_capture: opens it; OpenCV if not given.

    Attributes:
        fps: frames a second as the camera tells, 25 where it does not.

    Raises:
        DurianError: there is no such camera; while iterating, that it gives no pictures.
    """

    def __init__(
        self,
        index: int = 0,
        limit: int | None = None,
        open_capture: Callable[[int], Capture] | None = None,
    ) -> None:
        self._capture: Capture = (open_capture or cv2.VideoCapture)(index)
        if not self._capture.isOpened():
            self._capture.release()
            raise DurianError(f"there is no camera {index}: connect one, or give a video as the driver")
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = rate if 1 <= rate <= 240 else 25.0
        self._index, self._limit = index, limit
        self._newest: tuple[float, np.ndarray] | None = None
        self._changed = threading.Condition()
        self._stopped = self._ended = False
        self._times: deque[float] = deque()
        self._reader = threading.Thread(target=self._read, name="camera", daemon=True)
        self._reader.start()

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        count = 0
        while count != self._limit:
            with self._changed:
                ready = self._changed.wait_for(
                    lambda: self._newest is not None or self._ended or self._stopped, _PATIENCE
                )
                if self._stopped or (self._ended and self._newest is None and count):
                    return
                if not ready or self._newest is None:
                    raise DurianError(f"camera {self._index} gives no pictures: is another program using it?")
                moment, frame = self._newest
                self._newest = None
            self._times.append(moment)
            count += 1
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)

    def at_its_rate(
        self, results: Iterable[UInt8[np.ndarray, "h w 3"]]
    ) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        """One result for each frame taken, repeated so as to last as long as the frame did."""
        timed = ((self._times.popleft(), result) for result in results)
        first = next(timed, None)
        if first is None:
            return
        begin, result = first
        shown = ((moment - begin, each) for moment, each in timed)
        yield from constant_rate(_after((0.0, result), shown), self.fps, period=1 / self.fps)

    def stop(self) -> None:
        """No more frames: iteration ends."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def close(self) -> None:
        """Stop, and release the camera."""
        self.stop()
        self._reader.join(_PATIENCE)
        self._capture.release()

    def __enter__(self) -> Camera:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> None:
        while not self._stopped:
            good, frame = self._capture.read()
            with self._changed:
                if good and frame is not None:
                    self._newest = (time.monotonic(), frame)
                else:
                    self._ended = True
                self._changed.notify_all()
                if self._ended:
                    return


def _after(first: tuple[float, np.ndarray], rest: Iterable[tuple[float, np.ndarray]]) -> Iterator:
    yield first
    yield from rest
