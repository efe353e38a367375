"""A critic that tells made pictures from true ones, and what it teaches (Goodfellow et al. 2014).

Where squared error cannot know which of several pictures is the true one it asks for their mean, which is
blurred and like none of them. A critic that has seen true pictures knows that none of them looks so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from jaxtyping import Float
from torch import Tensor, nn

from durian.training.config import CriticConfig


@dataclass(frozen=True)
class Pair:
    """Pictures that were made and the true ones, (N, 3, H, W) in [-1, 1], without gradients."""

    made: Float[Tensor, "N 3 H W"]
    true: Float[Tensor, "N 3 H W"]


PATCH = 8
"""Pixels a side that a critic has one score for."""


class Critic(nn.Module):
    """How true each patch of a picture looks: a stack of convolutions that sees 40 pixels a side.

    Sizes are halved by means, not by strides, whose gradient is a grid that the networks would learn to paint
    (Odena et al. 2016). It has no normalisation, whose statistics would say which pictures are in a batch
    together.

    Args:
        channels: of the first layer; each of the three halvings of the size doubles them.
    """

    def __init__(self, channels: int = 16):
        super().__init__()
        widths = [channels, 2 * channels, 4 * channels, 8 * channels]
        self.conv_in = nn.Conv2d(3, channels, 3, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(wide, wider, 3, padding=1) for wide, wider in pairwise(widths))
        self.conv_out = nn.Conv2d(widths[-1], 1, 3, padding=1)

    def forward(self, pixels: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N 1 h w"]:
        """A score for every eighth pixel; only differences of scores mean something."""
        hidden = F.leaky_relu(self.conv_in(pixels), 0.2)
        for layer in self.down:
            hidden = F.avg_pool2d(F.leaky_relu(layer(hidden), 0.2), 2)
        return self.conv_out(hidden)


def realism_error(
    critic: Critic, made: Tensor, true: Tensor, weight: Float[Tensor, "N 1 h w"] | None = None
) -> Float[Tensor, ""]:
    """What the critic holds against the made pictures: softplus of how much truer the true ones look.

    Compared patch by patch with the picture they should be (Jolicoeur-Martineau 2019): where that does not
    look any truer the gradient is half of what it is where it looks far truer.

    Args:
        weight: of each patch, whatever its scale; None weighs all alike.
    """
    error = F.softplus(critic(true).detach() - critic(made))
    return error.mean() if weight is None else (error * weight).sum() / weight.sum()


def critic_error(critic: Critic, pair: Pair, penalty: float) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """What the critic minimises, and that part of it which says how well it tells them apart.

    Both kinds of pictures have a penalty on the gradient (Huang et al. 2024), without which the two learn in
    circles.
    """
    made, true = (pixels.detach().requires_grad_() for pixels in (pair.made, pair.true))
    scores = critic(torch.cat([made, true]))
    said_made, said_true = scores.chunk(2)
    telling = F.softplus(said_made - said_true).mean()
    # Of the sum over patches; divided by their number it is that of one patch, as far as they do not overlap.
    slopes = torch.autograd.grad(scores.sum(), (made, true), create_graph=True)
    steepness = sum(slope.square().sum((1, 2, 3)).mean() for slope in slopes)
    patches = scores[0].numel()
    return telling + penalty / 2 * steepness / patches, telling.detach()


class CriticStep:
    """Updates the critic, on every process with the mean gradient of all.

    Args:
        critic, optimizer: on the accelerator's device, not prepared by it.
    """

    def __init__(
        self, accelerator: Accelerator, critic: Critic, optimizer: torch.optim.Optimizer, config: CriticConfig
    ):
        self.accelerator, self.optimizer, self.config = accelerator, optimizer, config
        # What teaches the networks has no use for the critic's own gradients.
        self.critic = critic.requires_grad_(False)

    def __call__(self, pairs: Sequence[Pair]) -> float:
        """Learn from the pictures of a step's micro-batches.

        Returns:
            How well made and true pictures are told apart: ln 2 not at all, 0 perfectly.
        """
        told = []
        self.critic.requires_grad_(True)
        for pair in pairs:
            error, telling = critic_error(self.critic, pair, self.config.penalty)
            (error / len(pairs)).backward()
            told.append(telling)
        self.critic.requires_grad_(False)
        for parameter in self.critic.parameters():
            parameter.grad = cast(Tensor, self.accelerator.reduce(parameter.grad, "mean"))
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(self.accelerator.reduce(torch.stack(told).mean(), "mean"))


def build_critic_step(accelerator: Accelerator, config: CriticConfig, seed: int) -> CriticStep:
    """With a critic of random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        critic = Critic(config.channels)
    critic.to(accelerator.device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(
        critic.parameters(), config.learning_rate, (0.0, 0.99), weight_decay=0.0, fused=True
    )
    return CriticStep(accelerator, critic, optimizer, config)
