"""Frames with time stamps to frames at a constant rate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

_LONGEST_GAP = 60.0  # seconds: a longer one is a damaged time stamp
_SWAP = 1.0  # seconds: frames that go back by less are out of order, beyond that the clock was set anew


def steady(
    times: Iterable[tuple[float | None, T]], period: float, start: float = 0.0
) -> Iterator[tuple[float, T]]:
    """Time stamps that do not go back, without leaps of more than a minute.

    Args:
        times: seconds and frames as they come; None where a frame has no time stamp.
        period: seconds of a frame, for what has no good time stamp. Later frames keep their distance to it.
        start: the first frame must not come more than a minute after this.
    """
    last, shift = None, 0.0
    for stamp, frame in times:
        expected = start if last is None else last + period
        time = expected if stamp is None else stamp + shift
        if last is not None and last - _SWAP < time < last:
            time = last
        elif time > expected + _LONGEST_GAP or (last is not None and time < last):
            shift += expected - time
            time = expected
        last = time
        yield time, frame


def constant_rate(
    frames: Iterable[tuple[float, T]], fps: float, *, start: float = 0.0, period: float
) -> Iterator[T]:
    """Give the frame that is to be seen at each of `start + k / fps`; frames are repeated and left out.

    A frame goes to the nearest such moment, so that the error is at most half a period and does not add up:
    sound stays in sync. The first frame fills what is missing before it.

    Args:
        frames: seconds and frames, the times not falling.
        period: how many seconds the last frame is shown.
    """
    slot, held, end = 0, None, 0.0
    for time, frame in frames:
        position = math.floor((time - start) * fps + 0.5)
        end = time + period
        while slot < position:
            yield frame if held is None else held[0]
            slot += 1
        held = (frame,)
    if held is None or end - start <= 1e-6:
        return
    for _ in range(max(1, round((end - start) * fps)) - slot):
        yield held[0]
