"""`durian animate`: one animation from the user's own files."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from durian.cli.live import animate_live, camera_index
from durian.cli.mask_options import (
    CLICK_MODEL,
    AttributeClick,
    AttributeMask,
    ClickModel,
    Parser,
    PortraitMask,
    parse_mask_options,
    read_masks,
)
from durian.cli.media_options import C2paCert, C2paKey, Duration, Fps, Mark, Start, make_signing
from durian.cli.options import (
    Checkpoint,
    Compile,
    Device,
    Dtype,
    Frames,
    Precision,
    Seed,
    Steps,
    load_pipeline,
    parse_files,
)
from durian.cli.progress import progress_bars
from durian.errors import DurianError
from durian.files import same_file
from durian.media.formats import OutputFormat

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
    driving: Annotated[
        Path,
        typer.Option(
            help="Video whose motion the portrait shall follow; or camera (camera:1, …), until Ctrl-C."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(help="A .mp4 or .webm, with the driver's sound, a .gif, a .webp, or a folder of PNG."),
    ],
    checkpoint: Checkpoint = "mini",
    attribute_mask: AttributeMask = None,
    portrait_mask: PortraitMask = None,
    parser: Parser = "builtin",
    attribute_click: AttributeClick = None,
    click_model: ClickModel = CLICK_MODEL,
    steps: Steps = None,
    portrait_scale: _Scale = 1.0,
    attribute_scale: _Scale = 1.0,
    guidance_interval: Annotated[
        tuple[float, float],
        typer.Option(help="The part of the schedule where the scales hold: 0 0.5 is its first half."),
    ] = (0.0, 1.0),
    seed: Seed = 0,
    frames: Frames = None,
    start: Start = 0.0,
    duration: Duration = None,
    fps: Fps = None,
    mark: Mark = False,
    c2pa_cert: C2paCert = None,
    c2pa_key: C2paKey = None,
    device: Device = None,
    dtype: Dtype = Precision.fp32,
    compile: Compile = False,
) -> None:
    """Animate a portrait that wears attributes from other pictures and follows a video's motion."""
    attribute_files = parse_files(attribute, "--attribute")
    mask_files, clicks = parse_mask_options(attribute_files, attribute_mask, attribute_click)
    OutputFormat.of(output)
    if same_file(output, driving):
        raise DurianError(f"--output {output}: this is the driving video, which would be lost")

    camera = camera_index(driving)

    from durian.video import VideoReader, check_output, read_image, read_mask, write_video

    # Everything that is quick to check comes before the networks are loaded.
    check_output(output)
    write = partial(write_video, output, mark=mark, signing=make_signing(c2pa_cert, c2pa_key, output))
    portrait_image = read_image(portrait)
    attributes = {name: read_image(path) for name, path in attribute_files.items()}
    attribute_masks = read_masks(mask_files, clicks, attributes, click_model, device)
    own_mask = None if portrait_mask is None else read_mask(portrait_mask, portrait_image.shape[:2])
    with ExitStack() as stack:
        video = None
        if camera is None:
            video = stack.enter_context(VideoReader(driving, frames, fps=fps, start=start, duration=duration))
        report = stack.enter_context(progress_bars())
        from durian.inspect.gather import photo_facts, warn_of_references
        from durian.pipeline import AnimationOptions
        from durian.portrait.parsers import open_masker
        from durian.portrait.prepare import prepare_motion, prepare_references
        from durian.portrait.tracking import FaceTracker
        from durian.portrait.warnings import SeenFrames, driving_warnings

        pipeline = load_pipeline(checkpoint, device, dtype, compile)
        references = prepare_references(
            portrait_image,
            attributes,
            size=pipeline.size,
            attribute_masks=attribute_masks,
            portrait_mask=own_mask,
            masker=stack.enter_context(open_masker(parser, device)),
        )
        _warn(warn_of_references(*photo_facts(portrait_image, attributes, pipeline.size), references))
        options = AnimationOptions(
            num_inference_steps=steps,
            portrait_scale=portrait_scale,
            attribute_scale=attribute_scale,
            guidance_interval=guidance_interval,
            seed=seed,
        )
        if video is None:
            count = animate_live(
                pipeline, references, camera or 0, write, options, limit=frames, report=report
            )
        else:
            watch = SeenFrames(stack.enter_context(FaceTracker()))
            keypoints = prepare_motion(
                video,
                references.portrait.landmarks,
                detector=watch,
                fps=video.fps,
                progress=partial(report, "Preparing", total=video.frame_count),
            )
            _warn(driving_warnings(watch.seen))
            count = len(keypoints)
            made = pipeline.animate_iter(
                references.portrait,
                references.attributes,
                keypoints,
                progress=partial(report, "Denoising", total=pipeline.network_calls(count, steps)),
                **options,
            )
            write(made, video.fps, audio_from=driving, audio_start=start)
    typer.echo(f"Wrote {output}: {count} frames of {pipeline.size}×{pipeline.size} pixels.")


def _warn(warnings: list[str]) -> None:
    for warning in warnings:
        typer.echo(f"durian: warning: {warning}", err=True)
