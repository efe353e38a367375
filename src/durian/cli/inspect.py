"""`durian inspect`: the model's inputs in one picture, before anyone waits for a bad result."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from durian.cli.mask_options import (
    CLICK_MODEL,
    AttributeClick,
    AttributeMask,
    ClickModel,
    Parser,
    PortraitMask,
    To,
    ToMask,
    parse_ends,
    parse_mask_options,
    read_masks,
)
from durian.cli.motion_options import AttributeFace, DrivingFace, PortraitFace, parse_faces
from durian.cli.options import Checkpoint, Device, Frames, parse_files
from durian.cli.progress import progress_bars
from durian.errors import DurianError


def inspect(
    portrait: Annotated[Path, typer.Option(help="Picture of the person to animate.")],
    attribute: Annotated[
        list[str],
        typer.Option(metavar="NAME=FILE", help="As for durian animate. Repeat for more."),
    ],
    driving: Annotated[Path, typer.Option(help="Video whose motion the portrait shall follow.")],
    output: Annotated[Path, typer.Option(help="The .png or .html to write.")],
    checkpoint: Checkpoint = "mini",
    to: To = None,
    attribute_mask: AttributeMask = None,
    to_mask: ToMask = None,
    portrait_mask: PortraitMask = None,
    parser: Parser = "builtin",
    attribute_click: AttributeClick = None,
    click_model: ClickModel = CLICK_MODEL,
    portrait_face: PortraitFace = "largest",
    attribute_face: AttributeFace = None,
    driving_face: DrivingFace = "largest",
    frames: Frames = None,
    device: Device = None,
) -> None:
    """Show what the model will see, and warn of what is likely to spoil the result."""
    attribute_files = parse_files(attribute, "--attribute")
    mask_files, clicks = parse_mask_options(attribute_files, attribute_mask, attribute_click)
    end_files, end_mask_files = parse_ends(attribute_files, to, to_mask)
    faces = parse_faces(attribute_files, portrait_face, attribute_face, driving_face)
    if output.suffix.lower() not in (".png", ".html"):
        raise DurianError(f"--output {output}: give a name that ends in .png or .html")

    from durian.files import replacing, same_file
    from durian.video import VideoReader, check_writable, read_image, read_mask

    for path in (portrait, driving, *attribute_files.values(), *end_files.values()):
        if same_file(output, path):
            raise DurianError(f"--output {output}: this is one of the inputs, which would be lost")
    check_writable(output)
    photo = read_image(portrait)
    attributes = {name: read_image(path) for name, path in attribute_files.items()}
    ends = {name: read_image(path) for name, path in end_files.items()}
    end_masks = read_masks(end_mask_files, {}, ends)
    own_mask = None if portrait_mask is None else read_mask(portrait_mask, photo.shape[:2])
    with VideoReader(driving, limit=frames) as video, progress_bars() as report:
        import cv2

        from durian.inspect.gather import inspect_inputs
        from durian.inspect.page import html
        from durian.inspect.sheet import draw_inspection
        from durian.pipeline import DurianPipeline
        from durian.portrait.parsers import open_masker

        with open_masker(parser, device) as masker:
            found = inspect_inputs(
                photo,
                attributes,
                video,
                size=DurianPipeline.from_pretrained(checkpoint, device=device).size,
                fps=video.fps,
                attribute_masks=read_masks(mask_files, clicks, attributes, click_model, device),
                portrait_mask=own_mask,
                portrait_face=faces.portrait,
                attribute_faces=faces.attributes,
                to=ends,
                to_masks=end_masks,
                driving_face=faces.driver,
                masker=masker,
                progress=partial(report, "Looking", total=video.frame_count),
            )
    png = cv2.imencode(".png", draw_inspection(found)[..., ::-1])[1].tobytes()
    for warning in found.warnings:
        typer.echo(f"durian: warning: {warning}", err=True)
    with replacing(output) as path:
        path.write_bytes(png if output.suffix.lower() == ".png" else html(png, found.warnings).encode())
    count = len(found.warnings)
    typer.echo(f"Wrote {output}: {count or 'no'} warning{'' if count == 1 else 's'}.")
