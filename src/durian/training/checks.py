"""What can be known to be wrong with a run before its first step, all at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import torch

from durian.data.clips import Clip
from durian.errors import DurianError
from durian.models.autoencoder import PixelAutoencoder
from durian.training.config import TrainConfig


def check_config(config: TrainConfig) -> None:
    """Refuse a configuration that cannot run here.

    Raises:
        DurianError: naming every offending key.
    """
    problems = [*_options(config), *_folders(config), *_start(config)]
    if problems:
        raise DurianError("; ".join(problems))


def check_options(config: TrainConfig) -> None:
    """Refuse keys that do not go with each other or with this machine; data and weights are not looked for.

    Raises:
        DurianError: naming every offending key.
    """
    if problems := list(_options(config)):
        raise DurianError("; ".join(problems))


def check_clips(config: TrainConfig, clips: Sequence[Clip], size: int) -> None:
    """Refuse clips that a configuration cannot be trained on.

    Args:
        size: that their frames must have, in pixels.

    Raises:
        DurianError: naming every offending key.
    """
    folder, problems = config.data.clips, []
    for clip in clips:
        height, width = clip.frames.shape[1:3]
        if (height, width) != (size, size):
            problems.append(
                f"data.clips: clip {clip.name} is {width}×{height} pixels and {config.preset} wants "
                f"{size}×{size}"
            )
            break
    if len(clips) <= config.data.held_out:
        problems.append(f"data.held_out: {folder} has {len(clips)} clips, and all of them would be held out")
    longest = max(len(clip.frames) for clip in clips)
    if config.match_loss_weight and all(clip.surface is None for clip in clips):
        problems.append(
            f"match_loss_weight: the clips of {folder} don't say which point of a person a pixel shows; "
            "those of `durian synth clips --surface` do"
        )
    if config.stage == 2 and longest < config.data.targets:
        problems.append(f"data.targets: {config.data.targets}, but the longest clip has {longest} frames")
    if problems:
        raise DurianError("; ".join(problems))


def _options(config: TrainConfig) -> Iterator[str]:
    if config.mixed_precision == "fp16" and not torch.cuda.is_available():
        yield "mixed_precision: fp16 needs a GPU, and a CPU takes no or bf16"
    if config.frozen_precision == "bf16" and config.mixed_precision != "bf16":
        yield "frozen_precision: bf16 needs mixed_precision: bf16"
    if config.optimizer.name == "adamw8bit" and find_spec("bitsandbytes") is None:
        yield "optimizer.name: adamw8bit needs bitsandbytes: install the extra `train`"
    if config.data.limit is not None and config.data.limit <= config.data.held_out:
        yield (
            f"data.limit: {config.data.limit} clips are read and data.held_out takes {config.data.held_out}: "
            "none are left to train on"
        )
    shape = config.shape()
    plain = shape.vae_class is PixelAutoencoder and shape.scheduler["prediction_type"] == "sample"
    if config.reader_steps and shape.position_reader is None:
        yield f"reader_steps: {config.preset} has no position reader"
    if config.reader_steps and config.stage == 2:
        yield "reader_steps: stage 2 trains the temporal layers alone"
    if config.reader_steps and config.trained == "pixels":
        yield "reader_steps: `trained: pixels` leaves the reader as it is"
    if config.distillation is not None and config.init_from is None:
        yield "distillation: init_from must name the teacher"
    if config.distillation is not None and config.loss_weighting != "constant":
        yield "loss_weighting: distillation compares clean samples, for which it is constant"
    if config.distillation is not None and config.reader_steps:
        yield "reader_steps: distillation trains DNet alone"
    for key in ("colour", "edge", "contrast", "grid", "zigzag", "flicker"):
        key = f"{key}_loss_weight"
        if getattr(config, key) and not plain:
            yield f"{key}: is for pixel latents and a prediction of the sample alone"
    if config.flicker_loss_weight and config.stage == 1:
        yield "flicker_loss_weight: the frames of stage 1 do not follow each other"
    for key in ("match_loss_weight", "paint_loss_weight"):
        if getattr(config, key) and not shape.denoising_unet.get("copy_heads"):
            yield f"{key}: {config.preset} copies nothing from its references"
        if getattr(config, key) and config.distillation is not None:
            yield f"{key}: distillation compares clean samples alone"
    if config.enlarges:
        yield from _detail_options(config)
    if config.critic is not None and not plain:
        yield "critic: is for pixel latents and a prediction of the sample alone"
    if config.critic is not None and config.distillation is not None:
        yield "critic: distillation has none"


def _detail_options(config: TrainConfig) -> Iterator[str]:
    trained = f"trained: {config.trained}"
    if not config.shape().denoising_unet.get("copy_heads"):
        yield f"{trained} is taken from copies, and {config.preset} copies nothing from its references"
    if config.critic is None:
        yield f"critic: `{trained}` needs one, since squared error asks for no detail"
    if config.distillation is not None:
        yield f"distillation: trains DNet, and `{trained}` leaves it as it is"
    if config.match_loss_weight:
        yield f"match_loss_weight: `{trained}` leaves the places of copies as they are"
    if config.paint_loss_weight:
        yield f"paint_loss_weight: `{trained}` leaves what DNet paints as it is"
    if config.reader_steps:
        yield f"reader_steps: `{trained}` leaves the reader as it is"


def _folders(config: TrainConfig) -> Iterator[str]:
    if not any(Path(config.data.clips).glob("*.tar")):
        yield f"data.clips: no clips in {config.data.clips}, which should hold shards (*.tar)"
    for key in ("mask_bank", "outpainted"):
        folder = getattr(config.data, key)
        if folder is not None and not folder.is_dir():
            yield f"data.{key}: there is no folder {folder}"
    if config.output.exists() and not config.output.is_dir():
        yield f"output: {config.output} is not a folder"


def _start(config: TrainConfig) -> Iterator[str]:
    from durian.pipeline.checkpoint import read_index, resolve_checkpoint

    if config.init_from is None:
        return
    try:
        index = read_index(resolve_checkpoint(config.init_from))
    except DurianError as error:
        yield f"init_from: {error}"
        return
    wanted = config.shape().vae_class.__name__
    if index["vae"] != wanted:
        yield (
            f"init_from: {config.init_from} is no {config.preset}: its autoencoder is {index['vae']}, "
            f"not {wanted}"
        )
