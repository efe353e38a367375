"""`steadied`, and what `ReferenceCopy` keeps from trembling with it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from durian.models.reference_copy import CopySource, Found, ReferenceCopy
from durian.models.steadying import steadied
from durian.pipeline import DurianPipeline
from tiny import tiny_inputs, tiny_networks, tiny_preset

HEADS, FACTOR, CELLS = 2, 4, 8


@pytest.fixture
def copy() -> ReferenceCopy:
    torch.manual_seed(0)
    copy = ReferenceCopy(16, 48, HEADS, FACTOR, 0, 4, tones=True, steady=True).eval()
    assert copy.tone is not None
    torch.nn.init.normal_(copy.tone.weight, std=2.0)
    return copy


def flat(clips: Tensor, frames: int, most: float) -> Tensor:
    return steadied(clips.flatten(0, 1), frames, most).unflatten(0, (-1, frames))


@settings(max_examples=30, deadline=None)
@given(st.floats(-0.5, 0.5), st.floats(-0.1, 0.1), st.floats(0.0, 0.02), st.integers(3, 8))
def test_what_moves_steadily_is_left_and_what_trembles_is_not(
    at: float, speed: float, jitter: float, frames: int
) -> None:
    time = torch.arange(frames, dtype=torch.float32)
    steady = at + speed * time
    values = torch.stack([steady, steady + jitter * (-1) ** time])
    moved = flat(values, frames, 0.05)
    torch.testing.assert_close(moved[0], steady)
    torch.testing.assert_close(moved[1, 1:-1], steady[1:-1], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(moved[1, [0, -1]], values[1, [0, -1]])


def test_what_jumps_is_kept_and_clips_are_apart() -> None:
    values = torch.tensor([[0.0, 0.0, 0.4, 0.0, 0.0], [0.7, 0.7, 0.7, 0.7, 0.7]])
    moved = flat(values, 5, 0.01)
    torch.testing.assert_close(moved, values + torch.tensor([[0, 0.01, -0.01, 0.01, 0], [0.0] * 5]))
    for frames in (1, 2):
        short = values[:, :frames]
        torch.testing.assert_close(flat(short, frames, 0.01), short)


def test_places_move_by_half_a_pixel_at_most(copy: ReferenceCopy) -> None:
    torch.manual_seed(1)
    mass, place = torch.rand(6, HEADS, 1, CELLS, CELLS), torch.rand(6, HEADS, 1, 2, CELLS, CELLS)
    plain = Found(mass, place)
    steady = copy.steady_places(plain, 6)
    assert torch.equal(steady.mass, plain.mass)
    pixels = (steady.place - plain.place)[1:-1].abs() * (CELLS * FACTOR / 2)
    torch.testing.assert_close(pixels.max(), torch.tensor(0.5), atol=1e-4, rtol=0)


def test_shares_stay_shares(copy: ReferenceCopy) -> None:
    torch.manual_seed(2)
    shares = (4 * torch.randn(8, HEADS + 1, CELLS, CELLS)).log_softmax(1)
    steady = copy.steady_shares(shares, 4)
    torch.testing.assert_close(steady.exp().sum(1), torch.ones(8, CELLS, CELLS))
    assert steady.isfinite().all()
    torch.testing.assert_close(steady[[0, 3, 4, 7]].exp(), shares[[0, 3, 4, 7]].exp(), atol=1e-5, rtol=0)
    one = torch.tensor([0.0, -30.0, -30.0])[None, :, None, None].expand(3, -1, CELLS, CELLS)
    other = one.roll(1, 1)
    blinked = copy.steady_shares(torch.cat([one[:1], other[:1], one[:1]]), 3)[1, :, 0, 0].exp()
    torch.testing.assert_close(blinked, torch.tensor([0.2, 0.8, 0.0]), atol=1e-5, rtol=0)


def test_light_and_paint_do_not_tremble(copy: ReferenceCopy) -> None:
    sign = torch.tensor([1.0, -1.0] * 3)[:, None, None, None]
    paint = 0.3 + 0.02 * sign.expand(-1, 48, CELLS, CELLS)
    torch.testing.assert_close(copy.steady_paint(paint, 6)[1:-1], torch.full_like(paint[1:-1], 0.3))
    still, shift = torch.randn(1, 16, CELLS, CELLS), 0.01 * torch.randn(1, 16, CELLS, CELLS)
    trembling, calm = (copy.tones(still + wave * shift, 6) for wave in (sign, 0 * sign))
    assert trembling is not None
    assert calm is not None
    torch.testing.assert_close(trembling[1:-1], calm[1:-1], atol=1e-5, rtol=1e-4)
    assert (trembling[0] - calm[0]).abs().max() > 1e-3


def test_without_the_option_nothing_is_moved(copy: ReferenceCopy) -> None:
    copy.steady = False
    torch.manual_seed(3)
    place = Found(torch.rand(6, HEADS, 1, 2, 2), torch.rand(6, HEADS, 1, 2, 2, 2))
    shares, paint = torch.randn(6, HEADS + 1, 4, 4).log_softmax(1), torch.randn(6, 48, 2, 2)
    hidden = torch.randn(6, 16, 2, 2)
    assert copy.steady_places(place, 6) is place
    assert copy.steady_shares(shares, 6) is shares
    assert copy.steady_paint(paint, 6) is paint
    torch.testing.assert_close(copy.tones(hidden, 6), copy.tones(hidden))


@pytest.mark.parametrize("temporal", [False, True])
def test_only_frames_that_follow_each_other_are_steadied(temporal: bool) -> None:
    copying = tiny_networks(temporal=temporal, copy_steady=True).denoising_unet.reference_copy
    assert copying is not None
    assert copying.steady == temporal
    without = tiny_networks(copy_steady=False).denoising_unet.reference_copy
    assert without is not None
    assert not without.steady


def test_dnet_composes_of_what_was_steadied(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = tiny_networks(copy_heads=2, copy_tones=True, copy_choice=4, copy_steady=True)
    seen: dict[str, list[tuple[Any, ...]]] = {}
    for name in ("steady_places", "steady_paint", "steady_shares", "tones"):
        whole = getattr(ReferenceCopy, name)

        def spy(
            self: ReferenceCopy, values: Tensor, frames: int, name: str = name, whole: Any = whole
        ) -> Any:
            assert frames == 4
            seen.setdefault(name, []).append((values, whole(self, values, frames)))
            return seen[name][-1][1]

        monkeypatch.setattr(ReferenceCopy, name, spy)
    whole_compose, whole_fetch = ReferenceCopy.compose, ReferenceCopy.fetch

    def spy_fetch(self: ReferenceCopy, found: Found, source: CopySource) -> Tensor:
        given, steady = seen["steady_places"][-1]
        assert found is steady
        assert (given.place - steady.place).abs().max() > 1e-4
        return whole_fetch(self, found, source)

    def spy_compose(self: ReferenceCopy, made: Tensor, copies: Tensor, shares: Tensor) -> Tensor:
        for name, used in (("steady_paint", made), ("steady_shares", shares)):
            given, steady = seen[name][-1]
            assert used is steady
            assert (given - steady).abs().max() > 1e-4
        seen.setdefault("composed", []).append((made,))
        return whole_compose(self, made=made, copies=copies, shares=shares)

    monkeypatch.setattr(ReferenceCopy, "fetch", spy_fetch)
    monkeypatch.setattr(ReferenceCopy, "compose", spy_compose)
    pipeline = DurianPipeline(networks, DDIMScheduler(**tiny_preset().scheduler), tiny_preset().size, 4)
    pipeline.animate(tiny_inputs(4), num_inference_steps=1)
    assert len(seen["composed"]) == len(seen["tones"]) == len(seen["steady_places"]) == 1
