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

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
yardstick = pytest.importorskip("yardstick")


@pytest.mark.parametrize(
    ("options", "frames", "steps", "scales"),
    [
        ({}, 21, 3, (1.0, 1.0)),
        ({}, 5, 2, (1.5, 2.0)),
        ({"copy_heads": 0, "pixel_values": False}, 5, 2, (1.5, 2.0)),
        ({"reference_net": {"drop_masked_tokens": False}}, 3, 1, (2.0, 1.5)),
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
