"""`durian evaluate`: measure a checkpoint."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from durian.cli.options import Checkpoint, Device, Seed, Steps, check_suffix
from durian.cli.progress import progress_bars

if TYPE_CHECKING:
    from rich.table import Table

evaluate_app = typer.Typer(help="Measure a checkpoint.")

_BASELINES_ONLY = "none"
_COLUMNS = {"psnr": "PSNR ↑", "ssim": "SSIM ↑", "l1": "L1 ↓", "psnr_attribute": "PSNR, attribute ↑"}


@evaluate_app.callback()
def _evaluate() -> None:
    """Without this, typer would take the only subcommand for the whole."""


@evaluate_app.command()
def cross(
    cases: Annotated[Path, typer.Option(help="Folder of case folders.")],
    checkpoint: Checkpoint = "mini",
    json: Annotated[Path | None, typer.Option(help="Write the whole report to this .json file.")] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Draw the worst, the median and the best case into this .png file.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first N cases.", show_default="all")
    ] = None,
    dependence: Annotated[
        bool,
        typer.Option(help="Also measure what is lost without the references, at five times the cost."),
    ] = True,
    steps: Steps = None,
    seed: Seed = 0,
    device: Device = None,
) -> None:
    """Score cross-identity transfer against exact ground truth, beside baselines.

    With --checkpoint none, only the baselines, which need no model.
    """
    from rich.console import Console

    from durian.evaluation.cross import evaluate_cross, save_sheet, write_json
    from durian.video import check_writable

    for path, suffix in ((json, ".json"), (sheet, ".png")):
        if path is not None:
            check_suffix(path, suffix)
            check_writable(path)
    pipeline = None
    if checkpoint != _BASELINES_ONLY:
        from durian.pipeline import DurianPipeline

        pipeline = DurianPipeline.from_pretrained(checkpoint, device=device)
    with progress_bars() as report_progress:
        report = evaluate_cross(
            cases,
            pipeline,
            limit=limit,
            num_inference_steps=steps,
            seed=seed,
            dependence=dependence,
            checkpoint=checkpoint,
            progress=partial(report_progress, "Evaluating"),
        )
    if json is not None:
        write_json(json, report)
    if sheet is not None:
        save_sheet(sheet, cases, report, pipeline)

    Console().print(_table(report))
    for name, loss in report.get("dependence", {}).items():
        typer.echo(f"{name.replace('_', ' ')}: {_number(loss)} dB lost")
    for case in report["skipped"]:
        typer.echo(f"skipped: {case['reason']}", err=True)
    for path in filter(None, (json, sheet)):
        typer.echo(f"Wrote {path}.")


def _table(report: dict[str, Any]) -> Table:
    from rich.table import Table

    counts = report["settings"]["count"]
    table = Table("cases", "method", *_COLUMNS.values(), title=f"Cross-identity, {counts['overall']} cases")
    for group, count in counts.items():
        for method in ("model", "warp_paste", "copy_portrait"):
            if method in report:
                scores = [_number(report[method][group][metric]) for metric in _COLUMNS]
                table.add_row(f"{group} ({count})", method, *scores)
        table.add_section()
    return table


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
