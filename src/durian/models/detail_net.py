"""DetailNet: the references' own pixels at several times the size of the pictures that DNet makes.

An option of the networks (not in the paper), for models that copy from their references. DNet says of every
pixel which reference it shows and which place of it; larger pictures of the references, fetched from the same
places, are then the same frame with its finest detail, which DNet never saw. Blending by bands of detail is
Burt and Adelson's (1983).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.controlnets.controlnet import zero_module
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float
from torch import Tensor, nn

_CALM = 0.1  # see `durian.models.reference_copy`
_OWN = 4.0  # by which the logarithm of the share that keeps coarse detail as DNet made it begins above others


class DetailNet(ModelMixin, ConfigMixin):
    """Frames of pixel latents to frames `scale` times as large.

    It begins as a plain sum: the enlarged frame and, in the shares that DNet has said, what is finer in the
    copies than the frame can show. Learned are corrections of these shares, copies of what the frame does
    show as well (where it is blurred, being a mean of several; a little of them is there from the start), and
    a correction of the pixels.

    Args:
        scale: how many times as large.
        heads: of `ReferenceCopy`.
        factor: pixels a side that a latent cell unfolds to.
        channels: width of its convolutions.
        strength: how much of what was learned counts: 0 is the plain sum. A critic asks for more than one may
            want, and this is chosen afterwards.
    """

    @register_to_config
    def __init__(
        self, scale: int = 2, heads: int = 4, factor: int = 4, channels: int = 16, strength: float = 1.0
    ):
        super().__init__()
        seen = (heads + 1) + 4 * heads + 3
        self.conv_in = nn.Conv2d(seen, channels, 3, padding=1)
        self.conv_mid = nn.Conv2d(channels, channels, 3, padding=3, dilation=3)
        self.conv_out = zero_module(nn.Conv2d(channels, 2 * (heads + 1) + 3, 3, padding=1))

    def forward(
        self,
        latents: Float[Tensor, "N c h w"],
        copies: Float[Tensor, "N heads 4 H W"],
        shares: Float[Tensor, "N heads+1 h4 w4"],
    ) -> Float[Tensor, "N c H4 W4"]:
        """
        Args:
            latents: pixel latents of frames.
            copies: of every head at the larger size, in the frame's light: pixels weighted by the attention,
                and last how much of them there is.
            shares: logarithms of what each pixel takes from each head, and last from none, as DNet used
                them, at the smaller size.

        Returns:
            Pixel latents of the larger frames.
        """
        scale, heads, factor = (self.config[key] for key in ("scale", "heads", "factor"))
        base = enlarge(F.pixel_shuffle(latents, factor), scale)
        shares = F.interpolate(shares, base.shape[2:], mode="bilinear", align_corners=False)
        # What each copy would change, all of it and without what is too fine for the smaller frame.
        change = copies[:, :, :-1] - copies[:, :, -1:] * base[:, None]
        coarse = enlarge(F.avg_pool2d(change.flatten(1, 2), scale), scale).view_as(change)
        seen = [shares.clamp(min=-8) / 4, change.flatten(1, 2), copies[:, :, -1], base]
        hidden = F.silu(self.conv_mid(F.silu(self.conv_in(torch.cat(seen, 1)))))
        learned = self.config["strength"] * self.conv_out(hidden)
        fine, coarse_logits, pixels = learned.split([heads + 1, heads + 1, 3], 1)
        own = coarse_logits.new_tensor([0.0] * heads + [_OWN])[:, None, None]
        fine_shares = (shares + fine).softmax(1)[:, :-1, None]
        coarse_shares = (coarse_logits + own).softmax(1)[:, :-1, None]
        added = fine_shares * (change - coarse) + coarse_shares * coarse
        return F.pixel_unshuffle(base + added.sum(1) + _CALM * pixels, factor)


def enlarge(images: Float[Tensor, "N c h w"], scale: int) -> Float[Tensor, "N c H W"]:
    """Bicubic, `scale` times as large: what `F.interpolate` gives, as a convolution, which on a CPU takes a
    sixth of its time."""
    channels, size = images.shape[1], images.shape[2:]
    padded = F.pad(images, (2, 2, 2, 2), mode="replicate").flatten(0, 1)[:, None]
    phases = F.conv2d(padded, _cubic_kernel(scale, images))
    large = F.pixel_shuffle(phases, scale)
    return large.view(-1, channels, size[0] * scale, size[1] * scale)


def _cubic_kernel(scale: int, like: Tensor) -> Float[Tensor, "s*s 1 5 5"]:
    """How much each of five neighbours counts, on either axis, in each part of a pixel (Keys, 1981)."""
    middle = (torch.arange(scale) + 0.5) / scale - 0.5
    away = (torch.arange(-2, 3) - middle[:, None]).abs()
    sharp = -0.75  # as everywhere in torch
    near = (sharp + 2) * away**3 - (sharp + 3) * away**2 + 1
    far = sharp * (away**3 - 5 * away**2 + 8 * away - 4)
    weights = torch.where(away <= 1, near, torch.where(away < 2, far, 0.0))
    return torch.einsum("ai,bj->abij", weights, weights).reshape(scale**2, 1, 5, 5).to(like)
