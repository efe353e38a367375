"""What DNet is told of frames, read a few at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from durian.pipeline.conditioner import Conditioner
from durian.pipeline.conditioning import draw_all
from tiny import tiny_inputs, tiny_networks

FRAMES = 6  # more than are read at once


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
