"""Sampling: one loop over the noise levels for a clip, or a chain of passes for a stream of frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, count
from typing import Any, Generic, TypeVar

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from jaxtyping import Float
from torch import Tensor

from durian.pipeline.windows import Windows, slide

C = TypeVar("C")
D = TypeVar("D")


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
class Frame(Generic[C, D]):
    """One frame on its way through the passes: its latents, what the network is told of it, and what an
    earlier call for it has left for this one."""

    latents: Float[Tensor, "1 c 1 h w"]
    conditions: C
    deep: D | None = None


def sample_stream(
    frames: Iterable[Frame[C, D]],
    denoise: Callable[[Tensor, Tensor, Sequence[C], Sequence[D] | None], tuple[Tensor, Sequence[D]]],
    scheduler: Any,
    steps: int,
    windows: Windows,
    progress: Callable[[], None] | None = None,
    cache_interval: int = 1,
    keep_deep: bool = False,
) -> Iterator[Sequence[Frame[C, D]]]:
    """Denoise a stream of frames in windows; memory does not grow with its length.

    Every step is a pass of its own over the stream: it hands frames on to the next as they get ready, and
    overlapping windows are cross-faded at every noise level (Bar-Tal et al., 2023, MultiDiffusion). Each
    pass has its seams at other frames than the one before, so that no seam stays. Schedulers that remember
    earlier steps take all steps of a window at once instead, and the results are cross-faded.

    Args:
        frames: with unit Gaussian noise as latents.
        denoise: the network's prediction for the latents of a window, a timestep, its conditions, and the
            deep features of its frames, where they are to be reused; and the deep features it has used.
        scheduler: one of diffusers'.
        progress: called after every call of `denoise`.
        cache_interval: every how many steps deep features are made anew (Ma et al., 2024, DeepCache).
        keep_deep: whether frames come with the deep features of the last step.

    Returns:
        The frames in order; those that get ready at once come together.
    """

    def step_of(window: Sequence[Frame[C, D]], step: int, latents: Tensor, timestep: Tensor) -> tuple:
        deep = [frame.deep for frame in window if frame.deep is not None]
        reused = deep if step % cache_interval else None
        prediction, left = denoise(latents, timestep, [frame.conditions for frame in window], reused)
        if progress is not None:
            progress()
        used_again = keep_deep if step + 1 == steps else (step + 1) % cache_interval > 0
        return prediction, left if used_again else [None] * len(window)

    def whole(window: Sequence[Frame[C, D]]) -> Sequence[Frame[C, D]]:
        own = type(scheduler).from_config(scheduler.config)
        calls = count()

        def told(latents: Tensor, timestep: Tensor) -> Tensor:
            nonlocal window
            prediction, left = step_of(window, next(calls), latents, timestep)
            window = [replace(frame, deep=deep) for frame, deep in zip(window, left, strict=True)]
            return prediction

        done = sample_latents(told, own, _latents(window), steps).split(1, 2)
        return [replace(frame, latents=each) for frame, each in zip(window, done, strict=True)]

    if not has_passes(scheduler):
        yield from _pass(frames, whole, windows, 0)
        return

    own = type(scheduler).from_config(scheduler.config)
    own.set_timesteps(steps)

    def one_step(step: int, timestep: Tensor, window: Sequence[Frame[C, D]]) -> Sequence[Frame[C, D]]:
        latents = _latents(window)
        scaled = own.scale_model_input(latents, timestep)
        prediction, left = step_of(window, step, scaled, timestep)
        done = own.step(prediction, timestep, latents, return_dict=False)[0].split(1, 2)
        return [
            replace(frame, latents=each, deep=deep)
            for frame, each, deep in zip(window, done, left, strict=True)
        ]

    stream: Iterable[Frame[C, D]] = frames  # DDIM starts from unit noise
    ready: Iterator[Sequence[Frame[C, D]]] = iter(())
    shifts = seam_shifts(windows, steps)
    for step, (timestep, shift) in enumerate(zip(own.timesteps, shifts, strict=True)):
        ready = _pass(stream, partial(one_step, step, timestep), windows, shift)
        stream = chain.from_iterable(ready)
    yield from ready


def has_passes(scheduler: Any) -> bool:
    """Whether a step of this scheduler depends on nothing but the latents and the prediction."""
    return isinstance(scheduler, DDIMScheduler)


def seam_shifts(windows: Windows, steps: int) -> list[int]:
    """By how much the seams of each pass are moved; not at all where frames are wanted at once."""
    if windows.grows:
        return [0] * steps
    return [step * windows.stride // steps for step in range(steps)]


def _pass(
    frames: Iterable[Frame[C, D]],
    process: Callable[[Sequence[Frame[C, D]]], Sequence[Frame[C, D]]],
    windows: Windows,
    shift: int,
) -> Iterator[Sequence[Frame[C, D]]]:
    for ready in slide(frames, process, windows, _fade, shift):
        yield [made for _, made in ready]


def _fade(old: Frame[C, D], new: Frame[C, D], weight: float) -> Frame[C, D]:
    """Latents are faded; deep features are those of the newer window."""
    return replace(new, latents=torch.lerp(old.latents, new.latents, weight))


def _latents(window: Sequence[Frame[Any, Any]]) -> Float[Tensor, "1 c F h w"]:
    return torch.cat([frame.latents for frame in window], 2)
