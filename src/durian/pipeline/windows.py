"""Overlapping windows of frames, for videos longer than the motion modules see at once.

Frames come and go one by one: nothing here grows with the length of the video.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from durian.errors import DurianError

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Windows:
    """How a stream of frames is cut into windows.

    Attributes:
        length: frames that are denoised together, at most.
        stride: frames by which a window moves on; the others are the ones before, seen again.
        fade: of the frames seen again, how many are made again and cross-faded; they are given out one
            window later.
        grows: whether the first window has only `stride` frames, as where the first frames are wanted at
            once; else it has `length`.
    """

    length: int = 16  # as in AnimateDiff
    stride: int = 12
    fade: int = 4
    grows: bool = False

    def __post_init__(self) -> None:
        if not (1 <= self.stride <= self.length and 0 <= self.fade <= self.length - self.stride):
            raise DurianError(
                f"windows of {self.length} frames that move by {self.stride} and fade over {self.fade}: "
                f"stride + fade may be at most the length, and the stride at least 1"
            )

    @property
    def delay(self) -> int:
        """How many further frames must have come, at most, before a frame is given out by one pass."""
        return self.stride - 1 + self.fade if self.grows else self.length - 1

    def within(self, length: int) -> Windows:
        """These windows for motion modules that see at most `length` frames."""
        if self.length <= length:
            return self
        fade = min(self.fade, length // 2)
        return Windows(length, min(self.stride, length - fade), fade, self.grows)

    def batches(self, frames: Iterable[T]) -> Iterator[list[T]]:
        """Frames in the groups in which the windows need them, so that none is waited for."""
        frames = iter(frames)
        group = list(islice(frames, self.stride if self.grows else self.length))
        while group:
            yield group
            group = list(islice(frames, self.stride))

    def count(self, frames: int, shift: int = 0) -> int:
        """Number of windows of a video of so many frames."""
        first = self.stride if self.grows else self.length
        if frames <= first:
            return 1
        rest = frames - first
        return 1 + math.ceil(rest / self.stride) if not shift else 2 + math.ceil((rest - shift) / self.stride)


def slide(
    frames: Iterable[T],
    process: Callable[[Sequence[T]], Sequence[R]],
    windows: Windows,
    fade: Callable[[R, R, float], R],
    shift: int = 0,
) -> Iterator[list[tuple[T, R]]]:
    """Process frames in windows, and give out each with its result as soon as no window will change it: those
    that get ready at once together.

    Every window reaches back to its full length, the last one too, so that all have one shape.

    Args:
        frames: read as they are needed.
        process: a result for each frame of a window.
        fade: an old and a new result of a frame, and the new one's weight, to what is given out.
        shift: where given, by how much the second window moves on in place of the stride. It moves all
            borders after it, so that the seams of several passes lie at different frames.
    """
    seen: deque[T] = deque(maxlen=windows.length)
    pending: list[tuple[T, R]] = []
    new, due = 0, windows.stride if windows.grows else windows.length
    moves = shift or windows.stride
    for frame in frames:
        seen.append(frame)
        new += 1
        if new < due:
            continue
        made = _renew(pending, list(seen), process(list(seen)), new, fade)
        settled = len(made) - min(windows.fade, len(made))
        pending = made[settled:]
        new, due, moves = 0, moves, windows.stride
        yield made[:settled]
    if new:
        pending = _renew(pending, list(seen), process(list(seen)), new, fade)
    if pending:
        yield pending


def _renew(
    pending: list[tuple[T, R]],
    window: list[T],
    results: Sequence[R],
    new: int,
    fade: Callable[[R, R, float], R],
) -> list[tuple[T, R]]:
    """The pending results faded over to the new ones, and after them the results of the new frames."""
    count = len(pending)
    made = list(zip(window, results, strict=True))[len(window) - count - new :]
    for index, (_, old) in enumerate(pending):
        weight = math.sin(math.pi / 2 * (index + 0.5) / count) ** 2
        frame, result = made[index]
        made[index] = (frame, fade(old, result, weight))
    return made
