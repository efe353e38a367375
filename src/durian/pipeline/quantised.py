"""Products of DNet in eight bits, for processors that are quicker at them.

Weights are rounded by output channel, inputs by layer over the range that they have in an animation of the
packaged pictures. What rounds is in the graph; whoever runs it multiplies integers.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Ranges = Mapping[str, tuple[float, float]]
"""Least and greatest input by the name of the layer."""

_WEIGHT_LEVELS = 63
"""That weights use, of the 127 on each side of zero that OpenVINO wants. CPUs without instructions for such
products (VNNI) add two of them up in 16 bits, into which 2 · 255 · 63 goes, and 2 · 255 · 127 does not."""

_EXACT = ("conv_in", "conv_out", "time_embedding", "reference_copy")
"""Little work, at both ends, of times and of places, that rounding would spoil first."""


@contextmanager
def watched(network: nn.Module) -> Generator[Ranges]:
    """Gathers the ranges of all layers that `rounded` rounds, while the network runs."""
    ranges: dict[str, tuple[float, float]] = {}

    def note(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
            given = args[0] if args else next(iter(named.values()))
            low, high = ranges.get(name, (0.0, 0.0))  # zero is always a level
            ranges[name] = min(low, given.min().item()), max(high, given.max().item())

        return hook

    hooks = [
        module.register_forward_pre_hook(note(name), with_kwargs=True)
        for name, module in network.named_modules()
        if _rounds(name, module)
    ]
    try:
        yield ranges
    finally:
        for hook in hooks:
            hook.remove()


def rounded(network: nn.Module, ranges: Ranges) -> None:
    """Puts rounding layers in the place of those that have a range."""
    for name, module in list(network.named_modules()):
        if name in ranges and isinstance(module, (nn.Linear, nn.Conv2d)):
            parent, _, own = name.rpartition(".")
            setattr(network.get_submodule(parent), own, _Rounded(module, *ranges[name]))


def _rounds(name: str, module: nn.Module) -> bool:
    return isinstance(module, (nn.Linear, nn.Conv2d)) and name.split(".")[0] not in _EXACT


class _Rounded(nn.Module):
    """A layer whose input and weight are rounded; its `weight` is as it was, for whoever asks for that."""

    scales: Tensor
    zeros: Tensor

    def __init__(self, layer: nn.Linear | nn.Conv2d, low: float, high: float):
        super().__init__()
        self.layer = layer
        self._scale = max((high - low) / 255, 1e-8)
        self._zero = round(-low / self._scale)
        rows = layer.weight.detach().flatten(1).abs().amax(1)
        self.register_buffer("scales", (rows / _WEIGHT_LEVELS).clamp_min(1e-8), persistent=False)
        self.register_buffer("zeros", torch.zeros_like(rows, dtype=torch.int32), persistent=False)

    @property
    def weight(self) -> Tensor:
        return self.layer.weight

    @property
    def bias(self) -> Tensor | None:
        return self.layer.bias

    def forward(self, input: Tensor) -> Tensor:
        given = torch.fake_quantize_per_tensor_affine(input, self._scale, self._zero, 0, 255)
        weight = torch.fake_quantize_per_channel_affine(
            self.layer.weight, self.scales, self.zeros, 0, -127, 127
        )
        if isinstance(self.layer, nn.Linear):
            return F.linear(given, weight, self.layer.bias)
        return F.conv2d(given, weight, self.layer.bias, self.layer.stride, self.layer.padding)
