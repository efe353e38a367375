"""`durian mix`: a checkpoint between two others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def mix(
    first: Annotated[str, typer.Argument(help="A packaged checkpoint, a folder or a hub id.")],
    second: Annotated[str, typer.Argument(help="Another that was trained on from there.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the new checkpoint.")],
    share: Annotated[float, typer.Option(min=0, max=1, help="Of the second.")] = 0.5,
) -> None:
    """Mix the weights of two checkpoints, as one that errs little with one that is crisp."""
    from durian.pipeline.mix import mix_checkpoints

    mix_checkpoints(first, second, share, output)
    typer.echo(f"Wrote {output}: use it with --checkpoint {output}")
