"""Consistency distillation: a student that reaches in a few steps where its teacher arrives in many."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from durian.models.denoising_unet import DenoisingUNet
from durian.models.networks import Networks
from durian.pipeline.conditioner import Guidance
from durian.training.config import DistillationConfig, TrainConfig
from durian.training.noise import draw
from durian.training.objective import Batch, ReconstructionObjective

_CLEAN = -1
"""The timestep after the last: no noise at all."""


class DistillationObjective(ReconstructionObjective):
    """Latent consistency distillation with guidance built in (Luo et al. 2023, algorithm 1).

    The student's guess of the clean sample at one noise level is to be its own guess at the next lower one,
    where the teacher's sampler gets by one DDIM step; at the lowest level it is to be the teacher's result.
    The target has no moving average of its own (Song and Dhariwal 2023, section 3.2).

    Args:
        networks: the student, whose DNet starts as a copy of the teacher's and alone is trained.
        teacher: the DNet that it learns from; never changed.
        scheduler, config: as for training; `config.distillation` must be set.
    """

    def __init__(self, networks: Networks, teacher: DenoisingUNet, scheduler: Any, config: TrainConfig):
        super().__init__(networks, scheduler, config)
        assert config.distillation is not None
        self.settings: DistillationConfig = config.distillation
        # In a tuple: no part of this module, whose parameters are trained, averaged and sent around.
        frozen = networks.with_denoising_unet(teacher.eval().requires_grad_(False))
        self._teacher = (ReconstructionObjective(frozen, scheduler, config),)
        sampler = copy.deepcopy(scheduler)
        sampler.set_timesteps(self.settings.teacher_steps)
        self.grid = torch.tensor([*sampler.timesteps.tolist(), _CLEAN], device="cpu")

    def forward(
        self,
        batch: Batch,
        generators: Sequence[torch.Generator] | None = None,
        weight_sum: Float[Tensor, ""] | None = None,
    ) -> Float[Tensor, ""]:
        """Mean weighted squared difference of the student's guesses at neighbouring noise levels."""
        latents = self._latents(batch)
        count, frames = batch["targets"].shape[:2]
        draws = draw(tuple(latents.shape), self.levels(frames), generators, latents.device)
        now, then = self.neighbours(draws.time.expand(count, frames))
        noisy = self._add_noise(latents, draws.noise, now)
        keep = None, None
        if not self.settings.guided:
            keep = self._kept(draws)
        with torch.no_grad():
            teacher = self._teacher[0]
            positions, _ = teacher.read_positions(batch)
            made = self._guided(teacher, batch, noisy, now, positions, *keep)
            lower = self._ddim(self.clean(made, noisy, now), noisy, now, then)
            # What the student says there; at no noise there is nothing left to say.
            there = then.clamp(min=0)
            said = self.clean(self.predict(batch, lower, there, positions, *keep), lower, there)
            target = torch.where((then == _CLEAN)[:, None, :, None, None], lower, said)
        guess = self.clean(self.predict(batch, noisy, now, positions, *keep), noisy, now)
        return self._mean(guess.float(), target.float(), now, batch, weight_sum)

    def neighbours(self, u: Float[Tensor, "B F"]) -> tuple[Int[Tensor, "B F"], Int[Tensor, "B F"]]:
        """A timestep of the teacher's sampler and the one after, -1 for none, from uniform numbers."""
        count = len(self.grid) - 1
        index = ((1 - self.shifted(u)) * count).long().clamp(max=count - 1)
        grid = self.grid.to(u.device)
        return grid[index], grid[index + 1]

    def clean(self, prediction: Tensor, noisy: Tensor, timesteps: Tensor) -> Float[Tensor, "B c F h w"]:
        """The clean sample that a prediction of any kind means."""
        kind = self.scheduler.config["prediction_type"]
        if kind == "sample":
            return prediction
        signal, sigma = self._alphas(timesteps)
        if kind == "epsilon":
            return (noisy - sigma * prediction) / signal
        return signal * noisy - sigma * prediction

    def _ddim(self, clean: Tensor, noisy: Tensor, now: Tensor, then: Tensor) -> Tensor:
        """From one noise level to the next (Song et al. 2021, equation 12, η = 0)."""
        signal, sigma = self._alphas(now)
        noise = (noisy - signal * clean) / sigma
        signal, sigma = self._alphas(then.clamp(min=0))
        none = (then == _CLEAN)[:, None, :, None, None]
        return torch.where(none, clean, signal * clean + sigma * noise)

    def _guided(
        self,
        teacher: ReconstructionObjective,
        batch: Batch,
        noisy: Tensor,
        timesteps: Tensor,
        positions: dict[int, Tensor],
        keep_portrait: Bool[Tensor, " B"] | None,
        keep_attribute: Bool[Tensor, " B"] | None,
    ) -> Tensor:
        """The teacher's prediction, with the guidance of `DurianPipeline.animate`."""

        def predict(*keep: Tensor | None) -> Tensor:
            return teacher.predict(batch, noisy, timesteps, positions, *keep)

        if not self.settings.guided:
            return predict(keep_portrait, keep_attribute)
        shown = torch.ones(len(noisy), dtype=torch.bool, device=noisy.device)
        rows = ((shown, shown), (shown, ~shown), (~shown, ~shown))
        guidance = Guidance(self.settings.portrait_scale, self.settings.attribute_scale)
        weights = zip(guidance.weights(), rows, strict=True)
        return sum((weight * predict(*keep) for weight, keep in weights if weight), torch.zeros_like(noisy))
