"""KeypointGuider: keypoint images to features of DNet's first feature map."""

from __future__ import annotations

import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float
from torch import Tensor


class KeypointGuider(ModelMixin, ConfigMixin):
    """A small convolutional encoder (section 3.2) whose last layer starts at zero: it is silent at first.

    Args:
        out_channels: channels of DNet's first feature map.
        block_out_channels: widths; the image is halved between two of them, so a VAE factor of 8 needs
            four and one of 4 three.
        fold: pixels a side folded into channels before the first convolution (1: none), for speed.
    """

    @register_to_config
    def __init__(
        self,
        out_channels: int = 320,
        block_out_channels: tuple[int, ...] = (16, 32, 96, 256),
        fold: int = 1,
    ):
        super().__init__()
        self.embedding = ControlNetConditioningEmbedding(out_channels, 3 * fold**2, block_out_channels)

    def forward(self, keypoint_images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        """Keypoint images in [0, 1], black where nothing is drawn."""
        return self.embedding(F.pixel_unshuffle(keypoint_images, self.config["fold"]))
