"""What a run writes down: its start, its curves, its scores."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from durian.files import replacing
from durian.training.config import TrainConfig

_LIBRARIES = ("torch", "diffusers", "transformers", "accelerate", "numpy", "mediapipe")
_CURVE, _SCORES, _RUN, _EVENTS = "curve.jsonl", "scores.jsonl", "run.json", "tensorboard"


class RunFolder:
    """The files of a run, of which only the main process writes.

    What an interrupted run wrote after the state that it goes on from is taken back first, so that the
    curves are those of a run that was never interrupted.

    Args:
        folder: of the run.
        step: that the run goes on from; at 0 whatever an earlier run left, but its checkpoint, is removed.
    """

    def __init__(self, folder: Path, step: int):
        self.folder, self.step = folder, step
        folder.mkdir(parents=True, exist_ok=True)
        if step == 0:
            clear(folder)
        self.records = _truncate(folder / _CURVE, step)
        _truncate(folder / _SCORES, step)
        self._files = {name: (folder / name).open("a") for name in (_CURVE, _SCORES)}
        self._events = _event_writer(folder / _EVENTS, step + 1)

    def started(self, config: TrainConfig, **facts: object) -> None:
        """Write the configuration down, and with what code, libraries and device this start runs it."""
        _write(self.folder / "config.yaml", yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
        path = self.folder / _RUN
        starts = json.loads(path.read_text())["starts"] if path.is_file() else []
        now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        starts.append({"time": now, "step": self.step, "seed": config.seed, **environment(), **facts})
        _write(path, json.dumps({"starts": starts}, indent=2) + "\n")

    def write_step(self, step: int, values: Mapping[str, float], examples: int) -> None:
        """A line of the curve; `values` hold the seconds that the step took with so many examples."""
        self._line(_CURVE, {"step": step, **values})
        rates = {
            "steps_per_second": 1 / values["seconds"],
            "examples_per_second": examples / values["seconds"],
        }
        self._scalars("train", {**values, **rates}, step)

    def write_scores(self, step: int, scores: Mapping[str, float], sheet: np.ndarray | None = None) -> None:
        """Scores of held-out people, and the picture (H, W, 3) that they are of."""
        self._line(_SCORES, {"step": step, **scores})
        self._scalars("held_out", scores, step)
        if self._events is not None and sheet is not None:
            self._events.add_image("held_out", sheet, step, dataformats="HWC")
            self._events.flush()

    def close(self) -> None:
        """Write out what is still held back."""
        for file in self._files.values():
            file.close()
        if self._events is not None:
            self._events.close()

    def _line(self, name: str, record: Mapping[str, float]) -> None:
        self._files[name].write(json.dumps(record) + "\n")
        self._files[name].flush()

    def _scalars(self, group: str, values: Mapping[str, float], step: int) -> None:
        if self._events is not None:
            for name, value in values.items():
                self._events.add_scalar(f"{group}/{name}", value, step)


def clear(folder: Path) -> None:
    """Remove what a run left, but its checkpoint."""
    for name in ("state", "state.old", "previews", _EVENTS):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (_CURVE, _SCORES, _RUN):
        (folder / name).unlink(missing_ok=True)


def environment() -> dict[str, Any]:
    """Version and commit of the code, and what it runs on."""
    return {
        "durian": importlib.metadata.version("durian"),
        **_commit(),
        "python": platform.python_version(),
        "libraries": {name: importlib.metadata.version(name) for name in _LIBRARIES},
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else platform.processor() or "cpu",
    }


def _commit() -> dict[str, Any]:
    """The commit of a checkout and whether its package differs from it; empty for an installed package."""
    package = Path(__file__).resolve().parents[1]

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(package), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # else the repository is another's
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--", "."))}
    except (OSError, subprocess.SubprocessError):
        return {}


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text)


def _truncate(path: Path, step: int) -> list[dict[str, float]]:
    """Keep the records up to `step`, and return them; a last line that was cut off is none."""
    records = []
    if path.is_file():
        for line in path.read_text().splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if record["step"] <= step:
                records.append(record)
    _write(path, "".join(json.dumps(record) + "\n" for record in records))
    return records


def _event_writer(folder: Path, first: int) -> Any:
    """TensorBoard's writer, to which events from step `first` on are void; None where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=first)
