"""A frozen network as a function from images to feature vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor


@dataclass(frozen=True)
class Encoder:
    """Images in, vectors out, a batch at a time.

    Attributes:
        network: from normalised images (B, 3, H, W) to vectors (M, D). M is B; of a video network 1.
        size: height and width in pixels that images are brought to, averaged where that is smaller.
        mean, std: of the channels, of colours in [0, 1].
        device: where `network` is.
        mode: of interpolation.
        batch: images at a time; of a video network the frames of one clip.
    """

    network: Callable[[Tensor], Tensor]
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    device: torch.device
    mode: str = "bicubic"
    batch: int = 16

    @torch.inference_mode()
    def __call__(self, images: UInt8[np.ndarray, "N H W 3"]) -> Float[np.ndarray, "M D"]:
        vectors = [
            self.network(self._prepare(images[start : start + self.batch])).float().cpu().numpy()
            for start in range(0, len(images), self.batch)
        ]
        return np.concatenate(vectors)

    def _prepare(self, images: UInt8[np.ndarray, "N H W 3"]) -> Float[Tensor, "N 3 S S"]:
        pixels = to_tensor(images, self.device)
        if pixels.shape[-2:] != (self.size, self.size):
            pixels = F.interpolate(
                pixels, (self.size, self.size), mode=self.mode, antialias=True, align_corners=False
            ).clamp(0, 1)  # bicubic interpolation overshoots
        mean, std = (pixels.new_tensor(value)[:, None, None] for value in (self.mean, self.std))
        return (pixels - mean) / std


def to_tensor(images: UInt8[np.ndarray, "N H W 3"], device: torch.device) -> Float[Tensor, "N 3 H W"]:
    """Colours in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images)).to(device).permute(0, 3, 1, 2).float() / 255
