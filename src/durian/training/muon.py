"""Muon: momentum whose matrices are orthogonalised (Jordan et al. 2024), with AdamW for all else.

`torch.optim.Muon` takes no convolutions, and iterates in bfloat16, which a CPU without such arithmetic does
an order of magnitude slower than in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_STEPS = 5


class Muon(torch.optim.Optimizer):
    """One optimiser for all parameters of a model.

    Args:
        matrices: linear maps between hidden features, (out, in) or (out, in, kernel…). Their updates have
            the size of AdamW's, 0.2 in root mean square (Liu et al. 2025), so one learning rate and weight
            decay serve both.
        others: what AdamW trains.
        momentum: of the matrices; Nesterov's.
        lr, betas, weight_decay: as AdamW's.
    """

    def __init__(
        self,
        matrices: Sequence[nn.Parameter],
        others: Sequence[nn.Parameter],
        lr: float = 1e-3,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.95),
        weight_decay: float = 0.01,
    ):
        groups: list[dict[str, Any]] = []
        if matrices:
            groups.append({"params": list(matrices), "momentum": momentum})
        self._adamw = None
        if others:
            self._adamw = torch.optim.AdamW(others, lr, betas, weight_decay=weight_decay, fused=True)
            groups += self._adamw.param_groups
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if "momentum" in group:
                self._step_matrices(group)
        if self._adamw is not None:
            # Loading a state replaces these objects.
            self._adamw.state, self._adamw.param_groups = self.state, self.param_groups[-1:]
            self._adamw.step()
        return loss

    def _step_matrices(self, group: dict[str, Any]) -> None:
        momentum, rate = group["momentum"], group["lr"]
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            state = self.state[parameter]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(parameter)
            average = state["momentum_buffer"].lerp_(parameter.grad, 1 - momentum)
            # A convolution's kernel is one axis with its input channels; their order does not matter.
            unfolded = parameter.grad.lerp(average, momentum).movedim(1, -1)
            update = orthogonalise(unfolded.flatten(1))
            size = 0.2 * max(update.shape) ** 0.5
            update = update.view(unfolded.shape).movedim(-1, 1)
            parameter.mul_(1 - rate * group["weight_decay"]).add_(update, alpha=-rate * size)


def orthogonalise(matrix: Float[Tensor, "m n"], eps: float = 1e-7) -> Float[Tensor, "m n"]:
    """The matrix with all its singular values made about 1 (0.7 to 1.2), by Newton and Schulz's iteration.

    X ← (a + b·G + c·G²)·X with G = X·Xᵀ. All factors are polynomials of the first G, so where a matrix is
    much longer than wide only small squares are multiplied until the end.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.mT
    x = wide.float()
    x = x / x.norm().clamp(min=eps)
    x = _iterate_gram(x) if x.shape[1] > 1.5 * x.shape[0] else _iterate(x)
    return (x if wide is matrix else x.mT).to(matrix.dtype)


def _factor(gram: Tensor) -> Tensor:
    a, b, c = _COEFFICIENTS
    factor = torch.addmm(gram, gram, gram, beta=b, alpha=c)
    factor.diagonal().add_(a)
    return factor


def _iterate(x: Tensor) -> Tensor:
    for _ in range(_STEPS):
        x = _factor(x @ x.mT) @ x
    return x


def _iterate_gram(x: Tensor) -> Tensor:
    gram = x @ x.mT
    product = factor = _factor(gram)
    for _ in range(_STEPS - 1):
        gram = factor @ gram @ factor
        factor = _factor(gram)
        product = factor @ product
    return product @ x
