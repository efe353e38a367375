"""Pictures against the strength of detail, scored on the benchmark.

    uv run python benchmarks/strength.py CASES --limit 16 --strength 0 --strength 0.4 --strength 1

CASES is what `durian synth cases --out CASES --split single --size 256` writes.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from durian.cli.progress import progress_bars
from durian.evaluation.cases import case_trials
from durian.evaluation.metrics import pixel_scores
from durian.evaluation.temporal import Motion, temporal_scores
from durian.pipeline import DurianPipeline

METRICS = {"psnr": "PSNR, dB", "psnr_attribute": "in the attribute", "flicker": "flicker", "detail": "detail"}


def main(
    cases: Annotated[Path, typer.Argument(help="Folder of cases.")],
    checkpoint: Annotated[str, typer.Option(help="As for `durian animate`.")] = "mini",
    strength: Annotated[list[float], typer.Option(help="In [0, 1]; again for more.")] = [0, 0.4, 0.6, 1],  # noqa: B006
    split: str = "single",
    limit: Annotated[int | None, typer.Option(help="Cases of the split.")] = None,
) -> None:
    """Score a checkpoint at every strength."""
    pipeline = DurianPipeline.from_pretrained(checkpoint)
    refs = case_trials(cases, splits=[split])[:limit]
    rows: dict[float, list[dict[str, float | None]]] = defaultdict(list)
    with progress_bars() as report:
        for done, ref in enumerate(refs, start=1):
            trial = ref.load()
            assert trial.targets is not None
            motion, inputs = Motion.of(trial.targets), trial.request(pipeline.size).inputs
            for each in strength:
                pipeline.detail_strength = each
                frames = pipeline.animate(inputs)
                rows[each].append({**pixel_scores(frames, trial), **temporal_scores(frames, trial, motion)})
            report("cases", done, len(refs))
    table = Table("strength", *METRICS.values(), title=f"{len(refs)} cases")
    for each, scores in rows.items():
        means = (np.mean([row[key] for row in scores if row[key] is not None]) for key in METRICS)
        table.add_row(f"{each:g}", *(f"{mean:.3f}" for mean in means))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
