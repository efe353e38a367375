"""Muon: the orthogonalisation, which parameters it is for, and that it learns and resumes."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from durian.training.config import OptimizerConfig
from durian.training.muon import Muon, orthogonalise
from durian.training.optimizer import build_optimizer, is_hidden_matrix
from tiny import tiny_networks


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 24), columns=st.integers(1, 60), seed=st.integers(0, 1000))
def test_singular_values_become_about_one_and_vectors_stay(rows: int, columns: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(rows, columns, generator=generator)
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    inside = u.T @ orthogonalise(matrix) @ vh.T
    large = s > 0.05 * s.max()
    assert (inside.diagonal()[large] > 0.6).all()
    assert (inside.diagonal() < 1.3).all()
    torch.testing.assert_close(inside, inside.diagonal().diag(), atol=2e-3, rtol=0)


@pytest.mark.parametrize("shape", [(8, 64), (64, 8), (16, 16)])
def test_the_result_is_that_of_torchs_own_muon(shape: tuple[int, int]):
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(shape, generator=generator)
    mine, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    other = torch.nn.Parameter(torch.zeros(1))
    optimizers = (
        Muon([mine], [other], lr=0.1, momentum=0.9, weight_decay=0.1),
        torch.optim.Muon([theirs], lr=0.1, momentum=0.9, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
    )
    for _ in range(3):
        mine.grad = theirs.grad = torch.randn(shape, generator=generator)
        for optimizer in optimizers:
            optimizer.step()
    moved = (theirs - start).norm()
    assert (mine - theirs).norm() < 0.02 * moved  # theirs iterates in bfloat16


def test_matrices_go_through_the_iteration_together_as_they_do_alone():
    generator = torch.Generator().manual_seed(0)
    for shape in ((3, 8, 40), (2, 40, 8), (2, 2, 9, 9)):
        matrices = torch.randn(shape, generator=generator)
        alone = [orthogonalise(each) for each in matrices.flatten(0, -3)]
        torch.testing.assert_close(orthogonalise(matrices).flatten(0, -3), torch.stack(alone))


def test_a_convolution_is_the_matrix_of_its_unfolded_kernel_in_any_memory_format():
    generator = torch.Generator().manual_seed(0)
    start, gradient = torch.randn(2, 8, 4, 3, 3, generator=generator)
    matrix = torch.nn.Parameter(start.flatten(1).clone())
    plain = torch.nn.Parameter(start.clone())
    last = torch.nn.Parameter(start.clone(memory_format=torch.channels_last))
    optimizer = Muon([matrix, plain, last], [])
    matrix.grad, plain.grad = gradient.flatten(1).clone(), gradient.clone()
    last.grad = gradient.clone(memory_format=torch.channels_last)
    optimizer.step()
    torch.testing.assert_close(plain.flatten(1), matrix)
    torch.testing.assert_close(last, plain)
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert not torch.allclose(plain, start)


def test_muon_is_for_matrices_inside_the_unets():
    parameters = dict(tiny_networks().named_parameters())
    chosen = {name for name, p in parameters.items() if is_hidden_matrix(name, p)}
    assert "denoising_unet.down_blocks.0.resnets.0.conv1.weight" in chosen
    assert "attribute_net.mid_block.attentions.0.proj_in.weight" in chosen
    assert any(".motion_modules." in name for name in chosen)
    assert all(parameters[name].ndim in (2, 4) for name in chosen)
    for part in ("conv_in", "conv_out", "norm", "bias", "processor", "guider", "encoder", "reader"):
        assert not any(part in name for name in chosen), part


def test_muon_learns_and_a_state_dict_restores_it():
    torch.manual_seed(0)
    x = torch.randn(64, 8)
    y = torch.tanh(x @ torch.randn(8, 8))

    def loss_of(model: torch.nn.Module) -> torch.Tensor:
        return (model(x) - y).square().mean()

    def optimizer_of(model: torch.nn.Module) -> torch.optim.Optimizer:
        names = {
            f"denoising_unet.mid_block.{name}": parameter for name, parameter in model.named_parameters()
        }
        return build_optimizer(OptimizerConfig(name="muon", learning_rate=0.01), names)

    def advance(model: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            loss_of(model).backward()
            optimizer.step()

    model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 8))
    optimizer = optimizer_of(model)
    before = loss_of(model).item()
    advance(model, optimizer, 40)
    assert loss_of(model).item() < 0.4 * before
    twin = copy.deepcopy(model)
    other = optimizer_of(twin)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    advance(model, optimizer, 3)
    advance(twin, other, 3)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))
