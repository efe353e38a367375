"""`durian train`: train a model as a configuration says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def train(
    config: Annotated[Path, typer.Argument(help="YAML file of the run, see configs/.")],
    output: Annotated[
        Path | None,
        typer.Option(help="Folder of checkpoints and logs.", show_default="what the configuration says"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--fresh", help="Go on from what the folder holds, or begin anew.")
    ] = True,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Stop there.", show_default="what the configuration says")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.01, help="Stop after so many, with a rate that has fallen to 0.", show_default="no limit"
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Two steps on random weights and data: memory and time, no files."),
    ] = False,
    size: Annotated[
        int | None,
        typer.Option(min=8, help="Pixels a side, of a dry run.", show_default="the preset's"),
    ] = None,
) -> None:
    """Train by self-reconstruction on clips, without paired data."""
    if dry_run:
        from durian.training.dry_run import dry_run as try_out

        typer.echo(try_out(config, size))
        return
    if size is not None:
        raise typer.BadParameter("only with --dry-run", param_hint="--size")
    from durian.training.interruption import TrainingStopped
    from durian.training.run import train as run

    try:
        checkpoint = run(config, output=output, fresh=not resume, steps=steps, minutes=minutes)
    except TrainingStopped as stopped:
        typer.echo(str(stopped), err=True)
        raise typer.Exit(128 + stopped.signal) from None
    if os.environ.get("RANK", "0") == "0":  # of torchrun's processes the first
        typer.echo(f"Wrote {checkpoint}: use it with --checkpoint {checkpoint}")
