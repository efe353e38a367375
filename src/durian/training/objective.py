"""The self-reconstruction objective: denoise frames of a person from two masked references of that person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from durian.models.autoencoder import encode_latents, spatial_factor
from durian.models.denoising_unet import DeepFeatures
from durian.models.networks import Networks
from durian.models.positions import near_features
from durian.models.spatial_attention import References
from durian.training.config import TrainConfig
from durian.training.critic import PATCH, Critic, Pair, realism_error
from durian.training.losses import (
    contrast_error,
    edge_error,
    flicker_error,
    grid_error,
    hue_error,
    match_error,
    zigzag_error,
)
from durian.training.noise import NUMBER, Draws, draw
from durian.training.reader import reading_error
from durian.training.references import BatchReferences, read_references
from durian.training.true_motion import TrueMotion

Batch = dict[str, Tensor]
"""The fields of `Example`, stacked over the batch B."""


@dataclass(frozen=True)
class Reconstruction:
    """One forward pass.

    Attributes:
        prediction, target: of the kind that DNet predicts.
        features: what DNet has left, see `DeepFeatures`.
        references: that it has seen.
        misread: how far the position reader was from the landmarks' own coordinates.
    """

    prediction: Float[Tensor, "B c F h w"]
    target: Float[Tensor, "B c F h w"]
    timesteps: Int[Tensor, "B F"]
    features: DeepFeatures
    references: BatchReferences
    misread: Float[Tensor, ""]


_LEAST_AREA = 0.01
"""Share of the picture that the smallest attributes are taken to have, lest they outweigh all else."""


class ReconstructionObjective(nn.Module):
    """Loss of a batch. A module, so that a distributed wrapper sees one forward pass.

    Args:
        networks: what is trained.
        scheduler: one of diffusers'; its `prediction_type` says what DNet predicts.
        config: dropout, weights and the distribution of timesteps.
    """

    def __init__(self, networks: Networks, scheduler: Any, config: TrainConfig):
        super().__init__()
        self.networks = networks
        self.scheduler = scheduler
        self.config = config

    def forward(
        self,
        batch: Batch,
        generators: Sequence[torch.Generator] | None = None,
        weight_sum: Float[Tensor, ""] | None = None,
    ) -> Float[Tensor, ""]:
        """Mean weighted squared error over all frames of all examples.

        Args:
            batch: fields of `Example` with a leading batch axis.
            generators: of timesteps, noise and condition dropout, one for each example.
            weight_sum: what the weighted error is divided by; the batch's own `weight_sum` by default. For
                a part of a larger batch it is the mean of all parts', so that the mean of their losses is
                the loss of the whole.
        """
        made = self.reconstruct(batch, generators)
        error = self._mean(made.prediction, made.target, made.timesteps, batch, weight_sum)
        if self.config.match_loss_weight:
            missed = self._missed(made.features, batch)
            error = error + self.config.match_loss_weight * self._weighted(missed, batch, weight_sum)
        if self.config.paint_loss_weight:
            astray = self._painted_astray(made.features, made.target)
            error = error + self.config.paint_loss_weight * self._weighted(astray, batch, weight_sum)
        error = error + self.config.position_loss_weight * made.misread
        return error + self._critique(made.prediction, made.target, batch)

    def reconstruct(
        self, batch: Batch, generators: Sequence[torch.Generator] | None = None
    ) -> Reconstruction:
        """DNet's prediction for a batch at random noise levels, with some references dropped."""
        latents = self._latents(batch)
        count, frames = batch["targets"].shape[:2]
        draws = draw(tuple(latents.shape), self.levels(frames), generators, latents.device)
        timesteps = self.timesteps(draws.time).expand(count, frames)
        noise = draws.noise
        noisy = self._add_noise(latents, noise, timesteps)
        positions, misread = self.read_positions(batch)
        prediction, features, references = self.denoise(
            batch, noisy, timesteps, positions, *self._kept(draws)
        )
        target = self._target(latents, noise, timesteps)
        return Reconstruction(prediction.float(), target, timesteps, features, references, misread)

    def _critique(
        self, prediction: Float[Tensor, "B c F h w"], target: Float[Tensor, "B c F h w"], batch: Batch
    ) -> Float[Tensor, ""]:
        """What a critic adds to the error; here there is none."""
        return prediction.new_zeros(())

    def levels(self, frames: int) -> int:
        """Noise levels of an example: stage 1 denoises single frames, each at its own; a clip has one."""
        return frames if self.config.stage == 1 else 1

    @torch.no_grad()
    def _latents(self, batch: Batch) -> Float[Tensor, "B c F h w"]:
        shape = batch["targets"].shape[:2]
        latents = encode_latents(self.networks.vae, batch["targets"].flatten(0, 1))
        return latents.unflatten(0, shape).transpose(1, 2).float()

    def _kept(self, draws: Draws) -> tuple[Bool[Tensor, " B"], Bool[Tensor, " B"]]:
        """Which portraits and which attributes condition dropout leaves."""
        # Guidance asks for neither reference as well, which chance alone brings too seldom.
        both = draws.portrait < self.config.drop_both
        kept = (draws.attributes >= self.config.drop_attribute) & ~both
        return draws.portrait >= self.config.drop_portrait, kept

    def _mean(
        self,
        prediction: Float[Tensor, "B c F h w"],
        target: Float[Tensor, "B c F h w"],
        timesteps: Int[Tensor, "B F"],
        batch: Batch,
        weight_sum: Float[Tensor, ""] | None,
    ) -> Float[Tensor, ""]:
        """The weighted mean of all terms of the error."""
        config, residual = self.config, prediction - target
        error = residual.square().mean(1)
        factor = spatial_factor(self.networks.vae)
        if config.absolute_loss_weight:
            # Squared error asks for the mean of what is possible, this for the median, with a sharp edge.
            error = error + config.absolute_loss_weight * residual.abs().mean(1)
        if config.colour_loss_weight:
            error = error + config.colour_loss_weight * hue_error(residual)
        if config.edge_loss_weight:
            error = error + config.edge_loss_weight * edge_error(residual, factor)
        if config.contrast_loss_weight:
            error = error + config.contrast_loss_weight * contrast_error(prediction, target, factor)
        if config.grid_loss_weight:
            error = error + config.grid_loss_weight * grid_error(residual)
        if config.zigzag_loss_weight:
            error = error + config.zigzag_loss_weight * zigzag_error(prediction, target, factor)
        if config.flicker_loss_weight:
            error = error + config.flicker_loss_weight * flicker_error(
                residual, TrueMotion.of_batch(batch), factor
            )
        if config.loss_weighting == "min_snr":
            error = error * self.min_snr_weight(timesteps)[..., None, None]
        return self._weighted(error, batch, weight_sum)

    def _weighted(
        self, error: Float[Tensor, "B F h w"], batch: Batch, weight_sum: Float[Tensor, ""] | None
    ) -> Float[Tensor, ""]:
        weight = self._weight(batch)
        total = weight.sum() if weight_sum is None else weight_sum
        return (error * weight).sum() / total

    def _missed(self, features: DeepFeatures, batch: Batch) -> Float[Tensor, "B F h w"]:
        """By how much copies are taken from elsewhere than the true place."""
        found, shares = features.found[0], features.shares
        assert shares is not None
        matches = torch.cat([batch["portrait_matches"][:, None], batch["attribute_matches"]], 1)
        # (B, R, F, 3, h, w) → (BF, R, 3, h, w), of the references that this batch has
        matches = matches[:, : found.mass.shape[2]].transpose(1, 2).flatten(0, 1)
        return match_error(found, shares, matches).unflatten(0, batch["targets"].shape[:2])

    def _painted_astray(
        self, features: DeepFeatures, target: Float[Tensor, "B c F h w"]
    ) -> Float[Tensor, "B F h w"]:
        """Squared error of what DNet itself paints, whether or not copies hide it."""
        assert features.painted is not None  # see `durian.training.checks`
        painted = features.painted.float().unflatten(0, target.shape[:1] + target.shape[2:3])
        return (painted - target.transpose(1, 2)).square().mean(2)

    def weight_sum(self, batch: Batch) -> Float[Tensor, ""]:
        """Sum of the weights of all places in a batch."""
        return self._weight(batch).sum()

    def predict(
        self,
        batch: Batch,
        noisy: Float[Tensor, "B c F h w"],
        timesteps: Int[Tensor, "B F"],
        positions: dict[int, Float[Tensor, "BF N P"]],
        keep_portrait: Tensor | None = None,
        keep_attribute: Tensor | None = None,
    ) -> Float[Tensor, "B c F h w"]:
        """DNet's output for noisy frames, with the complementary references of `batch`."""
        return self.denoise(batch, noisy, timesteps, positions, keep_portrait, keep_attribute)[0]

    def denoise(
        self,
        batch: Batch,
        noisy: Tensor,
        timesteps: Tensor,
        positions: dict[int, Tensor],
        keep_portrait: Tensor | None = None,
        keep_attribute: Tensor | None = None,
    ) -> tuple[Float[Tensor, "B c F h w"], DeepFeatures, BatchReferences]:
        """`predict`, what DNet has left, where its copies are from among it, and the references."""
        networks = self.networks
        references = read_references(networks, batch, keep_portrait, keep_attribute)
        prediction, features = networks.predict(
            self.scheduler.scale_model_input(noisy, timesteps),
            timesteps,
            References((references.cache,)),
            references.embedding,
            networks.keypoint_guider(batch["keypoints"].flatten(0, 1)),
            positions,
            kept_guidance(batch["guidance"], keep_portrait, keep_attribute),
            references.embedding_keep,
        )
        return prediction, features, references

    def read_positions(self, batch: Batch) -> tuple[dict[int, Float[Tensor, "BF N P"]], Tensor]:
        """The frames' encoded positions, and how far a reader is from the landmarks' own coordinates."""
        networks, true = self.networks, batch["target_positions"].flatten(0, 1)
        reader = networks.position_reader
        if reader is None:
            return networks.denoising_unet.encode_positions(true), true.new_zeros(())
        read = reader(batch["keypoints"].flatten(0, 1))
        # What attention makes of a place has too many waves to tell the reader where to go.
        return networks.denoising_unet.encode_positions(read.detach()), reading_error(read, true)

    def timesteps(self, u: Float[Tensor, "B F"]) -> Int[Tensor, "B F"]:
        """Timesteps of the configuration's shifted distribution, from uniform numbers."""
        count = self.scheduler.config["num_train_timesteps"]
        return (self.shifted(u) * count).long().clamp(max=count - 1)

    def shifted(self, u: Float[Tensor, "B F"]) -> Float[Tensor, "B F"]:
        """Times in [0, 1), more of them late, from uniform numbers."""
        shift = self.config.timestep_shift
        return shift * u / (1 + (shift - 1) * u)

    def min_snr_weight(self, timesteps: Int[Tensor, "B F"]) -> Float[Tensor, "B F"]:
        """Min-SNR-γ (Hang et al. 2023): min(SNR, γ) for errors of the clean sample, and what amounts to the
        same for errors of the noise (over SNR) and of the velocity (over SNR + 1)."""
        alphas = self.scheduler.alphas_cumprod.to(timesteps.device)[timesteps]
        ratio = alphas / (1 - alphas)
        gamma = self.config.min_snr_gamma
        kind = self.scheduler.config["prediction_type"]
        if kind == "epsilon":
            return (gamma / ratio).clamp(max=1)  # 1 where there is no signal at all
        return ratio.clamp(max=gamma) / (1 if kind == "sample" else ratio + 1)

    def _alphas(self, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        alphas = self.scheduler.alphas_cumprod.to(timesteps.device)[timesteps][:, None, :, None, None]
        return alphas.sqrt(), (1 - alphas).sqrt()

    def _add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        signal, sigma = self._alphas(timesteps)
        return signal * latents + sigma * noise

    def _target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        kind = self.scheduler.config["prediction_type"]
        if kind == "sample":
            return latents
        if kind == "epsilon":
            return noise
        signal, sigma = self._alphas(timesteps)
        return signal * noise - sigma * latents

    def _weight(self, batch: Batch) -> Float[Tensor, "B F h w"]:
        factor, shape = spatial_factor(self.networks.vae), batch["targets"].shape[:2]
        masks = F.avg_pool2d(batch["target_masks"].flatten(0, 1), factor)
        # What is small counts in all as much as something larger: thin frames would fade.
        area = masks.mean((1, 2, 3), keepdim=True).clamp(min=_LEAST_AREA)
        masks = masks * (self.config.attribute_loss_area / area).clamp(min=1)
        weight = 1 + self.config.attribute_loss_weight * masks.unflatten(0, shape)[:, :, 0]
        if self.config.expression_loss_weight:
            weight = weight + self.config.expression_loss_weight * _features(batch, masks.shape[-2:])
        return weight


class AdversarialObjective(ReconstructionObjective):
    """The same, and what a critic holds against the pictures.

    Args:
        critic: never changed here; `take_pairs` has what it is to learn from.
        networks, scheduler, config: as for training; `config.critic` must be set.
    """

    def __init__(self, networks: Networks, critic: Critic, scheduler: Any, config: TrainConfig):
        super().__init__(networks, scheduler, config)
        assert config.critic is not None
        self.weight, self.eye_weight = config.critic.weight, config.critic.eye_weight
        self.crop = config.critic.crop
        # In a tuple: no part of this module, whose parameters are trained, averaged and sent around.
        self._critic = (critic,)
        self._pairs: list[Pair] = []

    def _critique(
        self, prediction: Float[Tensor, "B c F h w"], target: Float[Tensor, "B c F h w"], batch: Batch
    ) -> Float[Tensor, ""]:
        made, true = (self._pixels(latents) for latents in (prediction, target))
        sides = (made.shape[2] // PATCH, made.shape[3] // PATCH)
        weight = None
        if self.eye_weight:
            eyes = _features(batch, sides, mouth=False).flatten(0, 1)[:, None]
            weight = 1 + self.eye_weight * eyes
        if self.crop and self.crop < PATCH * max(sides):
            side = self.crop // PATCH
            corners = _corners(self.config.seed, batch[NUMBER], [max(0, each - side) for each in sides])
            made, true = (_cut(pixels, corners, side, PATCH) for pixels in (made, true))
            weight = None if weight is None else _cut(weight, corners, side, 1)
        self._pairs.append(Pair(made.detach(), true.detach()))
        return self.weight * realism_error(self._critic[0], made, true, weight)

    def _pixels(self, latents: Float[Tensor, "B c F h w"]) -> Float[Tensor, "BF 3 H W"]:
        flat = latents.transpose(1, 2).flatten(0, 1)
        return F.pixel_shuffle(flat, spatial_factor(self.networks.vae))

    def take_pairs(self) -> list[Pair]:
        """The pictures of all forward passes since the last call."""
        pairs, self._pairs = self._pairs, []
        return pairs


def _corners(seed: int, numbers: Int[Tensor, " B"], last: Sequence[int]) -> list[tuple[int, ...]]:
    """Of squares, one for each example whatever else is in its batch: y and x, up to the last and with it."""
    # The example and its noise are drawn from 0 and 1.
    sources = (np.random.default_rng([seed, number, 2]) for number in numbers.tolist())
    return [tuple(int(source.integers(each + 1)) for each in last) for source in sources]


def _cut(
    images: Float[Tensor, "B*F c H W"], corners: Sequence[tuple[int, ...]], side: int, unit: int
) -> Float[Tensor, "B*F c side*unit side*unit"]:
    """The same square of each example's frames, in steps of `unit` pixels."""
    squares = []
    for frames, corner in zip(images.chunk(len(corners)), corners, strict=True):
        y, x = (slice(unit * each, unit * (each + side)) for each in corner)
        squares.append(frames[:, :, y, x])
    return torch.cat(squares)


def _features(batch: Batch, size: tuple[int, ...], mouth: bool = True) -> Float[Tensor, "B F h w"]:
    """Where eyes and, where it counts, the mouth of the true frames are (`near_features`)."""
    places = batch["target_positions"]
    flat = places.flatten(0, 1).permute(0, 3, 1, 2)
    resized = F.interpolate(flat, size, mode="bilinear", align_corners=False)
    return near_features(resized.unflatten(0, places.shape[:2]), mouth)


def kept_guidance(
    guidance: Float[Tensor, "B F G h w"],
    keep_portrait: Bool[Tensor, " B"] | None = None,
    keep_attribute: Bool[Tensor, " B"] | None = None,
) -> Float[Tensor, "BF G h w"] | None:
    """Aligned guidance for DNet, without the references that are dropped; None where there is no guidance."""
    if not guidance.shape[2]:
        return None
    halves = [
        half if keep is None else half * keep[:, None, None, None, None]
        for half, keep in zip(guidance.chunk(2, 2), (keep_portrait, keep_attribute), strict=True)
    ]
    return torch.cat(halves, 2).flatten(0, 1)
