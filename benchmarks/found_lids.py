"""How far apart eyelids are found, by how far apart they are, on the benchmark's answers.

    uv run python benchmarks/found_lids.py CASES

What MediaPipe says stands beside what is made of it (`durian.portrait.lids`). CASES is what `durian synth
cases --out CASES --split single --size 256` writes. Distances are means along the lids, in widths of the eye.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from durian.cli.progress import progress_bars
from durian.evaluation.cases import case_trials
from durian.portrait.expression import EYES
from durian.portrait.landmarks import MediaPipeLandmarks
from durian.portrait.lids import lids_shut

_EDGES = (0, 0.06, 0.09, 0.12, 0.16, 0.2, 0.25, 1)


def apart(landmarks: np.ndarray) -> list[float]:
    """Of each eye."""
    told = []
    for lids, corners, _ in EYES:
        upper, lower = np.array(lids).T
        gap = np.linalg.norm(landmarks[upper, :2] - landmarks[lower, :2], axis=1).mean()
        told.append(float(gap / np.linalg.norm(landmarks[corners[0]] - landmarks[corners[1]])))
    return told


def main(
    cases: Annotated[Path, typer.Argument(help="Folder of cases.")],
    split: str = "single",
    limit: Annotated[int | None, typer.Option(help="Cases of the split.")] = None,
) -> None:
    """Print a line for each range of true distances."""
    rows: list[tuple[float, float, float]] = []
    with MediaPipeLandmarks(lids=False) as detector, progress_bars() as report:
        refs = case_trials(cases, splits=[split])[:limit]
        for done, ref in enumerate(refs, start=1):
            trial = ref.load()
            assert trial.targets is not None
            for frame, true in zip(trial.targets, trial.keypoints, strict=True):
                found = detector(frame)
                if found is not None:
                    rows += zip(apart(true), apart(found), apart(lids_shut(found)), strict=True)
            report("cases", done, len(refs))
    table = Table("apart", "eyes", "found, mean", "spread", "corrected, mean", "spread")
    eyes = np.array(rows)
    for low, high in pairwise(_EDGES):
        _, *told = eyes[(eyes[:, 0] >= low) & (eyes[:, 0] < high)].T
        if len(told[0]):
            numbers = [f"{of:.3f}" for each in told for of in (each.mean(), each.std())]
            table.add_row(f"{low:.2f} to {high:.2f}", str(len(told[0])), *numbers)
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
