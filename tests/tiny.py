"""Tiny networks with random weights, and inputs for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel

from durian.models import Networks
from durian.models.presets import MINI, Preset
from durian.portrait.geometry import face_template
from durian.portrait.inputs import AnimationInputs, Reference

UNET = {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "cross_attention_dim": 12,
    "attention_head_dim": 2,
}


def tiny_unet() -> UNet2DConditionModel:
    """Stable Diffusion's UNet with two levels of 8 and 16 channels."""
    torch.manual_seed(0)
    return UNet2DConditionModel(**UNET).eval()


ONE_LEVEL = {
    "block_out_channels": (8,),
    "down_blocks": ("DownBlock",),
    "up_blocks": ("CrossAttnUpBlock",),
    "num_attention_heads": (2,),
}
"""A `unet` of `tiny_preset` for what takes its time over each layer. It has no deep features to reuse."""


SD15_OPTIONS = {
    "keypoint_guider": {"block_out_channels": (4, 8)},
    "identity_encoder": {"layers": (1, 1, 1, 1), "widths": (4, 4, 8, 8), "embedding_dim": 16},
}
"""What `build_sd15` makes tiny beside its sources."""


def tiny_preset(
    reference_net: Mapping[str, object] | None = None,
    joint_references: bool = False,
    unet: Mapping[str, object] | None = None,
    **denoising_unet: object,
) -> Preset:
    """`mini` made tiny: 32×32 images, 8×8 latents, two levels with attention at both."""
    return dataclasses.replace(
        MINI,
        size=32,
        unet={
            **MINI.unet,
            "sample_size": 8,
            "block_out_channels": (8, 16),
            "down_blocks": ("CrossAttnDownBlock",) * 2,
            "up_blocks": ("CrossAttnUpBlock", "UpBlock"),
            "norm_num_groups": 4,
            "cross_attention_dim": 16,
            "num_attention_heads": (2, 2),
            **(unet or {}),
        },
        keypoint_guider={"out_channels": 8, "block_out_channels": (8, 8), "fold": 2},
        denoising_unet={**MINI.denoising_unet, **denoising_unet},
        reference_net={**MINI.reference_net, **(reference_net or {})},
        joint_references=joint_references,
        position_reader={"grid": 8, "factor": 4, "channels": (8, 8, 8)},
        attribute_encoder={"cross_attention_dim": 16, "channels": (8, 16), "image_size": 16},
        identity_encoder={"cross_attention_dim": 16, "channels": (8, 16), "image_size": 16},
        sampling_steps=2,
    )


def tiny_networks(temporal: bool = True, seed: int = 0, **options: Any) -> Networks:
    """Networks whose zero-initialised layers are random too, so that every path shows in the output."""
    torch.manual_seed(seed)
    networks = tiny_preset(**options).build(temporal=temporal).eval()
    for parameter in networks.parameters():
        if parameter.detach().abs().sum() == 0:
            torch.nn.init.normal_(parameter, std=0.1)
    return networks


def tiny_reference(seed: int, size: int = 32) -> Reference:
    """Noise with a face's landmarks, masked in one half."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((size, size), np.float32)
    mask[: size // 2] = 1
    landmarks = face_template() * size / 4
    landmarks[:, :2] += size / 2 + rng.uniform(-2, 2, 2).astype(np.float32)
    return Reference(rng.integers(0, 256, (size, size, 3), dtype=np.uint8), mask, landmarks)


def tiny_inputs(frames: int = 3, attributes: tuple[str, ...] = ("hair",), size: int = 32) -> AnimationInputs:
    """A portrait, attributes and a face that moves to the right."""
    portrait = tiny_reference(0, size)
    steps = np.zeros((frames, 1, 3), np.float32)
    steps[:, 0, 0] = np.linspace(0, size / 8, frames)
    return AnimationInputs(
        portrait,
        {name: tiny_reference(i + 1, size) for i, name in enumerate(attributes)},
        portrait.landmarks[None] + steps,
    )
