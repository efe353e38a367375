"""Parity of the networks with diffusers' own, and of spatial attention with its formula."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from diffusers import MotionAdapter, UNet2DConditionModel, UNetMotionModel
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from hypothesis import given, settings
from hypothesis import strategies as st

from durian.models import (
    ArcFaceEncoder,
    DenoisingUNet,
    KeypointGuider,
    PixelAutoencoder,
    ReferenceCache,
    ReferenceFeatures,
    ReferenceNet,
    References,
    SmallImageEncoder,
    decode_latents,
    encode_latents,
)
from durian.models.networks import OPTIONAL_COMPONENTS, EncodedReference, Networks
from durian.models.positions import encode_positions, position_dim
from durian.models.presets import PRESETS, SD15
from durian.models.scheduler import GuessDDIMScheduler
from durian.models.spatial_attention import (
    EmbeddingAttention,
    SpatialAttention,
    SpatialContext,
    spatial_layers,
)
from tiny import UNET, tiny_networks, tiny_unet


def tiny_adapter() -> MotionAdapter:
    torch.manual_seed(1)
    return MotionAdapter(
        block_out_channels=(8, 16),
        motion_layers_per_block=1,
        motion_mid_block_layers_per_block=1,
        motion_num_attention_heads=2,
        motion_norm_num_groups=4,
        use_motion_mid_block=False,
    ).eval()


@pytest.fixture(scope="module")
def sample() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "sample": torch.randn(2, 4, 3, 8, 8, generator=generator),
        "timestep": torch.tensor([7, 400]),
        "encoder_hidden_states": torch.randn(2, 5, 12, generator=generator),
    }


def features_for(unet: DenoisingUNet, tokens: int, seed: int, batch: int = 2) -> ReferenceFeatures:
    generator = torch.Generator().manual_seed(seed)
    return ReferenceFeatures(
        {
            name: torch.randn(batch, tokens, attn.query_dim, generator=generator)
            for name, attn in spatial_layers(unet).items()
        }
    )


def test_denoising_unet_is_diffusers_unet_on_single_frames(sample):
    unet = tiny_unet()
    ours = DenoisingUNet.from_stable_diffusion(unet).eval()
    with torch.no_grad():
        got = ours(**sample)
        for frame in range(3):
            want = unet(
                sample["sample"][:, :, frame], sample["timestep"], sample["encoder_hidden_states"]
            ).sample
            torch.testing.assert_close(got[:, :, frame], want, atol=1e-6, rtol=1e-5)


def test_denoising_unet_is_diffusers_motion_unet(sample):
    unet, adapter = tiny_unet(), tiny_adapter()
    theirs = UNetMotionModel.from_unet2d(unet, adapter).eval()
    ours = DenoisingUNet.from_stable_diffusion(unet, adapter).eval()
    embedding = sample["encoder_hidden_states"].repeat_interleave(3, 0)
    with torch.no_grad():
        want = theirs(sample["sample"], sample["timestep"], embedding).sample
        torch.testing.assert_close(ours(**sample), want, atol=1e-6, rtol=1e-5)


@settings(max_examples=30, deadline=None)
@given(
    samples=st.integers(1, 2),
    frames=st.integers(1, 3),
    tokens=st.integers(1, 9),
    heads=st.sampled_from([1, 2, 4]),
    seed=st.integers(0, 99),
)
def test_attention_to_few_embeddings_is_diffusers_attention(samples, frames, tokens, heads, seed):
    """Whether the projections are joined (few tokens, no gradient) or not."""
    torch.manual_seed(seed)
    attn = Attention(16, cross_attention_dim=12, heads=heads, dim_head=16 // heads).eval()
    hidden, embedding = torch.randn(samples * frames, 6, 16), torch.randn(samples, tokens, 12)
    with torch.no_grad():
        want = attn(hidden, embedding.repeat_interleave(frames, 0))
        attn.set_processor(EmbeddingAttention())
        projected: list[torch.Tensor] = []
        hook = attn.to_q.register_forward_hook(lambda module, given, made: projected.append(made))
        torch.testing.assert_close(attn(hidden, embedding), want, atol=1e-6, rtol=1e-5)
        assert len(projected) == (tokens * heads >= 16)  # no frame's token, where embeddings are few
        hook.remove()
        hidden_token = torch.zeros(samples * frames, 1, tokens).index_fill(2, torch.tensor(0), -math.inf)
        if tokens > 1:
            context = SpatialContext(embedding_bias=hidden_token)
            told = attn(hidden, embedding, context=context)
            torch.testing.assert_close(told, attn(hidden, embedding[:, 1:]), atol=1e-6, rtol=1e-5)
    learned = attn(hidden, embedding)
    torch.testing.assert_close(learned, want, atol=1e-6, rtol=1e-5)
    learned.square().sum().backward()
    assert attn.to_k.weight.grad is not None


@torch.no_grad()
def test_its_own_deep_features_change_nothing_in_a_call(sample):
    """What is reused is all but the outermost layer: the same call again, with it, is the same."""
    ours = DenoisingUNet.from_stable_diffusion(tiny_unet(), tiny_adapter()).eval()
    cache = ours.project_references(features_for(ours, 16, 1))
    sample = {**sample, "references": References((cache,))}
    whole, deep = ours.predict(**sample)
    again, kept = ours.predict(**sample, deep=deep)
    assert (again == whole).all()
    assert kept.hidden is deep.hidden
    noisier = {**sample, "sample": sample["sample"] + 1}
    reused = ours.predict(**noisier, deep=deep)[0]
    assert (reused - whole).abs().max() > 1e-3  # the outermost layer does see the latents
    assert (reused - ours.predict(**noisier)[0]).abs().max() > 1e-3


def test_new_keypoint_guider_is_silent_and_a_trained_one_is_heard(sample):
    ours = DenoisingUNet.from_stable_diffusion(tiny_unet(), tiny_adapter()).eval()
    guider = KeypointGuider(8, (4, 4, 8, 8)).eval()
    images = torch.rand(6, 3, 64, 64)
    with torch.no_grad():
        silent = ours(**sample)
        torch.testing.assert_close(ours(**sample, keypoint_features=guider(images)), silent, rtol=0, atol=0)
        torch.nn.init.normal_(guider.embedding.conv_out.weight)
        assert (ours(**sample, keypoint_features=guider(images)) - silent).abs().max() > 1e-3


def test_new_guidance_channels_are_silent(sample):
    plain = DenoisingUNet.from_stable_diffusion(tiny_unet(), tiny_adapter()).eval()
    guided = DenoisingUNet.from_stable_diffusion(tiny_unet(), tiny_adapter(), guidance_channels=8).eval()
    guidance = torch.randn(6, 8, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(guided(**sample, guidance=guidance), plain(**sample), rtol=0, atol=0)
        torch.nn.init.normal_(guided.conv_guidance.weight)
        assert (guided(**sample, guidance=guidance) - plain(**sample)).abs().max() > 1e-3


def test_positions_change_attention_only_where_the_option_is_on(sample):
    canonical = torch.randn(6, 8, 8, 2)
    on = DenoisingUNet.from_stable_diffusion(tiny_unet(), tiny_adapter(), position_frequencies=3).eval()
    off = DenoisingUNet.from_stable_diffusion(tiny_unet(), tiny_adapter()).eval()
    with torch.no_grad():
        moved = on(**sample, positions=on.encode_positions(canonical))
        torch.testing.assert_close(on(**sample), off(**sample))
    assert off.encode_positions(canonical) == {}
    assert (moved - off(**sample)).abs().max() > 1e-4


class Recorder(AttnProcessor2_0):
    """diffusers' processor that keeps what enters the layer."""

    def __init__(self, name: str, into: dict[str, torch.Tensor]):
        super().__init__()
        self.name, self.into = name, into

    def __call__(self, attn, hidden_states, *args, **kwargs):
        self.into[self.name] = hidden_states
        return super().__call__(attn, hidden_states, *args, **kwargs)


def test_reference_features_are_the_unets_hidden_states():
    torch.manual_seed(0)
    net = ReferenceNet(**{**UNET, "in_channels": 5}).eval().double()  # so that rounding hides nothing
    theirs = UNet2DConditionModel(**{**UNET, "in_channels": 5}).eval().double()
    missing, unexpected = theirs.load_state_dict(net.state_dict(), strict=False)
    assert not unexpected
    assert all(key.startswith(("conv_norm_out.", "conv_out.")) for key in missing)
    want: dict[str, torch.Tensor] = {}
    for name, module in theirs.named_modules():
        if name.endswith("attn1"):
            module.set_processor(Recorder(name, want))
    latents, mask, embedding = torch.randn(2, 4, 8, 8), torch.rand(2, 1, 8, 8), torch.randn(2, 3, 12)
    latents, mask, embedding = latents.double(), mask.double(), embedding.double()
    with torch.no_grad():
        got = net(latents, mask, embedding)
        theirs(torch.cat([latents, mask], 1), 0, embedding)
    assert got.tokens.keys() == want.keys()
    for name in want:
        torch.testing.assert_close(got.tokens[name], want[name], atol=1e-6, rtol=1e-5)


def test_reference_net_starts_as_stable_diffusion_that_ignores_the_mask():
    net = ReferenceNet.from_stable_diffusion(tiny_unet()).eval()
    latents, embedding = torch.randn(1, 4, 8, 8), torch.randn(1, 3, 12)
    with torch.no_grad():
        a = net(latents, torch.zeros(1, 1, 8, 8), embedding)
        b = net(latents, torch.ones(1, 1, 8, 8), embedding)
    for name in a.tokens:
        torch.testing.assert_close(a.tokens[name], b.tokens[name], rtol=0, atol=0)


def naive_attention(attn, frame: torch.Tensor, references: list[torch.Tensor]) -> torch.Tensor:
    """SA written from the paper's formula, one sample and head at a time."""
    together = torch.cat([frame, *references], 1)
    query, key, value = attn.to_q(frame), attn.to_k(together), attn.to_v(together)
    dim = query.shape[-1] // attn.heads
    heads = []
    for h in range(attn.heads):
        part = slice(h * dim, (h + 1) * dim)
        scores = query[..., part] @ key[..., part].transpose(1, 2) / math.sqrt(dim)
        heads.append(scores.softmax(-1) @ value[..., part])
    return attn.to_out[0](torch.cat(heads, -1))


@settings(max_examples=15, deadline=None)
@given(frames=st.integers(1, 3), sizes=st.lists(st.integers(1, 9), min_size=1, max_size=3))
def test_cached_attention_is_the_formula(frames: int, sizes: list[int]):
    unet = DenoisingUNet.from_stable_diffusion(tiny_unet())
    features = [features_for(unet, count, seed) for seed, count in enumerate(sizes)]
    name, attn = next(iter(spatial_layers(unet).items()))
    hidden = torch.randn(2 * frames, 7, attn.query_dim)
    with torch.no_grad():
        cache = ReferenceCache.concatenate([unet.project_references(f) for f in features])
        got = attn(hidden, context=SpatialContext(References((cache,))))
        want = naive_attention(attn, hidden, [f.tokens[name].repeat_interleave(frames, 0) for f in features])
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-4)


def test_a_second_attribute_is_attention_over_the_concatenation(sample):
    unet = DenoisingUNet.from_stable_diffusion(tiny_unet(), tiny_adapter()).eval()
    a, b = features_for(unet, 6, 1), features_for(unet, 9, 2)
    both = ReferenceFeatures({name: torch.cat([a.tokens[name], b.tokens[name]], 1) for name in a.tokens})
    with torch.no_grad():
        composed = ReferenceCache.concatenate([unet.project_references(f) for f in (a, b)])
        got = unet(**sample, references=References((composed,)))
        want = unet(**sample, references=References((unet.project_references(both),)))
        alone = unet(**sample, references=References((unet.project_references(a),)))
    torch.testing.assert_close(got, want, atol=1e-6, rtol=1e-5)
    assert (got - alone).abs().max() > 1e-4


@pytest.mark.parametrize("per_frame", [False, True])
def test_interpolation_at_its_ends_is_either_attribute(sample, per_frame: bool):
    unet = DenoisingUNet.from_stable_diffusion(tiny_unet(), tiny_adapter()).eval()
    with torch.no_grad():
        caches = tuple(unet.project_references(features_for(unet, 6, seed)) for seed in (1, 2))
        ends = [unet(**sample, references=References((cache,))) for cache in caches]

        def blend(alpha: float) -> torch.Tensor:
            weights = torch.tensor([1 - alpha, alpha])
            if per_frame:
                weights = weights[:, None].expand(2, 3)
            return unet(**sample, references=References(caches, weights))

        torch.testing.assert_close(blend(0.0), ends[0], atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(blend(1.0), ends[1], atol=1e-6, rtol=1e-5)
        assert (blend(0.5) - ends[0]).abs().max() > 1e-4


def test_interpolation_weights_belong_to_their_frames():
    unet = DenoisingUNet.from_stable_diffusion(tiny_unet()).eval()  # no motion: frames don't mix
    x = torch.randn(2, 4, 2, 8, 8)
    embedding = torch.randn(2, 5, 12)
    with torch.no_grad():
        caches = tuple(unet.project_references(features_for(unet, 6, seed)) for seed in (1, 2))
        weights = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        got = unet(x, 5, embedding, references=References(caches, weights))
        for frame, cache in enumerate(caches):
            want = unet(x, 5, embedding, references=References((cache,)))
            torch.testing.assert_close(got[:, :, frame], want[:, :, frame], atol=1e-6, rtol=1e-5)


def test_dropped_references_are_as_if_absent(sample):
    unet = DenoisingUNet.from_stable_diffusion(tiny_unet(), tiny_adapter()).eval()
    with torch.no_grad():
        a, b = (unet.project_references(features_for(unet, 6, seed)) for seed in (1, 2))
        keep = torch.tensor([True, False])
        got = unet(**sample, references=References((ReferenceCache.concatenate([a, b.drop(keep)]),)))
        both = unet(**sample, references=References((ReferenceCache.concatenate([a, b]),)))
        alone = unet(**sample, references=References((a,)))
    torch.testing.assert_close(got[0], both[0], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(got[1], alone[1], atol=1e-6, rtol=1e-5)


def test_masked_tokens_take_no_part():
    networks = tiny_networks(temporal=False, reference_net={"masked_margin": 0})
    unet = networks.denoising_unet
    image, canonical = torch.rand(2, 3, 32, 32), torch.randn(2, 8, 8, 2)
    visible = torch.zeros(2, 1, 32, 32)
    visible[0, ..., :16] = 1  # 4 columns of 8
    visible[1, ..., :8] = 1  # 2 columns of 8
    with torch.no_grad():
        embedding = networks.attribute_encoder(image * visible)
        features = networks.attribute_net(
            encode_latents(networks.vae, image * visible), visible, embedding, canonical
        )
        features = dataclasses.replace(features, image=torch.cat([image * visible, visible], 1))
        cache = unet.project_references(features)
        assert cache.bias is not None
        name = next(key for key in cache.keys if features.tokens[key].shape[1] == 64)
        assert cache.keys[name].shape[2] == 32
        assert cache.bias[name].isneginf().flatten(1).sum(1).tolist() == [0, 16]
        # The same as hiding them from every query.
        everything = unet.project_references(dataclasses.replace(features, keep=None))
        hidden = {
            layer: torch.zeros(2, 1, 1, key.shape[2]).masked_fill(
                ~features.keep[key.shape[2]][:, None, None], -math.inf
            )
            for layer, key in everything.keys.items()
        }
        source = dataclasses.replace(everything.source, bias=hidden[name])
        masked = ReferenceCache(everything.keys, everything.values, hidden, source)
        x = torch.randn(2, 48, 1, 8, 8)
        torch.testing.assert_close(
            unet(x, 3, embedding, references=References((cache,))),
            unet(x, 3, embedding, references=References((masked,))),
        )
        alone = networks.encode_reference("attribute", image[:1], visible[:1], canonical[:1]).cache
        assert alone.bias is None  # one reference needs no padding
        nothing = networks.encode_reference("attribute", image, visible * 0, canonical).cache
        assert all(key.shape[2] == 0 for key in nothing.keys.values())


def read(networks: Networks, role: str, seed: int) -> EncodedReference:
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(2, 3, 32, 32, generator=generator)
    visible = torch.zeros(2, 1, 32, 32)
    visible[..., 8 * (seed % 3) : 8 * (seed % 3) + 12, :] = 1
    return networks.encode_reference(role, image, visible, torch.randn(2, 8, 8, 2, generator=generator))


@torch.no_grad()
def test_tokens_can_be_averaged_over_squares():
    every, fewer = (
        tiny_networks(temporal=False, reference_net={"token_stride": stride, "drop_masked_tokens": False})
        for stride in (1, 2)
    )
    fewer.load_state_dict(every.state_dict())
    image, visible = torch.rand(1, 3, 32, 32), torch.ones(1, 1, 32, 32)
    embedding, canonical = every.attribute_encoder(image), torch.randn(1, 8, 8, 2)
    fine, coarse = (
        n.attribute_net(encode_latents(n.vae, image), visible, embedding, canonical) for n in (every, fewer)
    )
    for name, tokens in fine.tokens.items():
        side = round(tokens.shape[1] ** 0.5)
        grid = tokens.reshape(1, side // 2, 2, side // 2, 2, -1).mean((2, 4)).flatten(1, 2)
        torch.testing.assert_close(coarse.tokens[name], grid)
    cache = fewer.denoising_unet.project_references(coarse)
    largest = max(key.shape[2] for key in cache.keys.values())
    assert largest == 64 / 4


@torch.no_grad()
@pytest.mark.parametrize("margin", [0, 1, 2])
def test_tokens_beyond_the_mask_stay_as_far_as_the_margin(margin: int):
    options = {"drop_masked_tokens": True, "masked_margin": margin}
    network = tiny_networks(temporal=False, reference_net=options).attribute_net
    visible = torch.zeros(1, 1, 32, 32)
    visible[..., 12:16, 12:16] = 1  # one latent cell, and one token of each level
    features = network(torch.randn(1, 48, 8, 8), visible, torch.zeros(1, 1, 16))
    for count, keep in features.keep.items():
        side = round(count**0.5)
        cell = 3 * side // 8
        expected = torch.zeros(side, side, dtype=torch.bool)
        expected[max(0, cell - margin) : cell + margin + 1, max(0, cell - margin) : cell + margin + 1] = True
        assert torch.equal(keep.reshape(side, side), expected)


@torch.no_grad()
def test_without_masks_a_reference_shows_everything():
    networks = tiny_networks(temporal=False, reference_net={"mask_references": False})
    image, visible = torch.rand(1, 3, 32, 32), torch.zeros(1, 1, 32, 32)
    canonical = torch.randn(1, 8, 8, 2)
    a = networks.encode_reference("portrait", image, visible, canonical).cache
    b = networks.encode_reference("portrait", image, 1 - visible, canonical).cache
    assert a is not None
    assert b is not None
    assert all(torch.equal(a.keys[name], b.keys[name]) for name in a.keys)
    assert max(key.shape[2] for key in a.keys.values()) == 64


@torch.no_grad()
def test_without_the_mask_channel_only_the_picture_counts():
    networks = tiny_networks(
        temporal=False, reference_net={"mask_channel": False, "drop_masked_tokens": False}
    )
    assert networks.portrait_net.conv_in.in_channels == 48
    latents, embedding = torch.randn(1, 48, 8, 8), torch.zeros(1, 1, 16)
    a, b = (networks.portrait_net(latents, torch.full((1, 1, 32, 32), v), embedding) for v in (0.0, 1.0))
    assert all(torch.equal(a.tokens[name], b.tokens[name]) for name in a.tokens)


@torch.no_grad()
def test_one_reference_net_can_read_both_references():
    networks = tiny_networks(temporal=False, joint_references=True)
    assert networks.attribute_net is None
    assert networks.portrait_net.conv_in.in_channels == 2 * 49
    portrait, hair, hat = (
        read(networks, "portrait", 0),
        read(networks, "attribute", 1),
        read(networks, "attribute", 2),
    )
    one, embedding = networks.compose(portrait, [hair])
    two, both = networks.compose(portrait, [hair, hat])
    alone, nothing = networks.compose(portrait, [])
    assert (both.shape[1], nothing.shape[1]) == (2 * embedding.shape[1], 0)
    name = max(one.keys, key=lambda layer: one.keys[layer].shape[2])
    for cache in (one, two, alone):
        assert torch.isfinite(cache.keys[name]).all()
    assert two.keys[name].shape[2] > one.keys[name].shape[2]
    # An attribute that is dropped leaves what the portrait says alone.
    never = torch.zeros(2, dtype=torch.bool)
    dropped, _ = networks.compose(portrait, [hair], keep_attributes=never)
    torch.testing.assert_close(dropped.keys[name], alone.keys[name])
    swapped, _ = networks.compose(portrait, [hat])
    assert swapped.keys[name].shape != one.keys[name].shape or (swapped.keys[name] != one.keys[name]).any()
    with pytest.raises(ValueError, match="DNet expects two ReferenceNets"):
        Networks(
            **{**dict.fromkeys(OPTIONAL_COMPONENTS), **tiny_networks().components(), "attribute_net": None}
        )


def test_positions_are_the_same_kernel_wherever_the_face_is():
    encoded = encode_positions(torch.zeros(1, 4, 4, 2), 3, levels=3)
    assert {count: tuple(value.shape) for count, value in encoded.items()} == {
        16: (1, 16, position_dim(3)),
        4: (1, 4, position_dim(3)),
        1: (1, 1, position_dim(3)),
    }
    face, image, _ = encoded[16].chunk(3, -1)
    assert (face == face[:, :1]).all()  # one place of the face, wherever it is in the image
    assert (image != image[:, :1]).any()


def test_attention_starts_at_the_same_place():
    torch.manual_seed(0)
    layer = SpatialAttention("layer", heads=2, inner_dim=64, position_dim=position_dim(5))
    side = torch.linspace(-1.5, 1.5, 16)  # a period of the lowest octave is 4
    grid = torch.stack(torch.meshgrid(side, side, indexing="xy"), -1)
    positions = encode_positions(grid[None], 5, levels=1)[256]
    query, key, own = (
        project(positions).unflatten(2, (2, 32)).transpose(1, 2)
        for project in (layer.position_to_q, layer.position_to_k, layer.position_to_own_k)
    )
    scores = query @ torch.cat([own, key], 2).transpose(2, 3) / 32**0.5
    weights = scores.softmax(-1)
    at_home = weights[..., 256:].diagonal(dim1=2, dim2=3)
    assert (at_home > 0.5).all()  # of the references' 256 tokens, of which one lies there
    assert weights[..., :256].sum(-1).max() < 0.1  # the frame's own noise hardly takes part


def test_pixel_values_bring_a_references_colours_to_the_output(sample):
    unet = DenoisingUNet.from_stable_diffusion(tiny_unet(), tiny_adapter(), pixel_values=True).eval()
    tokens = {name: torch.zeros(2, 64, layer.inner_dim) for name, layer in spatial_layers(unet).items()}
    dark, light = (
        unet.project_references(ReferenceFeatures(tokens, pixels={64: torch.full((2, 64, 5), value)}))
        for value in (-1.0, 1.0)
    )
    with torch.no_grad():
        answers = [unet(**sample, references=References((cache,))) for cache in (dark, light)]
    assert (answers[0] - answers[1]).abs().max() > 1e-3
    plain = DenoisingUNet.from_stable_diffusion(tiny_unet(), tiny_adapter()).eval()
    assert plain.conv_linear is None


def test_a_guess_of_pure_noise_shows_nothing_and_of_a_clean_sample_all():
    scheduler = GuessDDIMScheduler(beta_schedule="squaredcos_cap_v2", rescale_betas_zero_snr=True)
    x = torch.randn(2, 3, 4, 5, 5)
    assert scheduler.scale_model_input(x, 999).abs().max() < 1e-3
    torch.testing.assert_close(scheduler.scale_model_input(x, 0), x, rtol=0.01, atol=0.01)
    times = torch.tensor([[0, 300, 600, 999], [10, 20, 30, 40]])
    both = scheduler.scale_model_input(x, times)
    for b in range(2):
        for f in range(4):
            one = scheduler.scale_model_input(x[b, :, f], int(times[b, f]))
            torch.testing.assert_close(both[b, :, f], one)
    # The least-squares estimate of unit-variance data from what the scheduler makes of it.
    clean, noise = torch.randn(100_000), torch.randn(100_000)
    noisy = scheduler.add_noise(clean, noise, torch.tensor(400))
    best = (clean * noisy).mean() / noisy.square().mean()
    assert scheduler.scale_model_input(torch.ones(()), 400) == pytest.approx(float(best), abs=0.01)


def test_with_motion_starts_as_the_image_model(sample):
    image = DenoisingUNet.from_stable_diffusion(tiny_unet()).eval()
    video = image.with_motion().eval()
    assert len(video.motion_modules()) == 7  # one a layer, down, mid and up
    assert not image.motion_modules()
    with torch.no_grad():
        torch.testing.assert_close(video(**sample), image(**sample), atol=1e-6, rtol=1e-5)
        filled = image.with_motion(tiny_adapter()).eval()
        want = DenoisingUNet.from_stable_diffusion(tiny_unet(), tiny_adapter()).eval()
        torch.testing.assert_close(filled(**sample), want(**sample), rtol=0, atol=0)


def test_missing_and_unexpected_keys_are_errors():
    unet, adapter = tiny_unet(), tiny_adapter()
    lacking = {key: value for key, value in unet.state_dict().items() if key != "conv_in.weight"}
    model = DenoisingUNet.from_stable_diffusion(unet)
    from durian.models.denoising_unet import load_strictly

    with pytest.raises(ValueError, match=r"missing \['conv_in.weight'\]"):
        load_strictly(model, lacking)
    with pytest.raises(ValueError, match="unexpected"):
        load_strictly(model, {**unet.state_dict(), **adapter.state_dict()})


@settings(max_examples=20, deadline=None)
@given(factor=st.sampled_from([1, 2, 4]), seed=st.integers(0, 99))
def test_pixel_autoencoder_is_lossless(factor: int, seed: int):
    vae = PixelAutoencoder(factor)
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    latents = encode_latents(vae, images)
    assert latents.shape == (2, 3 * factor**2, 8 // factor, 8 // factor)
    torch.testing.assert_close(decode_latents(vae, latents), images)


def test_image_encoders_give_tokens():
    images = torch.rand(2, 3, 48, 48) * 2 - 1
    assert SmallImageEncoder(16, (8, 16), 32, tokens=3)(images).shape == (2, 9, 16)
    arcface = ArcFaceEncoder(24, (1, 1, 1, 1), (4, 4, 8, 8), 32)
    assert arcface(images).shape == (2, 1, 24)
    assert {n.split(".")[0] for n, p in arcface.named_parameters() if p.requires_grad} == {"projection"}
    assert not arcface.train().bn1.training


def test_sd15_has_stable_diffusions_size():
    with torch.device("meta"):
        networks = SD15.build(temporal=True)
        still = SD15.build(temporal=False)
    count = {name: sum(p.numel() for p in c.parameters()) for name, c in networks.components().items()}
    assert sum(p.numel() for p in still.denoising_unet.parameters()) == 859_520_964
    with torch.device("meta"):
        adapter = MotionAdapter(use_motion_mid_block=False)  # as the adapter v1-5-3 of the hub
    assert count["denoising_unet"] == 859_520_964 + sum(p.numel() for p in adapter.parameters())
    assert networks.denoising_unet.state_dict().keys() >= adapter.state_dict().keys()
    # Without the output layers and with 320 filters of 3×3 for the mask channel.
    assert count["portrait_net"] == 859_520_964 - 640 - 11_524 + 320 * 9
    assert count["attribute_net"] == count["portrait_net"]
    assert count["vae"] == 83_653_863
    assert networks.attention_grid(64) == 64


def test_mini_fits_in_its_file():
    with torch.device("meta"):
        networks = PRESETS["mini"].build(temporal=True)
    assert 2 * sum(p.numel() for p in networks.parameters()) < 45e6  # stored in half precision
    assert networks.attention_grid(32) == 32
