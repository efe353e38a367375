"""Pictures against the strength of detail, or how much attributes' whole copies are favoured, scored on the
benchmark.

    uv run python benchmarks/strength.py CASES --limit 16 --strength 0 --strength 0.4 --strength 1
    uv run python benchmarks/strength.py CASES --limit 16 --favour 0 --favour 3 --favour 6

CASES is what `durian synth cases --out CASES --split single --size 256` writes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from durian.cli.progress import progress_bars
from durian.errors import DurianError
from durian.evaluation.cases import case_trials
from durian.evaluation.metrics import pixel_scores
from durian.evaluation.temporal import Motion, temporal_scores
from durian.evaluation.trial import Frames, Trial, TrialRef
from durian.pipeline import DurianPipeline

Animate = Callable[[Trial], Frames]
METRICS = {
    "psnr": "PSNR, dB",
    "psnr_attribute": "in the attribute",
    "psnr_face": "in the face",
    "flicker": "flicker",
    "detail": "detail",
}


def main(
    cases: Annotated[Path, typer.Argument(help="Folder of cases.")],
    checkpoint: Annotated[str, typer.Option(help="As for `durian animate`.")] = "mini",
    strength: Annotated[list[float], typer.Option(help="In [0, 1]; again for more.")] = [0, 0.4, 0.6, 1],  # noqa: B006
    favour: Annotated[list[float], typer.Option(help="In place of strengths; again for more.")] = [],  # noqa: B006
    split: str = "single",
    limit: Annotated[int | None, typer.Option(help="Cases of the split.")] = None,
) -> None:
    """Score a checkpoint at every strength, or at its own with every favour."""
    pipeline = DurianPipeline.from_pretrained(checkpoint)
    net = pipeline.networks.detail_net
    if net is None:
        raise DurianError(f"{checkpoint} has no DetailNet")

    def at(setting: str, each: float) -> Animate:
        def animate(trial: Trial) -> Frames:
            if setting == "favour":
                net.register_to_config(favour=each)
            else:
                pipeline.detail_strength = each
            return pipeline.animate(trial.request(pipeline.size).inputs)

        return animate

    setting, values = ("favour", favour) if favour else ("strength", strength)
    ways = {f"{each:g}": at(setting, each) for each in values}
    tabulate(setting, ways, case_trials(cases, splits=[split])[:limit])


def tabulate(
    heading: str,
    ways: Mapping[str, Animate],
    refs: Sequence[TrialRef],
    metrics: Mapping[str, str] = METRICS,
) -> None:
    """Print the mean scores of some ways to make frames, by name, over the same cases.

    `metrics` are the columns' titles by the scores' names.
    """
    rows: dict[str, list[dict[str, float | None]]] = defaultdict(list)
    with progress_bars() as report:
        for done, ref in enumerate(refs, start=1):
            trial = ref.load()
            assert trial.targets is not None
            motion = Motion.of(trial.targets)
            for name, animate in ways.items():
                frames = animate(trial)
                rows[name].append({**pixel_scores(frames, trial), **temporal_scores(frames, trial, motion)})
            report("cases", done, len(refs))
    table = Table(heading, *metrics.values(), title=f"{len(refs)} cases")
    for name, scores in rows.items():
        means = (np.mean([row[key] for row in scores if row[key] is not None]) for key in metrics)
        table.add_row(name, *(f"{mean:.3f}" for mean in means))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
