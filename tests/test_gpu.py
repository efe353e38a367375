"""What a GPU would run, on a GPU in pretence: on one device throughout, without waiting for it, the same."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from diffusers import DDIMScheduler
from safetensors.torch import load_file
from torch import nn

from durian.errors import DurianError
from durian.models import DetailNet, presets
from durian.models.networks import READERS
from durian.pipeline import DurianPipeline
from durian.pipeline.checkpoint import build_sd15
from durian.training.run import train
from people import write_shard
from pretended_gpu import GPU, OnGPU, PretendedGPU
from tiny import SD15_OPTIONS, tiny_inputs, tiny_networks, tiny_preset, tiny_reference
from tiny_runs import write_config

# Of memory that no GPU pins, and of gradients that come in another order of the axes than a GPU's would.
pytestmark = [
    pytest.mark.filterwarnings("ignore:'pin_memory' argument is set"),
    pytest.mark.filterwarnings("ignore:grad and param do not obey"),
]


@pytest.fixture
def gpu():
    with PretendedGPU() as pretended:
        yield pretended


@pytest.fixture
def training_on_gpu(gpu, monkeypatch):
    monkeypatch.setattr(Accelerator, "device", property(lambda self: GPU))
    return gpu


def test_devices_do_not_mix(gpu):
    here, there = torch.ones(3), torch.ones(3, device="cuda")
    assert there.device == (there + there.sum()).device == torch.zeros_like(there).device == GPU
    assert there.cpu().device == here.device
    for mixed in (
        lambda: here + there,
        lambda: here[torch.zeros(2, dtype=torch.long, device="cuda")],
        lambda: torch.cat([here, there]),
        lambda: nn.Linear(3, 1)(there),
        lambda: torch.randn(3, device="cuda", generator=torch.Generator()),
    ):
        with pytest.raises(RuntimeError, match="device"):
            mixed()
    for array in (there.numpy, lambda: np.asarray(there)):
        with pytest.raises(TypeError, match="copy it to the CPU first"):
            array()
    here.copy_(there)
    assert gpu.waits == {"elsewhere": 2}  # the copies to the CPU


def test_a_module_on_the_gpu_learns_there(gpu):
    module = nn.Linear(3, 1)
    weight = module.weight
    module.to("cuda")
    assert module.weight is weight
    assert isinstance(weight, OnGPU)
    assert isinstance(weight, nn.Parameter)
    optimizer = torch.optim.SGD(module.parameters(), 1.0)
    module(torch.ones(1, 3, device="cuda")).sum().backward()
    before = weight.clone()
    optimizer.step()
    assert weight.grad.device == GPU
    assert torch.equal(weight, before - 1)


FRAMES = 5
KINDS: dict[str, dict[str, Any]] = {
    "mini": {},
    "joint": {"joint_references": True, "copy_heads": 0, "reference_net": {"drop_masked_tokens": False}},
    "guidance": {"guidance_channels": 8},
    "detail": {},
}


def pipeline(kind: str, sources: dict[str, str]) -> DurianPipeline:
    torch.manual_seed(0)
    if kind == "sd15":
        networks = build_sd15(sources, **SD15_OPTIONS)
        return DurianPipeline(networks, DDIMScheduler(beta_schedule="linear", clip_sample=False), 16, 2)
    networks = tiny_networks(**KINDS[kind])
    if kind == "detail":
        networks.detail_net = DetailNet(2).eval()
    preset = tiny_preset()
    return DurianPipeline(networks, DDIMScheduler(**preset.scheduler), preset.size, preset.sampling_steps)


def on_gpu(pipeline: DurianPipeline) -> DurianPipeline:
    networks, size = pipeline.networks.to("cuda"), pipeline.size // pipeline.networks.detail_scale
    moved = DurianPipeline(networks, pipeline.scheduler, size, pipeline.sampling_steps)
    assert moved.device == GPU
    return moved


@pytest.mark.parametrize("way", ["plain", "guided", "interpolated"])
@pytest.mark.parametrize("kind", [*KINDS, "sd15"])
def test_animations_are_those_of_the_cpu(kind: str, way: str, sources):
    made = pipeline(kind, sources)
    size = made.size
    inputs = tiny_inputs(FRAMES, ("hair", "hat"), size)
    others = {name: tiny_reference(seed, size) for seed, name in enumerate(inputs.attributes, 7)}
    options: dict[str, Any] = {
        "plain": {},
        "guided": {
            "portrait_scale": 1.5,
            "attribute_scale": 1.5,
            "num_inference_steps": 4,
            "cache_interval": 2,
        },
        "interpolated": {
            "interpolate_to": others,
            "portrait_to": tiny_reference(9, size),
            "interpolation": np.linspace(0, 1, FRAMES),
        },
    }[way]
    wanted = made.animate(inputs, **options)
    with PretendedGPU():
        frames = on_gpu(made).animate(inputs, **options)
    assert np.abs(frames.astype(int) - wanted).max() <= 1
    assert wanted.std() > 5


@pytest.mark.parametrize("kind", ["mini", "detail", "sd15"])
def test_several_pictures_are_read_there_too(kind: str, sources):
    made = pipeline(kind, sources)
    inputs = tiny_inputs(FRAMES, size=made.size)
    views = [tiny_reference(seed, made.size) for seed in (7, 8, 9)]
    portrait = replace(inputs.portrait, views=tuple(views[:2]))
    hair = replace(inputs.attributes["hair"], views=tuple(views[2:]))
    several = replace(inputs, portrait=portrait, attributes={"hair": hair})
    wanted = made.animate(several)
    with PretendedGPU():
        frames = on_gpu(made).animate(several)
    assert np.abs(frames.astype(int) - wanted).max() <= 1
    assert (made.animate(inputs) != wanted).any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["mini", "sd15"])
def test_half_precision_merges_attention_by_fused_kernels(kind: str, dtype: torch.dtype, sources):
    made = pipeline(kind, sources)
    inputs = tiny_inputs(FRAMES, ("hair", "hat"), made.size)
    wanted = made.animate(inputs)
    made.networks.lower_precision(dtype)
    with PretendedGPU() as gpu:
        frames = on_gpu(made).animate(inputs)
    assert gpu.calls["_scaled_dot_product_flash_attention"] > 0
    off = np.abs(frames.astype(int) - wanted).mean()
    assert 0 < off < (4 if dtype == torch.bfloat16 else 1)


def test_sampling_never_waits_for_the_gpu(sources):
    """However many steps there are: what is waited for are the references, once, and the finished frames."""
    frames, waits = 20, []
    for steps in (2, 6):
        with PretendedGPU() as gpu:
            made = on_gpu(pipeline("detail", sources))
            made.animate(tiny_inputs(frames, size=made.size), num_inference_steps=steps, attribute_scale=1.5)
        waits.append(gpu.waits)
    assert waits[0] == waits[1]
    windows = 2
    assert waits[0].pop("pipeline/durian.py: _decode") <= math.ceil(frames / 4) + windows
    assert waits[0].total() < 20


@pytest.mark.parametrize("kind", ["detail", "joint", "sd15"])
def test_offloaded_parts_are_on_the_gpu_only_while_they_read(kind: str, sources, tmp_path: Path):
    made = pipeline(kind, sources)
    made.save_pretrained(tmp_path / "saved")
    inputs = tiny_inputs(FRAMES, ("hair", "hat"), made.size)
    wanted = made.animate(inputs)
    with PretendedGPU():
        offloading = DurianPipeline.from_pretrained(tmp_path / "saved", "cuda", offload=True)
        assert offloading.device == GPU
        for _ in range(2):
            frames = offloading.animate(inputs)
            assert np.abs(frames.astype(int) - wanted).max() <= 1
            for name, part in offloading.networks.components().items():
                devices = {parameter.device.type for parameter in part.parameters()}
                assert devices <= {"cpu" if name in READERS else "cuda"}


def test_two_reference_nets_are_never_on_the_gpu_at_once(sources, tmp_path: Path):
    """Not in a blend either, which reads the portrait twice."""
    pipeline("sd15", sources).save_pretrained(tmp_path / "saved")
    with PretendedGPU():
        made = DurianPipeline.from_pretrained(tmp_path / "saved", "cuda", offload=True)
        nets = made.networks.portrait_net, made.networks.attribute_net
        seen: list[int] = []

        def note(*_: object) -> None:
            seen.append(sum(next(net.parameters()).device.type == "cuda" for net in nets))

        for net in nets:
            net.register_forward_hook(note)
        other = tiny_reference(9, made.size)
        made.animate(
            tiny_inputs(2, ("hair", "hat"), made.size),
            interpolate_to={"hair": other, "hat": other},
            portrait_to=other,
        )
    assert seen == [1] * 6


def test_offloading_from_a_cpu_is_refused():
    with pytest.raises(DurianError, match="offloading is for GPUs"):
        DurianPipeline.from_pretrained("mini", "cpu", offload=True)


RUNS: dict[str, dict[str, Any]] = {
    "stage 1": {
        "optimizer": {"name": "muon"},
        "critic": {"weight": 0.05, "channels": 4},
        "gradient_checkpointing": True,
        "ema_device": "cpu",
        "reader_steps": 2,
    },
    "stage 2": {"stage": 2, "flicker_loss_weight": 0.5},
}


@pytest.mark.parametrize("changes", RUNS.values(), ids=RUNS)
def test_an_interrupted_run_on_a_gpu_goes_on_to_the_same_weights(
    clips, tmp_path: Path, monkeypatch, training_on_gpu, changes: dict[str, Any]
):
    monkeypatch.setitem(presets.PRESETS, "mini", tiny_preset())
    write_shard(tmp_path / "clips-000.tar", clips)
    data = {"clips": tmp_path, "targets": 2, "held_out": 0}
    config = write_config(tmp_path, steps=2, save_every=1, data=data, **changes)
    train(config, output=tmp_path / "whole")
    train(config, output=tmp_path / "parts", steps=1)
    train(config, output=tmp_path / "parts")
    for name in ("weights", "ema", "optimizer"):
        a, b = (load_file(tmp_path / run / "state" / f"{name}.safetensors") for run in ("whole", "parts"))
        assert all(torch.equal(a[key], b[key]) for key in a)
    curve = [json.loads(line) for line in (tmp_path / "whole" / "curve.jsonl").open()]
    assert all(record["grad_norm"] > 0 for record in curve)
