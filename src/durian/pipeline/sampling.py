"""Sampling: one loop over the noise levels for a clip, or a chain of passes for a stream of frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from jaxtyping import Float
from torch import Tensor

from durian.pipeline.windows import Windows, slide

C = TypeVar("C")


@torch.no_grad()
def sample_latents(
    denoise: Callable[[Tensor, Tensor], Tensor],
    scheduler: Any,
    noise: Tensor,
    steps: int,
    progress: Callable[[int], None] | None = None,
) -> Tensor:
    """Denoise from `noise` in `steps` steps.

    Args:
        denoise: the network's prediction for latents and a timestep.
        scheduler: one of diffusers', not shared with another loop that is under way.
        noise: unit Gaussian, of the latents' shape.
        steps: at least 1.
        progress: called after each step with the number of steps done.
    """
    scheduler.set_timesteps(steps, device=noise.device)
    latents = noise * scheduler.init_noise_sigma
    for done, timestep in enumerate(scheduler.timesteps, start=1):
        prediction = denoise(scheduler.scale_model_input(latents, timestep), timestep)
        latents = scheduler.step(prediction, timestep, latents, return_dict=False)[0]
        if progress is not None:
            progress(done)
    return latents


@dataclass(frozen=True)
class Frame(Generic[C]):
    """One frame on its way through the passes: its latents, and what the network is told of it."""

    latents: Float[Tensor, "1 c 1 h w"]
    conditions: C


def sample_stream(
    frames: Iterable[Frame[C]],
    denoise: Callable[[Tensor, Tensor, Sequence[C]], Tensor],
    scheduler: Any,
    steps: int,
    windows: Windows,
    progress: Callable[[], None] | None = None,
) -> Iterator[Float[Tensor, "1 c 1 h w"]]:
    """Denoise a stream of frames in windows; memory does not grow with its length.

    Every step is a pass of its own over the stream: it hands frames on to the next as they get ready, and
    overlapping windows are cross-faded at every noise level (Bar-Tal et al., 2023, MultiDiffusion). Each
    pass has its seams at other frames than the one before, so that no seam stays. Schedulers that remember
    earlier steps take all steps of a window at once instead, and the results are cross-faded.

    Args:
        frames: with unit Gaussian noise as latents.
        denoise: the network's prediction for the latents of a window, a timestep, and its conditions.
        scheduler: one of diffusers'.
        progress: called after every call of `denoise`.
    """

    def told(conditions: Sequence[C], latents: Tensor, timestep: Tensor) -> Tensor:
        prediction = denoise(latents, timestep, conditions)
        if progress is not None:
            progress()
        return prediction

    def whole(window: Sequence[Frame[C]]) -> Sequence[Tensor]:
        own = type(scheduler).from_config(scheduler.config)
        conditions = [frame.conditions for frame in window]
        return sample_latents(partial(told, conditions), own, _latents(window), steps).split(1, 2)

    if not has_passes(scheduler):
        yield from (latents for _, latents in slide(frames, whole, windows))
        return

    own = type(scheduler).from_config(scheduler.config)
    own.set_timesteps(steps)

    def one_step(timestep: Tensor, window: Sequence[Frame[C]]) -> Sequence[Tensor]:
        latents = _latents(window)
        conditions = [frame.conditions for frame in window]
        prediction = told(conditions, own.scale_model_input(latents, timestep), timestep)
        return own.step(prediction, timestep, latents, return_dict=False)[0].split(1, 2)

    stream: Iterable[Frame[C]] = frames  # DDIM starts from unit noise
    for timestep, shift in zip(own.timesteps, seam_shifts(windows, steps), strict=True):
        stream = _pass(stream, partial(one_step, timestep), windows, shift)
    yield from (frame.latents for frame in stream)


def has_passes(scheduler: Any) -> bool:
    """Whether a step of this scheduler depends on nothing but the latents and the prediction."""
    return isinstance(scheduler, DDIMScheduler)


def seam_shifts(windows: Windows, steps: int) -> list[int]:
    """By how much the seams of each pass are moved; not at all where frames are wanted at once."""
    if windows.grows:
        return [0] * steps
    return [step * windows.stride // steps for step in range(steps)]


def _pass(
    frames: Iterable[Frame[C]],
    process: Callable[[Sequence[Frame[C]]], Sequence[Tensor]],
    windows: Windows,
    shift: int,
) -> Iterator[Frame[C]]:
    for frame, latents in slide(frames, process, windows, shift):
        yield replace(frame, latents=latents)


def _latents(window: Sequence[Frame[Any]]) -> Float[Tensor, "1 c F h w"]:
    return torch.cat([frame.latents for frame in window], 2)
