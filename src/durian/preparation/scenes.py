"""Frames at a steady rate, and the scenes they belong to."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeVar

import cv2
import numpy as np
from jaxtyping import UInt8
from scenedetect import AdaptiveDetector, FrameTimecode

T = TypeVar("T")

_WIDTH = 256  # pixels are enough to see a cut
_MIN_DIFFERENCE = 20.0  # in PySceneDetect's measure; gestures before a still background reach 15


def split_scenes(
    frames: Iterable[UInt8[np.ndarray, "H W 3"]], threshold: float = 3.0
) -> Iterator[tuple[int, UInt8[np.ndarray, "H W 3"]]]:
    """Number each frame's scene, from 0, with PySceneDetect's adaptive detector.

    A cut differs much more from its neighbours than they do among each other, which camera motion and
    flicker do not. Slow fades are not cuts. The detector looks two frames ahead, and so many are held back.

    Args:
        frames: all frames of one video, at its own rate.
        threshold: how many times the neighbours' difference makes a cut.
    """
    detector = AdaptiveDetector(
        adaptive_threshold=threshold, min_scene_len=2, min_content_val=_MIN_DIFFERENCE
    )
    waiting: deque[np.ndarray] = deque()
    cuts: set[int] = set()
    scene = first = 0
    for index, frame in enumerate(frames):
        # The rate only names times, and frames are numbered here.
        found = detector.process_frame(FrameTimecode(index, 25.0), _small(frame))
        cuts.update(cut.frame_num for cut in found)
        waiting.append(frame)
        while len(waiting) > detector.event_buffer_length:
            scene += first in cuts
            yield scene, waiting.popleft()
            first += 1
    for frame in waiting:
        yield scene, frame


def resample(frames: Iterable[T], source_fps: float, fps: float) -> Iterator[T]:
    """Every frame that begins a new period of 1 / `fps`; all of them where the source is slower."""
    period = -1
    for index, frame in enumerate(frames):
        # A hair more, so that 2 / 30 s is not short of 1 / 15 s by rounding.
        if (now := int(index * fps / source_fps + 1e-6)) > period:
            period = now
            yield frame


def _small(frame: np.ndarray) -> np.ndarray:
    """A small BGR picture, as the detector wants it."""
    height = max(1, round(_WIDTH * frame.shape[0] / frame.shape[1]))
    small = cv2.resize(frame, (_WIDTH, height), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
