"""One map of a reference for a whole neighbourhood, of all that the heads have found in it.

Each head of `ReferenceCopy` is a little wrong in every cell in a way of its own. The mean of their copies is
blurred, and that of a single head is torn between cells. So around each cell the affine map is taken that
agrees best with what all heads have found nearby (moving least squares, Schaefer et al., 2006), those far off
counting less (iteratively reweighted): what is drawn of a reference hangs together.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from durian.models.positions import cell_centres

_SIGMA = 2.0
"""Of the neighbourhood, in cells."""

_OFF = 1.0
"""Cells from the map at which what a head has found counts half."""

_ROUNDS = 3
_STIFF = 0.7
"""In cells: where little is found around, the map is that of the whole reference."""


def consensus(
    place: Float[Tensor, "N heads 2 h w"], weight: Float[Tensor, "N heads h w"]
) -> tuple[Float[Tensor, "N 2 h w"], Float[Tensor, "N 1 h w"]]:
    """Where each cell is in a reference, and how much of it is used around there.

    Args:
        place: where heads look, x and y in [-1, 1].
        weight: how much of a cell is taken from there, in [0, 1].
    """
    height, width = place.shape[-2:]
    cell = 2 / max(height, width)
    own = cell_centres(height, width, place)[None]
    ridge = (_STIFF * cell) ** 2
    counted, fitted = weight, place[:, 0]
    for _ in range(_ROUNDS):
        whole = _whole_map(place, counted, own)
        fitted = _fitted(place, counted, own, whole, ridge)
        off = (place - fitted[:, None]).square().sum(2)
        counted = weight / (1 + off / (_OFF * cell) ** 2)
    around = counted.sum(1, keepdim=True)
    return fitted, _blurred(around) / _blurred(torch.ones_like(around))


def _fitted(place: Tensor, weight: Tensor, own: Tensor, whole: Tensor, ridge: float) -> Tensor:
    """Moving least squares on the grid of cells: all sums over a neighbourhood are blurs."""
    total = weight.sum(1, keepdim=True)
    found = (place * weight[:, :, None]).sum(1)
    x, y = own.split(1, 1)
    sums = [total, total * own, found, total * x * x, total * x * y, total * y * y, found * x, found * y]
    blurred = _blurred(torch.cat(sums, 1))
    means = blurred[:, 1:] / blurred[:, :1].clamp(min=1e-6)
    at, to, xx, xy, yy, along, down = means.split([2, 2, 1, 1, 1, 2, 2], 1)
    ax, ay = at.split(1, 1)
    xx, xy, yy = xx - ax * ax + ridge, xy - ax * ay, yy - ay * ay + ridge
    along = along - ax * to + ridge * whole[:, 0, :, None, None]
    down = down - ay * to + ridge * whole[:, 1, :, None, None]
    determinant = xx * yy - xy * xy
    by_x, by_y = (yy * along - xy * down) / determinant, (xx * down - xy * along) / determinant
    return to + by_x * (x - ax) + by_y * (y - ay)


def _whole_map(place: Tensor, weight: Tensor, own: Tensor) -> Float[Tensor, "N 2 2"]:
    """The affine map of all cells together, from x and y of the frame."""
    weight = weight.flatten(1)[:, :, None]
    here, there = (each.movedim(2, -1).flatten(1, 3) for each in (own[:, None].expand_as(place), place))
    total = weight.sum(1, keepdim=True).clamp(min=1e-6)
    here = here - (weight * here).sum(1, keepdim=True) / total
    there = there - (weight * there).sum(1, keepdim=True) / total
    spread = (weight * here).transpose(1, 2) @ here / total
    joint = (weight * here).transpose(1, 2) @ there / total
    # As at rest where nothing is found.
    rest = 1e-4 * torch.eye(2, device=place.device, dtype=place.dtype)
    return torch.linalg.solve(spread + rest, joint + rest)


def _blurred(maps: Float[Tensor, "N c h w"]) -> Float[Tensor, "N c h w"]:
    reach = int(3 * _SIGMA)
    steps = torch.arange(-reach, reach + 1, device=maps.device, dtype=maps.dtype)
    kernel = torch.exp(-steps.square() / (2 * _SIGMA**2)).expand(maps.shape[1], 1, 1, -1)
    across = F.conv2d(maps, kernel, padding=(0, reach), groups=maps.shape[1])
    return F.conv2d(across, kernel.transpose(2, 3), padding=(reach, 0), groups=maps.shape[1])
