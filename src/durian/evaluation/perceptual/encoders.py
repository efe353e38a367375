"""The published networks as `Encoder`s; those whose vectors are compared by angle give unit vectors."""

from __future__ import annotations

import re
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPVisionModelWithProjection, Dinov2Model, VideoMAEModel

from durian.evaluation.perceptual.encoder import Encoder
from durian.evaluation.perceptual.inception import InceptionV3
from durian.evaluation.perceptual.weights import load_transformer, load_weights, unusable
from durian.models.denoising_unet import load_strictly
from durian.models.image_embedding import CLIP_MEAN, CLIP_STD, ArcFaceEncoder

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_VIT_SIZE = 224  # pixels; DINOv2 was adapted to 518 at the end, but is evaluated at 224


def clip_encoder(source: str, device: torch.device) -> Encoder:
    """CLIP's projected image embedding, a unit vector."""
    model = load_transformer(CLIPVisionModelWithProjection, "clip", source).to(device)

    def network(pixels: Tensor) -> Tensor:
        return F.normalize(model(pixel_values=pixels).image_embeds, dim=1)

    return Encoder(network, model.config.image_size, CLIP_MEAN, CLIP_STD, device)


def dino_encoder(source: str, device: torch.device) -> Encoder:
    """DINOv2's class token, a unit vector."""
    model = load_transformer(Dinov2Model, "dino", source).to(device)

    def network(pixels: Tensor) -> Tensor:
        return F.normalize(model(pixel_values=pixels).last_hidden_state[:, 0], dim=1)

    return Encoder(network, min(_VIT_SIZE, model.config.image_size), _IMAGENET_MEAN, _IMAGENET_STD, device)


def video_encoder(source: str, device: torch.device) -> Encoder:
    """VideoMAE's tokens, averaged: one vector for each clip of `batch` frames."""
    model = load_transformer(VideoMAEModel, "video", source).to(device)

    def network(pixels: Tensor) -> Tensor:
        return model(pixel_values=pixels[None]).last_hidden_state.mean(1)

    config = model.config
    return Encoder(
        network, config.image_size, _IMAGENET_MEAN, _IMAGENET_STD, device, "bilinear", config.num_frames
    )


def inception_encoder(source: str, device: torch.device) -> Encoder:
    """The 2048 pooled features of FID's Inception-v3, which takes colours as (x - 128) / 128 of 255."""
    weights = load_weights("inception", source)
    network = InceptionV3()
    try:
        load_strictly(network, {key: value for key, value in weights.items() if not key.startswith("fc.")})
    except (ValueError, RuntimeError) as error:
        raise unusable("inception", source, error) from error
    network.eval().requires_grad_(False).to(device)
    middle = (128 / 255, 128 / 255, 128 / 255)
    return Encoder(network, 299, middle, middle, device, "bilinear")


def arcface_encoder(source: str, device: torch.device) -> Encoder:
    """ArcFace's identity embedding of aligned faces, a unit vector; the depth is read off the weights."""
    weights = load_weights("arcface", source)
    # Of a network of ours, which has a trained layer on top.
    weights = {key: value for key, value in weights.items() if not key.startswith("projection.")}
    try:
        encoder = ArcFaceEncoder(**_iresnet_shape(weights))
        load_strictly(encoder, weights, new_keys=("projection.weight", "projection.bias"))
    except (KeyError, ValueError, RuntimeError) as error:
        raise unusable("arcface", source, error) from error
    nn.init.eye_(encoder.projection.weight)
    nn.init.zeros_(encoder.projection.bias)
    encoder.eval().requires_grad_(False).to(device)

    def network(pixels: Tensor) -> Tensor:
        return F.normalize(encoder(pixels)[:, 0], dim=1)

    half = (0.5, 0.5, 0.5)
    return Encoder(network, ArcFaceEncoder.image_size, half, half, device, "bilinear")


def _iresnet_shape(weights: dict[str, Tensor]) -> dict[str, Any]:
    """Arguments of `ArcFaceEncoder`; KeyError where it is no IResNet."""
    blocks = sorted({match[0] for key in weights if (match := re.match(r"layer\d+\.\d+(?=\.)", key))})
    stages = sorted({block.split(".")[0] for block in blocks})
    embedding_dim = weights["fc.weight"].shape[0]
    return {
        "cross_attention_dim": embedding_dim,
        "layers": tuple(sum(block.startswith(f"{stage}.") for block in blocks) for stage in stages),
        "widths": tuple(weights[f"{stage}.0.conv1.weight"].shape[0] for stage in stages),
        "embedding_dim": embedding_dim,
    }
