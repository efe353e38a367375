"""`durian demo`: see it work, with nothing of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from durian.cli.options import CacheInterval, Checkpoint, Device, Frames, Steps
from durian.cli.progress import progress_bars


def demo(
    output: Annotated[Path, typer.Option(help="Folder of the results; made if it is not there.")] = Path(
        "durian-demo"
    ),
    checkpoint: Checkpoint = "mini",
    steps: Steps = None,
    cache_interval: CacheInterval = 1,
    frames: Frames = None,
    device: Device = None,
) -> None:
    """Animate the sample portrait with hair, with hair and glasses, and with hair that becomes other hair.

    Needs no network and no files.
    """
    from durian.demo import SAMPLES, run_demo

    with progress_bars() as report:
        result = run_demo(
            output,
            checkpoint=checkpoint,
            num_inference_steps=steps,
            cache_interval=cache_interval,
            frame_limit=frames,
            device=device,
            report=report,
        )
    typer.echo(f"{result.hair}: hair from one picture, motion from another person")
    typer.echo(f"{result.hair_and_glasses}: hair and eyeglasses from two pictures, in one pass")
    typer.echo(f"{result.hair_to_hair}: hair that becomes another picture's")
    typer.echo(f"{result.sheet}: all beside what they were made from")
    typer.echo(
        "\nNext, put your own files in place of any of these:\n"
        f"  durian animate --portrait {SAMPLES / 'portrait.png'} \\\n"
        f"    --attribute hair={SAMPLES / 'hair.png'} \\\n"
        f"    --driving {SAMPLES / 'driving.mp4'} --output animation.mp4"
    )
