"""Image embeddings for cross-attention: φ_attr of an attribute and φ_port of the portrait's identity.

Every encoder is a module that maps images in [-1, 1], (B, 3, H, W), to tokens, (B, L, D), and has
`config.cross_attention_dim` D. Any other with this signature will do (the `ImageEncoder` protocol).
"""

from __future__ import annotations

from typing import Any, Protocol, cast

import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


class ImageEncoder(Protocol):
    """What the networks ask of an image encoder."""

    config: Any

    def __call__(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B L D"]: ...


class SmallImageEncoder(ModelMixin, ConfigMixin):
    """A small convolutional encoder, trained together with the other networks.

    Args:
        cross_attention_dim: width D of the tokens.
        channels: widths; the image is halved at each.
        image_size: images are brought to this size first.
        tokens: side of the grid of tokens, L = tokens².
    """

    @register_to_config
    def __init__(
        self,
        cross_attention_dim: int = 128,
        channels: tuple[int, ...] = (32, 64, 128),
        image_size: int = 64,
        tokens: int = 2,
    ):
        super().__init__()
        widths = (12, *channels)
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=1 if i == 0 else 2, padding=1)
            for i, (a, b) in enumerate(zip(widths, channels, strict=False))
        )
        self.norms = nn.ModuleList(nn.GroupNorm(8, width) for width in channels)
        self.proj = nn.Linear(channels[-1], cross_attention_dim)
        self.norm = nn.LayerNorm(cross_attention_dim)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B L D"]:
        size = self.config["image_size"]
        hidden = F.interpolate(images, (size, size), mode="bilinear", antialias=True, align_corners=False)
        hidden = F.pixel_unshuffle(hidden, 2)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            hidden = F.silu(norm(conv(hidden)))
        hidden = F.adaptive_avg_pool2d(hidden, self.config["tokens"]).flatten(2).transpose(1, 2)
        return self.norm(self.proj(hidden))


class ClipImageEncoder(ModelMixin, ConfigMixin):
    """CLIP's image embedding as one token (`openai/clip-vit-large-patch14` in `sd15`). Frozen."""

    @register_to_config
    def __init__(self, clip_config: dict[str, Any] | None = None):
        super().__init__()
        self.clip = CLIPVisionModelWithProjection(CLIPVisionConfig(**(clip_config or {})))
        self.requires_grad_(False)

    @classmethod
    def from_clip(cls, folder_or_id: str, **kwargs: Any) -> ClipImageEncoder:
        """Take the vision tower of a CLIP checkpoint, a folder or a hub id."""
        clip = CLIPVisionModelWithProjection.from_pretrained(folder_or_id, **kwargs)
        model = cls(clip.config.to_dict())
        model.clip.load_state_dict(clip.state_dict(), strict=True)
        return model

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 1 D"]:
        size = cast(int, self.clip.config.image_size)
        images = F.interpolate(images, (size, size), mode="bicubic", antialias=True, align_corners=False)
        mean, std = (images.new_tensor(v)[:, None, None] for v in (CLIP_MEAN, CLIP_STD))
        return self.clip(pixel_values=(images / 2 + 0.5 - mean) / std).image_embeds[:, None]


class ArcFaceEncoder(ModelMixin, ConfigMixin):
    """An ArcFace identity embedding (Deng et al., 2019): IResNet, then a linear layer to one token.

    The network is the IResNet of the ArcFace authors' PyTorch release; its layers keep that release's
    names, so that a converted checkpoint (safetensors) loads strictly. `projection` is ours and trains.

    Args:
        cross_attention_dim: width D of the token.
        layers: blocks of each stage; (3, 4, 14, 3) is IResNet-50.
        widths: channels of each stage.
        embedding_dim: size of the identity embedding.
    """

    image_size = 112

    @register_to_config
    def __init__(
        self,
        cross_attention_dim: int = 768,
        layers: tuple[int, ...] = (3, 4, 14, 3),
        widths: tuple[int, ...] = (64, 128, 256, 512),
        embedding_dim: int = 512,
    ):
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0], eps=1e-5)
        self.prelu = nn.PReLU(widths[0])
        before = widths[0]
        for i, (count, width) in enumerate(zip(layers, widths, strict=True), start=1):
            blocks = [_IBlock(before if j == 0 else width, width, 2 if j == 0 else 1) for j in range(count)]
            setattr(self, f"layer{i}", nn.Sequential(*blocks))
            before = width
        side = self.image_size // 2 ** len(widths)
        self.bn2 = nn.BatchNorm2d(before, eps=1e-5)
        self.fc = nn.Linear(before * side * side, embedding_dim)
        self.features = nn.BatchNorm1d(embedding_dim, eps=1e-5)
        self.requires_grad_(False)
        self.projection = nn.Linear(embedding_dim, cross_attention_dim)

    def train(self, mode: bool = True) -> ArcFaceEncoder:
        super().train(False)  # the identity network stays frozen, its batch statistics too
        return self

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 1 D"]:
        size = self.image_size
        hidden = F.interpolate(images, (size, size), mode="bilinear", antialias=True, align_corners=False)
        hidden = self.prelu(self.bn1(self.conv1(hidden)))
        for i in range(1, len(self.config["widths"]) + 1):
            hidden = getattr(self, f"layer{i}")(hidden)
        embedding = self.features(self.fc(self.bn2(hidden).flatten(1)))
        return self.projection(F.normalize(embedding, dim=1) * embedding.shape[1] ** 0.5)[:, None]


class _IBlock(nn.Module):
    """The improved residual block of IResNet."""

    def __init__(self, before: int, width: int, stride: int):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(before, eps=1e-5)
        self.conv1 = nn.Conv2d(before, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width, eps=1e-5)
        self.prelu = nn.PReLU(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width, eps=1e-5)
        self.downsample = None
        if stride != 1 or before != width:
            self.downsample = nn.Sequential(
                nn.Conv2d(before, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width, eps=1e-5)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn3(self.conv2(self.prelu(self.bn2(self.conv1(self.bn1(x))))))
        return out + (x if self.downsample is None else self.downsample(x))
