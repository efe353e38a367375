"""The critic learns what is made, its gradient points to what looks true, and runs with it stay exact."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from safetensors.torch import load_file

from durian.errors import DurianError
from durian.training.checks import check_config
from durian.training.config import CriticConfig, load_config
from durian.training.critic import Critic, Pair, build_critic_step, critic_error, realism_error
from durian.training.memory import account
from durian.training.run import train
from people import write_shard
from tiny import tiny_networks
from tiny_runs import config_with, write_config

CRITIC = {"weight": 0.05, "channels": 4}


def disks(count: int, seed: int) -> torch.Tensor:
    """Pictures of disks with crisp borders, (N, 3, 32, 32)."""
    random = torch.Generator().manual_seed(seed)
    middle = torch.rand(count, 2, 1, 1, generator=random) - 0.5
    y, x = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing="ij")
    inside = ((x - middle[:, :1]) ** 2 + (y - middle[:, 1:]) ** 2) < 0.25
    return (inside.float() * 1.6 - 0.8).expand(-1, 3, -1, -1).contiguous()


def blurred(pixels: torch.Tensor) -> torch.Tensor:
    return F.avg_pool2d(pixels, 5, 1, 2, count_include_pad=False)


def test_blur_is_found_out_and_its_correction_is_a_crisper_picture():
    step = build_critic_step(Accelerator(cpu=True), CriticConfig(channels=8, learning_rate=2e-3), seed=0)
    told = [step([Pair(blurred(true), true)]) for true in (disks(8, seed) for seed in range(150))]
    assert told[0] == pytest.approx(math.log(2), abs=0.02)
    assert sum(told[-10:]) / 10 < 0.35  # on disks that it had not seen

    true = disks(4, 1000)
    made = blurred(true).requires_grad_()
    before = realism_error(step.critic, made, true)
    (slope,) = torch.autograd.grad(before, made)
    # The correction moves pixels towards the crisp picture's, whose place the critic was never told.
    wanted = true - made.detach()
    assert F.cosine_similarity(-slope.flatten(), wanted.flatten(), dim=0) > 0.1
    assert not any(parameter.requires_grad for parameter in step.critic.parameters())


class Linear(Critic):
    """A critic of 4 patches whose slopes are known: each scores the sum of its pixels, times a number."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return 0.1 * F.avg_pool2d(pixels.sum(1, keepdim=True), 2, divisor_override=1)


def test_what_looks_as_true_as_the_truth_gains_half_as_much():
    true, slopes = torch.zeros(2, 3, 4, 4), []
    for off in (0.0, 50.0):
        made = (true - off).requires_grad_()
        (slope,) = torch.autograd.grad(realism_error(Linear(4), made, true), made)
        slopes.append(slope)
    torch.testing.assert_close(slopes[0], 0.5 * slopes[1])
    assert (slopes[1] < 0).all()  # truer is brighter for this critic


def test_some_patches_may_count_more():
    critic, generator = Linear(4), torch.Generator().manual_seed(0)
    made, true = (torch.randn(2, 3, 4, 4, generator=generator) for _ in range(2))
    alone = []
    for index in range(8):
        weight = torch.zeros(8)
        weight[index] = 3.0
        alone.append(realism_error(critic, made, true, weight.reshape(2, 1, 2, 2)))
    torch.testing.assert_close(torch.stack(alone).mean(), realism_error(critic, made, true))
    more = torch.arange(8.0)
    weighted = realism_error(critic, made, true, more.reshape(2, 1, 2, 2))
    torch.testing.assert_close(weighted, (torch.stack(alone) * more).sum() / more.sum())


def test_the_penalty_is_of_the_slopes_of_both_kinds_of_pictures():
    pair = Pair(torch.zeros(3, 3, 4, 4), torch.full((3, 3, 4, 4), 0.5))
    error, telling = critic_error(Linear(4), pair, penalty=0.8)
    # Each patch of the truth scores 0.1 · 12 · 0.5 more.
    assert telling.item() == pytest.approx(math.log1p(math.exp(-0.6)))
    slopes = 2 * 12 * 0.1**2  # of one patch: made and true, 12 pixels and colours
    assert (error - telling).item() == pytest.approx(0.8 / 2 * slopes, rel=1e-5)


def test_micro_batches_teach_what_the_batch_would():
    true = disks(4, 3)
    whole = Pair(blurred(true), true)
    parts = [Pair(whole.made[i : i + 2], whole.true[i : i + 2]) for i in (0, 2)]
    moments = []
    for pairs in ([whole], parts):
        step = build_critic_step(Accelerator(cpu=True), CriticConfig(channels=4), seed=1)
        step(pairs)
        moments.append([state["exp_avg_sq"] for state in step.optimizer.state.values()])
    for a, b in zip(*moments, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-10)


@pytest.fixture
def shard(clips, tmp_path: Path) -> Path:
    write_shard(tmp_path / "clips-000.tar", clips)
    return tmp_path


def test_a_run_with_a_critic_goes_on_to_the_same_weights(shard: Path, tiny_mini):
    config = write_config(shard, critic=CRITIC)
    train(config, output=shard / "whole")
    train(config, output=shard / "parts", steps=2)
    train(config, output=shard / "parts")
    for name in ("weights", "ema", "optimizer", "critic"):
        a, b = (load_file(shard / run / "state" / f"{name}.safetensors") for run in ("whole", "parts"))
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a)
    curve = [json.loads(line) for line in (shard / "whole" / "curve.jsonl").open()]
    assert all(0 < record["critic"] < 2 for record in curve)
    # Weights and AdamW's two moments are stored; gradients come on top in the account.
    stored = load_file(shard / "whole" / "state" / "critic.safetensors")
    sizes = account(tiny_networks(), load_config(config))
    assert sizes["critic"] == 4 / 3 * sum(4 * value.numel() for value in stored.values() if value.ndim)
    # What it says is heard.
    plain = train(write_config(shard), output=shard / "plain").parent
    a, b = (load_file(run / "state" / "weights.safetensors") for run in (shard / "whole", plain))
    assert any(not torch.equal(a[key], b[key]) for key in a)
    assert not (plain / "state" / "critic.safetensors").exists()
    looking = write_config(shard, critic={**CRITIC, "eye_weight": 20.0})
    eyes = train(looking, output=shard / "eyes").parent
    c = load_file(eyes / "state" / "weights.safetensors")
    assert any(not torch.equal(a[key], c[key]) for key in a)
    # It can join a run that had none, and one of another size is refused.
    train(write_config(shard, critic=CRITIC, steps=5), output=plain)
    with pytest.raises(DurianError, match=r"critic of another size: go on with the critic\.channels"):
        train(write_config(shard, critic={"channels": 3}, steps=6), output=plain)


def test_a_critic_is_refused_where_it_sees_no_pixels(shard: Path):
    with pytest.raises(DurianError, match="critic: is for pixel latents"):
        check_config(config_with(shard, preset="sd15", critic=CRITIC))
    with pytest.raises(DurianError, match="critic: distillation has none"):
        check_config(config_with(shard, init_from="mini", critic=CRITIC, distillation={}))
