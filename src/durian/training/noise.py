"""What is random in the objective, drawn for each example by itself.

So an example has the same noise in whichever batch and process it is in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

NUMBER = "number"
"""What a batch has of its examples' numbers, from which all that is random of them is drawn."""


@dataclass(frozen=True)
class Draws:
    """Random numbers of a batch: uniform in [0, 1), but for the noise, which is normal.

    Attributes:
        time: for each noise level of an example.
        noise: of the latents.
        portrait, attributes: for condition dropout.
    """

    time: Float[Tensor, "B T"]
    noise: Float[Tensor, "B c F h w"]
    portrait: Float[Tensor, " B"]
    attributes: Float[Tensor, " B"]


def draw(
    shape: tuple[int, ...],
    levels: int,
    generators: Sequence[torch.Generator] | None = None,
    device: torch.device | str = "cpu",
) -> Draws:
    """Random numbers for latents of a shape (B, c, F, h, w) with so many noise levels each.

    Args:
        generators: on the CPU, one for each example; None is torch's global one.
        device: where the numbers are wanted. A GPU draws the noise itself, and need not wait for a CPU
            to draw a large batch's: its numbers are not a CPU's.
    """
    count = shape[0]
    if generators is not None and len(generators) != count:
        raise ValueError(f"{len(generators)} generators for {count} examples")

    sources: Sequence[torch.Generator | None] = generators or [None] * count

    def each(function: Callable[..., Tensor], *size: int) -> Tensor:
        return torch.stack([function(size, generator=source) for source in sources]).to(device)

    def noise() -> Tensor:
        if torch.device(device).type == "cpu":
            return each(torch.randn, *shape[1:])
        if generators is None:
            return torch.randn(shape, device=device)
        own = [torch.Generator(device).manual_seed(source.initial_seed()) for source in generators]
        return torch.stack([torch.randn(shape[1:], generator=source, device=device) for source in own])

    return Draws(each(torch.rand, levels), noise(), each(torch.rand), each(torch.rand))


def example_generators(seed: int, numbers: Int[Tensor, " B"]) -> list[torch.Generator]:
    """The generators of the examples with these numbers, of a run with this seed."""
    # The example itself is drawn from the first two.
    keys = ([seed, number, 1] for number in numbers.tolist())
    states = (int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1) for key in keys)
    return [torch.Generator().manual_seed(state) for state in states]
