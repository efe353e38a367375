"""`DetailNet`: detail of the references in results larger than DNet's pictures, and its training."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from durian.errors import DurianError
from durian.models import DetailNet, Networks
from durian.models.denoising_unet import DeepFeatures
from durian.models.positions import cell_centres
from durian.models.reference_copy import Found, ReferenceCopy, fetch_pixels
from durian.models.resizing import enlarge, spread
from durian.models.spatial_attention import References
from durian.pipeline import DurianPipeline
from durian.pipeline.windows import Windows
from durian.portrait.inputs import AnimationInputs, Reference
from durian.portrait.keypoints import draw_keypoints
from durian.training.build import build_networks, load_clips, prepare_networks
from durian.training.checks import check_options
from durian.training.config import TrainConfig, load_config
from durian.training.critic import Critic
from durian.training.dataset import draw_example, make_sampler, stack
from durian.training.detail import DetailObjective, shrunk
from durian.training.dry_run import dry_run
from durian.training.run import train
from people import write_shard
from tiny import tiny_inputs, tiny_networks, tiny_preset, tiny_reference
from tiny_runs import config_with, make_clip, tiny_changes, write_config

SCALE = 2


def with_detail(seed: int = 0, agree: float = 1.0) -> Networks:
    networks = tiny_networks(seed=seed)
    torch.manual_seed(seed + 1)
    networks.detail_net = DetailNet(SCALE, agree=agree).eval()
    return networks


def pipeline_of(networks: Networks, scheduler: object | None = None) -> DurianPipeline:
    preset = tiny_preset()
    return DurianPipeline(networks, scheduler or DDIMScheduler(**preset.scheduler), preset.size, 2)


@pytest.fixture(scope="module")
def pipeline() -> DurianPipeline:
    return pipeline_of(with_detail())


def fine_picture(seed: int = 0, size: int = 64) -> torch.Tensor:
    """Noise that no smaller picture holds, over a smooth one, (1, 3, size, size)."""
    random = torch.Generator().manual_seed(seed)
    smooth = enlarge(torch.randn(1, 3, size // 8, size // 8, generator=random), 8)
    return smooth + 0.3 * torch.randn(1, 3, size, size, generator=random)


def latents_of(picture: torch.Tensor) -> torch.Tensor:
    return F.pixel_unshuffle(F.avg_pool2d(picture, SCALE), 4)


def shares_of(chosen: int, size: int = 32) -> torch.Tensor:
    """All pixels taken from one head, or with 4 from none."""
    logits = torch.full((1, 5, size, size), -30.0)
    logits[:, chosen] = 0
    return logits.log_softmax(1)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_enlarging_is_bicubic(scale: int):
    images = torch.randn(2, 3, 9, 7)
    wanted = F.interpolate(images, scale_factor=scale, mode="bicubic", align_corners=False)
    torch.testing.assert_close(enlarge(images, scale), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("size", [(9, 7), (18, 14), (40, 30), (5, 4)])
def test_spreading_is_bilinear(size: tuple[int, int], autocast: bool):
    maps = torch.randn(2, 3, 4, 9, 7)
    wanted = F.interpolate(maps.flatten(0, 1), size, mode="bilinear", align_corners=False)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        made = spread(maps, size)
    torch.testing.assert_close(made, wanted.unflatten(0, (2, 3)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("head", range(4))
def test_an_untrained_one_adds_what_is_finer_in_the_copy_that_is_used(head: int):
    picture = fine_picture()
    copies = torch.zeros(1, 4, 4, 64, 64)
    copies[:, head] = F.pad(picture, (0, 0, 0, 0, 0, 1), value=1.0)
    with torch.no_grad():
        made = DetailNet(SCALE)(latents_of(picture), copies, shares_of(head))
    assert made.shape == (1, 48, 16, 16)
    pixels = F.pixel_shuffle(made, 4)
    enlarged = enlarge(F.avg_pool2d(picture, SCALE), SCALE)
    # Nearly the picture: what is coarse in it has been through two means, of this copy and of the frame.
    assert (pixels - picture).square().mean() < 0.1 * (enlarged - picture).square().mean()


def test_where_nothing_is_copied_frames_are_enlarged_smoothly():
    picture = fine_picture(1)
    expected = enlarge(F.avg_pool2d(picture, SCALE), SCALE)
    nothing, brighter = torch.zeros(1, 4, 4, 64, 64), torch.ones(1, 4, 4, 64, 64)
    brighter[:, :, :3] += expected[:, None]
    with torch.no_grad():
        enlarged = DetailNet(SCALE)(latents_of(picture), nothing, shares_of(2))
        little = DetailNet(SCALE)(latents_of(picture), brighter, shares_of(4))
    torch.testing.assert_close(F.pixel_shuffle(enlarged, 4), expected, atol=1e-5, rtol=0)
    # What is coarse in copies is asked for by shares of its own, small at first.
    share = 1 / (1 + math.exp(4))
    torch.testing.assert_close(F.pixel_shuffle(little, 4), expected + share, atol=1e-5, rtol=0)


@pytest.mark.parametrize("head", range(4))
def test_a_single_copy_can_be_chosen_in_every_band(head: int):
    """Then it is the result, to the pixel, whatever the frame and DNet's shares are."""
    frame, pictures = fine_picture(3), torch.stack([fine_picture(seed)[0] for seed in range(4, 8)])[None]
    copies = F.pad(pictures, (0, 0, 0, 0, 0, 1), value=1.0)
    net = DetailNet(SCALE)
    with torch.no_grad():
        net.conv_out.bias[:15].view(3, 5)[:, head] = 60.0
        made = net(latents_of(frame), copies, shares_of((head + 1) % 4))
    torch.testing.assert_close(F.pixel_shuffle(made, 4), pictures[:, head], atol=1e-4, rtol=0)


def test_before_training_texture_is_mostly_the_frames():
    """Of waves that the smaller frame can show, little is copied, from the heads that DNet has used."""
    waves = torch.sin(torch.arange(64) * (2 * math.pi / 10)).expand(1, 3, 64, 64)
    copies = torch.zeros(1, 4, 4, 64, 64)
    copies[:, 1] = F.pad(waves, (0, 0, 0, 0, 0, 1), value=1.0)
    with torch.no_grad():
        used = DetailNet(SCALE)(latents_of(0 * waves), copies, shares_of(1))
        unused = DetailNet(SCALE)(latents_of(0 * waves), copies, shares_of(0))
    inside = (..., slice(16, 48), slice(16, 48))
    shown = F.pixel_shuffle(used, 4)[inside].std() / waves[inside].std()
    assert 0.1 < shown < 0.3
    assert F.pixel_shuffle(unused, 4).abs().max() < 1e-6


def test_strength_is_how_much_of_what_was_learned_counts():
    picture, results = fine_picture(2), []
    copies = torch.cat([torch.randn(1, 4, 3, 64, 64), torch.rand(1, 4, 1, 64, 64)], 2)
    shares = torch.randn(1, 5, 32, 32).log_softmax(1)
    learned = DetailNet(SCALE)
    torch.nn.init.normal_(learned.conv_out.weight, std=0.1)
    with torch.no_grad():
        for strength in (0.0, 0.5, 1.0):
            net = DetailNet(SCALE, strength=strength)
            net.load_state_dict(learned.state_dict())
            results.append(net(latents_of(picture), copies, shares))
        plain = DetailNet(SCALE)(latents_of(picture), copies, shares)
    torch.testing.assert_close(results[0], plain)
    half, whole = ((each - plain).abs().mean() for each in results[1:])
    assert 0.3 * whole < half < 0.7 * whole


def test_eyes_may_have_a_strength_of_their_own():
    torch.manual_seed(0)
    copies = torch.cat([torch.randn(1, 4, 3, 64, 64), torch.rand(1, 4, 1, 64, 64)], 2)
    shares, latents = torch.randn(1, 5, 32, 32).log_softmax(1), latents_of(fine_picture(2))
    learned = DetailNet(SCALE)
    torch.nn.init.normal_(learned.conv_out.weight, std=0.1)

    def made(places: torch.Tensor | None = None, **config: float) -> torch.Tensor:
        net = DetailNet(SCALE, **config)
        net.load_state_dict(learned.state_dict())
        with torch.no_grad():
            return net(latents, copies, shares, places)

    soft, crisp = made(strength=0.2), made(strength=0.9)
    eye, away = torch.tensor([0.32, 0.0]).expand(1, 8, 8, 2), torch.full((1, 8, 8, 2), 3.0)
    both = {"strength": 0.2, "eye_strength": 0.9}
    torch.testing.assert_close(made(eye, **both), crisp)
    torch.testing.assert_close(made(away, **both), soft)
    torch.testing.assert_close(made(**both), soft)  # nobody says where they are
    torch.testing.assert_close(made(eye, strength=0.2), soft)
    torch.testing.assert_close(made(eye, strength=0.9, eye_strength=0.2), crisp)


class Everywhere(torch.nn.Module):
    """A reader that sees one place of the face everywhere."""

    def __init__(self, x: float, y: float):
        super().__init__()
        self.place = torch.nn.Parameter(torch.tensor([x, y]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.place.expand(len(images), 8, 8, 2)


@pytest.mark.parametrize(("place", "crisper"), [((0.32, 0.0), True), ((0.0, 0.72), False)])
def test_frames_say_where_eyes_are(place: tuple[float, float], crisper: bool):
    networks, inputs = with_detail(), tiny_inputs(2, size=64)
    net = networks.detail_net
    assert net is not None
    torch.nn.init.normal_(net.conv_out.weight, std=0.3)
    networks.position_reader = Everywhere(*place)
    results = []
    for config in ({"strength": 0.1}, {"eye_strength": 1.0}, {"strength": 1.0}):
        net.register_to_config(**config)
        results.append(pipeline_of(networks).animate(inputs))
    soft, features, crisp = results
    assert not np.array_equal(soft, crisp)
    np.testing.assert_array_equal(features, crisp if crisper else soft)


def test_the_border_of_a_copy_is_no_edge_in_the_picture():
    """Copies are 0 where a reference is hidden, and what lies there is the frame, not black."""
    picture = torch.full((1, 3, 64, 64), 0.7)
    copies = torch.zeros(1, 4, 4, 64, 64)
    copies[:, 1, :3, :, :37], copies[:, 1, 3, :, :37] = 0.7, 1.0
    with torch.no_grad():
        made = DetailNet(SCALE)(latents_of(picture), copies, shares_of(1))
    torch.testing.assert_close(F.pixel_shuffle(made, 4), picture, atol=1e-4, rtol=0)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 100), st.floats(-1, 1), st.floats(-1, 1))
def test_larger_pictures_are_fetched_from_where_the_smaller_were(seed: int, x: float, y: float):
    """A smooth picture at twice the size is, shrunk, what the small one is, wherever it is taken from."""
    random = torch.Generator().manual_seed(seed)
    waves = torch.randn(1, 1, 4, 4, generator=random)
    small, large = (F.interpolate(waves, (n, n), mode="bicubic", align_corners=False) for n in (32, 64))
    place = cell_centres(8, 8, waves) + 0.3 * torch.tensor([x, y])[:, None, None]
    found = Found(torch.ones(1, 1, 1, 8, 8), place[None, None, None])
    at_once = fetch_pixels(found, [small])
    later = F.avg_pool2d(fetch_pixels(found, [large])[:, 0], 2)[:, None]
    inside = (slice(None), slice(None), slice(None), slice(12, 20), slice(12, 20))
    assert (at_once - later)[inside].abs().max() < 0.2 * small.abs().max()


def test_a_picture_at_rest_is_fetched_exactly_at_any_size():
    picture = fine_picture(3)
    found = Found(torch.ones(1, 2, 1, 8, 8), cell_centres(8, 8, picture).expand(1, 2, 1, 2, 8, 8))
    fetched = fetch_pixels(found, [picture])
    torch.testing.assert_close(fetched, picture[:, None].expand(-1, 2, -1, -1, -1), atol=1e-4, rtol=0)


def test_results_are_larger_and_shrunk_what_they_were():
    pipeline = pipeline_of(with_detail(seed=1))
    assert pipeline.size == 64
    inputs = tiny_inputs(2, size=64)
    frames = pipeline.animate(inputs)
    assert frames.shape == (2, 64, 64, 3)
    plain = pipeline_of(tiny_networks(seed=1))
    assert plain.size == 32
    small, large = (pixels_of(each, given) for each, given in ((plain, halved(inputs)), (pipeline, inputs)))
    assert large.shape == (2, 3, 64, 64)
    rough = enlarge(small, SCALE)
    shrunk_pixels, wanted = F.avg_pool2d(large, SCALE), F.avg_pool2d(rough, SCALE)
    assert (shrunk_pixels - wanted).square().mean() < 0.05 * wanted.var()
    assert (large - rough).square().mean() > 2 * (shrunk_pixels - wanted).square().mean()


def pixels_of(pipeline: DurianPipeline, inputs: AnimationInputs) -> torch.Tensor:
    latents = pipeline.latents_iter(inputs.portrait, inputs.attributes, inputs.keypoints)
    return torch.cat([F.pixel_shuffle(each[:, :, 0], 4) for each in latents])


def halved(inputs: AnimationInputs) -> AnimationInputs:
    """Inputs of a `DurianPipeline` of half the size."""

    def half(reference: Reference) -> Reference:
        def shrink(image: np.ndarray) -> np.ndarray:
            return image.reshape(32, 2, 32, 2, -1).mean((1, 3))

        return replace(
            reference,
            image=shrink(reference.image).round().astype(np.uint8),
            mask=shrink(reference.mask)[..., 0].astype(np.float32),
            landmarks=reference.landmarks / 2,
        )

    attributes = {name: half(each) for name, each in inputs.attributes.items()}
    return replace(
        inputs, portrait=half(inputs.portrait), attributes=attributes, keypoints=inputs.keypoints / 2
    )


def test_detail_is_the_references_own(pipeline: DurianPipeline):
    """References that differ only in what DNet cannot see differ in the result."""
    inputs = tiny_inputs(2, size=64)
    board = 12 * (np.indices((64, 64)).sum(0) % 2 * 2 - 1)[..., None]
    clean = inputs.portrait.image.clip(20, 230).astype(int)
    clean = clean.reshape(32, 2, 32, 2, 3).mean((1, 3)).round().astype(int).repeat(2, 0).repeat(2, 1)
    results = []
    for change in (0, board):
        portrait = replace(inputs.portrait, image=(clean + change).astype(np.uint8))
        results.append(pipeline.animate(replace(inputs, portrait=portrait)).astype(float))
    assert np.abs(results[0] - results[1]).max() > 1
    means = [each.reshape(2, 32, 2, 32, 2, 3).mean((2, 4)) for each in results]
    assert np.abs(means[0] - means[1]).max() <= 2  # rounding, and what enlarging spreads


def test_references_of_dnets_own_size_are_refused(pipeline: DurianPipeline):
    with pytest.raises(DurianError, match="the portrait is 32×32 pixels and this checkpoint wants 64×64"):
        pipeline.animate(tiny_inputs(1, size=32))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cache_interval": 2, "num_inference_steps": 4},
        {"portrait_scale": 1.5, "attribute_scale": 2.0},
        {"drop_attribute_tokens": True},
        {"interpolate_to": {"hair": tiny_reference(7, 64)}, "interpolation": np.linspace(0, 1, 20)},
    ],
    ids=["plain", "deep features reused", "guided", "no attribute tokens", "interpolated"],
)
@pytest.mark.parametrize("kind", [DDIMScheduler, DPMSolverMultistepScheduler])
def test_streams_have_the_detail_of_the_whole(kind: type, options: dict):
    """In every way of sampling a result is what its own last call of DNet found, at twice the size."""
    scheduler = kind.from_config(DDIMScheduler(**tiny_preset().scheduler).config)
    pipeline = pipeline_of(with_detail(), scheduler)
    inputs = tiny_inputs(20, size=64)
    whole = pipeline.animate(inputs, **options)
    stream = pipeline.animate_iter(inputs.portrait, inputs.attributes, iter(inputs.keypoints), **options)
    assert (np.stack(list(stream)) == whole).all()
    assert (np.diff(whole.astype(float), axis=0) != 0).any((1, 2, 3)).all()
    live = pipeline.animate_iter(
        inputs.portrait, inputs.attributes, inputs.keypoints, windows=Windows(8, 4, 0, grows=True), **options
    )
    assert np.stack(list(live)).shape == whole.shape


def test_guided_results_have_the_detail_of_all_references():
    """A scale next to 1 takes all rows of guidance, and next to nothing of what they differ in."""
    pipeline, inputs = pipeline_of(with_detail()), tiny_inputs(2, size=64)
    guided = pipeline.animate(inputs, portrait_scale=1.0001, attribute_scale=1.0001).astype(int)
    assert np.abs(guided - pipeline.animate(inputs)).max() <= 1


def test_larger_copies_are_the_smaller_ones_of_the_same_references(monkeypatch: pytest.MonkeyPatch):
    networks, seen = with_detail(), []

    def spy(
        latents: torch.Tensor,
        features: DeepFeatures,
        references: References,
        places: torch.Tensor | None,
        known: torch.Tensor | None,
    ) -> torch.Tensor:
        sources = [branch.source for branch in references.branches]
        fetched = [fetch_pixels(f, s.fine) for f, s in zip(features.found, sources, strict=True)]
        seen.append((references.blend(fetched), features.copies))
        return latents

    monkeypatch.setattr(networks, "detail", spy)
    inputs = tiny_inputs(2, ("hair", "glasses"), size=64)
    # Colours of their own, so that a reference in another's place is far off.
    for number, each in enumerate([inputs.portrait, *inputs.attributes.values()]):
        each.image[:] = each.image // 8 + np.array([200, 100, 20], np.uint8)[(np.arange(3) + number) % 3]
    list(pipeline_of(networks).latents_iter(inputs.portrait, inputs.attributes, inputs.keypoints))
    assert len(seen) == 2
    for large, small in seen:
        shrunk_copies = F.avg_pool2d(large.flatten(0, 1), SCALE).view_as(small)
        assert (shrunk_copies - small).abs().mean() < 0.1 * small.abs().mean()


def test_results_show_what_heads_agree_on():
    inputs = tiny_inputs(2, size=64)
    plain, hardly, agreed = (
        pipeline_of(with_detail(agree=pixels)).animate(inputs).astype(int) for pixels in (0.0, 1e-4, 3.0)
    )
    assert np.abs(hardly - plain).max() <= 1
    assert np.abs(agreed - plain).max() > 2


def test_an_interpolation_ends_at_each_references_detail():
    pipeline, inputs = pipeline_of(with_detail()), tiny_inputs(2, size=64)
    others = {"hair": tiny_reference(7, 64)}
    for alpha, attributes in ((0.0, inputs.attributes), (1.0, others)):
        mixed = pipeline.animate(inputs, interpolate_to=others, interpolation=alpha)
        alone = pipeline.animate(replace(inputs, attributes=attributes))
        assert np.abs(mixed.astype(int) - alone).max() <= 1


def test_a_checkpoint_with_detail_is_read_back_and_can_be_used_without(tmp_path: Path):
    pipeline, inputs = pipeline_of(with_detail()), tiny_inputs(2, size=64)
    pipeline.save_pretrained(tmp_path / "model")
    again = DurianPipeline.from_pretrained(tmp_path / "model", device="cpu")
    assert (again.animate(inputs) == pipeline.animate(inputs)).all()
    without = DurianPipeline.from_pretrained(tmp_path / "model", device="cpu", detail=False)
    assert without.size == 32
    small = pipeline_of(tiny_networks()).animate(halved(inputs))
    assert (without.animate(halved(inputs)) == small).all()
    with pytest.raises(ValueError, match="a DetailNet is for a DNet that copies"):
        Networks(**{**tiny_networks(copy_heads=0).components(), "detail_net": DetailNet()})


def test_the_strength_of_detail_can_be_set_and_is_saved(tmp_path: Path):
    networks = with_detail()
    assert networks.detail_net is not None
    torch.nn.init.normal_(networks.detail_net.conv_out.weight, std=0.1)
    pipeline, inputs = pipeline_of(networks), tiny_inputs(2, size=64)
    assert pipeline.detail_strength == 1
    whole = pipeline.animate(inputs)
    pipeline.detail_strength = 0.25
    quarter = pipeline.animate(inputs)
    assert not np.array_equal(quarter, whole)
    pipeline.save_pretrained(tmp_path)
    again = DurianPipeline.from_pretrained(tmp_path, device="cpu")
    assert again.detail_strength == 0.25
    np.testing.assert_array_equal(again.animate(inputs), quarter)
    for wrong in (-0.1, 1.1, math.nan):
        with pytest.raises(DurianError, match=f"a detail strength of {wrong}: from 0 to 1"):
            pipeline.detail_strength = wrong
    plain = DurianPipeline.from_pretrained(tmp_path, device="cpu", detail=False)
    assert plain.detail_strength is None
    with pytest.raises(DurianError, match="no DetailNet in use"):
        plain.detail_strength = 0.5


def test_motion_is_drawn_at_dnets_size(pipeline: DurianPipeline):
    points = tiny_inputs(1, size=64).keypoints[0]
    assert (pipeline.draw_keypoints(points) == draw_keypoints(points / 2, 32)).all()


def test_half_precision_keeps_the_detail(pipeline: DurianPipeline, tmp_path: Path):
    pipeline.save_pretrained(tmp_path / "model")
    low = DurianPipeline.from_pretrained(tmp_path / "model", device="cpu", dtype=torch.bfloat16)
    assert low.networks.detail_net is not None
    assert low.networks.detail_net.dtype == torch.float32
    inputs = tiny_inputs(2, size=64)
    frames, exact = low.animate(inputs).astype(float), pipeline.animate(inputs).astype(float)
    assert np.abs(frames - exact).mean() < 0.1 * exact.std()


def test_detail_is_lit_and_shared_out_as_dnet_did(monkeypatch: pytest.MonkeyPatch):
    networks, composed, detailed = with_detail(), [], []
    plain_detail, compose = networks.detail, ReferenceCopy.compose

    def spy_compose(self: ReferenceCopy, made: torch.Tensor, copies: torch.Tensor, shares: torch.Tensor):
        composed.append(shares)
        return compose(self, made, copies, shares)

    def spy_detail(
        latents: torch.Tensor,
        features: DeepFeatures,
        references: References,
        places: torch.Tensor | None,
        known: torch.Tensor | None,
    ) -> torch.Tensor:
        lit = plain_detail(latents, features, references, places)
        unlit = plain_detail(latents, replace(features, tones=None), references, places)
        detailed.append((features, lit - unlit))
        return lit

    monkeypatch.setattr(ReferenceCopy, "compose", spy_compose)
    monkeypatch.setattr(networks, "detail", spy_detail)
    inputs = tiny_inputs(1, size=64)
    list(pipeline_of(networks).latents_iter(inputs.portrait, inputs.attributes, inputs.keypoints))
    ((features, difference),) = detailed
    assert features.shares is not None
    assert torch.equal(features.shares, composed[-1])
    assert difference.abs().max() > 1e-3


def test_features_of_frames_are_put_together_again():
    networks, inputs = with_detail(), tiny_inputs(3, size=64)
    kept: list[DeepFeatures] = []

    def spy(*args: object) -> tuple[torch.Tensor, DeepFeatures]:
        made = networks.predict(*args)
        kept.append(made[1])
        return made

    pipeline = pipeline_of(networks)
    pipeline._predict = spy
    pipeline.animate(inputs, num_inference_steps=1)
    together = DeepFeatures.of_frames([kept[0].frame(i) for i in range(3)])
    for name in ("hidden", "copies", "shares", "tones"):
        assert torch.equal(getattr(together, name), getattr(kept[0], name))
    for a, b in zip(together.found, kept[0].found, strict=True):
        assert torch.equal(a.mass, b.mass)
        assert torch.equal(a.place, b.place)


DETAIL = {"trained": "detail", "critic": {"channels": 4}}


@pytest.fixture
def large_shard(tmp_path: Path) -> Path:
    write_shard(tmp_path / "clips-000.tar", [make_clip(f"{i:05d}", 30 * i, size=64, cap=9) for i in range(4)])
    return tmp_path


def detail_config(folder: Path, **changes: object) -> TrainConfig:
    return config_with(folder, **{**DETAIL, "networks": tiny_changes(), **changes})


def test_shrunk_batches_are_what_dnet_sees_and_keep_the_pictures(large_shard: Path):
    config = detail_config(large_shard)
    clips, _ = load_clips(config, 64)
    sampler = make_sampler(config, clips, with_detail(), 32)
    batch = stack([draw_example(sampler, 0, number) for number in range(2)])
    assert batch["targets"].shape[-2:] == (64, 64)
    assert batch["keypoints"].shape[-2:] == (32, 32)
    small = shrunk(batch, 2)
    for name in ("portrait", "portrait_mask", "attributes", "attribute_masks"):
        assert torch.equal(small[f"fine_{name}"], batch[name])
        assert small[name].shape[-2:] == (32, 32)
        assert float(small[name].mean()) == pytest.approx(float(batch[name].mean()), abs=1e-5)
    assert small["targets"].shape == (2, 2, 3, 32, 32)
    assert small["target_masks"].shape == (2, 2, 1, 32, 32)
    # At DNet's size the same landmarks are drawn by the same pen.
    plain = make_sampler(config_with(large_shard, networks=tiny_changes()), clips, tiny_networks(), 64)
    assert plain.scale == 1
    drawn = (draw_example(plain, 0, 0)["keypoints"] > 0).mean()
    assert (batch["keypoints"][0] > 0).float().mean() > 1.5 * drawn


def test_the_loss_teaches_the_detail_alone(large_shard: Path):
    config = detail_config(large_shard)
    networks = with_detail()
    trained = prepare_networks(networks, config, "cpu")
    assert trained.keys() == {f"detail_net.{name}" for name in dict(networks.detail_net.named_parameters())}
    objective = DetailObjective(networks, Critic(4), DDIMScheduler(**tiny_preset().scheduler), config)
    clips, _ = load_clips(config, 64)
    sampler = make_sampler(config, clips, networks, 32)
    batch = stack([draw_example(sampler, 0, number) for number in range(2)])
    objective(batch).backward()
    (pair,) = objective.take_pairs()
    assert pair.made.shape == (4, 3, 64, 64)
    for name, parameter in networks.named_parameters():
        assert (parameter.grad is not None) == name.startswith("detail_net.")
    assert networks.detail_net.conv_out.weight.grad.abs().sum() > 0


def test_a_critic_looks_at_a_square_of_each_example(large_shard: Path):
    networks, seen = with_detail(), []
    clips, _ = load_clips(detail_config(large_shard), 64)
    for crop in (None, 24):
        config = detail_config(large_shard, critic={"channels": 4, "crop": crop, "eye_weight": 4.0})
        objective = DetailObjective(networks, Critic(4), DDIMScheduler(**tiny_preset().scheduler), config)
        sampler = make_sampler(config, clips, networks, 32)
        for numbers in ((0, 1, 2), (2,)):
            batch = stack([{**draw_example(sampler, 0, each), "number": np.array(each)} for each in numbers])
            torch.manual_seed(0)
            assert objective(batch).isfinite()
            seen += objective.take_pairs()
    whole, _, cut, alone = (pair.true for pair in seen)
    assert cut.shape == (6, 3, 24, 24)
    assert torch.equal(alone, cut[4:])  # whatever else is in the batch
    corners = set()
    for example in range(3):
        frames, square = whole[2 * example : 2 * example + 2], cut[2 * example : 2 * example + 2]
        where = [
            (y, x)
            for y in range(0, 48, 8)
            for x in range(0, 48, 8)
            if torch.equal(frames[:, :, y : y + 24, x : x + 24], square)
        ]
        assert len(where) == 1
        corners.update(where)
    assert len(corners) > 1


def test_training_detail_changes_it_alone_and_exports_a_larger_model(large_shard: Path, tiny_mini):
    start = large_shard / "start"
    pipeline_of(tiny_networks()).save_pretrained(start)
    config = write_config(
        large_shard,
        **DETAIL,
        stage=2,
        init_from=str(start),
        sample_every=2,
        steps=4,
        output=large_shard / "run",
    )
    made = train(config)
    pipeline = DurianPipeline.from_pretrained(made, device="cpu")
    assert pipeline.size == 64
    name = "diffusion_pytorch_model.safetensors"
    before, after = (load_file(folder / "denoising_unet" / name) for folder in (start, made))
    assert all(torch.equal(before[name].half(), after[name]) for name in before)
    weights = load_file(made / "detail_net" / name)
    assert weights["conv_out.weight"].abs().sum() > 0
    assert (large_shard / "run" / "previews" / "000002.png").is_file()
    # A run that goes on from it keeps the network and trains the same one.
    again = load_config(write_config(large_shard, **DETAIL, init_from=str(made)))
    kept = build_networks(again).detail_net.state_dict()
    assert all(torch.equal(kept[name], weights[name].float()) for name in weights)
    # While it trains all of what it learns counts, however little has been chosen to.
    chosen = json.loads((made / "detail_net" / "config.json").read_text())
    (made / "detail_net" / "config.json").write_text(
        json.dumps({**chosen, "strength": 0.1, "eye_strength": 0.5})
    )
    for trained, strengths in ((DETAIL, (1.0, None)), ({}, (0.1, 0.5))):
        net = build_networks(
            load_config(write_config(large_shard, **trained, init_from=str(made)))
        ).detail_net
        assert (net.config["strength"], net.config["eye_strength"]) == strengths


def test_other_runs_leave_the_detail_as_it_is(clips, tmp_path: Path, tiny_mini):
    write_shard(tmp_path / "clips-000.tar", clips)
    start = pipeline_of(with_detail())
    start.save_pretrained(tmp_path / "start")
    made = train(write_config(tmp_path, init_from=str(tmp_path / "start"), stage=2, output=tmp_path / "run"))
    kept = DurianPipeline.from_pretrained(made, device="cpu").networks.detail_net
    assert kept is not None
    for name, value in start.networks.detail_net.state_dict().items():
        assert torch.equal(kept.state_dict()[name], value.half().float())


def test_networks_that_copy_nothing_have_no_detail_to_train(tmp_path: Path, tiny_mini):
    pipeline_of(tiny_networks(copy_heads=0)).save_pretrained(tmp_path / "start")
    config = load_config(write_config(tmp_path, **DETAIL, init_from=str(tmp_path / "start")))
    with pytest.raises(DurianError, match="trained: detail: there is no detail_net for networks that copy"):
        build_networks(config)


def test_clips_of_dnets_size_are_refused(clips, tmp_path: Path, tiny_mini):
    write_shard(tmp_path / "clips-000.tar", clips)
    with pytest.raises(DurianError, match="clip 00000 is 32×32 pixels and mini wants 64×64"):
        train(write_config(tmp_path, **DETAIL))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"critic": None}, "critic: `trained: detail` needs one"),
        ({"networks": {"denoising_unet": {"copy_heads": 0}}}, "trained: detail is taken from copies"),
        ({"match_loss_weight": 0.1}, "match_loss_weight: `trained: detail` leaves"),
        ({"paint_loss_weight": 0.5}, "paint_loss_weight: `trained: detail` leaves"),
        ({"reader_steps": 5}, "reader_steps: `trained: detail` leaves"),
    ],
)
def test_what_does_not_go_with_detail_is_refused(tmp_path: Path, changes: dict, message: str):
    with pytest.raises(DurianError, match=message):
        check_options(config_with(tmp_path, **{**DETAIL, **changes}))


def test_a_dry_run_trains_detail_too(tmp_path: Path, tiny_mini):
    report = dry_run(write_config(tmp_path, **DETAIL))
    assert report.trained == sum(parameter.numel() for parameter in DetailNet(SCALE).parameters())
