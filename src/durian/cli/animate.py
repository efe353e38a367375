"""`durian animate`: one animation from the user's own files."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from durian.cli.options import Checkpoint, Device, Frames, Seed, Steps, check_suffix, parse_files
from durian.cli.progress import progress_bars
from durian.errors import DurianError

_Scale = Annotated[float, typer.Option(min=0, help="How strongly to follow this reference; 1 is plain.")]


def animate(
    portrait: Annotated[Path, typer.Option(help="Picture of the person to animate.")],
    attribute: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=FILE",
            help="hair, glasses, beard or hat, and a picture of someone who wears it. Repeat for more.",
        ),
    ],
    driving: Annotated[Path, typer.Option(help="Video whose motion the portrait shall follow.")],
    output: Annotated[Path, typer.Option(help="The mp4 to write, with the driving video's sound.")],
    checkpoint: Checkpoint = "mini",
    attribute_mask: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE",
            help="Where the attribute is in its picture: white on black, of its size.",
            show_default="found in the picture",
        ),
    ] = None,
    portrait_mask: Annotated[
        Path | None,
        typer.Option(
            help="Where the portrait's own hair, glasses, … are, to be replaced: white on black.",
            show_default="found in the picture",
        ),
    ] = None,
    steps: Steps = None,
    portrait_scale: _Scale = 1.0,
    attribute_scale: _Scale = 1.0,
    seed: Seed = 0,
    frames: Frames = None,
    device: Device = None,
) -> None:
    """Animate a portrait that wears attributes from other pictures and follows a video's motion."""
    attribute_files = parse_files(attribute, "--attribute")
    mask_files = parse_files(attribute_mask or [], "--attribute-mask")
    for name in mask_files.keys() - attribute_files.keys():
        raise DurianError(f"--attribute-mask {name}=…: there is no --attribute {name}=… it could belong to")
    check_suffix(output, ".mp4")
    if output.exists() and driving.exists() and output.samefile(driving):
        raise DurianError(f"--output {output}: this is the driving video, which would be lost")

    from durian.video import VideoReader, check_writable, read_image, read_mask, write_video

    # Everything that is quick to check comes before the networks are loaded.
    check_writable(output)
    portrait_image = read_image(portrait)
    attributes = {name: read_image(path) for name, path in attribute_files.items()}
    attribute_masks = {name: read_mask(path, attributes[name].shape[:2]) for name, path in mask_files.items()}
    own_mask = None if portrait_mask is None else read_mask(portrait_mask, portrait_image.shape[:2])
    with VideoReader(driving, limit=frames) as video, progress_bars() as report:
        from durian.pipeline import DurianPipeline
        from durian.portrait.prepare import prepare

        pipeline = DurianPipeline.from_pretrained(checkpoint, device=device)
        inputs = prepare(
            portrait_image,
            attributes,
            video,
            size=pipeline.size,
            fps=video.fps,
            attribute_masks=attribute_masks,
            portrait_mask=own_mask,
            progress=partial(report, "Preparing", total=video.frame_count),
        )
        result = pipeline.animate(
            inputs,
            num_inference_steps=steps,
            portrait_scale=portrait_scale,
            attribute_scale=attribute_scale,
            seed=seed,
            progress=partial(report, "Denoising"),
        )
    write_video(output, result, inputs.fps, audio_from=driving)
    typer.echo(f"Wrote {output}: {len(result)} frames of {result.shape[2]}×{result.shape[1]} pixels.")
