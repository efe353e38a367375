"""`durian examples`: what training will see."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from durian.cli.options import check_suffix


def examples(
    config: Annotated[Path, typer.Argument(help="YAML file of a training run, see configs/.")],
    out: Annotated[Path, typer.Option(help="The picture, a .png file.")],
    count: Annotated[int, typer.Option(min=1, max=100, help="Examples.")] = 8,
    clips: Annotated[
        int, typer.Option(min=1, help="Read only so many clips, to be done sooner.", show_default=True)
    ] = 100,
    tile: Annotated[int, typer.Option(min=16, max=1024, help="Side of each picture in pixels.")] = 128,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the examples.", show_default="the configuration's own")
    ] = None,
) -> None:
    """Draw training examples: masked references, the frames to be given back, their keypoints."""
    check_suffix(out, ".png")
    from durian.sheet import save_sheet
    from durian.training.config import load_config
    from durian.training.examples import draw_examples
    from durian.video import check_writable

    settings = load_config(config)
    check_writable(out)
    sheet, summary = draw_examples(settings, count, clips, tile, seed)
    save_sheet(out, sheet)
    typer.echo(summary)
    typer.echo(f"Wrote {out}.")
