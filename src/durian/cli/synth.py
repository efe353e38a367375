"""`durian synth`: synthetic portraits with exact ground truth."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from durian.cli.options import check_suffix
from durian.cli.progress import progress_bars

synth_app = typer.Typer(help="Render synthetic portraits with exact ground truth.")

Size = Annotated[int, typer.Option(min=32, max=1024, help="Side of the images in pixels.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes.", show_default="one a core")]
Samples = Annotated[int, typer.Option(min=1, max=8, help="Samples of a pixel, a side.")]
Output = Annotated[Path, typer.Option("--out", help="Folder; what it already holds is not made again.")]


@synth_app.command()
def sheet(
    out: Annotated[Path, typer.Option(help="The picture, a .png file.")],
    kind: Annotated[
        str, typer.Option(help="random, identities, swaps, poses, styles or free-forms.", show_default=True)
    ] = "random",
    size: Size = 160,
    seed: Annotated[int, typer.Option(min=0, help="Of the people.")] = 0,
) -> None:
    """Draw a contact sheet of the world."""
    from durian.errors import DurianError
    from durian.sheet import save_sheet
    from durian.synth.sheets import SHEETS, arrange
    from durian.video import check_writable

    if kind not in SHEETS:
        raise DurianError(f"unknown sheet {kind!r}: choose from {', '.join(SHEETS)}")
    check_suffix(out, ".png")
    check_writable(out)
    save_sheet(out, arrange(*SHEETS[kind](seed, size)))
    typer.echo(f"Wrote {out}.")


@synth_app.command()
def clips(
    out: Output,
    clips: Annotated[int, typer.Option(min=1, help="How many.")] = 1000,
    frames: Annotated[int, typer.Option(min=1, max=99, help="Of a clip.")] = 16,
    size: Size = 128,
    seed: Annotated[int, typer.Option(min=0, help="Of the people and their motion.")] = 0,
    samples: Samples = 3,
    relit: Annotated[
        int, typer.Option(min=0, max=99, help="Frames of a clip, once more in other lights.")
    ] = 0,
    takes: Annotated[
        int, typer.Option(min=1, max=99, help="Performances that a clip's frames are shared out among.")
    ] = 1,
    surface: Annotated[
        bool,
        typer.Option("--surface", help="Pictures of which point of the person each pixel shows, too."),
    ] = False,
    unshaded: Annotated[
        bool,
        typer.Option("--unshaded", help="People in hats once more, as if the hat cast no shadow, too."),
    ] = False,
    free_hats: Annotated[
        float, typer.Option(min=0, max=1, help="Share of people in hats of no style, drawn at random.")
    ] = 0.0,
    free_forms: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of hair, glasses and beards of no style, drawn at random."),
    ] = 0.0,
    donors: Annotated[
        int, typer.Option(min=0, max=99, help="Pictures of others in what a clip's person wears.")
    ] = 0,
    before: Annotated[
        int, typer.Option(min=0, max=99, help="Pictures of a clip's person with something else in its place.")
    ] = 0,
    workers: Workers = None,
) -> None:
    """Render clips to train on: frames, labels, landmarks and parameters in webdataset shards."""
    from durian.synth.dataset import ClipSettings, write_clips
    from durian.work import available_cores

    settings = ClipSettings(
        frames, size, seed, samples, relit, takes, surface, unshaded, free_hats, free_forms, donors, before
    )
    with progress_bars() as report:
        shards = write_clips(
            out,
            clips,
            settings,
            workers or available_cores(),
            progress=partial(report, "Rendering clips"),
        )
    typer.echo(f"{clips} clips in {len(shards)} shards in {out}.")


@synth_app.command()
def cases(
    out: Output,
    split: Annotated[
        list[str] | None, typer.Option(help="Only this split; may be given again.", show_default="all")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first N cases of each split.", show_default="all")
    ] = None,
    size: Size = 128,
    samples: Samples = 3,
    workers: Workers = None,
) -> None:
    """Render the benchmark: people wearing other people's attributes, and the exact answers."""
    from durian.synth.benchmark import write_benchmark
    from durian.work import available_cores

    with progress_bars() as report:
        manifest = write_benchmark(
            out,
            split,
            limit=limit,
            size=size,
            samples=samples,
            workers=workers or available_cores(),
            progress=partial(report, "Rendering cases"),
        )
    for name, entry in manifest["splits"].items():
        typer.echo(f"{name}: {entry['cases']} cases, pixels {entry['pixels'][:12]}")
    typer.echo(f"Wrote {out}: score a checkpoint with durian evaluate cases {out}")
