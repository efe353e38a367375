"""Checkpoints: a folder in diffusers' pipeline layout, safetensors only, loaded strictly."""

from __future__ import annotations

import json
import os
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from diffusers import schedulers as diffusers_schedulers
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.models.unets.unet_motion_model import MotionAdapter
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from durian import models
from durian.errors import DurianError
from durian.models.autoencoder import latent_channels, spatial_factor
from durian.models.denoising_unet import DenoisingUNet, load_strictly, own_config
from durian.models.networks import COMPONENTS, OPTIONAL_COMPONENTS, Networks
from durian.models.presets import PRESETS, Preset
from durian.models.reference_net import ReferenceNet
from durian.models.scheduler import GuessDDIMScheduler

INDEX = "model_index.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"
SETTINGS = ("size", "sampling_steps")

_CLASSES = {
    cls.__name__: cls
    for cls in (
        AutoencoderKL,
        AutoencoderTiny,
        models.PixelAutoencoder,
        models.DenoisingUNet,
        models.ReferenceNet,
        models.KeypointGuider,
        models.PositionReader,
        models.DetailNet,
        models.SmallImageEncoder,
        models.ClipImageEncoder,
        models.ArcFaceEncoder,
    )
}

SOURCES = {
    "unet": "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "motion_adapter": "guoyww/animatediff-motion-adapter-v1-5-3",
    "vae": "stabilityai/sd-vae-ft-mse",
    "clip": "openai/clip-vit-large-patch14",
}
"""Where `sd15`'s weights come from: folders or hub ids."""


def resolve_checkpoint(checkpoint: str | Path) -> Path:
    """The folder of a checkpoint: a packaged one by name, a folder, or a hub id that is fetched.

    Raises:
        DurianError: it is none of these.
    """
    packaged = Path(str(files("durian") / "checkpoints" / str(checkpoint)))
    if str(checkpoint) in PRESETS and (packaged / INDEX).is_file():
        return packaged
    folder = Path(checkpoint)
    if folder.is_dir():
        if not (folder / INDEX).is_file():
            raise DurianError(f"{folder} is not a checkpoint: it has no {INDEX}")
        return folder
    name = str(checkpoint)
    if name.count("/") != 1 or name.startswith((".", "/")):
        raise DurianError(
            f"no checkpoint {name!r}: give 'mini', a folder that exists, or a hub id (owner/name)"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        patterns = [INDEX, "*/config.json", f"*/{WEIGHTS}", "*/*_config.json"]
        return Path(snapshot_download(name, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DurianError(f"cannot fetch the checkpoint {name!r} from the hub: {reason}") from error


def save_checkpoint(
    folder: Path,
    networks: Networks,
    scheduler: Any,
    preset: Preset,
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write a checkpoint beside `folder`, then put it in its place.

    Args:
        dtype: of the stored weights. Half precision halves the file; what it rounds is far below what
            training leaves open.

    Raises:
        DurianError: something else than a checkpoint is there already.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / INDEX).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise DurianError(f"{folder} exists and is no checkpoint: it is not replaced, choose another folder")
    temporary = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(temporary, ignore_errors=True)
    index: dict[str, Any] = {"_class_name": "DurianPipeline", "scheduler": type(scheduler).__name__}
    index |= {key: getattr(preset, key) for key in SETTINGS}
    for name, component in networks.components().items():
        index[name] = type(component).__name__
        _save_component(component, temporary / name, dtype)
    scheduler.save_pretrained(temporary / "scheduler")
    (temporary / INDEX).write_text(json.dumps(index, indent=2) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(temporary, folder)


def _save_component(component: Any, folder: Path, dtype: torch.dtype) -> None:
    folder.mkdir(parents=True)
    # Not diffusers' own save_config: it adds the settings of the parent class, which are not arguments.
    config = {"_class_name": type(component).__name__, **own_config(type(component), component.config)}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    weights = {
        key: (value.to(dtype) if value.is_floating_point() else value).contiguous()
        for key, value in component.state_dict().items()
    }
    if weights:
        save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def load_networks(checkpoint: str | Path) -> Networks:
    """The networks of a checkpoint, in float32 on the CPU.

    Raises:
        DurianError: a part is missing, unreadable or does not fit its configuration.
    """
    folder = resolve_checkpoint(checkpoint)
    index = read_index(folder)
    names = (*COMPONENTS, *(name for name in OPTIONAL_COMPONENTS if name in index))
    parts: dict[str, Any] = dict.fromkeys(OPTIONAL_COMPONENTS)
    parts |= {name: _load_component(folder / name, index.get(name)) for name in names}
    try:
        return Networks(**parts)
    except ValueError as error:
        raise DurianError(f"cannot load {folder}: {error}") from error


def load_scheduler(folder: Path) -> Any:
    """The scheduler that a checkpoint was trained for."""
    name = read_index(folder).get("scheduler", DDIMScheduler.__name__)
    own = {GuessDDIMScheduler.__name__: GuessDDIMScheduler}
    if not str(name).endswith("Scheduler") or not (name in own or hasattr(diffusers_schedulers, str(name))):
        raise DurianError(f"{folder / INDEX} asks for an unknown scheduler {name!r}")
    return (own.get(name) or getattr(diffusers_schedulers, name)).from_pretrained(folder / "scheduler")


def read_index(folder: Path) -> dict[str, Any]:
    """A checkpoint's table of contents."""
    try:
        index = json.loads((folder / INDEX).read_text())
    except (OSError, ValueError) as error:
        raise DurianError(f"cannot read {folder / INDEX}: {error}") from error
    lacking = [key for key in (*COMPONENTS, *SETTINGS) if key not in index]
    if lacking:
        raise DurianError(f"{folder / INDEX} is not of a Durian checkpoint: it lacks {', '.join(lacking)}")
    return index


def _load_component(folder: Path, name: Any) -> Any:
    if name not in _CLASSES:
        raise DurianError(f"{folder.parent / INDEX} asks for an unknown class {name!r} of {folder.name}")
    try:
        config = json.loads((folder / "config.json").read_text())
        component = _CLASSES[name](**own_config(_CLASSES[name], config))
        weights = load_file(folder / WEIGHTS) if component.state_dict() else {}
        load_strictly(component, {key: value.float() for key, value in weights.items()})
    except (OSError, ValueError, SafetensorError) as error:
        raise DurianError(f"cannot load {folder}: {error}") from error
    return component


def build_sd15(
    sources: dict[str, str] | None = None, temporal: bool = True, **options: dict[str, Any]
) -> Networks:
    """`sd15`'s networks from Stable Diffusion 1.5, an AnimateDiff motion adapter, a VAE and CLIP.

    PRNet, ARNet and DNet start from the same UNet (section 3.2). New are the keypoint guider, the mask
    channel of the ReferenceNets (zero), the identity encoder and what `options` ask for.

    Args:
        sources: folders or hub ids in place of `SOURCES`; an "arcface" entry, a safetensors file of
            IResNet weights, initialises the identity network.
        temporal: with motion modules (stage 2 and inference) or without (stage 1).
        options: `denoising_unet`, `reference_net`, `keypoint_guider`, `identity_encoder`: arguments of
            these networks beyond the preset's.

    Raises:
        DurianError: a source is not there, or a weight is missing or unexpected.
    """
    where = {**SOURCES, **(sources or {})}
    preset = PRESETS["sd15"]
    try:
        unet = _from_diffusers(UNet2DConditionModel, where["unet"], subfolder="unet")
        adapter = _from_diffusers(MotionAdapter, where["motion_adapter"]) if temporal else None
        vae = _from_diffusers(AutoencoderKL, where["vae"])
        attribute_encoder = models.ClipImageEncoder.from_clip(where["clip"])
        reference_options = {**preset.reference_net, **options.get("reference_net", {})}
        guider = {"out_channels": unet.config.block_out_channels[0], **options.get("keypoint_guider", {})}
        identity = models.ArcFaceEncoder(
            **{"cross_attention_dim": unet.config.cross_attention_dim, **options.get("identity_encoder", {})}
        )
        if "arcface" in where:
            new = ("projection.weight", "projection.bias")
            load_strictly(identity, load_file(where["arcface"]), new_keys=new)
        return Networks(
            vae=vae,
            denoising_unet=DenoisingUNet.from_stable_diffusion(
                unet, adapter, **{**preset.denoising_unet, **options.get("denoising_unet", {})}
            ),
            portrait_net=ReferenceNet.from_stable_diffusion(unet, **reference_options),
            attribute_net=ReferenceNet.from_stable_diffusion(unet, **reference_options),
            keypoint_guider=models.KeypointGuider(**{**preset.keypoint_guider, **guider}),
            attribute_encoder=attribute_encoder,
            identity_encoder=identity,
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise DurianError(f"cannot build sd15: {str(error).strip().splitlines()[0]}") from error


def load_motion_adapter(sources: dict[str, str] | None = None) -> MotionAdapter:
    """AnimateDiff's motion modules, for stage 2 on top of a stage 1 checkpoint.

    Raises:
        DurianError: they are not there, or a weight is missing or unexpected.
    """
    source = {**SOURCES, **(sources or {})}["motion_adapter"]
    try:
        return _from_diffusers(MotionAdapter, source)
    except (OSError, ValueError, SafetensorError) as error:
        raise DurianError(f"cannot load motion modules: {str(error).strip().splitlines()[0]}") from error


def load_decoder(source: str | Path, vae: Any) -> AutoencoderTiny:
    """A small decoder of the latents of `vae` (Bohan, 2023, TAESD), from a folder or a hub id.

    Raises:
        DurianError: it is not there, or is of other latents.
    """
    try:
        decoder = _from_diffusers(AutoencoderTiny, str(source))
    except (OSError, ValueError, SafetensorError) as error:
        raise DurianError(
            f"cannot load the decoder {source}: {str(error).strip().splitlines()[0]}"
        ) from error
    wanted, got = ((latent_channels(each), spatial_factor(each)) for each in (vae, decoder))
    if wanted != got:
        raise DurianError(
            f"the decoder {source} does not fit: its latents have {got[0]} channels for {got[1]}×{got[1]} "
            f"pixels, this checkpoint's {wanted[0]} for {wanted[1]}×{wanted[1]}"
        )
    return decoder


def _from_diffusers(cls: Any, source: str, **kwargs: Any) -> Any:
    """diffusers' `from_pretrained`, which only warns of keys that do not fit, made strict."""
    model, info = cls.from_pretrained(source, use_safetensors=True, output_loading_info=True, **kwargs)
    if info["missing_keys"] or info["unexpected_keys"]:
        raise ValueError(
            f"weights of {source} do not fit {cls.__name__}: missing {list(info['missing_keys'])[:5]}, "
            f"unexpected {list(info['unexpected_keys'])[:5]}"
        )
    return model
