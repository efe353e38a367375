"""LPIPS (Zhang et al., 2018) with AlexNet, version 0.1: distances of deep features, weighted as people see.

torchmetrics carries the linear heads but takes the backbone from torchvision, which is no dependency here;
so the backbone is built from its weights alone.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from durian.evaluation.perceptual.encoder import to_tensor
from durian.evaluation.perceptual.weights import load_weights, unusable
from durian.models.denoising_unet import load_strictly

_TAPS = (1, 4, 7, 9, 11)  # AlexNet's ReLUs
_WIDTHS = (64, 192, 384, 256, 256)
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of LPIPS, for colours in [-1, 1]
_BATCH = 16  # frames at a time


class Lpips:
    """Mean LPIPS of two clips.

    Args:
        source: AlexNet's weights in torchvision's layout (`load_weights`).
        device: where it runs.

    Raises:
        DurianError: the weights cannot be found or do not fit.
    """

    def __init__(self, source: str, device: torch.device) -> None:
        weights = load_weights("lpips", source)
        prefix = "features."
        weights = {key[len(prefix) :]: value for key, value in weights.items() if key.startswith(prefix)}
        self._device = device
        self._backbone = _alexnet()
        try:
            load_strictly(self._backbone, weights)
        except (ValueError, RuntimeError) as error:
            raise unusable("lpips", source, error) from error
        self._backbone.eval().requires_grad_(False).to(device)
        heads = files("torchmetrics") / "functional" / "image" / "lpips_models" / "alex.pth"
        with heads.open("rb") as file:
            linear = torch.load(file, map_location="cpu", weights_only=True)
        self._heads = [linear[f"lin{i}.model.1.weight"].to(device) for i in range(len(_TAPS))]

    @torch.inference_mode()
    def __call__(self, frames: UInt8[np.ndarray, "F H W 3"], targets: UInt8[np.ndarray, "F H W 3"]) -> float:
        distances = [
            self._distance(frames[i : i + _BATCH], targets[i : i + _BATCH])
            for i in range(0, len(frames), _BATCH)
        ]
        return float(torch.cat(distances).mean())

    def _distance(self, frames: np.ndarray, targets: np.ndarray) -> Float[Tensor, " F"]:
        total = torch.zeros(len(frames), device=self._device)
        pairs = zip(self._features(frames), self._features(targets), self._heads, strict=True)
        for ours, theirs, head in pairs:
            squared = (F.normalize(ours, dim=1) - F.normalize(theirs, dim=1)) ** 2
            total += F.conv2d(squared, head).mean((1, 2, 3))
        return total

    def _features(self, images: np.ndarray) -> list[Tensor]:
        pixels = 2 * to_tensor(images, self._device) - 1
        shift, scale = (pixels.new_tensor(value)[:, None, None] for value in (_SHIFT, _SCALE))
        hidden, taps = (pixels - shift) / scale, []
        for index, layer in enumerate(self._backbone):
            hidden = layer(hidden)
            if index in _TAPS:
                taps.append(hidden)
        return taps


def _alexnet() -> nn.Sequential:
    """The convolutions of torchvision's AlexNet, numbered as there."""
    a, b, c, d, e = _WIDTHS
    return nn.Sequential(
        nn.Conv2d(3, a, 11, stride=4, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(a, b, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(b, c, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(c, d, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(d, e, 3, padding=1),
        nn.ReLU(),
    )
