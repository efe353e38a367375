"""The samples of `durian demo`: four people who are in no set of clips and in no case of the benchmark."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from durian.synth.model import build
from durian.synth.performance import FrameState, sample_performance
from durian.synth.person import Person, sample_person
from durian.synth.recipes import wear
from durian.synth.render import Rendered, render
from durian.synth.sequence import render_performance
from durian.video import write_video

SAMPLES = 3
"""Domain of their seeds, beside `durian.synth.dataset.CLIPS` and `CASES`."""

FRAMES, FPS, SIZE = 28, 15.0, 256
PORTRAIT, HAIR, GLASSES, DRIVER = 13, 3, 11, 9
"""Numbers of the people; picked by eye among the first, for their difference."""

MOTION = 8
"""Number of the driver's performance: it turns the head, speaks and blinks."""


def someone(number: int) -> Person:
    """Person number `number` of this domain."""
    return sample_person(np.random.default_rng([SAMPLES, number]), split="train")


def write_samples(folder: Path) -> None:
    """Render portrait, donors and driving video into `folder`, with exact masks."""
    portrait = wear(someone(PORTRAIT), hat=None, glasses=None)
    hair = wear(someone(HAIR), hat=None)
    glasses = someone(GLASSES)
    stills = {
        "portrait": (portrait, FrameState(yaw=0.12, smile=0.3), "hair"),
        "hair": (hair, FrameState(yaw=-0.1, smile=0.4), "hair"),
        "glasses": (glasses, FrameState(yaw=0.15), "glasses"),
    }
    for name, (person, state, kind) in stills.items():
        frame = render(build(person), state, SIZE)
        Image.fromarray(frame.rgb).save(folder / f"{name}.png", optimize=True)
        Image.fromarray(_mask(frame, kind)).save(folder / f"{name}_mask.png", optimize=True)
    driver = replace(someone(DRIVER), attributes=replace(someone(DRIVER).attributes, hat=None))
    rng = np.random.default_rng([SAMPLES, DRIVER, MOTION])
    performance = sample_performance(rng, FRAMES, FPS, max_yaw=0.5)
    frames = [frame.rgb for frame in render_performance(build(driver), performance, SIZE)]
    write_video(folder / "driving.mp4", frames, FPS)


def _mask(frame: Rendered, kind: str) -> np.ndarray:
    if kind not in frame.visible:
        return np.zeros(frame.labels.shape, np.uint8)
    return np.where(frame.visible[kind] > 0.5, 255, 0).astype(np.uint8)
