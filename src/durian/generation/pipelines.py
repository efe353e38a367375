"""diffusers' pipelines from a folder or the hub, loaded strictly."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoPipelineForInpainting,
    ControlNetModel,
    DiffusionPipeline,
    ModelMixin,
    StableDiffusionXLAdapterPipeline,
    StableDiffusionXLControlNetPipeline,
    T2IAdapter,
)
from jaxtyping import UInt8
from PIL import Image
from safetensors import SafetensorError
from transformers import PreTrainedModel

from durian.errors import DurianError

Generate = Callable[[str, UInt8[np.ndarray, "S S 3"], int], UInt8[np.ndarray, "S S 3"]]
"""A picture for a prompt, a control image and a seed."""

Fill = Callable[[UInt8[np.ndarray, "S S 3"], UInt8[np.ndarray, "S S"], int], UInt8[np.ndarray, "S S 3"]]
"""A picture with what is 255 in the mask made anew, by a seed."""

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def load_generator(
    source: str,
    control: str,
    adapter: bool,
    *,
    steps: int,
    guidance: float,
    control_scale: float,
    device: str | None = None,
    dtype: str | None = None,
) -> Generate:
    """SDXL that follows a control image.

    Args:
        source: an SDXL checkpoint of diffusers, a folder or a hub id.
        control: a ControlNet for it; with `adapter`, a T2I-Adapter.
        steps, guidance, control_scale: of sampling.
        device: a GPU where there is one.
        dtype: "float32", "float16" or "bfloat16"; bfloat16 on a GPU and float32 elsewhere by default.

    Raises:
        DurianError: naming what cannot be loaded.
    """
    cls = StableDiffusionXLAdapterPipeline if adapter else StableDiffusionXLControlNetPipeline
    chosen = _choose(device, dtype)
    kind = T2IAdapter if adapter else ControlNetModel
    network = _strictly(kind, control, chosen[1])
    pipeline = _load(cls, source, *chosen, **{"adapter" if adapter else "controlnet": network})
    scale = "adapter_conditioning_scale" if adapter else "controlnet_conditioning_scale"

    def generate(prompt: str, image: np.ndarray, seed: int) -> np.ndarray:
        return _run(pipeline, prompt, image, seed, steps, guidance, **{scale: float(control_scale)})

    return generate


def load_inpainter(
    source: str,
    prompt: str,
    *,
    steps: int,
    guidance: float,
    device: str | None = None,
    dtype: str | None = None,
) -> Fill:
    """A pipeline that fills in what a mask says: one made for it (Stable Diffusion's, FLUX.1 Fill) or any
    that diffusers can use so.

    The arguments are those of `load_generator`, and likewise what it raises.
    """
    pipeline = _load(DiffusionPipeline, source, *_choose(device, dtype))
    if "mask_image" not in inspect.signature(pipeline.__call__).parameters:
        try:
            pipeline = AutoPipelineForInpainting.from_pipe(pipeline)
        except ValueError as error:
            raise DurianError(f"{source} is no pipeline that can fill in parts of a picture") from error
        pipeline.set_progress_bar_config(disable=True)

    def fill(image: np.ndarray, mask: np.ndarray, seed: int) -> np.ndarray:
        return _run(pipeline, prompt, image, seed, steps, guidance, mask_image=Image.fromarray(mask))

    return fill


def _run(
    pipeline: Any, prompt: str, image: np.ndarray, seed: int, steps: int, guidance: float, **more: Any
) -> UInt8[np.ndarray, "S S 3"]:
    """One picture of the size of `image`, which the pipeline is given."""
    result = pipeline(
        prompt=prompt,
        image=Image.fromarray(image),
        height=image.shape[0],
        width=image.shape[1],
        num_inference_steps=steps,
        guidance_scale=guidance,
        generator=torch.Generator().manual_seed(seed),
        **more,
    )
    return np.asarray(result.images[0].convert("RGB"))


def _choose(device: str | None, dtype: str | None) -> tuple[torch.device, torch.dtype]:
    from durian.pipeline.durian import choose_device

    chosen = choose_device(device)
    default = "float32" if chosen.type == "cpu" else "bfloat16"
    return chosen, _DTYPES[dtype or default]


def _load(cls: Any, source: str, device: torch.device, dtype: torch.dtype, **given: Any) -> Any:
    try:
        index = cls.load_config(source)
        folder = Path(source) if Path(source).is_dir() else Path(cls.download(source))
        parts = {
            name: _strictly(model, str(folder), dtype, name)
            for name, entry in index.items()
            if name not in given and (model := _model_class(entry)) is not None
        }
        pipeline = cls.from_pretrained(str(folder), dtype=dtype, **parts, **given).to(device)
    except (OSError, ValueError, SafetensorError) as error:
        raise DurianError(f"cannot load the pipeline {source}: {_first_line(error)}") from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _model_class(entry: Any) -> Any | None:
    """The class of a pipeline's part with weights; None for tokenizers, schedulers and settings."""
    if not isinstance(entry, list) or len(entry) != 2 or entry[0] not in ("diffusers", "transformers"):
        return None
    library = __import__(entry[0])
    cls = getattr(library, entry[1], None)
    return cls if isinstance(cls, type) and issubclass(cls, ModelMixin | PreTrainedModel) else None


def _strictly(cls: Any, source: str, dtype: torch.dtype, part: str | None = None) -> Any:
    """`from_pretrained`, which only warns of keys that do not fit, made strict."""
    kwargs = {"subfolder": part} if part else {}
    try:
        model, info = cls.from_pretrained(
            source, dtype=dtype, use_safetensors=True, output_loading_info=True, **kwargs
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise DurianError(
            f"cannot load {'/'.join(filter(None, (source, part)))}: {_first_line(error)}"
        ) from error
    missing, unexpected = list(info["missing_keys"]), list(info["unexpected_keys"])
    if missing or unexpected:
        raise DurianError(
            f"weights of {'/'.join(filter(None, (source, part)))} do not fit {cls.__name__}: "
            f"missing {missing[:3]}, unexpected {unexpected[:3]}"
        )
    return model


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
