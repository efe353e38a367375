"""The yardstick of the speed benchmark makes the same frames, or it would be no yardstick."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

from durian.models.spatial_attention import EmbeddingAttention, SpatialAttention
from durian.pipeline import DurianPipeline
from tiny import tiny_inputs, tiny_networks, tiny_preset
from tiny_runs import config_with, tiny_changes

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
yardstick = pytest.importorskip("yardstick")


@pytest.mark.parametrize(
    ("options", "frames", "steps", "scales"),
    [
        ({}, 21, 3, (1.0, 1.0)),
        ({}, 5, 2, (1.5, 2.0)),
        ({"copy_heads": 0, "pixel_values": False}, 5, 2, (1.5, 2.0)),
        ({"reference_net": {"drop_masked_tokens": False}}, 3, 1, (1.5, 1.5)),
    ],
)
def test_the_peers_scheme_makes_the_same_frames(
    options, frames: int, steps: int, scales: tuple[float, float]
):
    preset = tiny_preset(**options)
    pipeline = DurianPipeline(tiny_networks(**options), DDIMScheduler(**preset.scheduler), 32, 2)
    inputs = tiny_inputs(frames, ("hair", "glasses"))
    other = yardstick.Yardstick(pipeline)
    ours_alone = (SpatialAttention, EmbeddingAttention)  # what saves work
    assert not any(isinstance(each, ours_alone) for each in other.unet.attn_processors.values())
    theirs = other.latents(inputs, steps, scales, seed=3)
    given = dict(zip(("portrait_scale", "attribute_scale"), scales, strict=True))
    ours = list(
        pipeline.latents_iter(
            inputs.portrait, inputs.attributes, inputs.keypoints, num_inference_steps=steps, seed=3, **given
        )
    )
    assert theirs.std() > 0.1
    torch.testing.assert_close(torch.cat(ours, 2), theirs, atol=1e-3, rtol=0)
    pixels = pipeline.animate(inputs, num_inference_steps=steps, seed=3, **given)
    assert np.abs(pixels.astype(int) - other.decode(theirs)).max() <= 1


@pytest.mark.parametrize("model", ["mini", "sd15"])
def test_products_are_counted_on_paper(model: str, capsys):
    arithmetic = import_module("arithmetic")
    arithmetic.main(arithmetic.Model(model), steps=4, cache_interval=2)
    lines = [line.rsplit(maxsplit=2) for line in capsys.readouterr().out.splitlines()[1:-1]]
    counted = {name.strip(): float(value) for name, value, unit in lines}
    full, outer = (
        counted["DNet, a frame and step"],
        counted["its outermost layer on deep features of another step"],
    )
    assert 0 < outer < full / 2
    assert (counted["detail at the results' size, a frame"] > 0) == (model == "mini")


def printed_sizes(text: str) -> dict[str, float]:
    lines = [line.rsplit(maxsplit=2) for line in text.splitlines()]
    return {name.strip(): float(value) for name, value, unit in lines if unit == "GB"}


def test_memory_of_an_animation_is_counted_on_paper(capsys):
    memory = import_module("inference_memory")
    told = []
    for options in ({}, {"scale": 1.5}, {"dtype": memory.Precision.fp32}):
        memory.main(memory.Model.sd15, **options)
        told.append(printed_sizes(capsys.readouterr().out))
    half, guided, single = told
    assert half["of the autoencoder"] == pytest.approx(2 * 83.7e6 / 1e9, abs=0.01)
    # Keys and values of 16 layers: of up to 4,096 tokens of two references, and no scores.
    assert 0.1 < half["what is kept of the references"] < 0.2
    for sizes in told:
        assert sizes["with --offload"] < 0.75 * sizes["together"]
    window = "a window of 16 frames in DNet, at most"
    assert half[window] < guided[window] < 1.2 * half[window]  # the rows run one after the other
    assert single[window] == pytest.approx(2 * half[window], rel=0.05)


def test_memory_of_training_is_counted_on_paper(tmp_path: Path):
    memory = import_module("train_memory")
    # What is dropped, and copied, depends on pictures, of which there are none on paper.
    networks = {**tiny_changes(), "denoising_unet": {"copy_heads": 0}}
    networks["reference_net"] = {"drop_masked_tokens": False}
    peaks = []
    for precision, again in (("no", False), ("no", True), ("bf16", False)):
        changes = {"mixed_precision": precision, "gradient_checkpointing": again}
        peaks.append(memory.activations(config_with(tmp_path, networks=networks, **changes)))
    assert 0 < peaks[1] < 0.9 * peaks[0]
    assert 0 < peaks[2] < peaks[0]
