"""`ReferenceCopy`: what it copies, from where, and that references only add up."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from durian.models import DetailNet
from durian.models.positions import cell_centres, encode_positions, position_dim
from durian.models.reference_copy import CopySource, Found, ReferenceCopy, relight

FREQUENCIES, GRID, FACTOR, CHANNELS = 4, 16, 4, 16


@pytest.fixture
def copy() -> ReferenceCopy:
    torch.manual_seed(0)
    return ReferenceCopy(CHANNELS, 48, 2, FACTOR, position_dim(FREQUENCIES), 4).eval()


def positions(shift: float = 0.0, count: int = 1) -> Tensor:
    """Encoded places of a face that fills the image, moved by `shift` of its units."""
    axis = torch.linspace(-1, 1, 2 * GRID + 1)[1::2]
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    grid = torch.stack([x + shift, y], -1).expand(count, -1, -1, -1)
    return encode_positions(grid, FREQUENCIES, 1)[GRID**2]


def picture(seed: int = 0) -> Tensor:
    """A smooth picture, wholly visible: as one sees it and the visibility."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, 3, 4, 4, generator=generator)
    image = torch.nn.functional.interpolate(coarse, (GRID * FACTOR,) * 2, mode="bicubic")
    return torch.cat([image, torch.ones(1, 1, *image.shape[2:])], 1)


def source(copy: ReferenceCopy, image: Tensor, shift: float = 0.0) -> CopySource:
    tokens = torch.zeros(1, GRID**2, CHANNELS)
    return copy.project(tokens, positions(shift), image)


def hidden(frames: int = 1) -> Tensor:
    return torch.randn(frames, CHANNELS, GRID, GRID, generator=torch.Generator().manual_seed(1))


def normalised(copies: Tensor) -> Tensor:
    return copies[:, :, :-1] / copies[:, :, -1:]


def test_a_face_at_rest_is_copied_in_place(copy: ReferenceCopy) -> None:
    image = picture()
    copies = copy.look(hidden(), positions(), source(copy, image))
    inner = slice(8, -8)  # at the border, the kernel's neighbours are on one side only
    error = (normalised(copies)[0] - image[0, :3])[:, :, inner, inner].abs().mean((1, 2, 3))
    assert error.max() < 0.05
    assert (copies[0, :, -1, inner, inner] > 0.8).all()


def test_half_a_token_is_moved_by_half_a_token(copy: ReferenceCopy) -> None:
    # The reference's face lies half a cell (two pixels) to the left of the frame's.
    image = picture()
    copies = normalised(copy.look(hidden(), positions(), source(copy, image, shift=1 / GRID)))
    moved = copies[0, 0, :, 8:-8, 8:-8]  # the first head goes by the face, the second by the image
    assert (moved - image[0, :3, 8:-8, 6:-10]).abs().mean() < 0.4 * (
        moved - image[0, :3, 8:-8, 8:-8]
    ).abs().mean()


def test_a_shift_of_coordinates_moves_what_is_copied() -> None:
    torch.manual_seed(0)
    shape = (CHANNELS, 48, 2, FACTOR, position_dim(FREQUENCIES), 4)
    copy = ReferenceCopy(*shape, shifts=True).eval()
    image = picture()
    still = copy.find(hidden(), positions(), source(copy, image))
    assert copy.shift_q is not None
    assert copy.shift_k is not None
    for layer, direction in ((copy.shift_q, 1), (copy.shift_k, -1)):
        with torch.no_grad():
            layer.bias[0] = 2 / GRID / 0.1  # one cell of the face's x
        moved = copy.find(hidden(), positions(), source(copy, image)).place - still.place
        inner = moved[0, :, 0, :, 3:-3, 3:-3]
        assert (inner[0, 0] * direction * GRID / 2 - 1).abs().max() < 0.25
        assert inner[0, 1].abs().max() < 0.02
        assert inner[1].abs().max() < 1e-5  # the second head goes by the image
        nn.init.zeros_(layer.bias)


def test_nothing_is_copied_from_elsewhere(copy: ReferenceCopy) -> None:
    left = torch.arange(GRID**2).view(GRID, GRID)[:, : GRID // 2].reshape(1, -1)
    copies = copy.look(hidden(), positions(), source(copy, picture()).select(left, None))
    found = copies[0, :, -1].unflatten(2, (4, -1)).mean((1, 3))
    assert (found[:, 0] > 0.9).all()
    assert (found[:, 3] < 0.5).all()


def test_dropped_references_are_not_there(copy: ReferenceCopy) -> None:
    one, other = source(copy, picture(0)), source(copy, picture(1))
    bias = torch.full_like(other.full_bias(), -torch.inf)
    both = CopySource.concatenate([one, replace(other, bias=bias)])
    alone = copy.look(hidden(), positions(), one)
    assert torch.allclose(copy.look(hidden(), positions(), both), alone, atol=1e-5)
    nothing = copy.look(
        hidden(), positions(), replace(one, bias=torch.full_like(one.full_bias(), -torch.inf))
    )
    assert torch.isfinite(nothing).all()
    assert nothing.abs().max() < 1e-3


@given(order=st.permutations(range(3)), frames=st.integers(1, 3))
@settings(max_examples=10, deadline=None)
def test_the_order_of_references_is_no_matter(order: list[int], frames: int) -> None:
    torch.manual_seed(0)
    copy = ReferenceCopy(CHANNELS, 48, 2, FACTOR, position_dim(FREQUENCIES), 4).eval()
    sources = [source(copy, picture(seed), shift=0.1 * seed) for seed in range(3)]
    place = positions(count=frames)
    expected = copy.look(hidden(frames), place, CopySource.concatenate(sources))
    found = copy.look(hidden(frames), place, CopySource.concatenate([sources[i] for i in order]))
    assert torch.allclose(found, expected, atol=1e-4)


def test_frames_and_samples_do_not_mix(copy: ReferenceCopy) -> None:
    images = torch.cat([picture(0), picture(1)])
    together = copy.project(torch.zeros(2, GRID**2, CHANNELS), positions(count=2), images)
    frames = hidden(6)  # three of each sample
    all_at_once = copy.look(frames, positions(count=6), together)
    for i in range(6):
        alone = copy.look(frames[i : i + 1], positions(), source(copy, images[i // 3 : i // 3 + 1]))
        assert torch.allclose(all_at_once[i : i + 1], alone, atol=1e-4)


def test_it_starts_beside_what_the_network_makes(copy: ReferenceCopy) -> None:
    features = hidden()
    copies = copy.look(features, positions(), source(copy, picture()))
    after, shares = copy(features, copies)
    assert torch.allclose(after, features, atol=1e-6)
    assert torch.allclose(shares.exp().sum(1), torch.ones_like(shares[:, 0]))
    made = torch.randn(1, 48, GRID, GRID)
    nothing = copy.compose(made, torch.zeros_like(copies), shares)
    assert torch.allclose(nothing, made)


def test_what_is_copied_teaches_attention(copy: ReferenceCopy) -> None:
    copies = copy.look(hidden(), positions(), source(copy, picture(), shift=0.05))
    (copies[:, 0, :3] - picture()[:, :3]).square().mean().backward()
    gradient = copy.position_to_q.weight.grad
    assert gradient is not None
    assert gradient.abs().max() > 0


@pytest.fixture
def lit() -> ReferenceCopy:
    torch.manual_seed(0)
    parts = {"tones": True, "polish_channels": 6, "choice_channels": 5}
    return ReferenceCopy(CHANNELS, 48, 2, FACTOR, position_dim(FREQUENCIES), 4, **parts)


def composed(copy: ReferenceCopy, image: Tensor) -> Tensor:
    copies = copy.look(hidden(), positions(), source(copy, image))
    feature, shares = copy(hidden(), copies)
    made = torch.randn(1, 48, GRID, GRID, generator=torch.Generator().manual_seed(2))
    return copy.compose(made, relight(copies, copy.tones(feature)), shares)


def test_light_choice_and_polish_start_as_nothing(copy: ReferenceCopy, lit: ReferenceCopy) -> None:
    new = lit.load_state_dict(copy.state_dict(), strict=False).missing_keys
    assert {name.split(".")[0] for name in new} == {"tone", "polish", "choice"}
    torch.testing.assert_close(composed(lit, picture()), composed(copy, picture()))


def test_copies_are_lit_anew_head_by_head_and_colour_by_colour(lit: ReferenceCopy) -> None:
    copies = lit.look(hidden(), positions(), source(lit, picture()))
    assert lit.tone is not None
    with torch.no_grad():
        bias = lit.tone.bias.view(2, 2, 3)
        bias[0, 0, 1], bias[1, 1, 2] = -5.0, 2.0  # the first's green darker, the second's blue raised
    after = relight(copies, lit.tones(hidden()))
    expected = copies.clone()
    expected[:, 0, 1] *= 0.5
    expected[:, 1, 2] += 0.2 * copies[:, 1, 3]
    torch.testing.assert_close(after, expected)


def test_polish_sees_across_the_borders_of_cells(lit: ReferenceCopy) -> None:
    assert lit.polish is not None
    torch.nn.init.normal_(lit.polish.conv_out.weight)
    pixels = torch.randn(1, 3, 16, 16, requires_grad=True)
    lit.polish(pixels, torch.ones(1, 1, 16, 16))[0, 0, 7, FACTOR].backward()
    assert pixels.grad is not None
    assert pixels.grad[0, :, 7, FACTOR - 1].abs().min() > 0


def test_a_choice_may_follow_what_lies_across_the_borders_of_cells(lit: ReferenceCopy) -> None:
    assert lit.choice is not None
    torch.nn.init.normal_(lit.choice.conv_out.weight)
    shares = torch.randn(1, 3, 16, 16).log_softmax(1)
    copies, pixels = torch.randn(1, 2, 4, 16, 16, requires_grad=True), torch.randn(1, 3, 16, 16)
    chosen = lit.choice(shares, copies, pixels)
    torch.testing.assert_close(chosen.exp().sum(1), torch.ones(1, 16, 16))
    chosen[0, 0, 7, FACTOR].backward()
    assert copies.grad is not None
    assert copies.grad[0, :, :, 7, FACTOR - 1].abs().min() > 0


def test_what_is_chosen_is_what_is_seen(lit: ReferenceCopy) -> None:
    assert lit.choice is not None
    assert lit.choice.conv_out.bias is not None
    copies = lit.look(hidden(), positions(), source(lit, picture()))
    made, even = torch.zeros(1, 48, GRID, GRID), torch.zeros(1, 3, *copies.shape[3:]).log_softmax(1)
    with torch.no_grad():
        lit.choice.conv_out.bias.copy_(torch.tensor([0.0, 40.0, 0.0]))
    second = copies[:, 1, :-1]  # where there is none of it, what DNet makes: zeros
    composed = lit.compose(made, copies, lit.choose(made, copies, even))
    torch.testing.assert_close(F.pixel_shuffle(composed, FACTOR), second)


def two_heads(places: Tensor, masses: Tensor) -> Found:
    """Of two heads and two references, in a single cell: (heads, references) places along x, y is 0."""
    flat = places[None, :, :, None, None]
    return Found(masses[None, :, :, None, None], torch.stack([flat, 0 * flat], 3))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4), st.floats(0, 1), st.floats(0.001, 2.0))
def test_heads_agree_on_a_place_in_each_reference(at: list[float], first: float, most: float):
    places = torch.tensor(at).view(2, 2)
    masses = torch.tensor([[0.9, 0.1], [0.5, 0.5]])
    shares = torch.tensor([0.9 * first, 0.9 * (1 - first), 0.1]).log().view(1, 3, 1, 1).expand(-1, -1, 4, 4)
    found = two_heads(places, masses)
    moved = found.agreed(shares, most)
    assert torch.equal(moved.mass, found.mass)
    assert (moved.place - found.place).abs().max() <= most + 1e-6
    weight = shares[0, :2, 0, 0].exp()[:, None] * masses + 1e-4
    mean = (places * weight).sum(0) / weight.sum(0)
    wide = found.agreed(shares, 4.0).place[0, :, :, 0, 0, 0]
    torch.testing.assert_close(wide, mean.expand(2, -1), atol=1e-5, rtol=1e-4)


def test_a_head_that_nothing_is_taken_from_has_no_say():
    found = two_heads(torch.tensor([[0.1, 0.1], [0.3, 0.3]]), torch.ones(2, 2))
    shares = torch.tensor([1.0, 0.0, 0.0]).log().view(1, 3, 1, 1)
    moved = found.agreed(shares, 1.0).place[0, :, :, 0, 0, 0]
    torch.testing.assert_close(moved, torch.full((2, 2), 0.1), atol=1e-3, rtol=0)


def test_heads_that_agree_keep_the_texture_that_their_mean_would_blur(copy: ReferenceCopy) -> None:
    """Stripes of two pixels, seen by two heads a pixel to the left and to the right of their place."""
    side = GRID * FACTOR
    stripes = (torch.arange(side) // 2 % 2 * 2.0 - 1).expand(1, 3, side, -1)
    reference = source(copy, torch.cat([stripes, torch.ones(1, 1, side, side)], 1))
    apart = torch.tensor([-1.0, 1.0]).view(1, 2, 1, 1, 1, 1) * torch.tensor([2 / side, 0]).view(2, 1, 1)
    place = cell_centres(GRID, GRID, stripes) + apart
    found = Found(torch.ones(1, 2, 1, GRID, GRID), place)
    shares = torch.tensor([0.5, 0.5, 0.0]).log().view(1, 3, 1, 1).expand(-1, -1, side, side)
    inner = slice(8, -8)

    def contrast(found: Found) -> float:
        return float(copy.fetch(found, reference).mean(1)[0, 0, inner, inner].std())

    assert contrast(found) < 0.1
    assert contrast(DetailNet(heads=2, agree=3.0).agreed(found, shares)) > 0.9
    assert DetailNet(heads=2).agreed(found, shares) is found
    # The limit is in pixels of the smaller frame.
    half = DetailNet(heads=2, agree=0.5).agreed(found, shares)
    torch.testing.assert_close(half.place - found.place, -apart.expand_as(place) / 2)
