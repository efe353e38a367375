"""Errors that the eye sees and squared error of latents does not weigh so."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from durian.models.reference_copy import Found
from durian.training.true_motion import TrueMotion

_UNUSED = 0.03  # of a copy that nothing is taken from, so that it may come to be of use


def hue_error(residual: Float[Tensor, "B c F h w"]) -> Float[Tensor, "B F h w"]:
    """Mean squared error of the mean colour of each cell of pixel latents, its brightness left out."""
    colour = residual.unflatten(1, (3, -1)).mean(2)
    return (colour - colour.mean(1, keepdim=True)).square().mean(1)


def edge_error(residual: Float[Tensor, "B c F h w"], factor: int) -> Float[Tensor, "B F h w"]:
    """Mean absolute error of the differences between neighbouring pixels.

    What squared error leaves blurred is cheap in it: an edge that is a little wrong everywhere. A mean over
    possible edges costs as much here as any one of them.

    Args:
        residual: of pixel latents, whose cells are `factor` pixels a side.
    """
    pixels = F.pixel_shuffle(residual.transpose(1, 2), factor)
    across = F.pad(pixels.diff(dim=-1).abs(), (0, 1))
    down = F.pad(pixels.diff(dim=-2).abs(), (0, 0, 0, 1))
    return F.avg_pool2d((across + down).mean(2), factor)


def grid_error(residual: Float[Tensor, "B c F h w"], cells: int = 5) -> Float[Tensor, "B F h w"]:
    """Mean squared error of what neighbouring cells of pixel latents have in common inside.

    Networks that make a cell at once can paint the same stipple into each, which no picture has and squared
    error hardly notices. In the mean over neighbours it stays, and what differs between them goes.

    Args:
        cells: neighbours a side that are averaged.
    """
    inside = residual.unflatten(1, (3, -1))
    flat = (inside - inside.mean(2, keepdim=True)).flatten(1, 2).transpose(1, 2).flatten(0, 1)
    common = F.avg_pool2d(flat, cells, 1, cells // 2, count_include_pad=False)
    return common.square().mean(1).unflatten(0, (len(residual), -1))


def contrast_error(
    prediction: Float[Tensor, "B c F h w"], target: Float[Tensor, "B c F h w"], factor: int, window: int = 5
) -> Float[Tensor, "B F h w"]:
    """Mean absolute error of the local contrast: each colour's standard deviation in a window around a pixel.

    Blur is what loses contrast, and squared error asks for it wherever the texture's exact place is unknown.
    This asks how much texture there is, and not where.

    Args:
        prediction, target: pixel latents, whose cells are `factor` pixels a side.
        window: pixels a side.
    """
    contrasts = [_contrast(latents.transpose(1, 2), factor, window) for latents in (prediction, target)]
    return F.avg_pool2d((contrasts[0] - contrasts[1]).abs().mean(2), factor)


def _contrast(
    latents: Float[Tensor, "B F c h w"], factor: int, window: int
) -> Float[Tensor, "B F colours H W"]:
    pixels = F.pixel_shuffle(latents, factor)
    flat = pixels.flatten(0, 1)
    mean, square = (
        F.avg_pool2d(each, window, 1, window // 2, count_include_pad=False) for each in (flat, flat.square())
    )
    # The floor keeps the root's slope finite where all is even.
    return ((square - mean.square()).clamp(min=0) + 1e-3).sqrt().unflatten(0, pixels.shape[:2])


def zigzag_error(
    prediction: Float[Tensor, "B c F h w"], target: Float[Tensor, "B c F h w"], factor: int, window: int = 5
) -> Float[Tensor, "B F h w"]:
    """How much more than the target a prediction goes up and down again from pixel to pixel.

    Where an edge's place is unknown, a dither of what may lie there has the mean that squared error asks for
    and the contrast that a critic asks for, and looks like neither. Edges, sharp or soft, go one way.

    Args:
        prediction, target: pixel latents, whose cells are `factor` pixels a side.
        window: pixels a side in which the target's own turns are counted, wherever they are.
    """
    turns = [_turns(latents.transpose(1, 2), factor, window) for latents in (prediction, target)]
    return F.avg_pool2d((turns[0] - turns[1]).clamp(min=0).mean(2), factor)


def _turns(latents: Float[Tensor, "B F c h w"], factor: int, window: int) -> Float[Tensor, "B F colours H W"]:
    pixels = F.pixel_shuffle(latents, factor)
    flat = pixels.flatten(0, 1)
    across, down = flat.diff(dim=-1), flat.diff(dim=-2)
    turns = F.pad(_turn(across[..., :-1], across[..., 1:]), (1, 1)) + F.pad(
        _turn(down[..., :-1, :], down[..., 1:, :]), (0, 0, 1, 1)
    )
    mean = F.avg_pool2d(turns, window, 1, window // 2, count_include_pad=False)
    return mean.unflatten(0, pixels.shape[:2])


def _turn(first: Tensor, second: Tensor) -> Tensor:
    """The smaller of two steps that go opposite ways; 0 where they go the same way."""
    return torch.minimum(first, -second).clamp(min=0) + torch.minimum(-first, second).clamp(min=0)


def flicker_error(
    residual: Float[Tensor, "B c F h w"], motion: TrueMotion, factor: int
) -> Float[Tensor, "B F h w"]:
    """Mean absolute change of the error from frame to frame, followed along the true motion.

    An error that goes along with what it lies on is no flicker, and free: that is for other terms to say. A
    warping error (Lai et al., 2018) would ask for blur wherever the truth itself changes.

    Args:
        residual: of pixel latents of frames that follow each other, whose cells are `factor` pixels a side.
    """
    pixels = F.pixel_shuffle(residual.transpose(1, 2), factor)
    before, now = pixels[:, :-1].flatten(0, 1), pixels[:, 1:].flatten(0, 1)
    moved = F.grid_sample(before, motion.places, padding_mode="border", align_corners=False)
    change = ((now - moved).abs().mean(1, keepdim=True)) * motion.visible[:, None]
    cells = F.avg_pool2d(change, factor)[:, 0].unflatten(0, (len(pixels), -1))
    return F.pad(cells, (0, 0, 0, 0, 1, 0))


def match_error(
    found: Found, shares: Float[Tensor, "BF heads+1 H W"], matches: Float[Tensor, "BF R 3 h w"]
) -> Float[Tensor, "BF h w"]:
    """How far from the true places copies are taken, in cells; those that are used count most.

    Only places learn from it: what is used is for what is seen to say. The root of a square grows slowly
    enough that a place that cannot be known does not outweigh the rest.

    Args:
        shares: logarithms of what each pixel takes from each head, and last from none.
        matches: of each reference, the true place of every cell, x and y in [-1, 1], and 1 where there is
            one.
    """
    side = matches.shape[-1]
    away = (found.place - matches[:, None, :, :2]) * (side / 2)
    distance = (away.square().sum(3) + 0.01).sqrt() - 0.1
    used = F.adaptive_avg_pool2d(shares[:, :-1].exp(), side)[:, :, None] + _UNUSED
    weight = (used * found.mass).detach() * matches[:, None, :, 2]
    return (weight * distance).sum((1, 2))
