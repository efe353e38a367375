"""The sampling loop, the same for every scheduler of diffusers and for every prediction type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


@torch.no_grad()
def sample_latents(
    denoise: Callable[[Tensor, Tensor], Tensor],
    scheduler: Any,
    noise: Tensor,
    steps: int,
    progress: Callable[[int], None] | None = None,
) -> Tensor:
    """Denoise from `noise` in `steps` steps.

    Args:
        denoise: the network's prediction for latents and a timestep.
        scheduler: one of diffusers', not shared with another loop that is under way.
        noise: unit Gaussian, of the latents' shape.
        steps: at least 1.
        progress: called after each step with the number of steps done.
    """
    scheduler.set_timesteps(steps, device=noise.device)
    latents = noise * scheduler.init_noise_sigma
    for done, timestep in enumerate(scheduler.timesteps, start=1):
        prediction = denoise(scheduler.scale_model_input(latents, timestep), timestep)
        latents = scheduler.step(prediction, timestep, latents, return_dict=False)[0]
        if progress is not None:
            progress(done)
    return latents
