"""The camera as a driver, with a fake one."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from durian.camera import Camera
from durian.cli import main
from durian.cli.live import on_interrupt
from durian.demo import SAMPLES
from durian.errors import DurianError
from durian.video import VideoReader


class FakeCapture:
    """Gives numbered grey pictures, each when it is asked for by `release_one`, or all at once."""

    def __init__(self, count: int, opened: bool = True, gated: bool = False):
        self.count, self.opened, self.given, self.released = count, opened, 0, False
        self.gate = threading.Semaphore(0 if gated else 10**6)

    def isOpened(self) -> bool:
        return self.opened

    def get(self, property: int) -> float:
        return 20.0 if property == cv2.CAP_PROP_FPS else 0.0

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.gate.acquire(timeout=5)
        time.sleep(0.002)  # as a camera, which does not give pictures without a pause
        if self.given == self.count:
            return False, None
        self.given += 1
        picture = np.zeros((4, 6, 3), np.uint8)
        picture[..., 0] = self.given  # blue
        return True, picture

    def release(self) -> None:
        self.released = True


def test_frames_are_rgb_and_the_newest():
    capture = FakeCapture(9, gated=True)
    with Camera(0, open_capture=lambda index: capture) as camera:
        assert camera.fps == 20
        frames = iter(camera)
        capture.gate.release()
        first = next(frames)
        assert first[0, 0].tolist() == [0, 0, 1]
        for _ in range(5):
            capture.gate.release()
        while capture.given < 6:
            pass
        later = [next(frames)[0, 0, 2]]
        while later[-1] < 6:  # the last of them may just be being handed over
            later.append(next(frames)[0, 0, 2])
        assert len(later) <= 2
        camera.stop()
        assert list(frames) == []
        capture.gate.release()
    assert capture.released


def test_results_last_as_long_as_their_frames_did(monkeypatch):
    clock = iter([10.0, 10.1, 10.4, 11.0, 11.0, 11.0])
    monkeypatch.setattr("durian.camera.time.monotonic", lambda: next(clock))
    capture = FakeCapture(3, gated=True)
    with Camera(0, open_capture=lambda index: capture) as camera:

        def taken():
            for _ in range(3):
                capture.gate.release()
                yield next(frames)

        frames = iter(camera)
        shown = [frame[0, 0, 2] for frame in camera.at_its_rate(taken())]
        capture.gate.release()
    assert shown == [1, 1, 2, 2, 2, 2, 2, 2, 3]  # 0.1 s, 0.3 s and a last period at 20 frames a second


def test_a_limit_ends_it_and_an_end_too():
    for limit, count in ((2, 5), (None, 1)):
        capture = FakeCapture(count, gated=True)
        with Camera(0, limit, open_capture=lambda index, capture=capture: capture) as camera:
            got = 0
            capture.gate.release()
            for _ in camera:
                got += 1
                capture.gate.release()
            assert got == (limit or count)
            capture.gate.release()


def test_no_camera_and_a_camera_without_pictures_are_named():
    with pytest.raises(DurianError, match="no camera 3"):
        Camera(3, open_capture=lambda index: FakeCapture(0, opened=False))
    camera = Camera(0, open_capture=lambda index: FakeCapture(0))
    with camera, pytest.raises(DurianError, match="gives no pictures"):
        next(iter(camera))


class EchoPipeline:
    """Gives the driver's frames back."""

    size = 128

    def stream(self, portrait, attributes, frames, **options):
        self.options = options
        for frame in frames:
            yield np.repeat(np.repeat(frame[:, :4], 32, 0), 32, 1)


def test_the_command_line_takes_a_camera_until_it_is_stopped(monkeypatch, tmp_path: Path, capsys):
    echo = EchoPipeline()
    monkeypatch.setattr("durian.pipeline.DurianPipeline.from_pretrained", lambda *_, **__: echo)
    monkeypatch.setattr("durian.camera.cv2.VideoCapture", lambda index: FakeCapture(10**6))
    output = tmp_path / "live.mp4"
    arguments = [
        "animate",
        "--portrait",
        f"{SAMPLES}/portrait.png",
        "--attribute",
        f"hair={SAMPLES}/hair.png",
    ]
    arguments += ["--attribute-mask", f"hair={SAMPLES}/hair_mask.png", "--output", str(output)]
    arguments += ["--portrait-mask", f"{SAMPLES}/portrait_mask.png", "--driving"]
    assert main([*arguments, "camera:2", "--frames", "5", "--steps", "3"]) == 0
    assert "5 frames" in capsys.readouterr().out
    assert echo.options["num_inference_steps"] == 3
    with VideoReader(output) as video:
        assert video.fps == 20
        assert next(iter(video)).shape == (128, 128, 3)
    assert main([*arguments, "camera:x"]) == 2
    assert "camera:N" in capsys.readouterr().err


def test_the_first_interrupt_ends_the_video():
    stopped = []
    # In the background of a shell, interrupts are ignored from the start.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with on_interrupt(lambda: stopped.append(True)):
            signal.raise_signal(signal.SIGINT)
            assert stopped == [True]
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
