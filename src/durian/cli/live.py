"""`durian animate --driving camera`."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from durian.errors import DurianError

if TYPE_CHECKING:
    import numpy as np

    from durian.demo import Report
    from durian.pipeline import AnimationOptions, DurianPipeline
    from durian.portrait.motion_transfer import MotionOptions
    from durian.portrait.prepare import References
    from durian.portrait.tracking import FaceTracker


def camera_index(driving: Path) -> int | None:
    """0 of `camera`, N of `camera:N`, None of anything else.

    Raises:
        DurianError: `camera:` with something that is no number.
    """
    name, _, index = str(driving).partition(":")
    if name != "camera" or driving.exists():
        return None
    if index and not index.isdecimal():
        raise DurianError(f"--driving {driving}: write camera, or camera:N with the camera's number")
    return int(index or 0)


def animate_live(
    pipeline: DurianPipeline,
    references: References,
    index: int,
    write: Callable[[Iterable[np.ndarray], float], None],
    options: AnimationOptions,
    *,
    limit: int | None = None,
    report: Report | None = None,
    tracker: FaceTracker | None = None,
    motion: MotionOptions | None = None,
    smoothing: float = 0.0,
    finish: Callable[[np.ndarray], np.ndarray] | None = None,
    interpolation: float = 1.0,
) -> int:
    """Animate by a camera until Ctrl-C or `limit` frames; the frames' number."""
    from durian.camera import Camera
    from durian.portrait.smoothing import LandmarkSmoother

    with Camera(index, limit) as camera, on_interrupt(camera.stop):
        frames = pipeline.stream(
            references.portrait,
            references.attributes,
            camera,
            tracker=tracker,
            motion=motion,
            smoother=LandmarkSmoother(camera.fps, smoothing),
            interpolation=interpolation,
            **options,
        )
        if finish is not None:
            frames = map(finish, frames)
        counted = CountedFrames(frames, None if report is None else lambda n: report("Live", n, limit))
        write(camera.at_its_rate(counted), camera.fps)
    return counted.count


class CountedFrames:
    """Frames that pass through, counted."""

    def __init__(self, frames: Iterable[np.ndarray], tell: Callable[[int], None] | None = None):
        self._frames, self._tell, self.count = frames, tell, 0

    def __iter__(self) -> Iterator[np.ndarray]:
        for frame in self._frames:
            self.count += 1
            if self._tell is not None:
                self._tell(self.count)
            yield frame


@contextmanager
def on_interrupt(stop: Callable[[], None]) -> Generator[None]:
    """The first Ctrl-C within only calls `stop`; a second acts as always."""

    def handle(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, before)
        stop()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
