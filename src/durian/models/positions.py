"""Landmark-canonical positions: where a token lies in face coordinates and in the image.

An option of the networks (not in the paper): attention then need not learn where to look, because a token
of the frame and a token of a reference that show the same place of the face have the same coordinates.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def position_dim(frequencies: int) -> int:
    """Length of an encoded position: sine and cosine of 2 + 2 coordinates."""
    return 8 * frequencies


def encode_positions(
    canonical: Float[Tensor, "B g g 2"], frequencies: int, levels: int
) -> dict[int, Float[Tensor, "B N P"]]:
    """Fourier features of every token's place in face coordinates (first half) and in the image.

    Args:
        canonical: face coordinates of the cells of a g×g grid.
        frequencies: octaves; the lowest has a period of 4 coordinate units.
        levels: how many times the grid is halved.

    Returns:
        By number of tokens, for the grids g, g/2, g/4 …
    """
    image = torch.linspace(-1, 1, 2 * canonical.shape[1] + 1, device=canonical.device)[1::2]
    y, x = torch.meshgrid(image, image, indexing="ij")
    grid = torch.cat([canonical, torch.stack([x, y], -1).expand_as(canonical)], -1).permute(0, 3, 1, 2)
    octaves = math.pi / 2 * 2.0 ** torch.arange(frequencies, device=canonical.device)
    encoded = {}
    for _ in range(levels):
        tokens = grid.flatten(2).transpose(1, 2)
        phase = (tokens[..., None] * octaves).flatten(2)
        face, place = phase.chunk(2, -1)
        features = torch.cat([face.sin(), face.cos(), place.sin(), place.cos()], -1)
        encoded[tokens.shape[1]] = features
        if grid.shape[-1] % 2:
            break
        grid = F.avg_pool2d(grid, 2)
    return encoded
