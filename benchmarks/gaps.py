"""How far references are from targets in pose, size and place: in clips to train on and in cases.

    uv run python benchmarks/gaps.py CLIPS... --cases cases/single

A network that is trained on small gaps is not trained for what it is measured by, and used for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich import print
from rich.table import Table

from durian.data.clips import read_clips
from durian.evaluation.cases import case_trials
from durian.portrait.geometry import ANCHORS, face_template, fit_similarity, rotation_angle

PAIRS = 4  # of frames, drawn from each clip


def gap(source: np.ndarray, target: np.ndarray) -> tuple[float, float, float]:
    """Between two faces' landmarks: turn in degrees, size as a ratio above 1, and shift in pixels."""
    template = face_template()[list(ANCHORS)].astype(np.float64)
    (scale_a, turn_a, at_a), (scale_b, turn_b, at_b) = (
        fit_similarity(template, points[list(ANCHORS)].astype(np.float64)) for points in (source, target)
    )
    size = float(np.exp(abs(np.log(scale_b / scale_a))))
    return rotation_angle(turn_a, turn_b), size, float(np.hypot(*(at_b - at_a)[:2]))


def clip_gaps(folder: Path, seed: int) -> list[tuple[float, float, float]]:
    """Of frames drawn in pairs."""
    rng = np.random.default_rng(seed)
    gaps = []
    for clip in read_clips(folder):
        visible = clip.visible_frames()
        for _ in range(PAIRS if len(visible) > 1 else 0):
            first, second = rng.choice(visible, 2, replace=False)
            gaps.append(gap(clip.landmarks[first], clip.landmarks[second]))
    return gaps


def main(
    clips: Annotated[list[Path], typer.Argument(help="Folders of shards.")],
    cases: Annotated[list[Path], typer.Option(help="Folders of cases; again for more.")] = [],  # noqa: B006
    seed: int = 0,
) -> None:
    """Print a row for each folder: mean, and what a tenth exceeds."""
    table = Table("folder", "turn, degrees", "size, %", "shift, pixels")

    def add(name: str, gaps: list[tuple[float, float, float]]) -> None:
        turn, size, shift = np.array(gaps).T
        values = (turn, 100 * (size - 1), shift)
        table.add_row(name, *(f"{each.mean():.1f} ({np.percentile(each, 90):.1f})" for each in values))

    for folder in clips:
        add(f"{folder}: frames", clip_gaps(folder, seed))
    for folder in cases:
        trials = [ref.load() for ref in case_trials(folder)]
        add(f"{folder}: portrait", [gap(t.portrait.landmarks, k) for t in trials for k in t.keypoints])
        donors = [(d, t.keypoints) for t in trials for d in t.donors.values()]
        add(f"{folder}: donor", [gap(d.landmarks, k) for d, keypoints in donors for k in keypoints])
    print(table)


if __name__ == "__main__":
    typer.run(main)
