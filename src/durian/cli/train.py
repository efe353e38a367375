"""`durian train`: train a model as a configuration says."""

from __future__ import annotations

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
) -> None:
    """Train by self-reconstruction on clips, without paired data."""
    from durian.training.interruption import TrainingStopped
    from durian.training.run import train as run

    try:
        checkpoint = run(config, output=output, fresh=not resume, steps=steps)
    except TrainingStopped as stopped:
        typer.echo(str(stopped), err=True)
        raise typer.Exit(128 + stopped.signal) from None
    typer.echo(f"Wrote {checkpoint}: use it with --checkpoint {checkpoint}")
