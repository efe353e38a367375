"""Parts that are kept in main memory and come to the GPU for as long as they are at work."""

from __future__ import annotations

import torch
from accelerate import cpu_offload_with_hook
from accelerate.hooks import UserCpuOffloadHook

from durian.errors import DurianError
from durian.models.networks import READERS, Networks


def offload_readers(networks: Networks, device: torch.device) -> list[UserCpuOffloadHook]:
    """What only references go through comes to the device when it is called, and leaves it when the next such
    part is.

    Returns:
        What sends the parts away, to be called when the references are read.

    Raises:
        DurianError: the device is the CPU.
    """
    if device.type == "cpu":
        raise DurianError("offloading is for GPUs, and this runs on the CPU: leave it out")
    hooks: list[UserCpuOffloadHook] = []
    for part in (getattr(networks, name) for name in READERS):
        if part is not None:
            hooks.append(cpu_offload_with_hook(part, device, hooks[-1] if hooks else None)[1])
    return hooks
