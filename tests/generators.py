"""Diffusion pipelines as they lie on a hub, tiny and random."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    T2IAdapter,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

_WIDTH = 32
_BLOCKS = {
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "attention_head_dim": (2, 4),
}
_XL = {
    "transformer_layers_per_block": (1, 1),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 6 * 8 + _WIDTH,
    "cross_attention_dim": 2 * _WIDTH,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
}


def _tokenizer(folder: Path) -> CLIPTokenizer:
    letters = "abcdefghijklmnopqrstuvwxyz,-.1"
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer.from_pretrained(folder, model_max_length=77)


def _text_config() -> CLIPTextConfig:
    return CLIPTextConfig(
        hidden_size=_WIDTH,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=2,
        vocab_size=62,
        projection_dim=_WIDTH,
        bos_token_id=60,
        eos_token_id=61,
        pad_token_id=61,
    )


def _vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(4, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=64,
    )


def _scheduler() -> DDIMScheduler:
    return DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, steps_offset=1)


def write_sdxl(folder: Path) -> str:
    """Stable Diffusion XL."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=32, up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), **_BLOCKS, **_XL
    )
    pipeline = StableDiffusionXLPipeline(
        vae=_vae(),
        unet=unet,
        text_encoder=CLIPTextModel(_text_config()),
        text_encoder_2=CLIPTextModelWithProjection(_text_config()),
        tokenizer=_tokenizer(folder / "tokenizer"),
        tokenizer_2=_tokenizer(folder / "tokenizer_2"),
        scheduler=_scheduler(),
        add_watermarker=False,
    )
    pipeline.save_pretrained(folder)
    return str(folder)


def write_controlnet(folder: Path) -> str:
    """A ControlNet of `write_sdxl` whose zero-initialised layers are random too, so that it matters."""
    torch.manual_seed(1)
    network = ControlNetModel(conditioning_embedding_out_channels=(4, 8), **_BLOCKS, **_XL)
    for parameter in network.parameters():
        if parameter.detach().abs().sum() == 0:
            torch.nn.init.normal_(parameter, std=0.5)
    network.save_pretrained(folder)
    return str(folder)


def write_adapter(folder: Path) -> str:
    """A T2I-Adapter of `write_sdxl`."""
    torch.manual_seed(2)
    T2IAdapter(3, [8, 16], 1, downscale_factor=4, adapter_type="full_adapter_xl").save_pretrained(folder)
    return str(folder)


def write_inpainter(folder: Path, channels: int = 9) -> str:
    """Stable Diffusion's inpainting model; with 4 channels, Stable Diffusion itself."""
    torch.manual_seed(3)
    unet = UNet2DConditionModel(
        sample_size=32,
        in_channels=channels,
        cross_attention_dim=_WIDTH,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        **_BLOCKS,
    )
    cls = StableDiffusionInpaintPipeline if channels == 9 else StableDiffusionPipeline
    cls(
        vae=_vae(),
        unet=unet,
        text_encoder=CLIPTextModel(_text_config()),
        tokenizer=_tokenizer(folder / "tokenizer"),
        scheduler=_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return str(folder)
