"""A noise schedule whose networks see the best linear guess of the clean sample."""

from __future__ import annotations

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from jaxtyping import Float, Int
from torch import Tensor


class GuessDDIMScheduler(DDIMScheduler):
    """DDIM whose model input is √ᾱ·x_t in place of x_t.

    For data of unit variance √ᾱ·x_t is the least-squares linear estimate of x_0, the skip connection of
    Karras et al. (2022, table 1) for variance-preserving noise. A network that predicts x_0 then need not
    learn to silence the noise: of pure noise, where few-step sampling decides nearly everything, it sees
    nothing.
    """

    def scale_model_input(
        self, sample: Float[Tensor, "B c F h w"], timestep: Int[Tensor, "B F"] | int | None = None
    ) -> Float[Tensor, "B c F h w"]:
        """Scale noisy latents; `timestep` is one for all or one a frame."""
        alphas = self.alphas_cumprod.to(sample.device, sample.dtype)
        timesteps = torch.as_tensor(0 if timestep is None else timestep, device=sample.device)
        scale = alphas[timesteps].sqrt()
        return sample * (scale[:, None, :, None, None] if scale.ndim == 2 else scale)
