"""`durian mask-bank` and `durian outpaint`: what image generators can give to training beforehand."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from durian.cli.options import Device
from durian.cli.progress import progress_bars
from durian.errors import DurianError

Clips = Annotated[Path, typer.Argument(help="Folder of clips, as durian prepare and durian synth make them.")]
Out = Annotated[Path, typer.Option("--out", help="Folder; what it already holds is not made again.")]
Parser = Annotated[
    str, typer.Option(help="'builtin', or a folder or hub repository of a segmentation network.")
]
Steps = Annotated[int, typer.Option(min=1, help="Denoising steps of each picture.")]
Guidance = Annotated[float, typer.Option(min=0, help="Classifier-free guidance of the generator.")]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same pictures.")]
Dtype = Annotated[
    str | None,
    typer.Option(help="float32, float16 or bfloat16.", show_default="bfloat16 on a GPU, else float32"),
]


def mask_bank(
    clips: Clips,
    out: Out,
    generator: Annotated[str, typer.Option(help="SDXL of diffusers: a folder or a hub repository.")],
    controlnet: Annotated[
        str | None, typer.Option(help="A ControlNet for it that follows keypoints: folder or hub.")
    ] = None,
    adapter: Annotated[str | None, typer.Option(help="A T2I-Adapter in its place: folder or hub.")] = None,
    control_image: Annotated[
        str, typer.Option(help="How keypoints are drawn: openpose, or mesh (as in training).")
    ] = "openpose",
    attribute: Annotated[
        list[str] | None, typer.Option(help="Only this attribute; may be given again.", show_default="all")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Pictures in all.")] = 2000,
    limit: Annotated[int, typer.Option(min=1, help="Take the keypoints of the first N clips.")] = 200,
    size: Annotated[int, typer.Option(min=64, help="Side of the generated pictures in pixels.")] = 1024,
    mask_size: Annotated[int, typer.Option(min=32, help="Side of the masks in pixels.")] = 512,
    parser: Parser = "builtin",
    steps: Steps = 30,
    guidance: Guidance = 5.0,
    control_scale: Annotated[float, typer.Option(min=0, help="Weight of the keypoints.")] = 0.9,
    seed: Seed = 0,
    keep_images: Annotated[bool, typer.Option("--keep-images", help="Keep the pictures as well.")] = False,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Generate people for the clips' keypoints and keep the masks of what they wear, for mask expansion."""
    if (controlnet is None) == (adapter is None):
        raise DurianError("give either --controlnet or --adapter: SDXL by itself follows no keypoints")
    _check_dtype(dtype)
    from durian.data.clips import read_clips
    from durian.generation.mask_bank import CONTROL_IMAGES, BankSettings, faces_of, make_bank
    from durian.portrait.attributes import ATTRIBUTES, check_attribute

    if control_image not in CONTROL_IMAGES:
        raise DurianError(f"--control-image {control_image}: choose from {', '.join(CONTROL_IMAGES)}")
    if size % 8:
        raise DurianError(f"--size {size}: the side must be a multiple of 8")
    wanted = tuple(dict.fromkeys(check_attribute(name) for name in attribute or ATTRIBUTES))
    control = controlnet or adapter or ""
    models, sampling = (generator, control, parser), (steps, guidance, control_scale)
    settings = BankSettings(wanted, seed, size, mask_size, control_image, models, sampling)
    with progress_bars() as report:
        faces = faces_of(list(read_clips(clips, limit, partial(report, "Reading clips", total=None))))
        if not faces:
            raise DurianError(f"no frame of the clips in {clips} shows a face")
        from durian.generation.pipelines import load_generator
        from durian.portrait.landmarks import MediaPipeLandmarks
        from durian.portrait.parsers import open_parser

        generate = load_generator(
            generator,
            control,
            adapter is not None,
            steps=steps,
            guidance=guidance,
            control_scale=control_scale,
            device=device,
            dtype=dtype,
        )
        with MediaPipeLandmarks() as detect:
            progress = partial(report, "Generating people")
            found = make_bank(
                out, count, faces, settings, generate, detect, open_parser(parser), keep_images, progress
            )
    typer.echo(f"Of {count} pictures: " + ", ".join(f"{found[name]} {name}" for name in sorted(found)))
    if not any(found[name] for name in ATTRIBUTES):
        raise DurianError("no picture shows a face with an attribute: look at them with --keep-images")
    typer.echo(f"Wrote {out}: train with data.mask_bank: {out}")


def outpaint(
    clips: Clips,
    out: Out,
    generator: Annotated[
        str, typer.Option(help="An inpainting pipeline of diffusers: a folder or a hub repository.")
    ],
    margin: Annotated[
        float, typer.Option(min=0.01, max=1, help="What is added on each side, in shares of a frame.")
    ] = 0.25,
    frames: Annotated[int, typer.Option(min=1, help="Of each clip; references are drawn from these.")] = 4,
    size: Annotated[int, typer.Option(min=64, help="Side of the canvas that is painted.")] = 1024,
    prompt: Annotated[str, typer.Option(help="What the picture shows.")] = (
        "portrait photo of a person, head, shoulders and background"
    ),
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first N clips.", show_default="all")
    ] = None,
    parser: Parser = "builtin",
    steps: Steps = 30,
    guidance: Guidance = 7.0,
    seed: Seed = 0,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Paint what surrounds the clips' frames, so that shifted and shrunk references show real picture."""
    _check_dtype(dtype)
    from itertools import chain, islice

    from durian.data.clips import read_clips
    from durian.generation.outpaint import OutpaintSettings, outpaint_clips

    stream = read_clips(clips, limit)
    first = list(islice(stream, 1))
    if not first:
        raise DurianError(f"no clips in {clips}")
    side = first[0].frames.shape[1]
    models, sampling = (generator, prompt, parser), (steps, guidance)
    settings = OutpaintSettings(side, round(margin * side), frames, size, seed, models, sampling)
    from durian.generation.pipelines import load_inpainter
    from durian.portrait.parsers import open_parser

    fill = load_inpainter(generator, prompt, steps=steps, guidance=guidance, device=device, dtype=dtype)
    with progress_bars() as report:
        progress = partial(report, "Outpainting clips", total=limit)
        done = outpaint_clips(out, chain(first, stream), settings, fill, open_parser(parser), progress)
    typer.echo(f"{done} clips in {out}: train with data.outpainted: {out}")


def _check_dtype(dtype: str | None) -> None:
    known = ("float32", "float16", "bfloat16")
    if dtype is not None and dtype not in known:
        raise DurianError(f"--dtype {dtype}: choose from {', '.join(known)}")
