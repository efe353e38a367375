"""LandmarkCopy: the portrait's own pixels where landmarks say that they are.

An option of `DetailNet` (not in the paper). An eye is three of DNet's tokens wide, and what its heads copy
there lies a little beside each other, so that the mean has neither pupil nor highlight. Landmarks know where
eyes, lids, brows and lips are, in the portrait and in the frame (`durian.portrait.landmark_places`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers.models.controlnets.controlnet import zero_module
from jaxtyping import Float
from torch import Tensor, nn

from durian.models.resizing import enlarge, spread

_MIDDLE = 4  # pixels of the smaller frame, see `durian.models.detail_net`
_KEPT = (3.0, 3.0, 5.0)
"""How much more is kept than copied before any training, in logarithms: of the finest, texture, coarse."""


class LandmarkCopy(nn.Module):
    """Blends one more copy into finished frames, in `DetailNet`'s three bands.

    What of it is taken is worked out from both, at the smaller size: where the frame shows something that the
    portrait does not, a rim or a brim over the face, nothing should be.

    Args:
        scale: how many times as large frames are as DNet's.
        channels: width of its convolutions.
    """

    def __init__(self, scale: int, channels: int):
        super().__init__()
        self.scale = scale
        self.conv_in = nn.Conv2d(3 + 3 + 1, channels, 3, padding=1)
        self.conv_mid = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=2, dilation=2),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=4, dilation=4),
        )
        self.conv_out = zero_module(nn.Conv2d(channels, len(_KEPT), 3, padding=1))

    def forward(
        self, frames: Float[Tensor, "N 3 H W"], copies: Float[Tensor, "N 4 H W"]
    ) -> Float[Tensor, "N 3 H W"]:
        """
        Args:
            copies: as `landmark_copy` gives them.
        """
        change = copies[:, :3] - copies[:, 3:] * frames
        amount, small = F.avg_pool2d(copies[:, 3:], self.scale), F.avg_pool2d(change, self.scale)
        seen = torch.cat([F.avg_pool2d(frames, self.scale), small, amount], 1)
        logits = self.conv_out(F.silu(self.conv_mid(F.silu(self.conv_in(seen)))))
        shares = (logits - logits.new_tensor(_KEPT)[:, None, None]).sigmoid()
        finest, texture, coarse = shares.split(1, 1)
        blurred = spread(F.avg_pool2d(small, _MIDDLE), small.shape[2:])
        rest = (texture - finest) * small + (coarse - texture) * blurred
        return frames + enlarge(rest, self.scale) + spread(finest, frames.shape[2:]) * change


def landmark_copy(
    image: Float[Tensor, "B c H W"], known: Float[Tensor, "BF 3 H W"]
) -> Float[Tensor, "BF c H W"]:
    """The picture's pixels where they are known to be, weighted by how sure that is.

    Args:
        image: of the portrait, hidden parts 0, and last the visibility.
        known: for each pixel of each frame x and y in [-1, 1], and how far they can be relied on.
    """
    batch, height, width = len(image), *known.shape[2:]
    places = known[:, :2].permute(0, 2, 3, 1).reshape(batch, -1, width, 2)
    pixels = F.grid_sample(image.to(known), places, padding_mode="zeros", align_corners=False)
    return pixels.unflatten(2, (-1, height)).transpose(1, 2).flatten(0, 1) * known[:, 2:]


def mean_tones(
    tones: Float[Tensor, "BF heads 2 colours h w"], shares: Float[Tensor, "BF heads+1 H W"]
) -> Float[Tensor, "BF 1 2 colours h w"]:
    """The light of a copy that no head of `ReferenceCopy` has looked for: the mean of theirs, weighed by what
    is taken from each.

    Args:
        shares: their logarithms; the last is of none.
    """
    taken = F.adaptive_avg_pool2d(shares[:, :-1].exp(), (tones.shape[-2], tones.shape[-1])) + 1e-4
    weight = (taken / taken.sum(1, keepdim=True))[:, :, None, None]
    return (weight * tones).sum(1, keepdim=True)
