"""Frames that come and go one by one: the same frames, bounded delay, memory that does not grow."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

from durian.errors import DurianError
from durian.pipeline import DurianPipeline, Windows
from durian.pipeline.durian import LIVE
from durian.pipeline.sampling import Frame, sample_stream
from tiny import tiny_inputs, tiny_networks, tiny_preset

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
from train_memory import LiveMemory


@pytest.fixture(scope="module")
def pipeline() -> DurianPipeline:
    preset = tiny_preset()
    return DurianPipeline(tiny_networks(), DDIMScheduler(**preset.scheduler), 32, 2)


@pytest.mark.parametrize("steps", [1, 3])
def test_frames_one_by_one_are_those_of_the_whole(pipeline, steps: int):
    inputs = tiny_inputs(30)
    calls = []
    whole = pipeline.animate(inputs, num_inference_steps=steps, progress=lambda *done: calls.append(done))
    taken = 0

    def keypoints() -> Iterator[np.ndarray]:
        nonlocal taken
        for points in inputs.keypoints:
            taken += 1
            yield points

    stream = pipeline.animate_iter(inputs.portrait, inputs.attributes, keypoints(), num_inference_steps=steps)
    for index, frame in enumerate(stream):
        assert taken <= index + 1 + steps * 15  # not more than a window for each pass ahead
        assert (frame == whole[index]).all()
    assert index == 29
    total = pipeline.network_calls(30, steps)
    assert calls == [(done, total) for done in range(1, total + 1)]


def test_what_happens_later_does_not_change_a_frame_that_is_out(pipeline):
    long, short = tiny_inputs(30), tiny_inputs(30)
    first = [
        next(
            iter(pipeline.animate_iter(each.portrait, each.attributes, each.keypoints[:count], windows=LIVE))
        )
        for each, count in ((long, 30), (short, 8))
    ]
    assert (first[0] == first[1]).all()


def test_seams_move_from_step_to_step(pipeline):
    inputs = tiny_inputs(40)
    still = np.repeat(inputs.keypoints[:1], 40, 0)
    frames = list(pipeline.animate_iter(inputs.portrait, inputs.attributes, still, num_inference_steps=2))
    assert len(frames) == 40
    assert all(frame.std() > 1 for frame in frames)


def test_schedulers_with_a_memory_take_their_steps_window_by_window():
    preset = tiny_preset()
    scheduler = DPMSolverMultistepScheduler.from_config(DDIMScheduler(**preset.scheduler).config)
    pipeline = DurianPipeline(tiny_networks(), scheduler, 32, 3)
    calls = []
    frames = pipeline.animate(tiny_inputs(20), progress=lambda *done: calls.append(done))
    assert frames.shape == (20, 32, 32, 3)
    assert calls[-1] == (6, 6)


class FakeTracker:
    """A face that moves to the right; none in black frames."""

    def __init__(self) -> None:
        self.face = tiny_inputs(1).portrait.landmarks

    def __call__(self, image: np.ndarray) -> np.ndarray | None:
        return self.face + np.float32(image[0, 0, 0] / 50) if image.any() else None


@pytest.mark.parametrize("steps", [1, 3])
def test_live_frames_come_out_in_time(pipeline, steps: int):
    inputs, warm_up, given = tiny_inputs(1), 6, 0

    def camera() -> Iterator[np.ndarray]:
        nonlocal given
        for index in range(25):
            given += 1
            shade = 0 if index in (0, 11, 12) else index + 1
            yield np.full((24, 24, 3), shade, np.uint8)

    stream = pipeline.stream(
        inputs.portrait,
        inputs.attributes,
        camera(),
        warm_up=warm_up,
        tracker=FakeTracker(),
        num_inference_steps=steps,
    )
    count = 0
    for count, frame in enumerate(stream, 1):
        assert frame.shape == (32, 32, 3)
        # One frame before the first face, then those that the rest pose is read from.
        assert given <= max(count + LIVE.delay, 1 + warm_up + LIVE.delay)
    assert count == 25


def test_memory_does_not_grow_with_length(pipeline):
    inputs = tiny_inputs(1)

    def peak(frames: int) -> int:
        keypoints = (inputs.keypoints[0] for _ in range(frames))
        made = pipeline.animate_iter(inputs.portrait, inputs.attributes, keypoints, num_inference_steps=2)
        with LiveMemory() as memory:
            assert sum(1 for _ in made) == frames
        return memory.peak

    assert peak(112) <= 1.01 * peak(64)


def test_guidance_on_part_of_the_schedule_costs_only_there(pipeline):
    inputs = tiny_inputs(2)
    plain = pipeline.animate(inputs, num_inference_steps=4)
    strong = {"attribute_scale": 4.0, "portrait_scale": 2.0, "num_inference_steps": 4}
    everywhere = pipeline.animate(inputs, **strong)
    calls = 0

    def counted(*args):
        nonlocal calls
        calls += 1
        return pipeline.networks.predict(*args)

    pipeline._predict = counted
    try:
        early = pipeline.animate(inputs, **strong, guidance_interval=(0.0, 0.5))
    finally:
        pipeline._predict = pipeline.networks.predict
    assert calls == 2 * 3 + 2
    assert (early != plain).any()
    assert (early != everywhere).any()
    nowhere = pipeline.animate(inputs, **strong, guidance_interval=(1.0, 1.0))
    assert (nowhere == plain).all()
    with pytest.raises(DurianError, match="of the schedule"):
        pipeline.animate(inputs, **strong, guidance_interval=(0.5, 0.2))


def deep_runs(pipeline: DurianPipeline, frames: int = 3, **options: Any) -> tuple[np.ndarray, int]:
    """Frames, and how often DNet's deep layers ran for them."""
    runs = 0

    def count(*_: object) -> None:
        nonlocal runs
        runs += 1

    hook = pipeline.networks.denoising_unet.mid_block.register_forward_hook(count)
    try:
        return pipeline.animate(tiny_inputs(frames), **options), runs
    finally:
        hook.remove()


@pytest.mark.parametrize("interval", [1, 2, 3, 9])
def test_deep_layers_run_in_every_nth_step(pipeline, interval: int):
    exact, _ = deep_runs(pipeline, num_inference_steps=5)
    reused, runs = deep_runs(pipeline, num_inference_steps=5, cache_interval=interval)
    assert runs == len(range(0, 5, interval))
    assert (reused == exact).all() == (interval == 1)
    assert np.abs(reused.astype(float) - exact).mean() < 30


def test_guidance_rows_that_begin_between_full_steps_run_in_full(pipeline):
    """The portrait's row is first asked for in the third of 4 steps, and reused in the fourth."""
    strong = {"attribute_scale": 4.0, "num_inference_steps": 4, "guidance_interval": (0.5, 1.0)}
    assert deep_runs(pipeline, cache_interval=2, **strong)[1] == 2 + 1
    assert deep_runs(pipeline, cache_interval=4, **strong)[1] == 1 + 1
    assert deep_runs(pipeline, cache_interval=4, attribute_scale=4.0, num_inference_steps=4)[1] == 2


@pytest.mark.parametrize("kind", [DDIMScheduler, DPMSolverMultistepScheduler])
def test_deep_features_go_with_their_frames_through_windows_that_move(kind: type):
    """What a call leaves of a frame comes back for that frame, whatever window it lies in by then."""
    reused = []

    def denoise(
        latents: torch.Tensor, timestep: torch.Tensor, conditions: Sequence[int], deep: Sequence[int] | None
    ) -> tuple[torch.Tensor, Sequence[int]]:
        assert deep is None or list(deep) == list(conditions)
        reused.append(deep is not None)
        return latents, list(conditions)

    frames = (Frame(torch.randn(1, 4, 1, 2, 2), index) for index in range(30))
    scheduler = kind.from_config(DDIMScheduler(**tiny_preset().scheduler).config)
    made = list(sample_stream(frames, denoise, scheduler, 4, Windows(), cache_interval=2))
    assert sum(map(len, made)) == 30
    assert sum(reused) >= 4
    assert len(reused) - sum(reused) >= 4


def test_streams_that_reuse_deep_features_are_those_of_the_whole(pipeline):
    inputs, options = tiny_inputs(30), {"num_inference_steps": 4, "cache_interval": 2}
    stream = pipeline.animate_iter(inputs.portrait, inputs.attributes, iter(inputs.keypoints), **options)
    assert (np.stack(list(stream)) == pipeline.animate(inputs, **options)).all()


def test_deep_features_are_reused_by_schedulers_with_a_memory():
    scheduler = DPMSolverMultistepScheduler.from_config(DDIMScheduler(**tiny_preset().scheduler).config)
    pipeline = DurianPipeline(tiny_networks(), scheduler, 32, 3)
    assert deep_runs(pipeline, frames=20, num_inference_steps=4, cache_interval=2)[1] == 2 * 2


def test_a_cache_interval_below_1_is_refused(pipeline):
    with pytest.raises(DurianError, match="cache interval of 0"):
        pipeline.animate(tiny_inputs(1), cache_interval=0)


def test_half_precision_is_near(pipeline):
    inputs = tiny_inputs(2)
    whole = pipeline.animate(inputs)
    half = DurianPipeline(tiny_networks().lower_precision(torch.bfloat16), pipeline.scheduler, 32, 2)
    assert half.dtype == torch.bfloat16
    assert half.networks.position_reader.dtype == torch.float32
    got = half.animate(inputs)
    assert np.abs(got.astype(float) - whole).mean() < 4


def test_windows_of_any_kind_are_accepted(pipeline):
    inputs = tiny_inputs(9)
    for windows in (Windows(4, 2, 1), Windows(3, 3, 0), Windows(1, 1, 0), Windows(5, 1, 2, grows=True)):
        made = pipeline.animate_iter(inputs.portrait, inputs.attributes, inputs.keypoints, windows=windows)
        assert len(list(made)) == 9
