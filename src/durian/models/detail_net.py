"""DetailNet: the references' own pixels at several times the size of the pictures that DNet makes.

An option of the networks (not in the paper), for models that copy from their references. DNet says of every
pixel which reference it shows and which place of it; larger pictures of the references, fetched from the same
places, are then the same frame with its finest detail, which DNet never saw. Blending by bands of detail is
Burt and Adelson's (1983).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.controlnets.controlnet import zero_module
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float
from torch import Tensor, nn

from durian.models.copy_blend import CopyBlend
from durian.models.positions import near_features
from durian.models.reference_copy import Found
from durian.models.resizing import enlarge, spread

_CALM = 0.1  # see `durian.models.reference_copy`
_MIDDLE = 4  # pixels of the smaller frame: what is coarser than that is no texture
_KEPT = (2.0, 4.0)
"""How much more of texture, and of what is coarser, is kept as DNet made it than is copied, in logarithms and
before any training. Of what is finer its shares decide."""


class DetailNet(ModelMixin, ConfigMixin):
    """Frames of pixel latents to frames `scale` times as large.

    The enlarged frame and the copies are blended in three bands: what is too fine for the smaller frame,
    texture, and what is coarser. It begins with the shares that DNet has said for the finest, and little of
    the others. Learned are corrections: where the frame is blurred, being a mean of several copies, a single
    one of them has the texture. They are worked out at the smaller size; a correction of the pixels at the
    larger.

    Args:
        scale: how many times as large.
        heads: of `ReferenceCopy`.
        factor: pixels a side that a latent cell unfolds to.
        channels: width of its convolutions.
        strength: how much of what was learned counts: 0 is what it begins with. A critic asks for more than
            one may want, and this is chosen afterwards.
        eye_strength: of the eyes at least so much, which are looked at first; None as elsewhere.
        agree: by how many pixels of the smaller frame at most the places of DNet's heads are drawn together
            before copies are fetched (`Found.agreed`); 0 leaves them as they are.
        blend: whether whole copies are blended in afterwards (`CopyBlend`), whatever `strength` is.
        favour: by how much more than was learned attributes are taken from their whole copy, in logarithms.
            Errors ask for the mean of where a curl may lie, and one may want the curl: chosen afterwards.
    """

    bands = 1 + len(_KEPT)

    @register_to_config
    def __init__(
        self,
        scale: int = 2,
        heads: int = 4,
        factor: int = 4,
        channels: int = 32,
        strength: float = 1.0,
        agree: float = 0.0,
        eye_strength: float | None = None,
        blend: bool = False,
        favour: float = 0.0,
    ):
        super().__init__()
        seen = (heads + 1) + 4 * heads + 3
        made = self.bands * (heads + 1) + 3 * scale**2
        self.conv_in = nn.Conv2d(seen, channels, 3, padding=1)
        self.conv_mid = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=2, dilation=2),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=4, dilation=4),
        )
        self.conv_out = zero_module(nn.Conv2d(channels, made, 3, padding=1))
        self.copy_blend = CopyBlend(scale, channels) if blend else None

    def agreed(self, found: Found, shares: Float[Tensor, "N heads+1 h4 w4"]) -> Found:
        """Where copies are fetched from: the places that DNet found, drawn together where the option is on.

        Args:
            shares: as in `forward`.
        """
        agree = self.config["agree"]
        pixel = 2 / max(shares.shape[2:])  # a picture is 2 wide
        return found.agreed(shares, agree * pixel) if agree else found

    def forward(
        self,
        latents: Float[Tensor, "N c h w"],
        copies: Float[Tensor, "N heads 4 H W"],
        shares: Float[Tensor, "N heads+1 h4 w4"],
        places: Float[Tensor, "N g g 2"] | None = None,
        whole: Float[Tensor, "N copies 4 H W"] | None = None,
    ) -> Float[Tensor, "N c H4 W4"]:
        """
        Args:
            latents: pixel latents of frames.
            copies: of every head at the larger size, in the frame's light: pixels weighted by the attention,
                and last how much of them there is.
            shares: logarithms of what each pixel takes from each head, and last from none, as DNet used
                them, at the smaller size.
            places: face coordinates of the frames, for `eye_strength`.
            whole: copies for `blend` (`whole_copies`).

        Returns:
            Pixel latents of the larger frames.
        """
        scale, heads, factor = (self.config[key] for key in ("scale", "heads", "factor"))
        frame = F.pixel_shuffle(latents, factor)
        base = enlarge(frame, scale)
        # What each copy would change.
        change = copies[:, :, :-1] - copies[:, :, -1:] * base[:, None]
        small = F.avg_pool2d(change.flatten(1, 2), scale)
        amount = F.avg_pool2d(copies[:, :, -1], scale)
        hidden = F.silu(self.conv_in(torch.cat([shares.clamp(min=-8) / 4, small, amount, frame], 1)))
        learned = self._strength(places, shares.shape[2:]) * self.conv_out(F.silu(self.conv_mid(hidden)))
        logits, pixels = learned.split([self.bands * (heads + 1), 3 * scale**2], 1)
        finest, texture, coarse = _band_shares(shares, logits.unflatten(1, (self.bands, heads + 1)))

        # What is added is the sum of three bands: `change` without `small`, `small` without `blurred`, and
        # `blurred`, each by its own shares. All of it that the smaller size can hold is summed there.
        blurred = spread(F.avg_pool2d(small, _MIDDLE), small.shape[2:])
        rest = (texture - finest).repeat_interleave(3, 1) * small
        rest = rest + (coarse - texture).repeat_interleave(3, 1) * blurred
        rest = rest.unflatten(1, (heads, 3)).sum(1)
        finest = spread(finest, base.shape[2:])
        added = enlarge(rest, scale) + (finest[:, :, None] * change).sum(1)
        larger = base + added + _CALM * F.pixel_shuffle(pixels, scale)
        if self.copy_blend is not None and whole is not None:
            larger = self.copy_blend(larger, whole, self.config["favour"])
        return F.pixel_unshuffle(larger, factor)

    def _strength(
        self, places: Float[Tensor, "N g g 2"] | None, size: Sequence[int]
    ) -> float | Float[Tensor, "N 1 h4 w4"]:
        """How much of what was learned counts, where it is not the same everywhere for each pixel."""
        strength, eyes = self.config["strength"], self.config["eye_strength"]
        if places is None or eyes is None or eyes <= strength:
            return strength
        near = near_features(places.permute(0, 3, 1, 2), mouth=False)[:, None]
        return strength + (eyes - strength) * spread(near, size)


def _band_shares(
    shares: Float[Tensor, "N heads+1 H W"], corrections: Float[Tensor, "N bands heads+1 H W"]
) -> list[Float[Tensor, "N heads H W"]]:
    """Of each band, what is taken from each head's copy."""
    copied = shares[:, :-1].log_softmax(1)
    logits = [shares + corrections[:, 0]]
    for band, more in enumerate(_KEPT, start=1):
        kept = torch.full_like(shares[:, -1:], more)
        logits.append(torch.cat([copied, kept], 1) + corrections[:, band])
    return [each.softmax(1)[:, :-1] for each in logits]
