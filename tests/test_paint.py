"""What DNet itself paints is held to the truth also where copies hide it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler

from durian.data.reconstruction import ReconstructionSampler
from durian.errors import DurianError
from durian.training.checks import check_options
from durian.training.config import TrainConfig
from durian.training.dataset import draw_example, stack
from durian.training.objective import ReconstructionObjective
from people import dressed
from tiny import tiny_networks, tiny_preset


def objective_of(tmp_path: Path, weight: float) -> ReconstructionObjective:
    values = {"preset": "mini", "stage": 1, "output": tmp_path, "data": {"clips": tmp_path}, "steps": 1}
    config = TrainConfig.model_validate({**values, "paint_loss_weight": weight})
    networks = tiny_networks(temporal=False, copy_heads=2)
    copy = networks.denoising_unet.reference_copy
    assert copy is not None
    torch.nn.init.zeros_(copy.gate.weight)
    bias = torch.full((3, copy.factor**2), -30.0)
    bias[0] = 30.0  # all is taken from the first head
    copy.gate.bias.data.copy_(bias.flatten())
    torch.nn.init.constant_(copy.nowhere, -30.0)
    return ReconstructionObjective(networks, DDIMScheduler(**tiny_preset().scheduler), config)


@pytest.fixture
def batch():
    sampler = ReconstructionSampler([dressed("a", "hat"), dressed("b", "hat")], 2, 8, attributes=2)
    return stack([draw_example(sampler, 0, number) for number in range(2)])


def loss_of(objective: ReconstructionObjective, batch: dict) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss, and how strongly it pulls at the layer that paints."""
    generators = [torch.Generator().manual_seed(index) for index in range(2)]
    loss = objective(batch, generators)
    objective.zero_grad()
    loss.backward()
    grad = objective.networks.denoising_unet.conv_out.weight.grad
    assert grad is not None
    return loss.detach(), grad.abs().max()


def test_the_paint_learns_under_the_copies(tmp_path: Path, batch: dict) -> None:
    without, unheard = loss_of(objective_of(tmp_path, 0.0), batch)
    once, heard = loss_of(objective_of(tmp_path, 1.0), batch)
    twice, _ = loss_of(objective_of(tmp_path, 2.0), batch)
    assert heard > 2 * unheard  # which is not nothing: masked pixels cannot be copied
    torch.testing.assert_close(twice - without, 2 * (once - without), rtol=1e-4, atol=1e-6)


def test_the_term_is_the_weighted_squared_error_of_the_paint(tmp_path: Path, batch: dict) -> None:
    objective = objective_of(tmp_path, 1.0)
    made = objective.reconstruct(batch, [torch.Generator().manual_seed(index) for index in range(2)])
    assert made.features.painted is not None
    painted = made.features.painted.unflatten(0, (2, 2)).transpose(1, 2)
    wanted = (painted - made.target).square().mean(1)
    torch.testing.assert_close(objective._painted_astray(made.features, made.target), wanted)
    assert not torch.allclose(painted, made.prediction, atol=0.1)  # which is what copies make of it


def test_nothing_is_kept_where_no_gradient_is_wanted(tmp_path: Path, batch: dict) -> None:
    with torch.no_grad():
        assert objective_of(tmp_path, 0.0).reconstruct(batch).features.painted is None


def test_networks_that_copy_nothing_are_refused(tmp_path: Path) -> None:
    values = {"preset": "sd15", "stage": 1, "output": tmp_path, "data": {"clips": tmp_path}, "steps": 1}
    with pytest.raises(DurianError, match="paint_loss_weight: sd15 copies nothing"):
        check_options(TrainConfig.model_validate({**values, "paint_loss_weight": 0.5}))
