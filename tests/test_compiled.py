"""DNet compiled: the same frames from one graph for each kind of row, and a way back.

By `torch.compile`'s front alone, which is what may break on our code; its compiler takes minutes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor
from torch._dynamo.testing import CompileCounter

from durian.models.autoencoder import decode_pixels
from durian.pipeline import AnimationOptions, DurianPipeline
from durian.pipeline.compiled import Compiled
from tiny import ONE_LEVEL, tiny_inputs, tiny_networks, tiny_preset


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def tiny_pipeline(unet: Mapping[str, object] = ONE_LEVEL) -> DurianPipeline:
    preset = tiny_preset(unet=unet)
    networks = tiny_networks(unet=unet)
    return DurianPipeline(networks, DDIMScheduler(**preset.scheduler), preset.size, 1)


def latents(pipeline: DurianPipeline, frames: int, **options: object) -> Tensor:
    inputs = tiny_inputs(frames)
    chosen = AnimationOptions(**options)  # ty: ignore[missing-typed-dict-key]
    made = pipeline.latents_iter(inputs.portrait, inputs.attributes, inputs.keypoints, **chosen)
    return torch.cat(list(made), 2)


@pytest.mark.parametrize(
    ("unet", "options", "graphs"),
    [
        (ONE_LEVEL, {"portrait_scale": 1.2, "attribute_scale": 1.5}, 3),
        ({}, {"num_inference_steps": 4, "cache_interval": 2}, 2),
    ],
    ids=["guided", "deep features reused"],
)
def test_the_latents_are_the_same_from_one_graph_for_each_kind_of_call(unet, options, graphs: int):
    pipeline, counter = tiny_pipeline(unet), CompileCounter()
    wanted = latents(pipeline, 28, **options)  # two windows
    pipeline._predict = Compiled(pipeline.networks.predict, backend=counter)
    torch.testing.assert_close(latents(pipeline, 28, **options), wanted, atol=1e-4, rtol=1e-4)
    assert counter.frame_count == graphs


def test_frames_decoded_together_are_those_decoded_alone_and_all_calls_have_one_shape():
    pipeline, inputs, shapes = tiny_pipeline(), tiny_inputs(22), []
    wanted = pipeline.animate(inputs)
    pipeline.decoded_together = 5

    def recorded(decoder: Any, latents: Tensor) -> Tensor:
        shapes.append(len(latents))
        return decode_pixels(decoder, latents)

    np.testing.assert_allclose(pipeline.animate(inputs), wanted, atol=1)
    pipeline._decode_pixels = recorded  # as what is compiled
    np.testing.assert_allclose(pipeline.animate(inputs), wanted, atol=1)
    assert set(shapes) == {5}
    assert 5 <= len(shapes) <= 6  # of two windows, each with a rest


def test_where_nothing_can_be_compiled_it_goes_on_without():
    def broken(graph: object, inputs: object) -> object:
        raise OSError("no compiler is to be found")

    pipeline = tiny_pipeline()
    wanted = latents(pipeline, 3, num_inference_steps=2)
    pipeline._predict = Compiled(pipeline.networks.predict, backend=broken)
    with pytest.warns(UserWarning, match="no compiler is to be found") as warned:
        made = latents(pipeline, 3, num_inference_steps=2)
    assert torch.equal(made, wanted)
    assert sum("cannot be compiled" in str(each.message) for each in warned) == 1
