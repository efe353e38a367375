"""Examples by number."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
import torch
from torch.utils.data import Dataset

from durian.data.clips import Clip
from durian.data.example import Example
from durian.data.reconstruction import ReconstructionSampler
from durian.models.autoencoder import spatial_factor
from durian.models.networks import Networks
from durian.training.build import picture_scale
from durian.training.config import TrainConfig
from durian.training.noise import NUMBER
from durian.training.objective import Batch
from durian.training.sampler import sampler_of
from durian.training.true_motion import TrueMotion

PREVIEW_EXAMPLES, PREVIEW_FRAMES = 6, 4


class ExampleDataset(Dataset):
    """Examples by number; the same number gives the same example on every run and machine.

    Args:
        motion: whether each comes with the true motion of its targets.
    """

    def __init__(
        self, sampler: ReconstructionSampler, start: int, stop: int, seed: int, motion: bool = False
    ):
        self.sampler, self.start, self.stop, self.seed = sampler, start, stop, seed
        self.motion = motion

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        number = self.start + index
        example = {**draw_example(self.sampler, self.seed, number), NUMBER: np.array(number)}
        return {**example, **TrueMotion.found(example["targets"])} if self.motion else example


def draw_example(sampler: ReconstructionSampler, seed: int, number: int) -> dict[str, np.ndarray]:
    """Example `number` of a run as a dict, as collating wants it."""
    example: Example = sampler.draw(np.random.default_rng([seed, number]))
    return {field.name: getattr(example, field.name) for field in dataclasses.fields(example)}


def make_sampler(
    config: TrainConfig, clips: list[Clip], networks: Networks, size: int
) -> ReconstructionSampler:
    """The sampler that a configuration asks for, of what the networks take; `size` is of DNet's pictures."""
    latent_size = size // spatial_factor(networks.vae)
    return sampler_of(
        config.data,
        clips,
        networks.attention_grid(latent_size),
        consecutive=config.stage == 2,
        guidance_size=latent_size if networks.denoising_unet.config["guidance_channels"] else None,
        match_size=latent_size if config.match_loss_weight else None,
        scale=picture_scale(networks, config),
        known=config.enlarges and networks.blends,
    )


def preview_batch(sampler: ReconstructionSampler) -> Batch:
    """A fixed batch of the sampler's people, a few frames of each."""
    examples = [draw_example(sampler, 1, number) for number in range(PREVIEW_EXAMPLES)]
    per_frame = ("targets", "target_masks", "target_positions", "keypoints", "guidance", "known")
    cut = ({k: v[:PREVIEW_FRAMES] if k in per_frame else v for k, v in e.items()} for e in examples)
    return stack(cut)


def stack(examples: Iterable[dict[str, np.ndarray]]) -> Batch:
    """A batch of examples."""
    listed = list(examples)
    return {key: torch.from_numpy(np.stack([each[key] for each in listed])) for key in listed[0]}
