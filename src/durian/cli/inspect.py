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
from durian.cli.pictures import AttributePicture, Portrait, Views, first_images, further, read_pictures
from durian.cli.progress import progress_bars
from durian.errors import DurianError


def inspect(
    portrait: Portrait,
    attribute: AttributePicture,
    driving: Annotated[Path, typer.Option(help="Video whose motion the portrait shall follow.")],
    output: Annotated[Path, typer.Option(help="The .png or .html to write.")],
    checkpoint: Checkpoint = "mini",
    views: Views = 4,
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
    from durian.video import VideoReader, check_writable, read_mask

    for path in (portrait, driving, *attribute_files.values(), *end_files.values()):
        if same_file(output, path):
            raise DurianError(f"--output {output}: this is one of the inputs, which would be lost")
    check_writable(output)
    with VideoReader(driving, limit=frames) as video, progress_bars() as report:
        pictures = read_pictures(portrait, attribute_files, end_files, views, faces, report)
        pictures.check_masks(portrait_mask is not None, [*mask_files, *clicks], end_mask_files)
        photo, attributes = pictures.portrait[0].image, first_images(pictures.attributes)
        ends = first_images(pictures.ends)
        end_masks = read_masks(end_mask_files, {}, ends)
        own_mask = None if portrait_mask is None else read_mask(portrait_mask, photo.shape[:2])
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
                portrait_face=pictures.portrait[0].face,
                attribute_faces={name: each[0].face for name, each in pictures.attributes.items()},
                to=ends,
                to_masks=end_masks,
                portrait_views=pictures.portrait[1:],
                attribute_views=further(pictures.attributes),
                to_views=further(pictures.ends),
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
