"""Quality against sampling steps, scored on the benchmark and plotted.

    uv run python benchmarks/steps.py CASES OUT --limit 24 --checkpoint mini

CASES is what `durian synth cases --out CASES` writes. Each number of steps is an evaluation of its own in
OUT, taken up where it was left, and OUT/steps.png has a curve for each checkpoint. Both are of the last
--cache-interval that was asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import matplotlib
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from durian.cli.progress import progress_bars
from durian.evaluation.cases import case_trials
from durian.evaluation.judge import Task
from durian.evaluation.methods import list_methods
from durian.evaluation.perceptual import WeightSources
from durian.evaluation.report import Report
from durian.evaluation.run import evaluate

METRICS = {
    "psnr": "PSNR, dB",
    "psnr_attribute": "PSNR of the attribute, dB",
    "ssim": "SSIM",
    "flicker": "flicker, × the truth's",
    "seconds": "seconds a frame",
}


def main(
    cases: Annotated[Path, typer.Argument(help="Folder of cases.")],
    out: Annotated[Path, typer.Argument(help="Folder for the evaluations and the plot.")],
    checkpoint: Annotated[list[str], typer.Option(help="NAME, or NAME=FOLDER; again for more.")] = ["mini"],  # noqa: B006
    step: Annotated[list[int], typer.Option(help="Numbers of steps; again for more.")] = [1, 2, 4, 8, 20],  # noqa: B006
    cache_interval: Annotated[int, typer.Option(help="Of steps in which all layers run.")] = 1,
    split: str = "single",
    limit: Annotated[int | None, typer.Option(help="Cases of the split.")] = None,
) -> None:
    """Score every checkpoint at every number of steps."""
    models = {name: place or name for name, _, place in (entry.partition("=") for entry in checkpoint)}
    refs = case_trials(cases, splits=[split])[:limit]
    curves: dict[str, dict[int, dict[str, float]]] = {name: {} for name in models}
    for steps in step:
        listed = list_methods(
            models, steps=steps, cache_interval=cache_interval, detail=False, dependence=False
        )
        methods = [m for m in listed if m.name in models]
        task = Task(
            out / f"{steps:03d}", tuple(methods), WeightSources.parse(()), None, False, synthetic=True
        )
        with progress_bars() as report:
            done = evaluate(
                refs,
                task,
                protocol="cases",
                title=f"{steps} steps",
                settings={"steps": steps, "cache_interval": cache_interval},
                progress=lambda now, all_, steps=steps, report=report: report(f"{steps} steps", now, all_),
            )
        for name in models:
            curves[name][steps] = means(done, name)
    tabulate(curves, len(refs))
    plot(curves, out / "steps.png")


def means(report: Report, name: str) -> dict[str, float]:
    """Means over the cases, by metric."""
    rows = [{**case.scores[name], "seconds": case.seconds[name] / case.frames} for case in report.cases]
    return {key: float(np.mean([row[key] for row in rows if row.get(key) is not None])) for key in METRICS}


def tabulate(curves: dict[str, dict[int, dict[str, float]]], cases: int) -> None:
    """Print a row for each checkpoint and number of steps."""
    table = Table("checkpoint", "steps", *METRICS.values(), title=f"{cases} cases")
    for name, curve in curves.items():
        for steps, row in curve.items():
            table.add_row(name, str(steps), *(f"{row[key]:.3f}" for key in METRICS))
    Console().print(table)


def plot(curves: dict[str, dict[int, dict[str, float]]], path: Path) -> None:
    """A panel for each metric."""
    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(METRICS), figsize=(3.2 * len(METRICS), 3), layout="constrained")
    for (key, title), panel in zip(METRICS.items(), panels, strict=True):
        for name, curve in curves.items():
            panel.plot(list(curve), [row[key] for row in curve.values()], marker="o", label=name)
        panel.set_xscale("log", base=2)
        panel.set_xticks(ticks := sorted({n for curve in curves.values() for n in curve}), map(str, ticks))
        panel.set_xlabel("sampling steps")
        panel.set_title(title)
        panel.grid(alpha=0.3)
    panels[0].legend()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    typer.run(main)
