"""From a configuration to networks that are ready to train, and to clips in memory."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

import torch
from safetensors.torch import load_file
from torch import nn

from durian.data.clips import Clip, read_clips
from durian.data.reconstruction import split_clips
from durian.errors import DurianError
from durian.models.denoising_unet import own_config
from durian.models.detail_net import DetailNet
from durian.models.networks import Networks
from durian.models.presets import Preset
from durian.training.checks import check_clips
from durian.training.config import Part, TrainConfig

_UNETS = ("denoising_unet", "portrait_net", "attribute_net")
_APART = ("vae.", "detail_net.")
_BLEND = "detail_net.copy_blend."
_PIXELS = re.compile(r"\.reference_copy\.(gate|tone|choice|polish)\.")
_ATTENTION = re.compile(r"\.(attn1|attn2|conv_in|conv_guidance|conv_linear|reference_copy)\.")


def starting_preset(config: TrainConfig) -> Preset:
    """The shape of what is trained; size and sampling steps are those of the checkpoint it starts from."""
    from durian.pipeline.checkpoint import SETTINGS, read_index, resolve_checkpoint

    if config.init_from is None:
        return config.shape()
    index = read_index(resolve_checkpoint(config.init_from))
    preset = dataclasses.replace(config.shape(), **{key: index[key] for key in SETTINGS})
    if config.distillation is None:
        return preset
    return dataclasses.replace(preset, sampling_steps=config.distillation.sampling_steps)


def build_networks(config: TrainConfig) -> Networks:
    """The preset's networks, from scratch, from public weights or from a checkpoint.

    Stage 2 adds motion modules to a checkpoint of stage 1: `sd15`'s from AnimateDiff, `mini`'s silent.
    `trained: detail` adds a `DetailNet` where there is none.
    """
    from durian.pipeline.checkpoint import build_sd15, load_motion_adapter, load_networks

    torch.manual_seed(config.seed)
    sources = {str(key): value for key, value in (config.sources or {}).items()}
    if config.init_from is None:
        if config.preset == "sd15":
            return build_sd15(sources, temporal=config.stage == 2, **config.networks)
        networks = config.shape().build(temporal=config.stage == 2)
        if config.warm_start is not None:
            take_weights(networks, config.warm_start)
        return with_detail(networks, config)
    networks = load_networks(config.init_from)
    if config.stage == 2 and not networks.denoising_unet.config["temporal"]:
        adapter = load_motion_adapter(sources) if config.preset == "sd15" else None
        networks.denoising_unet = networks.denoising_unet.with_motion(adapter)
    return with_detail(networks, config)


def with_detail(networks: Networks, config: TrainConfig) -> Networks:
    """The same networks, with the `DetailNet`, or the `CopyBlend` in it, that the configuration trains,
    where there is none yet.

    All that a `DetailNet` has learned counts while it trains: how much is to count is chosen afterwards.

    Raises:
        DurianError: there can be none.
    """
    if not config.enlarges:
        return networks
    if networks.detail_net is None:
        try:
            networks.detail_net = config.shape().build_detail(networks)
        except ValueError as error:
            raise DurianError(f"trained: {config.trained}: {error}") from error
    if config.trained == "detail":
        networks.detail_net.register_to_config(strength=1.0, eye_strength=None)
    elif networks.blends:
        networks.detail_net.register_to_config(favour=0.0)
    else:
        old = networks.detail_net
        networks.detail_net = DetailNet(**{**own_config(DetailNet, old.config), "blend": True})
        networks.detail_net.load_state_dict(old.state_dict(), strict=False)  # all but the blend
    return networks


def picture_scale(networks: Networks, config: TrainConfig) -> int:
    """How many times as large as DNet's pictures those that a run trains on are."""
    return networks.detail_scale if config.enlarges else 1


@torch.no_grad()
def take_weights(networks: Networks, checkpoint: str) -> int:
    """Take those weights of a checkpoint of other networks that have the name and shape of one here.

    Returns:
        How many numbers were taken.

    Raises:
        DurianError: none fits.
    """
    from durian.pipeline.checkpoint import WEIGHTS, resolve_checkpoint

    own, taken = networks.state_dict(), 0
    for file in sorted(resolve_checkpoint(checkpoint).glob(f"*/{WEIGHTS}")):
        for name, value in load_file(file).items():
            place = own.get(f"{file.parent.name}.{name}")
            if place is not None and place.shape == value.shape:
                place.copy_(value)
                taken += value.numel()
    if not taken:
        raise DurianError(f"warm_start: no weight of {checkpoint} fits the networks of this configuration")
    return taken


def trainable_parameters(networks: Networks, stage: int, part: Part = "all") -> dict[str, nn.Parameter]:
    """Stage 1 trains everything that is not frozen but the temporal layers; stage 2 these alone; neither a
    `DetailNet`, which trains by itself.

    Args:
        part: of the UNets in stage 1: with "attention" only what brings the references in, the attention
            layers and the first convolutions; with "pixels" nothing but what `ReferenceCopy` makes
            pixels of copies with. With "detail", in either stage, nothing but the `DetailNet`, and with
            "blend" nothing of that but its `CopyBlend`.

    Raises:
        DurianError: there are none to train.
    """
    if part == "detail":
        assert networks.detail_net is not None  # see `with_detail`
        trained = dict(networks.detail_net.named_parameters(prefix="detail_net"))
        return {name: value for name, value in trained.items() if not name.startswith(_BLEND)}
    if part == "blend":
        assert networks.detail_net is not None  # see `with_detail`
        trained = networks.detail_net.named_parameters(prefix="detail_net")
        return {name: value for name, value in trained if name.startswith(_BLEND)}
    chosen = {}
    for name, parameter in networks.named_parameters():
        temporal = ".motion_modules." in name
        if not parameter.requires_grad or name.startswith(_APART) or temporal != (stage == 2):
            continue
        if stage == 1 and part == "attention" and name.startswith(_UNETS) and not _ATTENTION.search(name):
            continue
        if stage == 1 and part == "pixels" and not _PIXELS.search(name):
            continue
        chosen[name] = parameter
    if part == "pixels" and not chosen:
        raise DurianError("trained: pixels is for networks that copy from their references")
    return chosen


def parameters_to_train(networks: Networks, config: TrainConfig) -> dict[str, nn.Parameter]:
    """What a configuration trains: of a distillation all of DNet, else as `trainable_parameters` says."""
    if config.distillation is not None:
        return dict(networks.denoising_unet.named_parameters(prefix="denoising_unet"))
    return trainable_parameters(networks, config.stage, config.trained)


def prepare_networks(
    networks: Networks, config: TrainConfig, device: torch.device | str
) -> dict[str, nn.Parameter]:
    """Freeze what does not train, apply the options that save time and memory, and move all to `device`.

    Returns:
        The parameters that train, by name.
    """
    parameters = parameters_to_train(networks, config)
    for name, parameter in networks.named_parameters():
        parameter.requires_grad_(name in parameters)
    if config.frozen_precision == "bf16":
        round_frozen(networks)
    unets = [unet for name in _UNETS if (unet := getattr(networks, name)) is not None]
    if config.gradient_checkpointing:
        for unet in unets:
            unet.enable_gradient_checkpointing()
    networks.to(device)
    if config.optimizer.name != "adamw8bit":  # which brings every parameter back to torch's own order
        # Convolutions on a CPU read channels last without reordering.
        networks.to(memory_format=torch.channels_last)
    set_training(networks)
    if config.compile:
        compile_blocks(unets)
    return parameters


def round_frozen(networks: nn.Module) -> None:
    """Keep what does not train in bfloat16."""
    for module in networks.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            continue  # its weights have the type of its statistics
        for parameter in module.parameters(recurse=False):
            if not parameter.requires_grad:
                parameter.data = parameter.data.bfloat16()


def set_training(networks: Networks) -> None:
    """Training mode, but for the parts without anything that trains: they stay as they will be used."""
    networks.train()
    for component in networks.components().values():
        if not any(parameter.requires_grad for parameter in component.parameters()):
            component.eval()


def compile_blocks(unets: list[nn.Module], backend: str = "inductor") -> None:
    """`torch.compile` for each residual and transformer block, in place, so that no parameter is renamed.

    The blocks of a kind share one compilation, and what is between them may depend on the data.
    """
    import torch._dynamo
    from diffusers.models.attention import BasicTransformerBlock, FeedForward
    from diffusers.models.resnet import ResnetBlock2D

    # One compilation for each width, size and batch; beyond the limit a block would run as it is.
    torch._dynamo.config.recompile_limit = 128  # ty: ignore[invalid-assignment]
    for unet in unets:
        for module in unet.modules():
            if isinstance(module, (ResnetBlock2D, BasicTransformerBlock, FeedForward)):
                module.compile(dynamic=False, backend=backend)


def load_clips(
    config: TrainConfig, size: int, progress: Callable[[int], None] | None = None
) -> tuple[list[Clip], list[Clip]]:
    """Training and held-out clips, all in memory.

    Args:
        size: that their frames must have, in pixels.
        progress: called with the number of clips read so far.

    Raises:
        DurianError: there are none, or they are not what the configuration asks for.
    """
    clips = list(read_clips(config.data.clips, config.data.limit, progress))
    check_clips(config, clips, size)
    return split_clips(clips, config.data.held_out, seed=0)
