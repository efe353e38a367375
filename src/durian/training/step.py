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
from durian.training.critic import CriticStep
from durian.training.noise import NUMBER, example_generators
from durian.training.objective import Batch


@dataclass(frozen=True)
class StepResult:
    """Of one step.

    Attributes:
        loss: of the whole batch.
        grad_norm: of its gradient, before it was clipped.
        critic: how well the critic told made from true pictures, where there is one: ln 2 not at all.
    """

    loss: float
    grad_norm: float
    critic: float | None = None

    def values(self) -> dict[str, float]:
        """What is known, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


class TrainingStep:
    """Makes steps.

    Args:
        objective: prepared by `accelerator`; `ReconstructionObjective` inside.
        optimizer: prepared too.
        critic_step: updates the critic of an `AdversarialObjective`.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        objective: nn.Module,
        optimizer: Any,
        parameters: Sequence[nn.Parameter],
        config: TrainConfig,
        critic_step: CriticStep | None = None,
    ):
        self.accelerator, self.objective, self.optimizer = accelerator, objective, optimizer
        self.parameters, self.config, self.critic_step = parameters, config, critic_step

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
        told = None
        if self.critic_step is not None:
            told = self.critic_step(self._unwrapped().take_pairs())
        return StepResult(float(loss), float(norm), told)

    def _unwrapped(self) -> Any:
        return self.accelerator.unwrap_model(self.objective)

    @torch.no_grad()
    def _mean_weight_sum(self, batches: Sequence[Batch]) -> Tensor:
        """What all parts of the large batch have in common to divide by."""
        sums = torch.stack([self._unwrapped().weight_sum(batch) for batch in batches])
        return self.accelerator.reduce(sums.mean(), "mean")
