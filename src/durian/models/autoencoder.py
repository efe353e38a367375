"""Latents: what diffusers' autoencoders and our lossless one have in common."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTinyOutput
from diffusers.models.autoencoders.vae import DecoderOutput
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float, UInt8
from torch import Tensor


class PixelAutoencoder(ModelMixin, ConfigMixin):
    """A lossless autoencoder without weights: `factor`×`factor` pixels are folded into channels.

    For small models trained from scratch: no decoder blurs, none has to be trained first, and an error in
    latents is an error in pixels.

    Args:
        factor: pixels a side of one latent cell; latents have 3·factor² channels.
        scaling_factor: latents are images in [-1, 1] times this; 2 gives portraits about unit variance.
    """

    @register_to_config
    def __init__(self, factor: int = 4, scaling_factor: float = 2.0):
        super().__init__()
        self.register_buffer("placeholder", torch.zeros(1), persistent=False)  # carries device and dtype

    @property
    def dtype(self) -> torch.dtype:
        return self.placeholder.dtype

    @property
    def device(self) -> torch.device:
        return self.placeholder.device

    def encode(self, images: Float[Tensor, "B 3 H W"]) -> AutoencoderTinyOutput:
        return AutoencoderTinyOutput(latents=F.pixel_unshuffle(images, self.config["factor"]))

    def decode(self, latents: Float[Tensor, "B c h w"]) -> DecoderOutput:
        return DecoderOutput(sample=F.pixel_shuffle(latents, self.config["factor"]))


def encode_latents(vae: Any, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B c h w"]:
    """Scaled latents of images in [-1, 1]; of an AutoencoderKL the mode."""
    encoded = vae.encode(images)
    latents = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()
    return latents * vae.config.scaling_factor


def decode_latents(vae: Any, latents: Float[Tensor, "B c h w"]) -> Float[Tensor, "B 3 H W"]:
    """Images in [-1, 1] of scaled latents."""
    return vae.decode(latents / vae.config.scaling_factor).sample.clamp(-1, 1)


def decode_pixels(vae: Any, latents: Float[Tensor, "B c h w"]) -> UInt8[Tensor, "B H W 3"]:
    """Images of scaled latents as they are written."""
    images = decode_latents(vae, latents).float()
    return ((images + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous()


def latent_channels(vae: Any) -> int:
    """Channels of the latents."""
    if isinstance(vae, PixelAutoencoder):
        return 3 * vae.config.factor**2
    return vae.config.latent_channels


def spatial_factor(vae: Any) -> int:
    """Pixels a side of one latent cell."""
    if isinstance(vae, PixelAutoencoder):
        return vae.config.factor
    channels = getattr(vae.config, "block_out_channels", None) or vae.config.decoder_block_out_channels
    return 2 ** (len(channels) - 1)
