"""DNet by OpenVINO: the same frames, one graph for all animations of a kind, and a way back."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor

import durian.pipeline.converted as converted_module
from durian.cli.options import Precision, load_pipeline
from durian.errors import DurianError
from durian.pipeline import AnimationOptions, DurianPipeline
from durian.portrait.inputs import AnimationInputs
from tiny import ONE_LEVEL, tiny_inputs, tiny_networks, tiny_preset, tiny_reference

pytest.importorskip("openvino")

# What goes on with PyTorch would be the same as PyTorch.
pytestmark = [
    pytest.mark.filterwarnings("error:OpenVINO cannot run"),
    pytest.mark.xdist_group("openvino"),  # one process makes each graph once
]


def tiny_pipeline(seed: int = 0, unet: Mapping[str, object] = ONE_LEVEL) -> DurianPipeline:
    preset = tiny_preset(unet=unet)
    scheduler = DDIMScheduler(**preset.scheduler)
    networks = tiny_networks(seed=seed, unet=unet)
    return DurianPipeline(networks, scheduler, preset.size, preset.sampling_steps)


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("graphs")


def latents(pipeline: DurianPipeline, inputs: AnimationInputs, **options: object) -> Tensor:
    chosen = AnimationOptions(**options)  # ty: ignore[missing-typed-dict-key]
    made = pipeline.latents_iter(inputs.portrait, inputs.attributes, inputs.keypoints, **chosen)
    return torch.cat(list(made), 2)


def converted(cache: Path, dtype: torch.dtype = torch.float32, **made: Any) -> DurianPipeline:
    pipeline = tiny_pipeline(**made)
    pipeline.use_openvino(dtype, cache)
    return pipeline


@pytest.mark.parametrize(
    ("unet", "attributes", "options"),
    [
        (ONE_LEVEL, ("hair",), {"portrait_scale": 1.2, "attribute_scale": 1.5}),
        ({}, ("hair",), {"num_inference_steps": 4, "cache_interval": 2}),
        (ONE_LEVEL, ("hair", "hat"), {}),
        (ONE_LEVEL, ("hair",), {"interpolate_to": {"hair": tiny_reference(7)}}),
    ],
    ids=["guided", "deep features reused", "two attributes", "interpolated"],
)
def test_the_latents_are_those_of_pytorch(cache, unet, attributes, options):
    inputs = tiny_inputs(3, attributes)
    wanted = latents(tiny_pipeline(unet=unet), inputs, **options)
    made = latents(converted(cache, unet=unet), inputs, **options)
    assert wanted.std() > 0.1
    torch.testing.assert_close(made, wanted, atol=2e-4, rtol=2e-4)


def test_several_pictures_of_a_reference_go_through_one_graph(cache):
    inputs = tiny_inputs(3)
    for seeds in ((7,), (8, 9)):
        views = tuple(tiny_reference(seed) for seed in seeds)
        several = dataclasses.replace(inputs, portrait=dataclasses.replace(inputs.portrait, views=views))
        wanted = latents(tiny_pipeline(), several)
        made = latents(converted(cache), several)
        torch.testing.assert_close(made, wanted, atol=2e-4, rtol=2e-4)


def test_a_graph_serves_references_of_any_number_of_tokens_and_later_pipelines(cache, monkeypatch):
    inputs = tiny_inputs(3)
    latents(converted(cache), inputs)
    graphs = sorted(cache.iterdir())
    hair = inputs.attributes["hair"]
    mask = hair.mask.copy()
    mask[:, 20:] = 0  # fewer tokens are visible
    other = dataclasses.replace(inputs, attributes={"hair": dataclasses.replace(hair, mask=mask)})
    wanted = latents(tiny_pipeline(), other)

    def convert(exported: object) -> None:
        raise AssertionError("it is there already")

    monkeypatch.setattr(converted_module, "_from_exported", convert)
    made = latents(converted(cache), other)
    torch.testing.assert_close(made, wanted, atol=2e-4, rtol=2e-4)
    assert sorted(cache.iterdir()) == graphs


def test_another_process_finds_the_graph(cache):
    latents(converted(cache), tiny_inputs(3))
    graphs = sorted(cache.iterdir())
    code = (
        "from pathlib import Path\n"
        "from test_openvino import *\n"
        f"latents(converted(Path({str(cache)!r})), tiny_inputs(3))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "cannot run the network" not in done.stderr
    assert sorted(cache.iterdir()) == graphs


def test_converting_says_nothing(tmp_path):
    """Not even of the row without references, whose number of tokens no graph leaves free."""
    code = (
        "from pathlib import Path\n"
        "from test_openvino import *\n"
        "print('here', file=sys.stderr)\n"
        f"pipeline = converted(Path({str(tmp_path)!r}))\n"
        "latents(pipeline, tiny_inputs(3), portrait_scale=1.2, attribute_scale=1.2)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.split("here\n")[1] == ""
    assert len(list(tmp_path.iterdir())) == 2


def test_graphs_that_nobody_uses_are_cleared_away(tmp_path, monkeypatch):
    monkeypatch.setattr(converted_module, "_KEPT_ON_DISK", 2)
    for age in range(1, 4):
        old = tmp_path / f"old{age}"
        old.mkdir()
        for name in ("denoising_unet.xml", "denoising_unet.bin", "outputs.json"):
            (old / name).touch()
        os.utime(old, (1e9 - age, 1e9 - age))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    latents(converted(tmp_path), tiny_inputs(3))
    (new,) = {each.name for each in tmp_path.iterdir()} - {"old1", "mine"}
    os.utime(tmp_path / "old1")
    os.utime(tmp_path / new, (1e9, 1e9))
    latents(converted(tmp_path), tiny_inputs(3))  # which makes it the newest
    latents(converted(tmp_path), tiny_inputs(3), attribute_scale=1.5)
    names = {each.name for each in tmp_path.iterdir()}
    assert {new, "mine"} < names
    assert "old1" not in names
    assert len(names) == 3


def test_other_weights_do_not_take_the_same_graph(cache, monkeypatch):
    inputs = tiny_inputs(3)
    latents(converted(cache), inputs)

    def convert(exported: object) -> None:
        raise RuntimeError("it is asked for")

    monkeypatch.setattr(converted_module, "_from_exported", convert)
    with pytest.warns(UserWarning, match="it is asked for"):
        latents(converted(cache, seed=5), inputs)


def test_half_precision_is_near(cache):
    inputs = tiny_inputs(3)
    wanted = latents(tiny_pipeline(), inputs)
    made = latents(converted(cache, torch.bfloat16), inputs)
    assert (made - wanted).abs().mean() < 0.05 * wanted.std()


def test_what_cannot_be_converted_runs_as_it_is(tmp_path, monkeypatch):
    def convert(exported: object) -> None:
        raise RuntimeError("no such operation\nmore of it")

    monkeypatch.setattr(converted_module, "_from_exported", convert)
    inputs = tiny_inputs(3)
    pipeline = converted(tmp_path)
    with pytest.warns(UserWarning, match=r"cannot run the network \(no such operation\)"):
        made = latents(pipeline, inputs)
    np.testing.assert_array_equal(made, latents(tiny_pipeline(), inputs))
    assert not list(tmp_path.iterdir())


def test_a_cache_that_cannot_be_written_is_no_end(tmp_path):
    file = tmp_path / "file"
    file.touch()
    inputs = tiny_inputs(3)
    with pytest.warns(UserWarning, match="cannot run the network"):
        made = latents(converted(file), inputs)
    np.testing.assert_array_equal(made, latents(tiny_pipeline(), inputs))


def test_an_unknown_precision_is_refused(cache):
    with pytest.raises(DurianError, match="f32, bf16, f16"):
        tiny_pipeline().use_openvino(torch.float64, cache)


def test_networks_in_half_precision_are_refused(cache):
    pipeline = tiny_pipeline()
    pipeline.networks.lower_precision(torch.bfloat16)
    with pytest.raises(DurianError, match="single precision"):
        pipeline.use_openvino(cache=cache)


def test_of_the_precision_openvino_is_told_and_not_the_networks():
    pipeline = load_pipeline("mini", None, Precision.bf16, False, True, None, True, None)
    assert pipeline.dtype == torch.float32
    assert isinstance(pipeline._predict, converted_module.OpenVINOPredict)
    assert pipeline._predict._options["INFERENCE_PRECISION_HINT"] == "bf16"
    with pytest.raises(DurianError, match="choose one of them"):
        load_pipeline("mini", None, Precision.fp32, True, True, None, True, None)


def runtime_precisions(pipeline: DurianPipeline) -> list[str]:
    """Of what is multiplied by weights, in the order of execution."""
    (request, _), *_ = pipeline._predict._requests.values()  # ty: ignore[unresolved-attribute]
    operations = request.get_compiled_model().get_runtime_model().get_ops()
    told = [operation.get_rt_info() for operation in operations]
    kinds = ("FullyConnected", "Convolution")
    return [info["runtimePrecision"].astype(str) for info in told if info["layerType"].astype(str) in kinds]


def test_int8_products_are_of_integers_and_the_latents_nearly_the_same(cache):
    inputs = tiny_inputs(3)
    wanted = latents(tiny_pipeline(), inputs)
    pipeline = converted(cache, torch.int8)
    made = latents(pipeline, inputs)
    error = float((made - wanted).norm() / wanted.norm())
    assert 1e-4 < error < 0.05  # not the graph in single precision, and not far from it
    kinds = runtime_precisions(pipeline)
    assert sum(kind in ("i8", "u8") for kind in kinds) > 0.7 * len(kinds) > 0
    plain = converted(cache)
    latents(plain, inputs)
    assert not {"i8", "u8"} & set(runtime_precisions(plain))


def test_int8_graphs_are_the_same_whatever_is_animated_first(cache, tmp_path):
    inputs = tiny_inputs(3)
    first, second = (converted(folder, torch.int8) for folder in (cache, tmp_path))
    latents(second, dataclasses.replace(inputs, portrait=tiny_reference(7)))
    torch.testing.assert_close(latents(first, inputs), latents(second, inputs), atol=0, rtol=0)


def test_signals_are_still_caught_after_several_pipelines():
    """Two cores of OpenVINO, gone in the order in which they came, would leave no stack for signals."""
    code = (
        "import gc, os, signal\n"
        "from test_openvino import *\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('caught'))\n"
        "pipelines = [converted(Path(), torch.int8) for _ in range(2)]\n"
        "while pipelines:\n"
        "    del pipelines[0]\n"
        "    gc.collect()\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "caught\n"


def test_int8_is_for_openvino_alone():
    with pytest.raises(DurianError, match="give --openvino"):
        load_pipeline("mini", None, Precision.int8, False, False, None, True, None)
