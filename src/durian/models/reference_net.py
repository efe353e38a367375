"""ReferenceNet: a UNet that reads a masked reference and leaves its hidden states for DNet's attention."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import register_to_config
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from jaxtyping import Float
from torch import Tensor, nn

from durian.models.denoising_unet import load_strictly, own_config
from durian.models.positions import encode_positions, position_dim
from durian.models.spatial_attention import ReferenceFeatures, SpatialContext, install_spatial_attention

UNUSED = ("conv_norm_out.", "conv_out.")
"""Weights of Stable Diffusion's UNet that a ReferenceNet has no use for."""


class ReferenceNet(UNet2DConditionModel):
    """PRNet and ARNet are two instances of this class, with weights of their own (section 3.2).

    diffusers' `UNet2DConditionModel` with one more input channel: the VAE latent of the masked reference
    and its mask. It runs once per reference, at timestep 0.

    Args (beyond those of `UNet2DConditionModel`):
        position_frequencies: octaves of landmark-canonical positions; 0 is the paper's model.
        drop_masked_tokens: tokens that show nothing of the reference take no part in DNet's attention
            (an option; the paper's model keeps all).
        masked_margin: but those stay that lie up to so many tokens beyond, of each level's own grid: they
            tell DNet where the reference's part ends. Without them a place just outside finds nothing but
            the rim inside.
        mask_references: whether references are masked at all. Without, the whole picture is shown: the
            paper's ablation that wins at self-transfer and cannot transfer.
        mask_channel: whether the mask is an input beside the latents (it is in the paper).
        token_stride: a power of two; tokens are averaged over squares of so many a side before DNet
            attends to them. 1 is the paper's model.
    """

    @register_to_config
    def __init__(
        self,
        sample_size: int | None = None,
        in_channels: int = 5,
        out_channels: int = 4,
        down_block_types: tuple[str, ...] = (
            "CrossAttnDownBlock2D",
            "CrossAttnDownBlock2D",
            "CrossAttnDownBlock2D",
            "DownBlock2D",
        ),
        up_block_types: tuple[str, ...] = (
            "UpBlock2D",
            "CrossAttnUpBlock2D",
            "CrossAttnUpBlock2D",
            "CrossAttnUpBlock2D",
        ),
        block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280),
        layers_per_block: int = 2,
        norm_num_groups: int = 32,
        norm_eps: float = 1e-5,
        cross_attention_dim: int = 768,
        use_linear_projection: bool = False,
        attention_head_dim: int | tuple[int, ...] = 8,
        position_frequencies: int = 0,
        drop_masked_tokens: bool = False,
        masked_margin: int = 0,
        mask_references: bool = True,
        mask_channel: bool = True,
        token_stride: int = 1,
    ):
        super().__init__(
            sample_size=sample_size,
            in_channels=in_channels,
            out_channels=out_channels,
            down_block_types=down_block_types,
            up_block_types=up_block_types,
            block_out_channels=block_out_channels,
            layers_per_block=layers_per_block,
            norm_num_groups=norm_num_groups,
            norm_eps=norm_eps,
            cross_attention_dim=cross_attention_dim,
            use_linear_projection=use_linear_projection,
            attention_head_dim=attention_head_dim,
        )
        # Only hidden states are wanted, so what comes after the last attention layer is not there.
        last = max(i for i, name in enumerate(up_block_types) if "CrossAttn" in name)
        self.up_blocks = self.up_blocks[: last + 1]
        self.conv_norm_out = self.conv_out = None
        install_spatial_attention(self, position_dim(position_frequencies))

    @classmethod
    def from_stable_diffusion(cls, unet: UNet2DConditionModel, **options: object) -> ReferenceNet:
        """Initialise from Stable Diffusion's UNet; the new mask channel of the first convolution is zero.

        Raises:
            ValueError: naming the keys that are missing or unexpected.
        """
        channels = unet.config["in_channels"] + 1
        model = cls(**own_config(cls, {**unet.config, **options, "in_channels": channels}))
        weights = {key: value for key, value in unet.state_dict().items() if not key.startswith(UNUSED)}
        weights["conv_in.weight"] = F.pad(weights["conv_in.weight"], (0, 0, 0, 0, 0, 1))
        new = tuple(key for key in model.state_dict() if ".processor.position_" in key)
        load_strictly(model, weights, new_keys=new)
        return model

    def forward(
        self,
        latents: Float[Tensor, "B c h w"],
        mask: Float[Tensor, "B m H W"],
        encoder_hidden_states: Float[Tensor, "B L D"],
        canonical: Float[Tensor, "B g g 2"] | None = None,
    ) -> ReferenceFeatures:
        """Read one reference.

        Args:
            latents: of the masked reference image; of two images joined in a model that has one
                ReferenceNet for both.
            mask: 1 where the reference shows something, at any resolution; one channel for each image.
            encoder_hidden_states: φ_attr for an attribute, φ_port for the portrait.
            canonical: face coordinates of a grid of cells, where the option is on.
        """
        small = F.interpolate(mask, latents.shape[-2:], mode="area").to(latents)
        positions = None
        if self.config["position_frequencies"] and canonical is not None:
            levels = len(self.config["block_out_channels"]) + (self.config["token_stride"].bit_length() - 1)
            encoded = encode_positions(canonical, self.config["position_frequencies"], levels)
            positions = {count: place.to(latents) for count, place in encoded.items()}
        tokens: dict[str, Tensor] = {}
        inputs = torch.cat([latents, small], 1)
        seen = inputs if self.config["mask_channel"] else latents
        self._run(seen, encoder_hidden_states, SpatialContext(None, positions, tokens))
        height, width = latents.shape[-2:]
        if self.config["token_stride"] > 1:
            tokens = {
                name: _pool(value, height, width, self.config["token_stride"])
                for name, value in tokens.items()
            }
        keep, pixels = {}, {}
        for count in {value.shape[1] for value in tokens.values()}:
            stride = round((height * width / count) ** 0.5)
            grid = (-(-height // stride), -(-width // stride))
            shown = F.adaptive_max_pool2d(small.amax(1, keepdim=True), grid)
            margin = self.config["masked_margin"]
            keep[count] = F.max_pool2d(shown, 2 * margin + 1, 1, margin).flatten(1) > 0.05
            pooled = F.adaptive_avg_pool2d(inputs, grid)
            pixels[count] = pooled.flatten(2).transpose(1, 2)
        return ReferenceFeatures(
            tokens, keep if self.config["drop_masked_tokens"] else None, positions, pixels
        )

    def _run(self, sample: Tensor, embedding: Tensor, context: SpatialContext) -> None:
        emb = self.time_embedding(self.time_proj(sample.new_zeros(sample.shape[0])).to(sample.dtype))
        extra = {"encoder_hidden_states": embedding, "cross_attention_kwargs": {"context": context}}
        hidden = self.conv_in(sample)
        skips = (hidden,)
        for block in self.down_blocks:
            hidden, block_skips = block(hidden, emb, **(extra if _has_attention(block) else {}))
            skips += block_skips
        hidden = self.mid_block(hidden, emb, **extra)
        for block in self.up_blocks:
            count = len(cast(nn.ModuleList, block.resnets))
            block_skips, skips = skips[-count:], skips[:-count]
            size = skips[-1].shape[2:] if skips else None
            hidden = block(
                hidden, block_skips, emb, upsample_size=size, **(extra if _has_attention(block) else {})
            )


def _pool(tokens: Float[Tensor, "B N C"], height: int, width: int, by: int) -> Float[Tensor, "B R C"]:
    """Average tokens of a grid with the aspect of `height`×`width` over squares of `by` a side."""
    stride = round((height * width / tokens.shape[1]) ** 0.5)
    grid = tokens.transpose(1, 2).unflatten(2, (-(-height // stride), -1))
    return F.avg_pool2d(grid, by, ceil_mode=True).flatten(2).transpose(1, 2)


def _has_attention(block: nn.Module) -> bool:
    return getattr(block, "has_cross_attention", False)
