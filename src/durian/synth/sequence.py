"""Rendering a whole performance."""

from __future__ import annotations

from collections.abc import Iterator

from durian.synth.dynamics import lagging_poses
from durian.synth.model import Model
from durian.synth.performance import Performance
from durian.synth.render import Rendered, render


def render_performance(
    model: Model, performance: Performance, size: int = 128, samples: int = 3
) -> Iterator[Rendered]:
    """Render frame after frame; soft hair follows the head with a delay.

    Args:
        model: what `durian.synth.model.build` made of a person.
        performance: the states, and their rate.
        size: side of the square pictures in pixels.
        samples: samples a pixel along either side.
    """
    for state, lag in zip(performance.frames, lagging_poses(performance), strict=True):
        yield render(model, state, size, samples, lag)
