"""What DNet is told of frames, read a few at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from durian.pipeline.conditioner import Conditioner, Guidance
from durian.pipeline.conditioning import draw_all
from tiny import tiny_inputs, tiny_networks

FRAMES = 6  # more than are read at once
ROWS = ((1.0, 1.0), (1.0, 0.0), (0.0, 0.0))  # scales with which one prediction is the result


@torch.no_grad()
@pytest.mark.parametrize("reader", [True, False])
@pytest.mark.parametrize("options", [{}, {"guidance_channels": 8}])
def test_frames_read_together_are_those_read_one_by_one(options: dict[str, Any], reader: bool):
    inputs, networks = tiny_inputs(FRAMES), tiny_networks(**options)
    if not reader:
        networks.position_reader = None
    conditioner = Conditioner(networks, 32, inputs.portrait, inputs.attributes)
    images, alphas = draw_all(inputs.keypoints, 32), list(np.linspace(0, 1, FRAMES))
    together = list(conditioner.frames(inputs.keypoints, images, alphas))
    assert [frame.alpha for frame in together] == alphas
    for index, frame in enumerate(together):
        one = slice(index, index + 1)
        (alone,) = conditioner.frames(inputs.keypoints[one], images[one], alphas[one])
        torch.testing.assert_close(frame.features, alone.features)
        assert frame.positions.keys() == alone.positions.keys() != set()
        for count, place in alone.positions.items():
            torch.testing.assert_close(frame.positions[count], place, atol=1e-4, rtol=0)
        assert (frame.guidance is None) == ("guidance_channels" not in options)
        if frame.guidance is not None:
            assert torch.equal(frame.guidance, alone.guidance)
    assert not torch.allclose(together[0].features, together[-1].features)
    assert not torch.allclose(together[0].positions[64], together[-1].positions[64])


@torch.no_grad()
@pytest.mark.parametrize(
    ("scales", "calls"),
    [((1.5, 1.5), 2), ((1.0, 3.0), 2), ((1.5, 2.0), 3), ((0.0, 0.0), 2), ((1.0, 0.0), 2), ((0.5, 0.0), 3)],
)
def test_guidance_computes_no_row_that_it_multiplies_by_nothing(scales: tuple[float, float], calls: int):
    inputs, networks = tiny_inputs(2), tiny_networks()
    told: list[object] = []

    def predict(*args: Any) -> Any:
        told.append(args)
        return networks.predict(*args)

    conditioner = Conditioner(networks, 32, inputs.portrait, inputs.attributes, predict=predict)
    frames = list(conditioner.frames(inputs.keypoints, draw_all(inputs.keypoints, 32), [1.0, 1.0]))
    latents = torch.randn(1, 48, 2, 8, 8, generator=torch.Generator().manual_seed(0))

    def predicted(*scales: float) -> torch.Tensor:
        return conditioner.predict(latents, torch.tensor(700), frames, Guidance(*scales), True)[0]

    full, portrait, nothing = (predicted(*each) for each in ROWS)
    told.clear()
    made = predicted(*scales)
    assert len(told) == calls
    person, worn = scales
    expected = nothing + person * (portrait - nothing) + worn * (full - portrait)
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=1e-4)
    assert (full - portrait).abs().max() > 1e-3 < (portrait - nothing).abs().max()
