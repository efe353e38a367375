"""ReferenceCopy: pixels of the references, fetched from where attention looks, between tokens as well.

An option of the networks (not in the paper). What attention alone brings from a reference is a mean of
tokens, each a square of pixels: it cannot move them by less than a square, so a small model trained from
scratch blurs. Here attention's mean *place* is what counts; the reference is sampled there at full
resolution, as flow-based animation does (Siarohin et al., 2019), and the network says where to use it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
import torch.nn.functional as F
from diffusers.models.controlnets.controlnet import zero_module
from diffusers.models.resnet import ResnetBlock2D
from jaxtyping import Float, Int
from torch import Tensor, nn

from durian.models.position_kernel import init_position_kernel
from durian.models.positions import IMAGE, KINDS, cell_centres, shift_positions
from durian.models.resizing import spread
from durian.models.steadying import steadied

_CALM = 0.1
"""Layers that start at zero and end in pixels or places would take strides of what Adam calls small."""

_STEADY_SHARE, _STEADY_TONE, _STEADY_PAINT = 0.2, 0.1, 0.05
"""By how much at most what `steady` keeps from trembling moves: of 1, of a copy's gain, of a latent."""

_DECIDED = 8
"""Power of the shares of several views (docs/results.md): high enough for nearly one of them to be copied."""


@dataclass(frozen=True)
class CopySource:
    """One or more references to copy from, projected once for a whole animation.

    Attributes:
        keys: (B, heads, R, D).
        places: where each token lies in its reference, x and y in [-1, 1].
        owner: which reference each token is of, (R,).
        images: latents unfolded to pixels, hidden parts 0, and last the visibility; by reference.
        bias: added to the scores, 0 or -inf; None where all tokens take part.
        fine: `images` once more, larger, for `DetailNet`; empty without.
        views: how many of the images are views of one reference, for each reference in turn.
    """

    keys: Float[Tensor, "B heads R D"]
    places: Float[Tensor, "B R 2"]
    owner: Float[Tensor, " R"]
    images: tuple[Float[Tensor, "B c H W"], ...]
    bias: Float[Tensor, "B 1 1 R"] | None = None
    fine: tuple[Float[Tensor, "B c kH kW"], ...] = ()
    views: tuple[int, ...] = (1,)

    @staticmethod
    def concatenate(sources: Sequence[CopySource]) -> CopySource:
        """Width-wise composition, as of keys and values in spatial attention."""
        owners, count = [], 0
        for source in sources:
            owners.append(source.owner + count)
            count += len(source.images)
        biased = any(source.bias is not None for source in sources)
        return CopySource(
            torch.cat([source.keys for source in sources], 2),
            torch.cat([source.places for source in sources], 1),
            torch.cat(owners),
            tuple(image for source in sources for image in source.images),
            torch.cat([source.full_bias() for source in sources], 3) if biased else None,
            tuple(image for source in sources for image in source.fine),
            tuple(count for source in sources for count in source.views),
        )

    def full_bias(self) -> Float[Tensor, "B 1 1 R"]:
        """The bias, zeros where there is none."""
        if self.bias is not None:
            return self.bias
        return self.keys.new_zeros(self.keys.shape[0], 1, 1, self.keys.shape[2])

    def without_tokens(self) -> CopySource:
        """The source with nothing to be found in it."""
        return replace(
            self, keys=self.keys[:, :, :0], places=self.places[:, :0], owner=self.owner[:0], bias=None
        )

    def select(self, kept: Int[Tensor, "B R"], bias: Float[Tensor, "B 1 1 R"] | None) -> CopySource:
        """Only these tokens, of a single reference."""
        keys = self.keys.gather(
            2, kept[:, None, :, None].expand(-1, self.keys.shape[1], -1, self.keys.shape[3])
        )
        places = self.places.gather(1, kept[..., None].expand(-1, -1, 2))
        return replace(self, keys=keys, places=places, owner=self.owner[: kept.shape[1]], bias=bias)


@dataclass(frozen=True)
class Found:
    """Where the heads look, of R references.

    Attributes:
        mass: the share of its attention that a head has for a reference.
        place: the mean place of that, x and y in [-1, 1].
    """

    mass: Float[Tensor, "BF heads R h w"]
    place: Float[Tensor, "BF heads R 2 h w"]

    def decided(self, views: Sequence[int]) -> Found:
        """Of several views of a reference nearly one: the mean of unlike pictures is blurred.

        What a head has for a reference in all stays, and so does what equal views have.

        Args:
            views: of each reference in turn.
        """
        if max(views) == 1:
            return self
        parts = []
        for mass in self.mass.split(list(views), 2):
            favour = (mass / mass.amax(2, keepdim=True).clamp(min=1e-8)) ** _DECIDED
            parts.append(mass.sum(2, keepdim=True) * favour / favour.sum(2, keepdim=True).clamp(min=1))
        return Found(torch.cat(parts, 2), self.place)

    def agreed(self, shares: Float[Tensor, "BF heads+1 H W"], most: float) -> Found:
        """Places of heads that agree on them.

        A pixel is a mean of several heads' copies. Each head is a little wrong in a way of its own, so that
        the mean of their pixels is blurred, while the mean of their places is about as near to the truth,
        and what is there is crisp. So each place is moved towards the mean of all heads' in the same
        reference, each counting by how much is taken from it, and by `most` at most, so that what looks at
        another part of the reference still does.

        Args:
            shares: logarithms of what each pixel takes from each head, and last from none.
            most: in places' own units, in x as in y.
        """
        height, width = self.place.shape[-2:]
        taken = F.adaptive_avg_pool2d(shares[:, :-1].exp(), (height, width))
        weight = (taken[:, :, None] * self.mass + 1e-4)[:, :, :, None]
        mean = (self.place * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True)
        return Found(self.mass, self.place + (mean - self.place).clamp(-most, most))


class ReferenceCopy(nn.Module):
    """Copies from the references into DNet's prediction of the clean sample.

    Args:
        channels: of DNet's last feature map and of the references' tokens.
        latent_channels: of the latents.
        heads: places that each pixel may be copied from.
        factor: pixels a side that a latent cell unfolds to; 1 copies latents as they are.
        position_dim: length of an encoded position; 0 without.
        groups: of the normalisation.
        tones: whether copies may be lit anew: a gain and a shift for each head, colour and place, smooth
            between latent cells, since light is.
        polish_channels: width of the last convolutions, over the composed pixels, which see what lies
            across the borders of latent cells; 0 without.
        choice_channels: width of the convolutions that correct what each pixel is taken from, having
            seen the pixels there are to choose from; 0 without.
        shifts: whether positions are corrected by what the features say: the coordinates know of a head's
            rough shape alone, and a brim or a lock lies before or behind it.
        steady: whether the frames follow each other, so that places, shares, tones and DNet's own paint can
            be kept from trembling: places by half a pixel at most.
    """

    head_dim = 32

    def __init__(
        self,
        channels: int,
        latent_channels: int,
        heads: int,
        factor: int,
        position_dim: int,
        groups: int,
        tones: bool = False,
        polish_channels: int = 0,
        choice_channels: int = 0,
        shifts: bool = False,
        steady: bool = False,
    ):
        super().__init__()
        self.heads, self.factor, self.position_dim, self.steady = heads, factor, position_dim, steady
        inner = heads * self.head_dim
        self.to_q = nn.Linear(channels, inner)
        self.to_k = nn.Linear(channels, inner, bias=False)
        self.nowhere = nn.Parameter(torch.zeros(heads, 1, self.head_dim))
        if position_dim:
            self.position_to_q = nn.Linear(position_dim, inner, bias=False)
            self.position_to_k = nn.Linear(position_dim, inner, bias=False)
        self.shift_q = self.shift_k = None
        if shifts:
            self.shift_q, self.shift_k = (zero_module(nn.Linear(channels, 2 * KINDS)) for _ in range(2))
        self._start_as_kernel()
        colours = latent_channels // factor**2
        copied = heads * (latent_channels + factor**2)
        self.refine = ResnetBlock2D(
            in_channels=channels + copied,
            out_channels=channels,
            temb_channels=None,  # ty: ignore[invalid-argument-type]
            groups=groups,
            groups_out=groups,
        )
        self._start_as_identity(channels)
        self.gate = nn.Conv2d(channels, (heads + 1) * factor**2, 3, padding=1)
        self.tone = zero_module(nn.Conv2d(channels, heads * 2 * colours, 3, padding=1)) if tones else None
        self.polish = Polish(colours, polish_channels) if polish_channels else None
        self.choice = Choice(heads, colours, choice_channels) if choice_channels else None

    @torch.no_grad()
    def _start_as_kernel(self) -> None:
        """A token of the right place scores more than "nowhere", and one of a wrong place less."""
        octaves = self.position_dim // (4 * KINDS)
        nn.init.zeros_(self.to_q.weight)
        nn.init.zeros_(self.to_q.bias)
        if self.position_dim:
            init_position_kernel(self.position_to_q, self.position_to_k, self.heads, 1.6, smooth=True)
        for head in range(self.heads):
            waves = 2 * (octaves - int(head % KINDS != IMAGE))
            last = (0.75 * 1.6 * waves * math.sqrt(self.head_dim)) ** 0.5 if octaves else 0.0
            self.to_q.bias[(head + 1) * self.head_dim - 1] = last
            self.nowhere[head, 0, -1] = last
        for layer in (self.to_k, *([self.position_to_q, self.position_to_k] if self.position_dim else [])):
            layer.weight.view(self.heads, self.head_dim, -1)[:, -1] = 0

    @torch.no_grad()
    def _start_as_identity(self, channels: int) -> None:
        shortcut, last = cast(nn.Conv2d, self.refine.conv_shortcut), self.refine.conv2
        nn.init.zeros_(shortcut.weight)
        shortcut.weight[:, :channels, 0, 0] = torch.eye(channels)
        nn.init.zeros_(cast(Tensor, shortcut.bias))
        nn.init.zeros_(last.weight)
        nn.init.zeros_(cast(Tensor, last.bias))

    def project(
        self,
        tokens: Float[Tensor, "B R C"],
        positions: Float[Tensor, "B R P"] | None,
        image: Float[Tensor, "B c H W"],
    ) -> CopySource:
        """What can be copied of one reference whose tokens form a grid of the image's aspect."""
        key = self.to_k(tokens)
        if self.position_dim and positions is not None:
            if self.shift_k is not None:
                positions = shift_positions(positions, _CALM * self.shift_k(tokens))
            key = key + self.position_to_k(positions)
        stride = round((image.shape[2] * image.shape[3] / tokens.shape[1]) ** 0.5)
        places = cell_centres(image.shape[2] // stride, image.shape[3] // stride, image)
        return CopySource(
            key.unflatten(2, (self.heads, -1)).transpose(1, 2),
            places.flatten(1).T.expand(len(tokens), -1, -1),
            torch.zeros(tokens.shape[1], device=tokens.device),
            (image,),
        )

    def look(
        self,
        hidden: Float[Tensor, "BF C h w"],
        positions: Float[Tensor, "BF N P"] | None,
        source: CopySource,
    ) -> Float[Tensor, "BF heads c fh fw"]:
        """Copies of every head: pixels weighted by the attention, and last how much of them there is."""
        return self.fetch(self.find(hidden, positions, source), source)

    def find(
        self,
        hidden: Float[Tensor, "BF C h w"],
        positions: Float[Tensor, "BF N P"] | None,
        source: CopySource,
    ) -> Found:
        """Where every head would copy from."""
        height, width = hidden.shape[2:]
        if not source.keys.shape[2]:
            nothing = hidden.new_zeros(len(hidden), self.heads, len(source.images), 3, height, width)
            return Found(nothing[:, :, :, 0], nothing[:, :, :, 1:])
        found = Found(*self._attend(hidden, positions, source, len(hidden) // len(source.keys)))
        return found.decided(source.views)

    def steady_places(self, found: Found, frames: int) -> Found:
        """The same, without trembling within each clip of so many frames, where the option is on."""
        if not self.steady:
            return found
        side = self.factor * max(found.mass.shape[3:])
        return replace(found, place=steadied(found.place, frames, 1 / side))  # a picture is 2 wide

    def fetch(self, found: Found, source: CopySource) -> Float[Tensor, "BF heads c fh fw"]:
        """The pixels there, weighted by the attention, and last how much of them there is."""
        if not source.keys.shape[2]:
            shape = (len(found.mass), self.heads, *source.images[0].shape[1:])
            return found.mass.new_zeros(shape)
        return fetch_pixels(found, source.images)

    def _attend(
        self, hidden: Tensor, positions: Tensor | None, source: CopySource, frames: int
    ) -> tuple[Float[Tensor, "BF heads R h w"], Float[Tensor, "BF heads R 2 h w"]]:
        """For each head and reference, its share of the attention and the mean place in it."""
        tokens = hidden.flatten(2).transpose(1, 2)
        query = self.to_q(tokens)
        if self.position_dim and positions is not None:
            if self.shift_q is not None:
                positions = shift_positions(positions, _CALM * self.shift_q(tokens))
            query = query + self.position_to_q(positions)
        # All frames ask the same keys, so they are one long sequence of queries.
        query = query.unflatten(0, (-1, frames)).flatten(1, 2).unflatten(2, (self.heads, -1)).transpose(1, 2)
        nowhere = self.nowhere.expand(len(source.keys), -1, -1, -1)
        key = torch.cat([source.keys.to(query), nowhere.to(query)], 2)
        references = len(source.images)
        mine = F.one_hot(source.owner.long(), references).to(query)
        # What a token adds for its own reference: 1 and its place.
        about = F.pad(source.places, (1, 0), value=1.0)[:, :, None] * mine[:, :, None]
        # PyTorch's fused kernels want values as wide as keys.
        unused = 0 if torch.compiler.is_exporting() else max(0, self.head_dim - 3 * references)
        value = F.pad(about.flatten(2), (0, unused, 0, 1))
        value = value[:, None].expand(-1, self.heads, -1, -1)
        bias = None
        if source.bias is not None:
            bias = F.pad(source.bias.to(query), (0, 1)).expand(-1, -1, query.shape[2], -1)
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)[..., : 3 * references]
        out = out.unflatten(3, (references, 3)).unflatten(2, (frames, *hidden.shape[2:]))
        # (B, heads, F, h, w, references, 3) → (BF, heads, references, 3, h, w)
        out = out.permute(0, 2, 1, 5, 6, 3, 4).flatten(0, 1)
        mass, least = out[:, :, :, :1], _mass_floor(source.views, out)
        return mass[:, :, :, 0], out[:, :, :, 1:] / mass.clamp(min=least)

    def steady_shares(
        self, shares: Float[Tensor, "BF heads+1 fh fw"], frames: int
    ) -> Float[Tensor, "BF heads+1 fh fw"]:
        """Shares, as logarithms, in the same way."""
        if not self.steady:
            return shares
        return steadied(shares.exp(), frames, _STEADY_SHARE).clamp(min=1e-6).log().log_softmax(1)

    def steady_paint(self, made: Float[Tensor, "BF c h w"], frames: int) -> Float[Tensor, "BF c h w"]:
        """What DNet makes itself, in the same way."""
        return steadied(made, frames, _STEADY_PAINT) if self.steady else made

    def forward(
        self,
        hidden: Float[Tensor, "BF C h w"],
        copies: Float[Tensor, "BF heads c fh fw"],
    ) -> tuple[Float[Tensor, "BF C h w"], Float[Tensor, "BF heads+1 fh fw"]]:
        """The feature map that knows of the copies, and the logarithm of each head's share of every pixel;
        the last is the share of what DNet makes itself."""
        folded = F.pixel_unshuffle(copies.flatten(1, 2), self.factor)
        hidden = self.refine(torch.cat([hidden, folded], 1), None)
        return hidden, F.pixel_shuffle(self.gate(hidden), self.factor).log_softmax(1)

    def tones(
        self, hidden: Float[Tensor, "BF C h w"], frames: int = 1
    ) -> Float[Tensor, "BF heads 2 colours h w"] | None:
        """The frame's light: gain and shift for each copy, as `relight` takes them; None without `tones`.

        Args:
            frames: of each clip, whose light does not tremble where the option is on.
        """
        if self.tone is None:
            return None
        tones = (_CALM * self.tone(hidden)).unflatten(1, (self.heads, 2, -1))
        return steadied(tones, frames, _STEADY_TONE) if self.steady else tones

    def choose(
        self,
        made: Float[Tensor, "BF c h w"],
        copies: Float[Tensor, "BF heads c fh fw"],
        shares: Float[Tensor, "BF heads+1 fh fw"],
    ) -> Float[Tensor, "BF heads+1 fh fw"]:
        """Shares, as logarithms, as `forward` gives them, corrected by what there is to choose from."""
        if self.choice is None:
            return shares
        return self.choice(shares, copies, F.pixel_shuffle(made, self.factor))

    def compose(
        self,
        made: Float[Tensor, "BF c h w"],
        copies: Float[Tensor, "BF heads c fh fw"],
        shares: Float[Tensor, "BF heads+1 fh fw"],
    ) -> Float[Tensor, "BF c h w"]:
        """Copies over what DNet makes itself, which is seen wherever nothing is copied.

        Args:
            shares: their logarithms, as `choose` gives them.
        """
        pixels = F.pixel_shuffle(made, self.factor)
        used = (copies * shares[:, :-1, None].exp()).sum(1)
        composed = used[:, :-1] + (1 - used[:, -1:]) * pixels
        if self.polish is not None:
            composed = self.polish(composed, used[:, -1:])
        return F.pixel_unshuffle(composed, self.factor)


def _mass_floor(views: Sequence[int], like: Tensor) -> float | Float[Tensor, "R 1 1 1"]:
    """What the share of attention that a place is divided by is taken for at least, for each image.

    A view's is a part of its reference's, whose place must not depend on the number of views.
    """
    if max(views) == 1:
        return 1e-4
    least = [1e-4 / count for count in views for _ in range(count)]
    return like.new_tensor(least)[:, None, None, None]


def fetch_pixels(found: Found, images: Sequence[Float[Tensor, "B c H W"]]) -> Float[Tensor, "BF heads c H W"]:
    """The pixels of references at the places found, weighted by the attention and added up over references.

    Args:
        images: of the references, in the order in which they were looked through, all of one size, which
            may be any.
    """
    batch, size = len(images[0]), images[0].shape[2:]
    heads = found.mass.shape[1]
    frames = len(found.mass) // batch
    # Flow, not places, is interpolated between cells: so a picture at rest is copied exactly.
    flow = found.place - cell_centres(*found.mass.shape[3:], found.place)
    grid = spread(flow, size) + cell_centres(*size, flow)
    weight = spread(found.mass, size)
    copies = grid.new_zeros(())
    for index, image in enumerate(images):
        # (B, F·heads·H, W, 2): one call for all frames and heads
        chosen = grid[:, :, index].permute(0, 1, 3, 4, 2).reshape(batch, -1, size[1], 2)
        sampled = F.grid_sample(image.to(grid), chosen, padding_mode="zeros", align_corners=False)
        sampled = sampled.unflatten(2, (frames, heads, -1)).permute(0, 2, 3, 1, 4, 5).flatten(0, 1)
        copies = copies + sampled * weight[:, :, index, None]
    return copies


def relight(
    copies: Float[Tensor, "BF heads c H W"], tones: Float[Tensor, "BF heads 2 colours h w"] | None
) -> Float[Tensor, "BF heads c H W"]:
    """Copies in the light of the frame, as far as the network has learned it (`ReferenceCopy.tones`)."""
    if tones is None:
        return copies
    gain, shift = spread(tones, copies.shape[3:]).unbind(2)
    colours, amount = copies[:, :, :-1], copies[:, :, -1:]
    return torch.cat([colours * (1 + gain) + amount * shift, amount], 2)


class Choice(nn.Module):
    """A correction of what each pixel is taken from, which sees everything there is to choose from.

    The gate reads copies folded into cells of the feature map, so that what it says of the pixels of one cell
    is made in one place; along borders that is a fringe of dots, and of two sharp copies it takes the mean.
    """

    def __init__(self, heads: int, colours: int, channels: int):
        super().__init__()
        self.conv_in = nn.Conv2d((heads + 1) * (colours + 2) - 1, channels, 3, padding=1)
        self.conv_mid = nn.Conv2d(channels, channels, 3, padding=2, dilation=2)
        self.conv_out = zero_module(nn.Conv2d(channels, heads + 1, 1))

    def forward(
        self,
        shares: Float[Tensor, "B heads+1 H W"],
        copies: Float[Tensor, "B heads c H W"],
        pixels: Float[Tensor, "B c-1 H W"],
    ) -> Float[Tensor, "B heads+1 H W"]:
        """Logarithms of shares, as those that come in."""
        seen = torch.cat([shares.clamp(min=-8) / 4, copies.flatten(1, 2), pixels], 1)
        hidden = F.silu(self.conv_mid(F.silu(self.conv_in(seen))))
        return (shares + self.conv_out(hidden)).log_softmax(1)


class Polish(nn.Module):
    """A correction of the composed pixels, from their neighbours and from how much of them is copied."""

    def __init__(self, colours: int, channels: int):
        super().__init__()
        self.conv_in = nn.Conv2d(colours + 1, channels, 3, padding=1)
        self.conv_mid = nn.Conv2d(channels, channels, 3, padding=2, dilation=2)
        self.conv_out = zero_module(nn.Conv2d(channels, colours, 3, padding=1))

    def forward(
        self, pixels: Float[Tensor, "B c H W"], copied: Float[Tensor, "B 1 H W"]
    ) -> Float[Tensor, "B c H W"]:
        hidden = F.silu(self.conv_in(torch.cat([pixels, copied], 1)))
        return pixels + _CALM * self.conv_out(F.silu(self.conv_mid(hidden)))
