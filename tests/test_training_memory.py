"""What saves memory and time changes no gradient; and the account of the memory is right."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from diffusers import AutoencoderKL, DDIMScheduler
from safetensors.torch import load_file
from typer.testing import CliRunner

from durian.cli import app
from durian.errors import DurianError
from durian.models.networks import Networks
from durian.models.presets import SD15
from durian.pipeline.checkpoint import load_networks, save_checkpoint
from durian.training import dry_run as dry
from durian.training.build import build_networks, compile_blocks, prepare_networks, set_training
from durian.training.config import TrainConfig
from durian.training.dry_run import random_batch
from durian.training.memory import account
from durian.training.noise import example_generators
from durian.training.objective import ReconstructionObjective
from durian.training.optimizer import build_optimizer
from durian.training.run import train
from people import write_shard
from tiny import tiny_networks, tiny_preset
from tiny_runs import config_with, tiny_changes, write_config


@pytest.fixture
def any_precision() -> Iterator[None]:
    """accelerate allows a process one precision."""
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


def gradients_of(networks: Networks, config: TrainConfig) -> tuple[dict[str, torch.Tensor], int]:
    """Gradients of a step by name, and the bytes that were kept for the backward pass."""
    parameters = prepare_networks(networks, config, "cpu")
    objective = ReconstructionObjective(networks, DDIMScheduler(**tiny_preset().scheduler), config)
    torch.manual_seed(0)
    batch = random_batch(config, networks, 32, 2)
    kept: dict[int, int] = {}
    weights = {p.untyped_storage().data_ptr() for p in networks.parameters()}
    tensors = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
            tensors.append(tensor)  # so that no other takes its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = objective(batch, example_generators(0, batch["number"]))
    loss.backward()
    return {n: p.grad for n, p in parameters.items() if p.grad is not None}, sum(kept.values())


@pytest.mark.parametrize("stage", [1, 2])
def test_checkpointing_keeps_less_for_the_same_gradients(tmp_path: Path, stage: int):
    config = config_with(tmp_path, stage=stage)
    plain, kept = gradients_of(tiny_networks(temporal=stage == 2), config)
    saving = config_with(tmp_path, stage=stage, gradient_checkpointing=True)
    networks = tiny_networks(temporal=stage == 2)
    checkpointed, kept_less = gradients_of(networks, saving)
    assert all(
        unet.is_gradient_checkpointing
        for unet in (networks.denoising_unet, networks.portrait_net, networks.attribute_net)
    )
    assert kept_less < (0.75 if stage == 1 else 0.6) * kept
    assert plain.keys() == checkpointed.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(checkpointed[name], gradient, atol=1e-6, rtol=1e-4)


def test_compiled_blocks_have_the_same_gradients_and_names(tmp_path: Path):
    config = config_with(tmp_path)
    plain, _ = gradients_of(tiny_networks(temporal=False), config)
    networks = tiny_networks(temporal=False)
    names = list(networks.state_dict())
    compile_blocks([networks.portrait_net.mid_block], backend="aot_eager")
    compiled, _ = gradients_of(networks, config)
    assert list(networks.state_dict()) == names
    for name, gradient in plain.items():
        torch.testing.assert_close(compiled[name], gradient, atol=1e-6, rtol=1e-4)


def test_frozen_parts_stay_in_evaluation(sources, tmp_path: Path):
    networks = build_networks(config_with(tmp_path, preset="sd15", sources=sources))
    prepare_networks(networks, config_with(tmp_path, preset="sd15"), "cpu")
    assert networks.denoising_unet.training
    assert networks.portrait_net.training
    assert not networks.vae.training
    assert not networks.attribute_encoder.training
    assert not any(m.training for m in networks.identity_encoder.modules() if "BatchNorm" in type(m).__name__)
    networks.eval()
    set_training(networks)
    assert not networks.vae.training


@pytest.mark.usefixtures("any_precision")
def test_sd15_trains_in_bf16_with_frozen_parts_in_bf16(clips, sources, tmp_path: Path):
    """Its exported frozen weights are the ones that it started from."""
    folder = tmp_path / "one"
    AutoencoderKL(  # with latents of the keypoint guider's size
        block_out_channels=(4,) * 4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=2,
    ).save_pretrained(sources["vae"])
    options = {"preset": "sd15", "sources": sources, "data": {"clips": tmp_path, "targets": 2, "held_out": 1}}
    start = build_networks(config_with(tmp_path, **options))

    save_checkpoint(folder, start, DDIMScheduler(), dataclasses.replace(SD15, size=32), torch.float32)
    write_shard(tmp_path / "clips-000.tar", clips)
    saving = {"mixed_precision": "bf16", "frozen_precision": "bf16", "gradient_checkpointing": True}
    saving |= {"ema_device": "cpu", "sample_steps": 1, "batch_size": 1, "gradient_accumulation": 2}
    config = write_config(
        tmp_path, **options, **saving, stage=2, steps=2, sample_every=2, init_from=str(folder)
    )
    made = load_networks(train(config, output=tmp_path / "two")).state_dict()
    for name, value in start.state_dict().items():
        assert torch.equal(made[name], value.half().float()), name
    moved = [name for name in made if ".motion_modules." in name]
    assert moved
    scores = json.loads((tmp_path / "two" / "scores.jsonl").read_text())
    assert 3 < scores["psnr"] < 40


def test_8_bit_moments_learn_and_resume_exactly(clips, tmp_path: Path):
    pytest.importorskip("bitsandbytes")
    write_shard(tmp_path / "clips-000.tar", clips)
    changes = tiny_changes()
    changes["unet"] = {**changes["unet"], "block_out_channels": (8, 32)}
    config = write_config(
        tmp_path, networks=changes, optimizer={"name": "adamw8bit", "learning_rate": 1e-3, "warmup_steps": 0}
    )
    train(config, output=tmp_path / "whole")
    train(config, output=tmp_path / "parts", steps=2)
    train(config, output=tmp_path / "parts")
    for name in ("weights", "ema", "optimizer"):
        a, b = (load_file(tmp_path / run / "state" / f"{name}.safetensors") for run in ("whole", "parts"))
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a)
    moments = load_file(tmp_path / "whole" / "state" / "optimizer.safetensors")
    assert any(value.dtype == torch.uint8 and value.any() for value in moments.values())


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_account_is_what_is_there_after_a_step(tmp_path: Path, optimizer: str):
    config = config_with(tmp_path, optimizer={"name": optimizer})
    networks = tiny_networks(temporal=False)
    sizes = account(networks, config)
    parameters = prepare_networks(networks, config, "cpu")
    made = build_optimizer(config.optimizer, parameters)
    for parameter in parameters.values():
        parameter.grad = torch.ones_like(parameter)
    made.step()
    moments = [v for state in made.state.values() for key, v in state.items() if key != "step"]
    assert sizes[f"{optimizer} moments"] == sum(value.nbytes for value in moments)
    assert sizes["trained weights"] == sum(parameter.nbytes for parameter in parameters.values())
    with torch.device("meta"):
        assert account(tiny_preset().build(temporal=False), config) == sizes


def test_a_dry_run_measures_and_writes_nothing(tmp_path: Path, tiny_mini):
    path = write_config(tmp_path, data={"clips": tmp_path / "nowhere", "targets": 2})
    before = sorted(tmp_path.iterdir())
    done = CliRunner().invoke(app, ["train", str(path), "--dry-run", "--size", "48"])
    assert done.exit_code == 0, done.output
    lines = {" ".join(line.split()[:-2]): line.split()[-2] for line in done.output.splitlines()[1:]}
    assert {"trained weights", "together", "peak after step 2", "step 2"} <= lines.keys()
    assert float(lines["step 2"]) > 0
    assert float(lines["peak after step 2"]) > 0.1
    assert sorted(tmp_path.iterdir()) == before


def test_a_dry_run_that_does_not_fit_says_so(tmp_path: Path, tiny_mini, monkeypatch):
    monkeypatch.setattr(dry, "_free_memory", lambda device: 1000)
    with pytest.raises(DurianError, match=r"weights, gradients and moments need .* GB and 0\.0 GB are free"):
        dry.dry_run(write_config(tmp_path))
    with pytest.raises(DurianError, match="--size: 100 is not a multiple of 8"):
        dry.dry_run(write_config(tmp_path), size=100)


def test_a_dry_run_refuses_what_a_run_refuses_but_for_missing_data(tmp_path: Path, tiny_mini):
    path = write_config(
        tmp_path,
        data={"clips": tmp_path / "nowhere", "targets": 2},
        init_from="none",
        distillation={},
        critic={},
        reader_steps=2,
    )
    with pytest.raises(DurianError, match=r"reader_steps: distillation .*; critic: distillation has none"):
        dry.dry_run(path)


@pytest.mark.parametrize("prediction_type", ["sample", "epsilon", "v_prediction"])
def test_min_snr_is_the_same_weight_of_the_clean_samples_error(tmp_path: Path, prediction_type: str):
    scheduler = DDIMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type=prediction_type)
    config = config_with(tmp_path, loss_weighting="min_snr", min_snr_gamma=5.0)
    objective = ReconstructionObjective(tiny_networks(temporal=False), scheduler, config)
    timesteps = torch.tensor([[0, 100, 500], [700, 900, 999]])
    alphas = scheduler.alphas_cumprod[timesteps].double()
    ratio = alphas / (1 - alphas)
    # An error e of the clean sample is one of SNR·e² in noise and of (SNR + 1)·e² in velocity.
    factor = {"sample": 1.0, "epsilon": ratio, "v_prediction": ratio + 1}[prediction_type]
    weight = objective.min_snr_weight(timesteps).double()
    torch.testing.assert_close(weight * factor, ratio.clamp(max=5), rtol=1e-4, atol=1e-7)
    silent = DDIMScheduler(rescale_betas_zero_snr=True, prediction_type=prediction_type)
    objective = ReconstructionObjective(tiny_networks(temporal=False), silent, config)
    last = objective.min_snr_weight(torch.tensor([[999]]))
    assert float(last) == pytest.approx(1.0 if prediction_type == "epsilon" else 0.0, abs=1e-6)
