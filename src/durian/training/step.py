"""One step of training: some micro-batches on some processes, the gradients of one large batch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from durian.training.config import TrainConfig
from durian.training.dataset import NUMBER
from durian.training.noise import example_generators
from durian.training.objective import Batch


@dataclass(frozen=True)
class StepResult:
    """Of one step: the loss of the whole batch, and the norm of its gradient before it was clipped."""

    loss: float
    grad_norm: float


class TrainingStep:
    """Makes steps.

    Args:
        objective: prepared by `accelerator`; `ReconstructionObjective` inside.
        optimizer: prepared too.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        objective: nn.Module,
        optimizer: Any,
        parameters: Sequence[nn.Parameter],
        config: TrainConfig,
    ):
        self.accelerator, self.objective, self.optimizer = accelerator, objective, optimizer
        self.parameters, self.config = parameters, config

    def __call__(self, batches: Sequence[Batch]) -> StepResult:
        """Update the parameters with this process's micro-batches of the step."""
        accelerator = self.accelerator
        weight_sum = self._mean_weight_sum(batches)
        losses = []
        for index, batch in enumerate(batches):
            last = index == len(batches) - 1
            with nullcontext() if last else accelerator.no_sync(self.objective):
                generators = example_generators(self.config.seed, batch[NUMBER])
                loss = self.objective(batch, generators, weight_sum) / len(batches)
                accelerator.backward(loss)
            losses.append(loss.detach())
        norm = accelerator.clip_grad_norm_(self.parameters, self.config.optimizer.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        loss = accelerator.reduce(torch.stack(losses).sum(), "mean")
        return StepResult(float(loss), float(norm))

    @torch.no_grad()
    def _mean_weight_sum(self, batches: Sequence[Batch]) -> Tensor:
        """What all parts of the large batch have in common to divide by."""
        objective: Any = self.accelerator.unwrap_model(self.objective)
        sums = torch.stack([objective.weight_sum(batch) for batch in batches])
        return self.accelerator.reduce(sums.mean(), "mean")
