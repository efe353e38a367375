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
    Blend,
    ClickModel,
    Parser,
    PortraitMask,
    To,
    ToMask,
    parse_ends,
    parse_mask_options,
    read_masks,
)
from durian.cli.media_options import C2paCert, C2paKey, Duration, Fps, Mark, Start, make_signing
from durian.cli.motion_options import (
    AbsolutePose,
    AttributeFace,
    DrivingFace,
    HeadScale,
    MotionChoice,
    PasteBackOption,
    PortraitFace,
    Region,
    Smoothing,
    parse_faces,
)
from durian.cli.options import (
    CacheInterval,
    Checkpoint,
    Compile,
    Decoder,
    Detail,
    DetailStrength,
    Device,
    Dtype,
    Frames,
    Offload,
    OpenVINO,
    Seed,
    Steps,
    load_pipeline,
    parse_files,
)
from durian.cli.pictures import AttributePicture, Portrait, Views, first_images, further, read_pictures
from durian.cli.progress import progress_bars
from durian.errors import DurianError
from durian.files import same_file
from durian.media.formats import OutputFormat

_Scale = Annotated[float, typer.Option(min=0, help="How strongly to follow this reference; 1 is plain.")]


def animate(
    portrait: Portrait,
    attribute: AttributePicture,
    driving: Annotated[
        Path,
        typer.Option(
            help="Video whose motion the portrait shall follow; a picture; a motion kept by `durian motion`; "
            "or camera (camera:1, …), until Ctrl-C."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(help="A .mp4 or .webm, with the driver's sound, a .gif, a .webp, or a folder of PNG."),
    ],
    checkpoint: Checkpoint = "mini",
    views: Views = 4,
    to: To = None,
    blend: Blend = (0.0, 1.0),
    attribute_mask: AttributeMask = None,
    to_mask: ToMask = None,
    portrait_mask: PortraitMask = None,
    parser: Parser = "builtin",
    attribute_click: AttributeClick = None,
    click_model: ClickModel = CLICK_MODEL,
    portrait_face: PortraitFace = "largest",
    attribute_face: AttributeFace = None,
    driving_face: DrivingFace = "largest",
    region: Region = None,
    head_scale: HeadScale = 1.0,
    absolute_pose: AbsolutePose = False,
    smoothing: Smoothing = 1.0,
    paste_back: PasteBackOption = False,
    steps: Steps = None,
    portrait_scale: _Scale = 1.0,
    attribute_scale: _Scale = 1.0,
    guidance_interval: Annotated[
        tuple[float, float],
        typer.Option(help="The part of the schedule where the scales hold: 0 0.5 is its first half."),
    ] = (0.0, 1.0),
    cache_interval: CacheInterval = 1,
    seed: Seed = 0,
    frames: Frames = None,
    start: Start = 0.0,
    duration: Duration = None,
    fps: Fps = None,
    mark: Mark = False,
    c2pa_cert: C2paCert = None,
    c2pa_key: C2paKey = None,
    device: Device = None,
    dtype: Dtype = None,
    compile: Compile = False,
    offload: Offload = False,
    openvino: OpenVINO = False,
    decoder: Decoder = None,
    detail: Detail = True,
    detail_strength: DetailStrength = None,
) -> None:
    """Animate a portrait that wears attributes from other pictures and follows a video's motion."""
    attribute_files = parse_files(attribute, "--attribute")
    mask_files, clicks = parse_mask_options(attribute_files, attribute_mask, attribute_click)
    end_files, end_mask_files = parse_ends(attribute_files, to, to_mask)
    faces = parse_faces(attribute_files, portrait_face, attribute_face, driving_face)
    motion = MotionChoice(region, head_scale, absolute_pose)
    OutputFormat.of(output)
    for path in (driving, portrait, *attribute_files.values(), *end_files.values()):
        if same_file(output, path):
            what = "the driving video" if path == driving else "one of the inputs"
            raise DurianError(f"--output {output}: this is {what}, which would be lost")

    if blend != (0.0, 1.0) and not end_files:
        raise DurianError("--blend: there is no second picture to blend towards: give --to NAME=FILE as well")
    camera = camera_index(driving)
    if camera is not None and end_files and blend[0] != blend[1]:
        raise DurianError(
            "--to: a camera's video has no end to blend towards: give --blend the same number twice"
        )

    from durian.portrait.blend import shares
    from durian.portrait.motion_template import MotionTemplate, is_motion
    from durian.video import VideoReader, check_output, read_mask, write_video

    # Everything that is quick to check comes before the networks are loaded.
    check_output(output)
    shares(blend, 2)
    template = None
    if is_motion(driving):
        template = MotionTemplate.load(driving).part(start, duration, frames)
    write = partial(write_video, output, mark=mark, signing=make_signing(c2pa_cert, c2pa_key, output))
    with ExitStack() as stack:
        video = None
        if camera is None and template is None:
            video = stack.enter_context(VideoReader(driving, frames, fps=fps, start=start, duration=duration))
        report = stack.enter_context(progress_bars())
        pictures = read_pictures(portrait, attribute_files, end_files, views, faces, report)
        pictures.check_masks(portrait_mask is not None, [*mask_files, *clicks], end_mask_files)
        portrait_image, attributes = pictures.portrait[0].image, first_images(pictures.attributes)
        attribute_masks = read_masks(mask_files, clicks, attributes, click_model, device)
        ends = first_images(pictures.ends)
        end_masks = read_masks(end_mask_files, {}, ends)
        own_mask = None if portrait_mask is None else read_mask(portrait_mask, portrait_image.shape[:2])
        from durian.pipeline import AnimationOptions
        from durian.portrait.parsers import open_masker
        from durian.portrait.paste_back import PasteBack
        from durian.portrait.prepare import driver_motion, motion_on_portrait, prepare_references
        from durian.portrait.tracking import FaceTracker
        from durian.portrait.warnings import SeenFrames, driving_warnings, reference_warnings

        pipeline = load_pipeline(
            checkpoint, device, dtype, compile, openvino, decoder, detail, detail_strength, offload
        )
        references = prepare_references(
            portrait_image,
            attributes,
            size=pipeline.size,
            attribute_masks=attribute_masks,
            portrait_mask=own_mask,
            portrait_face=pictures.portrait[0].face,
            attribute_faces={name: each[0].face for name, each in pictures.attributes.items()},
            to=ends,
            to_masks=end_masks,
            portrait_views=pictures.portrait[1:],
            attribute_views=further(pictures.attributes),
            to_views=further(pictures.ends),
            masker=stack.enter_context(open_masker(parser, device)),
        )
        _warn(reference_warnings(references))
        paste = PasteBack(portrait_image, references.photo.crop) if paste_back else None
        options = AnimationOptions(
            num_inference_steps=steps,
            portrait_scale=portrait_scale,
            attribute_scale=attribute_scale,
            guidance_interval=guidance_interval,
            cache_interval=cache_interval,
            seed=seed,
            interpolate_to=references.others,
            portrait_to=references.portrait_to,
        )
        tracker = stack.enter_context(FaceTracker(faces.driver))
        if camera is not None:
            count = animate_live(
                pipeline,
                references,
                camera,
                write,
                options,
                limit=frames,
                report=report,
                tracker=tracker,
                motion=motion.options(),
                smoothing=smoothing,
                finish=paste,
                interpolation=blend[0],
            )
        else:
            if template is not None:
                driver, rate = template.landmarks, template.fps
            else:
                assert video is not None
                watch, rate = SeenFrames(tracker), video.fps
                driver = driver_motion(
                    video,
                    face=faces.driver,
                    detector=watch,
                    fps=rate,
                    smoothing=smoothing,
                    progress=partial(report, "Preparing", total=video.frame_count),
                )
                _warn(driving_warnings(watch.seen))
            keypoints = motion_on_portrait(driver, references.portrait.landmarks, motion.options())
            count = len(keypoints)
            made = pipeline.animate_iter(
                references.portrait,
                references.attributes,
                keypoints,
                interpolation=shares(blend, count),
                progress=partial(report, "Denoising", total=pipeline.network_calls(count, steps)),
                **options,
            )
            sound = None if template is not None else driving
            write(made if paste is None else map(paste, made), rate, audio_from=sound, audio_start=start)
    height, width = (pipeline.size, pipeline.size) if paste is None else portrait_image.shape[:2]
    soft = (
        ""
        if paste is None or paste.enlargement < 1.2
        else (
            f" The square of the face was made at {pipeline.size}×{pipeline.size} pixels and is enlarged "
            f"{paste.enlargement:.1f} times: it is softer than the rest."
        )
    )
    wrote = f"Wrote {output}: {count} frames of {width}×{height} pixels.{soft}"
    typer.echo(" ".join(wrote.split()))  # names may have line breaks


def _warn(warnings: list[str]) -> None:
    for warning in warnings:
        typer.echo(f"durian: warning: {warning}", err=True)
