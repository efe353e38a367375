"""Muon: momentum whose matrices are orthogonalised (Jordan et al. 2024), with AdamW for all else.

`torch.optim.Muon` takes no convolutions, and iterates in bfloat16, which a CPU without such arithmetic does
an order of magnitude slower than in float32.
"""

from __future__ import annotations

from collections import defaultdict
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
        # There are hundreds of matrices, most of them small: on a GPU, which would spend its time on being
        # told of each product, those of a shape go through the iteration together.
        # A CPU is quicker with one after the other.
        alike: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
        for number, parameter in enumerate(group["params"]):
            if parameter.grad is not None:
                apart = number if parameter.device.type == "cpu" else -1
                alike[(parameter.shape[0], parameter[0].numel(), apart)].append(parameter)
        for parameters in alike.values():
            updates = orthogonalise(torch.stack([self._momentum(each, group) for each in parameters]))
            size = 0.2 * max(updates.shape[1:]) ** 0.5
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
            folded = [_folded(*pair) for pair in zip(updates, parameters, strict=True)]
            torch._foreach_add_(parameters, folded, alpha=-group["lr"] * size)

    def _momentum(self, parameter: Tensor, group: dict[str, Any]) -> Float[Tensor, "m n"]:
        """The gradient with Nesterov's momentum, as a matrix."""
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        assert parameter.grad is not None
        average = state["momentum_buffer"].lerp_(parameter.grad, 1 - group["momentum"])
        # A convolution's kernel is one axis with its input channels; their order does not matter.
        return parameter.grad.lerp(average, group["momentum"]).movedim(1, -1).flatten(1)


def _folded(update: Float[Tensor, "m n"], parameter: Tensor) -> Tensor:
    """A matrix in its parameter's own shape."""
    return update.view(parameter.movedim(1, -1).shape).movedim(-1, 1)


def orthogonalise(matrix: Float[Tensor, "*N m n"], eps: float = 1e-7) -> Float[Tensor, "*N m n"]:
    """Matrices with all their singular values made about 1 (0.7 to 1.2), by Newton and Schulz's iteration.

    X ← (a + b·G + c·G²)·X with G = X·Xᵀ. All factors are polynomials of the first G, so where a matrix is
    much longer than wide only small squares are multiplied until the end.
    """
    wide = matrix if matrix.shape[-2] <= matrix.shape[-1] else matrix.mT
    x = wide.float().reshape(-1, *wide.shape[-2:])
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=eps)
    x = _iterate_gram(x) if x.shape[-1] > 1.5 * x.shape[-2] else _iterate(x)
    return (x if wide is matrix else x.mT).reshape(matrix.shape).to(matrix.dtype)


def _factor(gram: Tensor) -> Tensor:
    a, b, c = _COEFFICIENTS
    factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
    factor.diagonal(dim1=-2, dim2=-1).add_(a)
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
