"""Clips made here, and configurations of runs on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from durian.data.clips import Clip
from durian.portrait.geometry import face_template
from durian.training.config import TrainConfig
from tiny import tiny_preset


def make_clip(name: str, colour: int, frames: int = 5, size: int = 32, cap: int = 6) -> Clip:
    """A grey square head with a cap of "hair" of one colour, so many pixels high, that moves to the right."""
    rng = np.random.default_rng(colour)
    landmarks = np.repeat(face_template()[None] * 8, frames, 0).astype(np.float32)
    images = np.full((frames, size, size, 3), 40, np.uint8)
    hair = np.zeros((frames, size, size), bool)
    for i in range(frames):
        landmarks[i, :, :2] += [12 + i, 15]
        images[i, 12:26, 6 + i : 20 + i] = 150
        images[i, 12 - cap : 12, 6 + i : 20 + i] = (colour, 255 - colour, 90)
        hair[i, 12 - cap : 12, 6 + i : 20 + i] = True
    noise = rng.integers(0, 6, images.shape, dtype=np.uint8)
    return Clip(name, images + noise, landmarks, {"hair": hair})


def config_with(tmp_path: Path, **changes: object) -> TrainConfig:
    values = {
        "preset": "mini",
        "stage": 1,
        "output": tmp_path / "run",
        "data": {"clips": tmp_path, "targets": 2, "held_out": 1},
        "steps": 4,
        "batch_size": 2,
        "save_every": 2,
        "sample_every": 100,
        "optimizer": {"learning_rate": 1e-3, "warmup_steps": 0},
    }
    return TrainConfig.model_validate({**values, **changes})


def write_config(tmp_path: Path, **changes: object) -> Path:
    config = config_with(tmp_path, **changes).model_dump(mode="json")
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def tiny_changes() -> dict[str, object]:
    """What makes `mini` tiny in a configuration, for a process where the preset is its own."""
    tiny = tiny_preset()
    names = ("unet", "keypoint_guider", "attribute_encoder", "identity_encoder", "position_reader")
    return {"size": tiny.size, **{name: getattr(tiny, name) for name in names}}
