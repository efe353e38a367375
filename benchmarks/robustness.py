"""Growth of memory over repeated reads and writes, good files and broken ones.

    uv run python benchmarks/robustness.py --rounds 30

Each kind is read (or written) again and again in this process. What is printed is the resident memory after
a first tenth, when caches are filled, and at the end: a leak grows with the rounds.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from durian.errors import DurianError
from durian.video import VideoReader, read_image, write_video

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))


def main(
    rounds: Annotated[int, typer.Option(min=10, help="How often each kind is read.")] = 30,
) -> None:
    """Print a table of memory before and after."""
    from odd_inputs import DRIVERS, PICTURES

    typer.echo(f"{'kind':<42}{'MB, warm':>10}{'MB, end':>10}{'growth':>8}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jobs: list[tuple[str, Callable[[], object]]] = []
        for role, inputs, read in (("picture", PICTURES, read_image), ("video", DRIVERS, _read_video)):
            paths = []
            for number, odd in enumerate(inputs):
                path = folder / f"{role}{number}" / odd.file
                (folder / f"{role}{number}").mkdir()
                odd.make(path)
                paths.append(path)
            jobs.append((f"{len(paths)} kinds of {role}", partial(_read_all, paths, read)))
        frames = [np.full((256, 256, 3), value, np.uint8) for value in range(20)]
        for suffix in (".mp4", ".webm", ".gif", ".webp"):
            jobs.append((f"writing {suffix}", partial(write_video, folder / f"out{suffix}", frames, 25)))
        for title, job in jobs:
            _measure(title, job, rounds)


def _measure(title: str, job: Callable[[], object], rounds: int) -> None:
    warm = 0.0
    for number in range(rounds):
        job()
        if number == max(1, rounds // 10):
            warm = _resident()
    end = _resident()
    typer.echo(f"{title:<42}{warm:>10.1f}{end:>10.1f}{end - warm:>8.1f}")


def _resident() -> float:
    """Megabytes of this process in memory."""
    text = Path("/proc/self/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


def _read_all(paths: list[Path], read: Callable[[Path], object]) -> None:
    for path in paths:
        with suppress(DurianError):
            read(path)


def _read_video(path: Path) -> None:
    with VideoReader(path, limit=10) as video:
        for _ in video:
            pass


if __name__ == "__main__":
    typer.run(main)
