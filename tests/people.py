"""Clips of flat people, whose examples can be worked out by hand."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from durian.data.clips import Clip
from durian.labels import ATTRIBUTE_LABELS
from durian.portrait.geometry import face_template
from durian.synth.render import Rendered

SIZE, FRAMES = 32, 6
BOXES = {"hair": (5, 11), "glasses": (13, 16), "beard": (22, 26), "hat": (1, 5)}
"""Rows of each attribute."""
COLOURS = {"hair": (200, 30, 30), "glasses": (30, 30, 200), "beard": (30, 200, 30), "hat": (220, 220, 30)}


def dressed(name: str, *attributes: str, styles: dict[str, str] | None = None, frames: int = FRAMES) -> Clip:
    """A grey head that moves to the right, a band of colour across it for each attribute."""
    landmarks = np.repeat(face_template()[None] * 8, frames, 0).astype(np.float32)
    images = np.full((frames, SIZE, SIZE, 3), 40, np.uint8)
    masks = {attribute: np.zeros((frames, SIZE, SIZE), bool) for attribute in attributes}
    for i in range(frames):
        landmarks[i, :, :2] += [13 + i, 16]
        columns = slice(6 + i, 20 + i)
        images[i, 11:26, columns] = 150
        for attribute in attributes:
            rows = slice(*BOXES[attribute])
            images[i, rows, columns] = COLOURS[attribute]
            masks[attribute][i, rows, columns] = True
    return Clip(name, images, landmarks, masks, styles or {})


def write_shard(path: Path, clips: list[Clip]) -> None:
    """Clips as tar shards hold them."""
    with tarfile.open(path, "w") as tar:
        for clip in clips:
            labels = np.zeros(clip.frames.shape[:3], np.uint8)
            for name, masks in clip.masks.items():
                labels[masks] = ATTRIBUTE_LABELS[name]
            _add_frames(tar, clip.name, clip.frames, labels, clip.landmarks)
            if clip.styles:
                person = {"attributes": {name: {"style": style} for name, style in clip.styles.items()}}
                _add(tar, f"{clip.name}.person.json", json.dumps(person).encode())


def write_labelled_shard(path: Path, name: str, frames: Sequence[Rendered]) -> None:
    """A clip of rendered frames, with their labels."""
    with tarfile.open(path, "w") as tar:
        images, labels, landmarks = (
            np.stack([getattr(frame, key) for frame in frames]) for key in ("rgb", "labels", "landmarks")
        )
        _add_frames(tar, name, images, labels, landmarks)


def _add_frames(
    tar: tarfile.TarFile, name: str, images: np.ndarray, labels: np.ndarray, landmarks: np.ndarray
) -> None:
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        _add(tar, f"{name}.frame{i:02d}.webp", cv2.imencode(".webp", image[..., ::-1])[1].tobytes())
        _add(tar, f"{name}.label{i:02d}.png", cv2.imencode(".png", label)[1].tobytes())
    buffer = io.BytesIO()
    np.save(buffer, landmarks)
    _add(tar, f"{name}.landmarks.npy", buffer.getvalue())


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))
