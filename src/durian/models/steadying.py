"""Values of frames that follow each other, without what trembles from one to the next."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def steadied(values: Float[Tensor, "BF ..."], frames: int, most: float) -> Float[Tensor, "BF ..."]:
    """Each value is moved half of the way to the mean of those in the frame before and the one after.

    A steady change is left alone by that, and what jumps, as in a blink, moves by `most` at most. The first
    and the last frame stay as they are.

    Args:
        frames: of each clip, in order.
        most: in the values' own units.
    """
    if frames < 3:
        return values
    clips = values.unflatten(0, (-1, frames))
    before, now, after = clips[:, :-2], clips[:, 1:-1], clips[:, 2:]
    moved = now + ((before + after) / 4 - now / 2).clamp(-most, most)
    return torch.cat([clips[:, :1], moved, clips[:, -1:]], 1).flatten(0, 1)
