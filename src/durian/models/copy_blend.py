"""CopyBlend: whole copies, blended into finished frames.

An option of `DetailNet` (not in the paper). Heads of `ReferenceCopy` find a reference cell by cell, and what
is made of several of them is a mean: eyes without pupils, brims that fade, curls without strands. Whole
copies hang together: of the face at the places that landmarks say, of portrait and attributes at those that
all heads agree on (`consensus`). Which of them shows where, and how fine, is learned.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers.models.controlnets.controlnet import zero_module
from jaxtyping import Float
from torch import Tensor, nn

from durian.models.consensus import consensus
from durian.models.positions import cell_centres
from durian.models.reference_copy import CopySource, Found, relight
from durian.models.resizing import enlarge, spread

COPIES = 3
"""Of the face, the portrait and the attributes."""

_MIDDLE = 4  # pixels of the smaller frame, see `durian.models.detail_net`
_KEPT = (3.0, 3.0, 5.0)
"""How much more is kept than copied before any training, in logarithms: of the finest, texture, coarse."""
_PRESENT = 3.0
"""A copy fades where less than a third of what is around is taken from its reference."""
_DECIDED = 4
"""Power of the shares of several attributes or views, of which nearly one is seen at a place."""


class CopyBlend(nn.Module):
    """Blends copies into frames in `DetailNet`'s three bands, by shares worked out from all of them at the
    smaller size.

    Args:
        scale: how many times as large frames are as DNet's.
        channels: width of its convolutions.
    """

    def __init__(self, scale: int, channels: int):
        super().__init__()
        self.scale, self.bands = scale, len(_KEPT)
        self.conv_in = nn.Conv2d(3 + 4 * COPIES, channels, 3, padding=1)
        self.conv_mid = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=2, dilation=2),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=4, dilation=4),
        )
        self.conv_out = zero_module(nn.Conv2d(channels, self.bands * COPIES, 3, padding=1))

    def forward(
        self, frames: Float[Tensor, "N 3 H W"], copies: Float[Tensor, "N copies 4 H W"], favour: float = 0.0
    ) -> Float[Tensor, "N 3 H W"]:
        """
        Args:
            favour: by how much more than was learned the attributes' copy is taken, in logarithms.
            copies: pixels weighted by how much there is of them, and last that, as `whole_copies` gives them.
        """
        change = copies[:, :, :3] - copies[:, :, 3:] * frames[:, None]
        amount = F.avg_pool2d(copies[:, :, 3], self.scale)
        small = F.avg_pool2d(change.flatten(1, 2), self.scale)
        seen = torch.cat([F.avg_pool2d(frames, self.scale), small, amount], 1)
        logits = self.conv_out(F.silu(self.conv_mid(F.silu(self.conv_in(seen)))))
        finest, texture, coarse = self._shares(logits, favour)
        # As in `DetailNet`: what the smaller size can hold is summed there.
        blurred = spread(F.avg_pool2d(small, _MIDDLE), small.shape[2:])
        rest = (texture - finest).repeat_interleave(3, 1) * small
        rest = rest + (coarse - texture).repeat_interleave(3, 1) * blurred
        rest = rest.unflatten(1, (COPIES, 3)).sum(1)
        finest = spread(finest, frames.shape[2:])
        return frames + enlarge(rest, self.scale) + (finest[:, :, None] * change).sum(1)

    def _shares(
        self, logits: Float[Tensor, "N bands_copies h w"], favour: float
    ) -> list[Float[Tensor, "N copies h w"]]:
        shares = []
        for band, kept in zip(logits.chunk(self.bands, 1), _KEPT, strict=True):
            keep = torch.full_like(band[:, :1], kept)
            choices = torch.cat([band[:, :-1], band[:, -1:] + favour, keep], 1)
            shares.append(choices.softmax(1)[:, :-1])
        return shares


def whole_copies(
    found: Found,
    source: CopySource,
    shares: Float[Tensor, "BF heads+1 H W"],
    tones: Float[Tensor, "BF heads 2 colours h w"] | None,
    known: Float[Tensor, "BF 3 kH kW"],
) -> Float[Tensor, "BF copies 4 kH kW"]:
    """Copies of the face, the portrait and the attributes, each as one, in the frame's light.

    Args:
        found: where the heads have looked.
        source: with `fine` pictures.
        shares: logarithms of what each pixel takes from each head, and last from none.
        tones: as `relight` takes them.
        known: for each pixel of each frame where landmarks say that it is in the portrait, x and y in
            [-1, 1], and how far they can be relied on (`durian.portrait.landmark_places`).
    """
    used = F.adaptive_avg_pool2d(shares[:, :-1].exp(), (found.mass.shape[-2], found.mass.shape[-1]))
    weights = used[:, :, None] * found.mass
    portraits, count = source.views[0], len(source.fine)
    face = _fetched(source.fine[0], known[:, :2]) * known[:, 2:]
    portrait = _as_one(found, source, weights, range(portraits), known)
    worn = _as_one(found, source, weights, range(portraits, count), known)
    copies = torch.stack([face, portrait, worn], 1)
    if tones is None:
        return copies
    parts = weights[:, :, :portraits].sum(2), weights[:, :, portraits:].sum(2)
    return relight(copies, torch.stack([_mean_tone(tones, part) for part in (parts[0], *parts)], 1))


def _as_one(
    found: Found, source: CopySource, weights: Tensor, chosen: range, like: Tensor
) -> Float[Tensor, "BF 4 kH kW"]:
    """Of several pictures that which is used most around."""
    size = (like.shape[-2], like.shape[-1])
    copies, presence = [], []
    for index in chosen:
        place, amount = consensus(found.place[:, :, index], weights[:, :, index])
        flow = spread(place - cell_centres(*place.shape[2:], place), size)
        copies.append(_fetched(source.fine[index], flow + cell_centres(*size, flow)))
        presence.append(spread(amount, size))
    if not copies:
        return like.new_zeros(len(like), 4, *size)
    present = torch.stack(presence)
    decided = present**_DECIDED
    decided = decided / decided.sum(0).clamp(min=1e-12)
    return (decided * (_PRESENT * present).clamp(max=1) * torch.stack(copies)).sum(0)


def _fetched(image: Float[Tensor, "B c H W"], places: Float[Tensor, "BF 2 H W"]) -> Float[Tensor, "BF c H W"]:
    batch, height, width = len(image), *places.shape[2:]
    grid = places.permute(0, 2, 3, 1).reshape(batch, -1, width, 2)
    pixels = F.grid_sample(image.to(grid), grid, padding_mode="zeros", align_corners=False)
    return pixels.unflatten(2, (-1, height)).transpose(1, 2).flatten(0, 1)


def _mean_tone(
    tones: Float[Tensor, "BF heads 2 colours h w"], taken: Float[Tensor, "BF heads h w"]
) -> Float[Tensor, "BF 2 colours h w"]:
    """The light of a copy that no head has looked for by itself: the mean of theirs, weighed by what is taken
    from each."""
    taken = taken + 1e-4
    weight = (taken / taken.sum(1, keepdim=True))[:, :, None, None]
    return (weight * tones).sum(1)
