"""`durian prepare`: videos of people in, clips to train on out."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from durian.cli.options import check_suffix
from durian.cli.progress import progress_bars
from durian.errors import DurianError

if TYPE_CHECKING:
    from durian.preparation.run import Executor, Summary


def prepare(
    videos: Annotated[list[Path], typer.Argument(help="Videos, and folders to search for them.")],
    out: Annotated[Path, typer.Option(help="Folder of the shards; what it already holds is not made again.")],
    size: Annotated[
        int, typer.Option(min=32, max=2048, help="Side of the frames in pixels: 512 for sd15, 128 for mini.")
    ] = 512,
    frames: Annotated[int, typer.Option(min=2, max=99, help="Of a clip.")] = 16,
    fps: Annotated[float, typer.Option(min=0.1, help="Frames a second of a clip.")] = 15.0,
    clips_per_video: Annotated[int, typer.Option(min=1, help="At most so many.")] = 8,
    gap: Annotated[float, typer.Option(min=0, help="Seconds between clips of one face.")] = 1.0,
    parser: Annotated[
        str,
        typer.Option(
            help="Where masks come from: 'builtin', or a segmentation network of transformers "
            "(folder, or repository on the hub)."
        ),
    ] = "builtin",
    attribute: Annotated[
        list[str] | None,
        typer.Option(help="Look for this attribute; may be given again.", show_default="all"),
    ] = None,
    filter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=NUMBER",
            help="A threshold of the quality filters, see docs/datasets.md; may be given again.",
        ),
    ] = None,
    shard_clips: Annotated[int, typer.Option(min=1, help="Clips of a shard, or a few more.")] = 64,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes.", show_default="one a core")] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Work on a Ray cluster instead: its address, 'auto', or 'local' to start one here.",
        ),
    ] = None,
    ray_gpus: Annotated[
        float, typer.Option(min=0, help="GPUs that each video needs on Ray; 0.25 lets four share one.")
    ] = 0.0,
    device: Annotated[
        str | None, typer.Option(help="Of the parser's network.", show_default="a GPU where there is one")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Draw clips, masks and landmarks into this .png to look at.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin anew, though the folder holds clips.")
    ] = False,
) -> None:
    """Make clips to train on from videos of people: scenes, faces, crops, landmarks, masks, quality."""
    if sheet is not None:
        check_suffix(sheet, ".png")
    from durian.preparation.run import prepare_videos
    from durian.preparation.settings import make_settings, parse_filters
    from durian.video import check_writable

    settings = make_settings(
        {
            "size": size,
            "frames": frames,
            "fps": fps,
            "clips_per_video": clips_per_video,
            "gap": gap,
            "parser": parser,
            "shard_clips": shard_clips,
            "filters": parse_filters(filter or []),
            **({"attributes": tuple(attribute)} if attribute else {}),
        }
    )
    if sheet is not None:
        check_writable(sheet)
    with progress_bars() as report:
        summary = prepare_videos(
            videos,
            out,
            settings,
            _executor(ray, workers, ray_gpus),
            fresh=fresh,
            device=device,
            progress=partial(report, "Preparing videos"),
        )
    _print(summary)
    if not summary.clips:
        raise DurianError(f"no clip was kept, so {out} holds nothing to train on: see the reasons above")
    if sheet is not None:
        from durian.preparation.sheet import clips_sheet
        from durian.sheet import save_sheet

        save_sheet(sheet, clips_sheet(out))
        typer.echo(f"Wrote {sheet}: look at it before training.")
    typer.echo(
        f"Wrote {summary.clips} clips of {size}×{size} pixels into {out}. To train on them, name the folder "
        "as data.clips in a configuration (see configs/) and run: durian train CONFIGURATION"
    )


def _executor(ray: str | None, workers: int | None, gpus: float) -> Executor:
    from durian.preparation.ray_jobs import run_on_ray
    from durian.work import available_cores, run_jobs

    if ray is not None:
        return partial(run_on_ray, address=ray, workers=workers, gpus=gpus)
    return partial(run_jobs, workers=workers or available_cores())


def _print(summary: Summary) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", "", show_header=False)
    table.columns[1].justify = "right"
    table.add_row("videos", str(len(summary.videos)))
    table.add_row("  unreadable", str(len(summary.unreadable)))
    table.add_row("clips kept", str(summary.clips), end_section=not summary.attributes)
    for index, (name, count) in enumerate(summary.attributes.items(), 1):
        table.add_row(f"  with {name}", str(count), end_section=index == len(summary.attributes))
    table.add_row("dropped", str(sum(summary.dropped.values())))
    for reason, count in summary.dropped.items():
        table.add_row(f"  {reason}", str(count))
    Console(width=60).print(table)
    for name, error in summary.unreadable.items():
        typer.echo(f"unreadable: {name}: {error}", err=True)
