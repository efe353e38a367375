"""Rounding of layers to eight bits."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from durian.pipeline.quantised import rounded, watched


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, stride=2), nn.SiLU(), nn.Flatten(), nn.Linear(128, 5))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(0.01, 100), shift=st.floats(-3, 3))
def test_rounded_layers_err_by_little_within_their_ranges(seed, scale, shift):
    plain, round_off = network(), network()
    generator = torch.Generator().manual_seed(seed)
    given_input = scale * (torch.randn(2, 3, 8, 8, generator=generator) + shift)
    with watched(round_off) as ranges:
        round_off(given_input)
    assert set(ranges) == {"0", "3"}
    assert ranges["0"] == (min(0, float(given_input.min())), max(0, float(given_input.max())))
    rounded(round_off, ranges)
    error = (round_off(given_input) - plain(given_input)).norm() / plain(given_input).norm()
    assert 0 < error < 0.05


def test_what_lies_beyond_the_range_is_cut_off():
    layer = nn.Sequential(nn.Linear(1, 1, bias=False))
    nn.init.ones_(layer[0].weight)
    rounded(layer, {"0": (-1.0, 3.0)})
    cut = layer(torch.tensor([[-5.0], [0.0], [2.0], [9.0]]))
    torch.testing.assert_close(cut, torch.tensor([[-1.0], [0.0], [2.0], [3.0]]), atol=0.02, rtol=0)
    assert cut[1] == 0  # zero is a level: padding and masks stay what they are


def test_layers_of_places_times_and_both_ends_are_left_alone_and_watching_ends():
    names = ("conv_in", "conv_out", "time_embedding", "reference_copy", "middle")
    net = nn.ModuleDict({name: nn.Linear(4, 4) for name in names})
    with watched(net) as ranges:
        for layer in net.values():
            layer(input=torch.ones(1, 4))
    assert set(ranges) == {"middle"}
    net["middle"](torch.full((1, 4), 9.0))
    assert ranges["middle"] == (0.0, 1.0)


def test_a_network_that_does_not_run_is_left_as_it_was():
    net = network()
    with pytest.raises(RuntimeError), watched(net):
        net(torch.zeros(1, 7, 8, 8))
    assert not any(module._forward_pre_hooks for module in net.modules())
