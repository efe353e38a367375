"""Whole copies, the places that heads agree on, and their blending into frames."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from durian.errors import DurianError
from durian.models import DetailNet
from durian.models.consensus import consensus
from durian.models.copy_blend import COPIES, CopyBlend, whole_copies
from durian.models.positions import cell_centres
from durian.models.reference_copy import CopySource, Found
from durian.pipeline import DurianPipeline
from durian.pipeline.windows import Windows
from durian.portrait.landmark_places import landmark_places
from durian.training.build import build_networks
from durian.training.config import load_config
from durian.training.dry_run import dry_run
from durian.training.run import train
from people import write_shard
from tiny import tiny_inputs, tiny_networks, tiny_preset, tiny_reference
from tiny_runs import make_clip, write_config

NAME = "diffusion_pytorch_model.safetensors"
GRID, HEADS = 16, 4


def moved(angle: float = 0.2, scale: float = 0.9, x: float = 0.1, y: float = -0.05) -> torch.Tensor:
    """Places of an affine motion, (2, GRID, GRID)."""
    turn = scale * torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    own = cell_centres(GRID, GRID, torch.zeros(1))
    return torch.einsum("ab,bhw->ahw", turn, own) + torch.tensor([x, y])[:, None, None]


@settings(deadline=None, max_examples=15)
@given(st.floats(-0.5, 0.5), st.floats(0.6, 1.5), st.floats(-0.3, 0.3), st.floats(-0.3, 0.3))
def test_what_all_heads_find_is_what_they_agree_on(angle: float, scale: float, x: float, y: float):
    true = moved(angle, scale, x, y)
    place, around = consensus(true.expand(1, HEADS, 2, GRID, GRID), torch.full((1, HEADS, GRID, GRID), 0.25))
    torch.testing.assert_close(place[0], true, atol=2e-3, rtol=0)
    torch.testing.assert_close(around, torch.ones(1, 1, GRID, GRID), atol=1e-4, rtol=0)


def test_errors_of_single_heads_and_cells_are_outvoted():
    torch.manual_seed(0)
    true, cell = moved(), 2 / GRID
    found = true + 0.5 * cell * torch.randn(1, HEADS, 2, GRID, GRID)
    found[:, 3] = true.flip(-1)  # a head that looks at the other side
    place, _ = consensus(found, torch.full((1, HEADS, GRID, GRID), 0.25))
    inside = (slice(None), slice(None), slice(3, -3), slice(3, -3))
    wrong = (found[:, 0] - true).square().sum(1, keepdim=True).sqrt()[inside].mean()
    left = (place - true).square().sum(1, keepdim=True).sqrt()[inside]
    assert left.mean() < 0.35 * wrong
    assert left.max() < cell


def test_heads_that_are_not_used_have_no_say():
    true = moved()
    found, weight = torch.rand(1, HEADS, 2, GRID, GRID), torch.zeros(1, HEADS, GRID, GRID)
    found[:, 2], weight[:, 2] = true, 0.7
    place, around = consensus(found, weight)
    torch.testing.assert_close(place[0], true, atol=2e-3, rtol=0)
    torch.testing.assert_close(around, torch.full_like(around, 0.7), atol=1e-4, rtol=0)


def test_where_little_is_found_the_whole_map_goes_on():
    true, weight = moved(), torch.zeros(1, HEADS, GRID, GRID)
    weight[..., : GRID // 2] = 0.25
    place, around = consensus(true.expand(1, HEADS, 2, GRID, GRID), weight)
    beyond = slice(GRID // 2 + 1, GRID // 2 + 4)
    torch.testing.assert_close(place[0, :, :, beyond], true[:, :, beyond], atol=5e-3, rtol=0)
    assert around[..., -1].max() < 1e-3


def test_where_nothing_is_found_nothing_breaks():
    place, around = consensus(torch.rand(2, HEADS, 2, GRID, GRID), torch.zeros(2, HEADS, GRID, GRID))
    assert torch.isfinite(place).all()
    assert not around.any()


def source_of(pictures: torch.Tensor, views: tuple[int, ...] = (1, 1)) -> CopySource:
    """References with larger pictures of one colour each, all visible."""
    fine = tuple(torch.full((1, 4, 64, 64), 1.0) * picture for picture in pictures)
    fine = tuple(torch.cat([each[:, :3], torch.ones(1, 1, 64, 64)], 1) for each in fine)
    none = torch.zeros(1, 1, 1, 1)
    return CopySource(none, none[0], none[0, 0, 0], fine, fine=fine, views=views)


def found_of(masses: list[float]) -> Found:
    """All heads at rest, with so much attention for each reference."""
    mass = torch.tensor(masses)[None, None, :, None, None].expand(1, HEADS, -1, 8, 8)
    own = cell_centres(8, 8, torch.zeros(1))
    return Found(mass, own.expand(1, HEADS, len(masses), 2, 8, 8))


def known_at_rest(confidence: float) -> torch.Tensor:
    return torch.cat([cell_centres(64, 64, torch.zeros(1)), torch.full((1, 64, 64), confidence)])[None]


def even_shares(own: float = 0.0) -> torch.Tensor:
    """Logarithms of heads' shares, and of what DNet paints itself."""
    shares = torch.full((1, HEADS + 1, 32, 32), (1 - own) / HEADS)
    shares[:, -1] = max(own, 1e-6)
    return shares.log()


def test_copies_are_of_the_face_the_portrait_and_the_attribute():
    copies = whole_copies(
        found_of([0.6, 0.3]), source_of(torch.tensor([1.0, 2.0])), even_shares(), None, known_at_rest(0.5)
    )
    assert copies.shape == (1, COPIES, 4, 64, 64)
    middle = copies[0, :, :, 32, 32]
    torch.testing.assert_close(middle[0], torch.tensor([0.5, 0.5, 0.5, 0.5]))
    torch.testing.assert_close(middle[1], torch.tensor([1.0, 1.0, 1.0, 1.0]))
    torch.testing.assert_close(middle[2], torch.tensor([1.8, 1.8, 1.8, 0.9]), atol=1e-4, rtol=0)


def test_without_attributes_there_is_none_to_copy():
    copies = whole_copies(
        found_of([0.6]), source_of(torch.tensor([1.0]), (1,)), even_shares(), None, known_at_rest(0.5)
    )
    assert not copies[:, 2].any()
    assert copies[:, 1].any()


def test_of_several_pictures_the_one_in_use_is_copied():
    source = source_of(torch.tensor([1.0, 5.0, 2.0, 7.0]), (2, 1, 1))
    copies = whole_copies(found_of([0.1, 0.5, 0.4, 0.02]), source, even_shares(), None, known_at_rest(1.0))
    middle = copies[0, :, 0, 32, 32] / copies[0, :, 3, 32, 32]
    assert middle[0] == 1  # landmarks are of the first picture
    assert 4.9 < middle[1] < 5
    assert 2 < middle[2] < 2.1


def test_light_is_that_of_the_heads_in_use():
    tones = torch.zeros(1, HEADS, 2, 3, 8, 8)
    tones[:, 1, 1], tones[:, 2, 1] = 0.25, -0.5
    shares = torch.full((1, HEADS + 1, 32, 32), -20.0)
    shares[:, 1, :, :16], shares[:, 2, :, 16:] = 0, 0
    source, found = source_of(torch.tensor([1.0, 2.0])), found_of([0.5, 0.5])
    dark, lit = (whole_copies(found, source, shares, light, known_at_rest(1.0)) for light in (None, tones))
    change = (lit - dark)[0, :2, 0, 32]
    torch.testing.assert_close(change[:, 8], torch.tensor([0.25, 0.25]), atol=2e-3, rtol=0)
    torch.testing.assert_close(change[:, 56], torch.tensor([-0.5, -0.5]), atol=2e-3, rtol=0)


def copies_of(*pictures: torch.Tensor) -> torch.Tensor:
    """All there, everywhere."""
    return F.pad(torch.stack(pictures, 1), (0, 0, 0, 0, 0, 1), value=1.0)


def test_nothing_changes_where_nothing_is_copied():
    torch.manual_seed(0)
    net = CopyBlend(2, 8)
    torch.nn.init.normal_(net.conv_out.weight, std=0.3)
    frames, copies = torch.randn(2, 3, 64, 64), torch.zeros(2, COPIES, 4, 64, 64)
    copies[..., 20:40, 20:40] = 1
    with torch.no_grad():
        changed = (net(frames, copies) - frames).abs().amax((0, 1)) > 1e-6
    assert changed[24:36, 24:36].all()
    assert not changed[:8].any()
    assert not changed[:, 56:].any()


@pytest.mark.parametrize("chosen", range(COPIES))
def test_any_of_the_copies_can_be_taken_whole_and_none(chosen: int):
    frames, *pictures = (torch.randn(1, 3, 64, 64) for _ in range(1 + COPIES))
    net, copies = CopyBlend(2, 8), copies_of(*pictures)
    with torch.no_grad():
        net.conv_out.bias.view(3, COPIES)[:, chosen] = 60.0
        torch.testing.assert_close(net(frames, copies), pictures[chosen], atol=1e-4, rtol=0)
        net.conv_out.bias[:] = -60.0
        torch.testing.assert_close(net(frames, copies), frames, atol=1e-4, rtol=0)


def test_attributes_can_be_favoured_afterwards():
    torch.manual_seed(0)
    net = CopyBlend(2, 8)
    torch.nn.init.normal_(net.conv_out.weight, std=0.3)
    frames, *pictures = (torch.randn(1, 3, 64, 64) for _ in range(1 + COPIES))
    with torch.no_grad():
        plain, more, whole = (net(frames, copies_of(*pictures), favour) for favour in (0.0, 3.0, 60.0))
    torch.testing.assert_close(whole, pictures[-1], atol=1e-4, rtol=0)
    away = [(made - pictures[-1]).abs().mean() for made in (plain, more)]
    assert away[1] < 0.7 * away[0]


def test_before_training_little_is_copied():
    frames = torch.randn(1, 3, 64, 64)
    copies = copies_of(*(torch.randn(1, 3, 64, 64) for _ in range(COPIES)))
    with torch.no_grad():
        made = CopyBlend(2, 8)(frames, copies)
    assert 0.01 < (made - frames).std() < 0.2


def pipeline_with(blend: bool) -> DurianPipeline:
    networks, preset = tiny_networks(), tiny_preset()
    torch.manual_seed(1)
    plain = DetailNet(2)
    torch.manual_seed(2)
    networks.detail_net = DetailNet(2, blend=blend).eval()
    networks.detail_net.load_state_dict(plain.state_dict(), strict=False)
    return DurianPipeline(networks, DDIMScheduler(**preset.scheduler), preset.size, 2)


def test_results_have_the_portraits_pixels_where_landmarks_say_that_they_are():
    inputs = tiny_inputs(3, size=64)
    without, blended = pipeline_with(False), pipeline_with(True)
    with torch.no_grad():
        blended.networks.detail_net.copy_blend.conv_out.bias[:] = -60.0
        blended.networks.detail_net.copy_blend.conv_out.bias.view(3, COPIES)[:, 0] = 60.0
    plain, made = (each.animate(inputs).astype(float) for each in (without, blended))
    for index, points in enumerate(inputs.keypoints):
        known = landmark_places(inputs.portrait.landmarks, points, 64)
        assert (np.abs(made - plain)[index].max(2) > 1)[known[..., 2] > 0.9].mean() > 0.5
        far = F.max_pool2d(torch.from_numpy(known[..., 2])[None], 17, 1, 8)[0].numpy() == 0
        assert (np.abs(made - plain)[index].max(2) == 0)[far].all()


@pytest.mark.parametrize(
    "options",
    [
        {"portrait_scale": 1.5, "attribute_scale": 2.0},
        {"interpolate_to": {"hair": tiny_reference(7, 64)}, "interpolation": np.linspace(0, 1, 20)},
        {"drop_attribute_tokens": True},
    ],
    ids=["guided", "interpolated", "no attribute tokens"],
)
def test_streams_are_blended_as_the_whole_is(options: dict):
    pipeline, inputs = pipeline_with(True), tiny_inputs(20, size=64)
    whole = pipeline.animate(inputs, **options)
    stream = pipeline.animate_iter(inputs.portrait, inputs.attributes, iter(inputs.keypoints), **options)
    assert (np.stack(list(stream)) == whole).all()
    assert not (pipeline_with(False).animate(inputs, **options) == whole).all()
    live = pipeline.animate_iter(
        inputs.portrait, inputs.attributes, inputs.keypoints, windows=Windows(8, 4, 0, grows=True), **options
    )
    assert np.stack(list(live)).shape == whole.shape


def test_places_must_be_given(monkeypatch: pytest.MonkeyPatch):
    pipeline = pipeline_with(True)
    detail = pipeline.networks.detail

    def without(*args: object, **kwargs: object) -> torch.Tensor:
        return detail(*args[:-1], **kwargs)

    monkeypatch.setattr(pipeline.networks, "detail", without)
    with pytest.raises(ValueError, match="places that landmarks say"):
        pipeline.animate(tiny_inputs(1, size=64))


BLEND = {"trained": "blend", "critic": {"channels": 4}, "stage": 2}


def write_clips(folder: Path) -> None:
    clips = [make_clip(f"{i:05}", 60 * i + 20, size=64, frames=6) for i in range(3)]
    write_shard(folder / "clips-000.tar", clips)


def test_training_changes_the_blend_alone(tmp_path: Path, tiny_mini):
    write_clips(tmp_path)
    start = tmp_path / "start"
    pipeline_with(False).save_pretrained(start)
    made = train(
        write_config(tmp_path, **BLEND, init_from=str(start), sample_every=2, output=tmp_path / "run")
    )
    assert json.loads((made / "detail_net" / "config.json").read_text())["blend"] is True
    before, after = (load_file(folder / "detail_net" / NAME) for folder in (start, made))
    assert all(torch.equal(before[name].half(), after[name]) for name in before)
    new = after.keys() - before.keys()
    assert new
    assert all(name.startswith("copy_blend.") for name in new)
    assert after["copy_blend.conv_out.weight"].abs().sum() > 0
    dnet, kept = (load_file(folder / "denoising_unet" / NAME) for folder in (start, made))
    assert all(torch.equal(dnet[name].half(), kept[name]) for name in dnet)
    assert DurianPipeline.from_pretrained(made, device="cpu").networks.blends
    # How much attributes are favoured is chosen afterwards, and does not count while it trains.
    about = made / "detail_net" / "config.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "favour": 2.5}))
    for trained, favour in (("blend", 0.0), ("detail", 2.5)):
        config = load_config(write_config(tmp_path, **{**BLEND, "trained": trained}, init_from=str(made)))
        assert build_networks(config).detail_net.config["favour"] == favour
    # A run of the detail leaves the blend as it is, and keeps it.
    again = train(
        write_config(
            tmp_path, **{**BLEND, "trained": "detail"}, init_from=str(made), output=tmp_path / "again"
        )
    )
    both = load_file(again / "detail_net" / NAME)
    assert all(torch.equal(after[name], both[name]) for name in new)
    assert not torch.equal(after["conv_out.weight"], both["conv_out.weight"])


def test_a_critic_is_asked_for(tmp_path: Path, tiny_mini):
    write_clips(tmp_path)
    with pytest.raises(DurianError, match="critic: `trained: blend` needs one"):
        train(write_config(tmp_path, trained="blend", stage=2))


def test_a_dry_run_trains_it_too(tmp_path: Path, tiny_mini):
    report = dry_run(write_config(tmp_path, **BLEND))
    assert report.trained == sum(parameter.numel() for parameter in CopyBlend(2, 32).parameters())
