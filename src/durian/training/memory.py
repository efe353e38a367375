"""How much memory the weights of a run take, and all that is kept of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import torch
from torch import nn

from durian.models.networks import Networks
from durian.training.build import parameters_to_train
from durian.training.config import TrainConfig
from durian.training.critic import Critic
from durian.training.optimizer import is_hidden_matrix

_QUANTISED, _BLOCK = 4096, 256  # bitsandbytes': smaller tensors keep 32 bits, a block shares a scale


def account(networks: Networks, config: TrainConfig) -> dict[str, int]:
    """Bytes of weights, gradients, optimiser moments and moving average, from the parameters' shapes alone.

    Args:
        networks: on any device, the meta device too; only shapes matter.
    """
    trained = parameters_to_train(networks, config)
    frozen = [p for name, p in networks.named_parameters() if name not in trained]
    count = sum(parameter.numel() for parameter in trained.values())
    bytes_frozen = 2 if config.frozen_precision == "bf16" else 4
    sizes = {
        "trained weights": 4 * count,
        "frozen weights": sum(p.numel() for p in frozen) * bytes_frozen,
        "gradients": 4 * count,
        f"{config.optimizer.name} moments": _moments(trained, config.optimizer.name),
    }
    if config.distillation is not None:  # the teacher is what trains, once more
        sizes["teacher"] = count * bytes_frozen
    if config.critic is not None:  # weights, gradients and AdamW's two moments
        critic = Critic(config.critic.channels)
        sizes["critic"] = 16 * sum(parameter.numel() for parameter in critic.parameters())
    if config.ema_device == "same":
        sizes["moving average"] = 4 * count
    return sizes


def _moments(parameters: Mapping[str, nn.Parameter], optimizer: str) -> int:
    total = 0
    for name, parameter in parameters.items():
        count = parameter.numel()
        if optimizer == "muon" and is_hidden_matrix(name, parameter):
            total += 4 * count
        elif optimizer == "adamw8bit" and count >= _QUANTISED:
            total += 2 * (count + 4 * -(-count // _BLOCK))
        else:
            total += 8 * count
    return total


def peak_memory(device: torch.device) -> int:
    """The most that this process has held so far, in bytes: on a GPU what torch has reserved, else all."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
