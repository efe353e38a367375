"""A driver's motion without its pictures, kept in a file."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from durian.errors import DurianError
from durian.files import replacing

SUFFIXES = (".safetensors", ".npz")
VERSION = 1
_KIND = "durian-motion"


@dataclass(frozen=True)
class MotionTemplate:
    """Landmarks of every frame and the rate of these.

    Attributes:
        landmarks: in pixels of the driver's frames, gaps bridged.
        fps: frames a second.
    """

    landmarks: Float32[np.ndarray, "F 478 3"]
    fps: float

    def save(self, path: Path) -> None:
        """Write it, as safetensors or as npz by the file's name.

        Raises:
            DurianError: another suffix, or the file cannot be written.
        """
        check_suffix(path)
        landmarks = np.ascontiguousarray(self.landmarks, np.float32)
        with replacing(path) as part:
            if path.suffix == ".npz":
                with part.open("wb") as file:
                    np.savez(file, landmarks=landmarks, fps=self.fps, version=VERSION, kind=_KIND)
            else:
                from safetensors.numpy import save_file

                about = {"kind": _KIND, "version": str(VERSION), "fps": repr(float(self.fps))}
                save_file({"landmarks": landmarks}, part, metadata=about)

    def part(self, start: float, duration: float | None, frames: int | None) -> MotionTemplate:
        """From `start` seconds on, at most `duration` seconds and `frames` frames.

        Raises:
            DurianError: nothing is left.
        """
        first = round(start * self.fps)
        last = len(self.landmarks) if duration is None else first + max(1, round(duration * self.fps))
        chosen = self.landmarks[first:last][:frames]
        if not len(chosen):
            seconds = len(self.landmarks) / self.fps
            raise DurianError(f"the motion has no frames after {start:g} s: it is {seconds:.1f} s long")
        return MotionTemplate(chosen, self.fps)

    @classmethod
    def load(cls, path: Path) -> MotionTemplate:
        """Read what `save` wrote; nothing in the file is executed.

        Raises:
            DurianError: there is no such file, or it is no motion that this version can read.
        """
        check_suffix(path)
        if not path.is_file():
            raise DurianError(f"{path}: there is no such file")
        try:
            about, landmarks = _read_npz(path) if path.suffix == ".npz" else _read_safetensors(path)
            kind, version, fps = str(about["kind"]), int(about["version"]), float(about["fps"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise _not_a_motion(path) from error
        if kind != _KIND:
            raise _not_a_motion(path)
        if version > VERSION:
            raise DurianError(f"{path}: was written by a newer version of durian; update this one")
        shape_fits = landmarks.ndim == 3 and landmarks.shape[0] > 0 and landmarks.shape[1:] == (478, 3)
        if not (shape_fits and np.isfinite(landmarks).all() and np.isfinite(fps) and fps > 0):
            raise _not_a_motion(path)
        return cls(landmarks.astype(np.float32), fps)


def check_suffix(path: Path) -> None:
    """A motion is in a file of a known kind."""
    if path.suffix not in SUFFIXES:
        raise DurianError(f"{path}: give a motion a name that ends in {' or '.join(SUFFIXES)}")


def is_motion(path: Path) -> bool:
    """Whether a driver's file is a motion by its name, and no video."""
    return path.suffix in SUFFIXES


def _read_npz(path: Path) -> tuple[dict[str, Any], np.ndarray]:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name].item() for name in ("kind", "version", "fps")}, arrays["landmarks"]


def _read_safetensors(path: Path) -> tuple[dict[str, Any], np.ndarray]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            return dict(file.metadata() or {}), file.get_tensor("landmarks")
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _not_a_motion(path: Path) -> DurianError:
    return DurianError(f"{path}: is no motion; `durian motion VIDEO --output {path.name}` makes one")
