"""Consistency distillation: fewer steps from a teacher."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from safetensors.torch import load_file

from durian.data.augmentation import Augmentation
from durian.data.reconstruction import ReconstructionSampler
from durian.errors import DurianError
from durian.models.networks import Networks
from durian.models.presets import PRESETS
from durian.pipeline.checkpoint import save_checkpoint
from durian.training.checks import check_config
from durian.training.dataset import draw_example, stack
from durian.training.distillation import DistillationObjective
from durian.training.noise import example_generators
from durian.training.objective import Batch, ReconstructionObjective
from durian.training.run import train
from people import write_shard
from tiny import tiny_networks
from tiny_runs import config_with, make_clip, write_config

STILL = Augmentation(0, 0, 0, 0, 0, 0)


def batch_of(count: int = 2) -> Batch:
    sampler = ReconstructionSampler([make_clip("a", 200)], 2, 8, augmentation=STILL)
    return stack(draw_example(sampler, 0, index) for index in range(count))


def generators(count: int, seed: int = 0) -> list[torch.Generator]:
    return example_generators(seed, torch.arange(count))


def objective_of(
    networks: Networks, scheduler, tmp_path: Path, teacher=None, **changes
) -> DistillationObjective:
    settings = {"teacher_steps": 8, **changes.pop("distillation", {})}
    config = config_with(tmp_path, distillation=settings, **changes)
    return DistillationObjective(
        networks, teacher or tiny_networks(temporal=False).denoising_unet, scheduler, config
    )


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("prediction_type", ["sample", "epsilon", "v_prediction"])
def test_who_knows_the_clean_sample_is_consistent(
    tmp_path: Path, prediction_type: str, stage: int, monkeypatch
):
    scheduler = DDIMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type=prediction_type)
    networks = tiny_networks(temporal=False)
    objective = objective_of(networks, scheduler, tmp_path, stage=stage)
    batch = batch_of()
    clean = objective._latents(batch)
    seen = set()

    def oracle(self, batch, noisy, timesteps, positions, keep_portrait=None, keep_attribute=None):
        alphas = scheduler.alphas_cumprod[timesteps][:, None, :, None, None]
        seen.update(timesteps.flatten().tolist())
        noise = (noisy - alphas.sqrt() * clean) / (1 - alphas).sqrt()
        velocity = alphas.sqrt() * noise - (1 - alphas).sqrt() * clean
        return {"sample": clean, "epsilon": noise, "v_prediction": velocity}[prediction_type]

    monkeypatch.setattr(ReconstructionObjective, "predict", oracle)
    for seed in range(12):
        assert objective(batch, generators(2, seed)).item() < 1e-4
    assert seen <= {*objective.grid.tolist(), 0}
    assert len(seen) > 5


def test_noise_levels_are_neighbours_in_the_teachers_sampler(tmp_path: Path):
    objective = objective_of(tiny_networks(temporal=False), DDIMScheduler(), tmp_path)
    now, then = objective.neighbours(torch.linspace(0, 0.999, 400)[None])
    pairs = {(int(a), int(b)) for a, b in zip(now[0], then[0], strict=True)}
    grid = objective.grid.tolist()
    assert pairs == set(pairwise(grid))
    assert grid[-1] == -1
    late = objective_of(tiny_networks(temporal=False), DDIMScheduler(), tmp_path, timestep_shift=20.0)
    assert late.neighbours(torch.full((1, 1), 0.5))[0] > objective.neighbours(torch.full((1, 1), 0.5))[0]


def test_guidance_is_built_in(tmp_path: Path):
    networks, teacher = tiny_networks(temporal=False), tiny_networks(temporal=False, seed=1).denoising_unet
    scales = {"portrait_scale": 1.5, "attribute_scale": 3.0}
    objective = objective_of(networks, DDIMScheduler(), tmp_path, teacher, distillation=scales)
    batch = batch_of()
    noisy = torch.randn(objective._latents(batch).shape, generator=torch.Generator().manual_seed(0))
    times = torch.full(noisy.shape[:1] + noisy.shape[2:3], 500)
    plain = ReconstructionObjective(networks.with_denoising_unet(teacher), DDIMScheduler(), objective.config)
    on, off = torch.ones(2, dtype=torch.bool), torch.zeros(2, dtype=torch.bool)
    with torch.no_grad():
        positions, _ = plain.read_positions(batch)
        full, portrait, none = (
            plain.predict(batch, noisy, times, positions, *keep) for keep in ((on, on), (on, off), (off, off))
        )
        guided = objective._guided(objective._teacher[0], batch, noisy, times, positions, None, None)
    expected = none + 1.5 * (portrait - none) + 3.0 * (full - portrait)
    torch.testing.assert_close(guided, expected, atol=1e-5, rtol=1e-4)
    assert (full - portrait).abs().max() > 1e-3


def test_one_step_of_the_student_goes_where_all_of_the_teachers_go(tmp_path: Path, monkeypatch):
    """Of normal data the best denoiser is known, and so is where its sampler arrives from any noise level."""
    scheduler = DDIMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="sample")
    spread, alphas = 0.7, scheduler.alphas_cumprod
    best = alphas.sqrt() * spread**2 / (alphas * spread**2 + 1 - alphas)
    student = torch.nn.Parameter(best.clone())
    objective = objective_of(tiny_networks(temporal=False), scheduler, tmp_path)
    batch = batch_of()

    def predict(self, batch, noisy, timesteps, positions, keep_portrait=None, keep_attribute=None):
        gains = student if self is objective else best
        return gains[timesteps][:, None, :, None, None] * noisy

    monkeypatch.setattr(ReconstructionObjective, "predict", predict)
    data = torch.randn(objective._latents(batch).shape, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(ReconstructionObjective, "_latents", lambda self, batch: spread * data)
    optimizer = torch.optim.Adam([student], 0.02)
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0, total_iters=600)
    for step in range(600):
        optimizer.zero_grad()
        objective(batch, generators(2, step)).backward()
        optimizer.step()
        decay.step()

    grid = objective.grid.tolist()[:-1]
    scheduler.set_timesteps(len(grid))
    for start, time in enumerate(grid):
        sample = torch.ones(1, 1, 1, 1)
        for later in grid[start:]:
            sample = scheduler.step(best[later] * sample, later, sample, return_dict=False)[0]
        assert student[time].item() == pytest.approx(sample.item(), abs=0.02)
    assert student[grid[0]] > 3 * best[grid[0]]


def test_a_run_trains_all_of_dnet_and_nothing_else(tmp_path: Path, tiny_mini):
    write_shard(tmp_path / "clips-000.tar", [make_clip(f"{i:05d}", 60 * i, frames=5) for i in range(3)])
    preset = PRESETS["mini"]
    start = preset.build(temporal=True)
    save_checkpoint(tmp_path / "teacher", start, preset.scheduler_class(**preset.scheduler), preset)
    settings = {"teacher_steps": 8, "sampling_steps": 3}
    changes = {"stage": 2, "init_from": str(tmp_path / "teacher"), "distillation": settings}
    checkpoint = train(write_config(tmp_path, **changes))
    moved = {}
    for file in checkpoint.glob("*/*.safetensors"):
        weights, taught = load_file(file), load_file(tmp_path / "teacher" / file.relative_to(checkpoint))
        moved[file.parent.name] = {name for name in weights if not torch.equal(weights[name], taught[name])}
    assert {part for part, names in moved.items() if names} == {"denoising_unet"}
    assert {".motion_modules." in name for name in moved["denoising_unet"]} == {True, False}
    assert json.loads((checkpoint / "model_index.json").read_text())["sampling_steps"] == 3


def test_what_distillation_needs_is_said(tmp_path: Path):
    (tmp_path / "clips.tar").write_bytes(b"")
    with pytest.raises(DurianError, match="distillation: init_from must name the teacher"):
        check_config(config_with(tmp_path, distillation={}))
    with pytest.raises(DurianError, match="loss_weighting: distillation"):
        check_config(config_with(tmp_path, distillation={}, loss_weighting="min_snr"))
