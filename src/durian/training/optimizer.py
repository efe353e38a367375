"""Which optimiser trains which parameters, and how fast."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import nn

from durian.training.config import OptimizerConfig, TrainConfig
from durian.training.muon import Muon

# What lies inside a UNet. Its first and last layers read and write latents, and a processor's own projections
# read positions and pixels: they are no maps between hidden features.
_HIDDEN = re.compile(r"_(unet|net)\.(down_blocks|mid_block|up_blocks)\.(?!.*\.processor\.).*\.weight$")


def build_optimizer(config: OptimizerConfig, parameters: Mapping[str, nn.Parameter]) -> torch.optim.Optimizer:
    """The optimiser of a configuration for parameters by name."""
    rate, betas, decay = config.learning_rate, config.betas, config.weight_decay
    if config.name == "adamw":
        return torch.optim.AdamW(parameters.values(), rate, betas, weight_decay=decay, fused=True)
    if config.name == "adamw8bit":
        from bitsandbytes.optim import AdamW8bit

        return AdamW8bit(parameters.values(), rate, betas, weight_decay=decay)
    matrices = [p for name, p in parameters.items() if is_hidden_matrix(name, p)]
    others = [p for name, p in parameters.items() if not is_hidden_matrix(name, p)]
    return Muon(matrices, others, rate, config.momentum, betas, decay)


def is_hidden_matrix(name: str, parameter: nn.Parameter) -> bool:
    """Whether a parameter is a linear map between hidden features, which is what Muon is for."""
    return parameter.ndim >= 2 and _HIDDEN.search(name) is not None


def learning_rate(config: TrainConfig, step: int, done: float | None = None) -> float:
    """Warm-up, constant, linear decay to zero over the last `decay_steps`.

    Args:
        done: how many of the configuration's steps the run is past, where that is not `step` (`Pace`).
    """
    optimizer = config.optimizer
    warmup = min(1.0, (step + 1) / (optimizer.warmup_steps + 1))
    past = step if done is None else done
    decay = min(1.0, (config.steps - past) / optimizer.decay_steps) if optimizer.decay_steps else 1.0
    return optimizer.learning_rate * warmup * decay
