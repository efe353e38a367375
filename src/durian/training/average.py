"""The moving average of the weights, which is what a run's checkpoint holds."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class MovingAverage:
    """Exponential moving average of parameters by name.

    As diffusers' `EMAModel`, whose decay also rises with the steps at first, but its values can lie on
    another device than the parameters.

    Attributes:
        values: the averages; the parameters' values at first.
    """

    def __init__(
        self, parameters: Mapping[str, nn.Parameter], decay: float, device: torch.device | str | None = None
    ):
        self.parameters, self.decay = parameters, decay
        self.values: dict[str, Tensor] = {
            name: parameter.detach().to(device or parameter.device, copy=True)
            for name, parameter in parameters.items()
        }

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the parameters after step number `step`, counted from 1."""
        decay = min(self.decay, step / (9 + step)) if step > 1 else 0.0
        values = list(self.values.values())
        new = [self.parameters[name].to(value.device) for name, value in self.values.items()]
        torch._foreach_lerp_(values, new, 1 - decay)

    @contextmanager
    def applied(self) -> Generator[None]:
        """Within this context the parameters have the values of their averages."""
        kept = {
            name: p.detach().to(self.values[name].device, copy=True) for name, p in self.parameters.items()
        }
        self._assign(self.values)
        try:
            yield
        finally:
            self._assign(kept)

    @torch.no_grad()
    def _assign(self, values: Mapping[str, Tensor]) -> None:
        for name, parameter in self.parameters.items():
            parameter.copy_(values[name])
