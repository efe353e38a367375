"""Options that several subcommands share, and what they are checked for before any heavy work."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from durian.errors import DurianError
from durian.portrait.attributes import ATTRIBUTES, check_attribute

if TYPE_CHECKING:
    from durian.pipeline import DurianPipeline

Checkpoint = Annotated[
    str, typer.Option(help="'mini' (part of the package), a checkpoint folder, or a repository on the hub.")
]
Device = Annotated[
    str | None,
    typer.Option(help="Such as 'cpu' or 'cuda:1'.", show_default="a GPU where there is one"),
]
Steps = Annotated[
    int | None, typer.Option(min=1, help="Denoising steps.", show_default="the checkpoint's own")
]
CacheInterval = Annotated[
    int,
    typer.Option(
        min=1,
        help="All layers run in every Nth denoising step only, and the outermost alone in the others: faster "
        "than 1, which is exact.",
    ),
]
Decoder = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Folder or hub id of a small decoder of the checkpoint's latents (madebyollin/taesd for sd15): "
        "faster, with less detail.",
        show_default="the checkpoint's own",
    ),
]
Detail = Annotated[
    bool,
    typer.Option(
        help="Results at the size that the checkpoint's DetailNet brings them to, where it has one, with "
        "detail from the pictures given."
    ),
]
DetailStrength = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="How far detail goes beyond what is sure: 1 is crisp and more often wrong, 0 is soft.",
        show_default="the checkpoint's own",
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Of the noise: the same seed gives the same result.")]
Frames = Annotated[
    int | None, typer.Option(min=1, help="Use only the first N driving frames.", show_default="all")
]


class Precision(StrEnum):
    """Of weights and computation."""

    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"
    int8 = "int8"


Dtype = Annotated[
    Precision | None,
    typer.Option(
        help="Of weights and computation; bf16 is for GPUs and CPUs with AMX, fp16 for GPUs, int8 for "
        "--openvino.",
        show_default="bf16 on GPUs that know it, else fp32",
    ),
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile", help="Compile the network first, for minutes: for GPUs; a CPU hardly gains by it."
    ),
]
OpenVINO = Annotated[
    bool,
    typer.Option(
        "--openvino",
        help="Run the network by OpenVINO: for CPUs. The first time it is converted for some twenty seconds.",
    ),
]

Offload = Annotated[
    bool,
    typer.Option(
        "--offload",
        help="Keep on the GPU what reads the pictures only while it reads: for GPUs of little memory.",
    ),
]


def load_pipeline(
    checkpoint: str,
    device: str | None,
    dtype: Precision | None,
    compile: bool,
    openvino: bool,
    decoder: str | None,
    detail: bool,
    detail_strength: float | None,
    offload: bool = False,
) -> DurianPipeline:
    """The pipeline of a checkpoint, as these options ask for it."""
    import torch

    from durian.pipeline import DurianPipeline
    from durian.pipeline.durian import choose_device

    kinds = {
        Precision.fp32: torch.float32,
        Precision.bf16: torch.bfloat16,
        Precision.fp16: torch.float16,
        Precision.int8: torch.int8,
    }
    if compile and openvino:
        raise DurianError("--compile is for GPUs and --openvino for CPUs: choose one of them")
    if dtype == Precision.int8 and not openvino:
        raise DurianError("--dtype int8 is OpenVINO's: give --openvino as well")
    if openvino:
        device = device or "cpu"
    if dtype is None:
        half = choose_device(device).type == "cuda" and torch.cuda.is_bf16_supported(
            including_emulation=False
        )
        dtype = Precision.bf16 if half else Precision.fp32
    loaded = Precision.fp32 if openvino else dtype  # OpenVINO lowers the precision by itself
    pipeline = DurianPipeline.from_pretrained(
        checkpoint, device=device, dtype=kinds[loaded], detail=detail, offload=offload
    )
    if detail_strength is not None:
        pipeline.detail_strength = detail_strength
    if decoder is not None:
        pipeline.use_decoder(decoder)
    if compile:
        typer.echo("The network is compiled: the first frames take minutes, the others less time.", err=True)
        pipeline.compile()
    if openvino:
        pipeline.use_openvino(kinds[dtype])
    return pipeline


def parse_files(values: Sequence[str], option: str) -> dict[str, Path]:
    """`["hair=a.png", …]` as a mapping from the attribute's name to the file."""
    files: dict[str, Path] = {}
    for value in values:
        name, _, path = value.partition("=")
        if not name or not path:
            raise DurianError(
                f"{option} {value}: write it as NAME=FILE with NAME from {', '.join(ATTRIBUTES)}"
            )
        check_attribute(name)
        if name in files:
            raise DurianError(f"{option} {value}: {name} is given twice")
        files[name] = Path(path)
    return files


def check_suffix(path: Path, suffix: str) -> None:
    """The output's name must say what it will be."""
    if path.suffix.lower() != suffix:
        raise DurianError(f"{path}: the result is a {suffix} file, give a name that ends in {suffix}")
