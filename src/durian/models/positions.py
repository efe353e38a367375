"""Landmark-canonical positions: where a token lies in face coordinates, in the image and on the body.

An option of the networks (not in the paper): attention then need not learn where to look, because a token
of the frame and a token of a reference that show the same place of the face have the same coordinates. Hair
and hats turn with the face, backgrounds stay where they are in the image, and shoulders stay where they are
below the head's pivot, at the camera's scale.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from durian.portrait.head_shape import HEAD_SHAPE, head_depth

KINDS = 3
"""Pairs of coordinates: in the face, in the image, on the body."""

IMAGE = 1
"""Of these, the coordinates in the image."""


_FEATURES = ((-0.32, 0.0), (0.32, 0.0), (0.0, 0.72))
_SPREADS = ((0.2, 0.12), (0.2, 0.12), (0.3, 0.18))
"""Middles of the eyes and of the mouth in face coordinates, and their spreads."""


def position_dim(frequencies: int) -> int:
    """Length of an encoded position: sine and cosine of 2 + 2 + 2 coordinates."""
    return 2 * 2 * KINDS * frequencies


def encode_positions(
    canonical: Float[Tensor, "B g g 2"], frequencies: int, levels: int
) -> dict[int, Float[Tensor, "B N P"]]:
    """Fourier features of every token's place in the face, in the image and on the body, a third each.

    Args:
        canonical: face coordinates of the cells of a g×g grid.
        frequencies: octaves; the lowest has a period of 4 coordinate units.
        levels: how many times the grid is halved.

    Returns:
        By number of tokens, for the grids g, g/2, g/4 …
    """
    place = cell_centres(*canonical.shape[1:3], canonical).movedim(0, -1).expand_as(canonical)
    grid = torch.cat([canonical, place, body_positions(canonical)], -1).permute(0, 3, 1, 2)
    octaves = math.pi / 2 * 2.0 ** torch.arange(frequencies, device=canonical.device)
    encoded = {}
    for _ in range(levels):
        tokens = grid.flatten(2).transpose(1, 2)
        phases = (tokens[..., None] * octaves).flatten(2).chunk(KINDS, -1)
        encoded[tokens.shape[1]] = torch.cat([wave for p in phases for wave in (p.sin(), p.cos())], -1)
        if grid.shape[-1] % 2:
            break
        grid = F.avg_pool2d(grid, 2)
    return encoded


def shift_positions(
    encoded: Float[Tensor, "B N P"], shift: Float[Tensor, "B N 2*KINDS"]
) -> Float[Tensor, "B N P"]:
    """Encoded positions with something added to their coordinates: two in the face, two in the image, two on
    the body."""
    octaves = encoded.shape[-1] // (4 * KINDS)
    waves = math.pi / 2 * 2.0 ** torch.arange(octaves, device=shift.device, dtype=shift.dtype)
    turn = (shift[..., None] * waves).flatten(-2).unflatten(-1, (KINDS, -1))
    sine, cosine = encoded.unflatten(-1, (KINDS, 2, -1)).unbind(-2)
    turned = sine * turn.cos() + cosine * turn.sin(), cosine * turn.cos() - sine * turn.sin()
    return torch.stack(turned, -2).flatten(-3)


def body_positions(canonical: Float[Tensor, "B g g 2"]) -> Float[Tensor, "B g g 2"]:
    """Places relative to the head's pivot in units of the face, whichever way the head is turned.

    Far from the face, face coordinates are the weak perspective of a plane at the head's depth. Its inverse
    says where the pivot is, which a turn of the head leaves in place, and at what scale the camera sees it:
    foreshortening shrinks one direction, and the other keeps the scale.
    """
    cells = cell_centres(*canonical.shape[1:3], canonical).movedim(0, -1)
    place = F.pad(cells, (0, 1), value=1.0).flatten(0, 1)
    face = canonical.flatten(1, 2)
    depth = head_depth(face[..., 0], face[..., 1])
    # Of a large face little of the image is far away, and must outweigh all that is near.
    bulge = (HEAD_SHAPE.far - depth) / HEAD_SHAPE.bulge
    far = (1 - bulge)[..., None] ** 4 + 1e-4
    affine = torch.linalg.solve(place.T @ (far * place), place.T @ (far * face))  # (B, 3, 2)
    linear = affine[:, :2].mT  # image to face
    (a, b), (c, d) = (row.unbind(1) for row in linear.unbind(1))
    area = a * d - b * c
    rest = face.new_tensor([0.0, HEAD_SHAPE.centre]) - affine[:, 2]
    adjugate = torch.stack([d, -b, -c, a], 1).unflatten(1, (2, 2))
    # An untrained reader may say that all the image is one place: then anywhere will do for the pivot.
    pivot = (adjugate @ rest[..., None] / area.clamp(min=1e-2)[:, None, None]).clamp(-4, 4)
    # The smaller singular value of a 2×2 matrix: image to face is 1/scale where nothing is foreshortened.
    squares = linear.square().sum((1, 2))
    root = (squares.square() - 4 * area.square()).clamp(min=0).sqrt()
    scale = ((squares - root) / 2).clamp(min=1e-6).sqrt()
    return (cells - pivot.mT[:, None]) * scale[:, None, None, None]


def cell_centres(height: int, width: int, like: Tensor) -> Float[Tensor, "2 h w"]:
    """x and y of the centres of an image's cells in [-1, 1], as `grid_sample` counts."""
    y, x = (
        torch.linspace(-1 + 1 / count, 1 - 1 / count, count, device=like.device, dtype=like.dtype)
        for count in (height, width)
    )
    return torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1])


def near_features(places: Float[Tensor, "*N 2 h w"], mouth: bool = True) -> Float[Tensor, "*N h w"]:
    """1 in the middle of the eyes and, where it counts, of the mouth, falling off to 0.

    They are a hundredth of a picture's pixels and say most of the expression and of the person.

    Args:
        places: face coordinates of each cell.
    """
    count = len(_FEATURES) if mouth else 2
    middles, spreads = places.new_tensor(_FEATURES[:count]), places.new_tensor(_SPREADS[:count])
    distance = (places.unsqueeze(-4) - middles[:, :, None, None]) / spreads[:, :, None, None]
    return torch.exp(-distance.square().sum(-3) / 2).amax(-3)
