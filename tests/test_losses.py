"""Losses beside squared error."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from durian.models.positions import near_features
from durian.training.dataset import stack
from durian.training.losses import (
    contrast_error,
    edge_error,
    flicker_error,
    grid_error,
    zigzag_error,
)
from durian.training.true_motion import TrueMotion


def folded(image: torch.Tensor) -> torch.Tensor:
    """Pixel latents (B, c, F, h, w) of pictures (B, F, 3, H, W) with cells of 4 pixels."""
    return F.pixel_unshuffle(image, 4).transpose(1, 2)


def test_edge_error_sees_edges_and_not_brightness() -> None:
    flat = torch.full((1, 2, 3, 16, 16), 0.7)
    assert edge_error(folded(flat), 4).max() < 1e-6
    step = flat.clone()
    step[..., 8:] += 1.0  # in every row one difference of 1, in the last column of the second cell
    error = edge_error(folded(step), 4)
    expected = torch.zeros(1, 2, 4, 4)
    expected[..., 1] = 1 / 4
    torch.testing.assert_close(error, expected)


def test_edge_error_counts_a_blurred_edge_like_the_sharp_one_that_it_misses() -> None:
    sharp = torch.zeros(1, 1, 3, 16, 16)
    sharp[..., 8:] = 1
    blurred = torch.linspace(0, 1, 16).expand_as(sharp)
    nothing = edge_error(folded(sharp), 4).sum()
    assert edge_error(folded(sharp - blurred), 4).sum() > 0.8 * nothing


def test_grid_error_sees_what_repeats_from_cell_to_cell() -> None:
    random = torch.Generator().manual_seed(0)
    noise = torch.randn(2, 48, 3, 8, 8, generator=random)
    stipple = torch.randn(2, 3, 16, 3, 1, 1, generator=random)
    stipple = (stipple - stipple.mean(2, keepdim=True)).flatten(1, 2).expand(-1, -1, -1, 8, 8)
    assert grid_error(stipple).shape == (2, 3, 8, 8)
    torch.testing.assert_close(grid_error(stipple), stipple.square().mean(1))
    assert grid_error(noise).mean() < 0.1 * noise.square().mean()
    # Brightness and colour of whole cells are no stipple.
    flat = torch.randn(2, 3, 1, 3, 8, 8, generator=random).expand(-1, -1, 16, -1, -1, -1).flatten(1, 2)
    assert grid_error(flat).max() < 1e-12


def test_zigzag_error_sees_dither_and_neither_edges_nor_blur() -> None:
    random = torch.Generator().manual_seed(0)
    ramp = torch.linspace(0, 1, 16).expand(1, 1, 3, 16, 16)
    edge = (ramp > 0.5).float()
    dither = (torch.rand(ramp.shape, generator=random) < ramp).float()
    assert zigzag_error(folded(ramp), folded(edge), 4).max() == 0
    assert zigzag_error(folded(edge), folded(ramp), 4).max() == 0
    assert zigzag_error(folded(dither), folded(edge), 4).mean() > 0.1
    # Texture in another place is none: what is counted is how much of it there is.
    board = ((torch.arange(16)[:, None] + torch.arange(16)) % 2).float().expand_as(ramp)
    assert zigzag_error(folded(1 - board), folded(board), 4).max() < 1e-6
    assert zigzag_error(folded(board.mT), folded(ramp), 4).shape == (1, 1, 4, 4)
    inside = zigzag_error(folded(board), folded(ramp), 4)[0, 0, 1:3, 1:3]
    torch.testing.assert_close(inside, torch.full((2, 2), 2.0))  # a step of 1 turns across and down


@pytest.fixture
def drifting() -> torch.Tensor:
    """A smooth texture that moves right by 2 pixels a frame, (1, 4, 3, 64, 64) in [-1, 1]."""
    random = torch.Generator().manual_seed(0)
    texture = F.interpolate(torch.randn(1, 3, 20, 20, generator=random), (80, 80), mode="bicubic").tanh()
    return torch.stack([texture[..., 8:72, 8 - 2 * t : 72 - 2 * t] for t in range(4)], 1)


def test_true_motion_says_where_pixels_came_from(drifting: torch.Tensor) -> None:
    motion = TrueMotion.of(torch.cat([drifting, drifting.flip(1)]))
    assert motion.places.shape == (6, 64, 64, 2)
    assert motion.visible.shape == (6, 64, 64)
    assert motion.visible[:, 16:48, 16:48].min() == 1
    here = (torch.arange(64) + 0.5) / 32 - 1
    moved = (motion.places[..., 0] - here)[:, 16:48, 16:48] * 32
    assert (moved[:3] + 2).abs().max() < 0.3  # to the right: a pixel came from the left
    assert (moved[3:] - 2).abs().max() < 0.3
    up = (motion.places[..., 1] - here[:, None])[:, 16:48, 16:48] * 32
    assert up.abs().max() < 0.3


def test_motion_found_with_each_example_is_that_of_the_batch(drifting: torch.Tensor) -> None:
    clips = torch.cat([drifting, drifting.flip(1)])
    each = [TrueMotion.found(clip.numpy()) for clip in clips]
    batch = {"targets": torch.zeros_like(clips), **stack(each)}
    motion, found = TrueMotion.of(clips), TrueMotion.of_batch(batch)
    torch.testing.assert_close(found.places, motion.places)
    torch.testing.assert_close(found.visible, motion.visible)
    again = TrueMotion.of_batch({"targets": clips})
    torch.testing.assert_close(again.places, motion.places)


def test_flicker_error_follows_the_motion(drifting: torch.Tensor) -> None:
    motion = TrueMotion.of(drifting)
    attached = flicker_error(folded(0.5 * drifting), motion, 4)[0, :, 4:12, 4:12]
    fixed = flicker_error(folded(0.5 * drifting[:, :1].expand_as(drifting)), motion, 4)[0, :, 4:12, 4:12]
    assert attached.shape == (4, 8, 8)
    assert attached.max() < 0.2 * fixed[1:].mean()
    # What is wrong alike in every frame is none, and a change of brightness counts in full.
    blinking = torch.tensor([0.0, 1.0, 1.0, 0.0])[:, None, None, None].expand_as(drifting)
    error = flicker_error(folded(blinking), motion, 4)[0, :, 4:12, 4:12]
    expected = torch.tensor([0.0, 1.0, 0.0, 1.0])[:, None, None].expand_as(error)
    torch.testing.assert_close(error, expected)


def test_flicker_is_not_asked_of_what_was_hidden(drifting: torch.Tensor) -> None:
    motion = TrueMotion.of(drifting)
    unseen = TrueMotion(motion.places, torch.zeros_like(motion.visible))
    assert flicker_error(folded(torch.rand(drifting.shape)), unseen, 4).max() == 0


def test_near_features_lies_on_eyes_and_mouth() -> None:
    axis = torch.linspace(-1.5, 1.5, 61)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    weight = near_features(torch.stack([x, y])[None, None])[0, 0]
    at = lambda px, py: float(weight[(axis - py).abs().argmin(), (axis - px).abs().argmin()])  # noqa: E731
    assert min(at(-0.32, 0), at(0.32, 0), at(0, 0.72)) > 0.95
    assert max(at(0, -0.6), at(0.9, 0.4), at(0, 1.4)) < 0.05
    torch.testing.assert_close(weight, weight.flip(1), atol=1e-5, rtol=0)
    eyes = near_features(torch.stack([x, y]), mouth=False)
    torch.testing.assert_close(eyes[:31], weight[:31], atol=1e-3, rtol=0)
    assert eyes[45:].max() < 1e-3


def test_contrast_error_asks_how_much_texture_there_is_and_not_where() -> None:
    texture = torch.randn(1, 1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    texture = F.avg_pool2d(texture[0], 3, 1, 1)[None]
    blurred = F.avg_pool2d(texture[0], 9, 1, 4)[None]
    elsewhere = texture.roll((3, 5), (-2, -1)).flip(-1)
    error = lambda other: float(contrast_error(folded(other), folded(texture), 4).mean())  # noqa: E731
    assert error(texture + 0.3) < 1e-5
    assert error(elsewhere) < 0.5 * error(blurred)
    assert (elsewhere - texture).square().mean() > 1.5 * (blurred - texture).square().mean()


def test_contrast_error_has_a_slope_on_even_ground() -> None:
    flat = torch.zeros(1, 3 * 16, 1, 4, 4, requires_grad=True)
    contrast_error(flat, torch.zeros_like(flat), 4).sum().backward()
    assert flat.grad is not None
    assert flat.grad.isfinite().all()
