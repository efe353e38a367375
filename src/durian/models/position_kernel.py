"""How attention to positions starts: as a kernel of the distance between two places."""

from __future__ import annotations

import math

import torch
from torch import nn

from durian.models.positions import IMAGE, KINDS


@torch.no_grad()
def init_position_kernel(
    to_q: nn.Linear,
    to_k: nn.Linear,
    heads: int,
    strength: float,
    own_k: nn.Linear | None = None,
    smooth: bool = False,
) -> None:
    """Make q·k of two encoded positions a narrow kernel, exp(strength · Σ cos(ω·Δ)).

    The same orthogonal projection for queries and keys does that. A position is coordinates in the face, in
    the image and on the body; heads start with one of them each, in turn. `own_k`, for the frame's own
    tokens, gets half of it: these are noise at first, and so the choice only where none is. `smooth` leaves
    out the finest waves but the image's, with which the kernel is narrower than a token is wide and picks
    one in place of interpolating between several.
    """
    inner, length = to_q.weight.shape
    head_dim, part = inner // heads, length // KINDS
    weight = torch.zeros(heads, head_dim, length)
    for head in range(heads):
        kind = head % KINDS
        projection = nn.init.orthogonal_(torch.empty(head_dim, part))
        projection *= (strength * math.sqrt(head_dim)) ** 0.5
        if smooth and kind != IMAGE:
            octaves = part // 4  # sines of x and y, then cosines
            projection[:, octaves - 1 :: octaves] = 0
        weight[head, :, part * kind : part * (kind + 1)] = projection
    to_q.weight.copy_(weight.flatten(0, 1))
    to_k.weight.copy_(weight.flatten(0, 1))
    if own_k is not None:
        own_k.weight.copy_(weight.flatten(0, 1) / 2)
