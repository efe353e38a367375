"""Training examples: several attributes, balancing, masks, augmentation."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from durian.data.augmentation import Augmentation, draw_affine, jitter, relight
from durian.data.balance import attribute_probabilities, clip_probabilities
from durian.data.clips import Clip, read_clips
from durian.data.mask_bank import MaskBank, MaskSource
from durian.data.reconstruction import ReconstructionSampler
from durian.errors import DurianError
from durian.portrait.geometry import face_template
from durian.training.config import DataConfig, TrainConfig
from durian.training.dataset import draw_example
from durian.training.noise import example_generators
from durian.training.objective import ReconstructionObjective
from durian.training.preview import reconstruct
from durian.training.references import read_references
from durian.training.sampler import sampler_of
from people import BOXES, COLOURS, SIZE, dressed, write_shard
from tiny import tiny_networks, tiny_preset

STILL = Augmentation(0, 0, 0, 0, 0, 0)
Batch = dict[str, torch.Tensor]


def batch_of(sampler: ReconstructionSampler, *indices: int) -> Batch:
    examples = [draw_example(sampler, 0, index) for index in indices]
    return {key: torch.from_numpy(np.stack([e[key] for e in examples])) for key in examples[0]}


def doubled(batch: Batch) -> Batch:
    """A copy of the batch in double precision."""
    return {key: value.double() if value.is_floating_point() else value for key, value in batch.items()}


def colours_in(image: np.ndarray, mask: np.ndarray) -> set[tuple[int, ...]]:
    """Colours of an image in [-1, 1] where a mask is."""
    return {tuple(c) for c in np.round((image[:, mask[0] > 0.5].T + 1) * 127.5).astype(int).tolist()}


# --- several attributes ---------------------------------------------------------------------------------


def test_each_attribute_has_a_frame_and_a_mask_of_its_own():
    clip = dressed("a", "hair", "glasses", "beard")
    sampler = ReconstructionSampler([clip], 2, 4, attributes=3, augmentation=STILL)
    numbers, places = Counter(), set()
    for seed in range(60):
        example = sampler.draw(np.random.default_rng(seed))
        count = int(example.worn.sum())
        numbers[count] += 1
        assert example.worn.tolist() == [True] * count + [False] * (3 - count)
        shown = [colours_in(i, m) for i, m in zip(example.attributes, example.attribute_masks, strict=True)]
        names = [next(n for n, c in COLOURS.items() if {c} == colours) for colours in shown[:count]]
        assert len(set(names)) == count
        assert shown[count:] == [set()] * (3 - count)
        assert not example.attributes[count:].any()
        # The union: nothing of what is worn is left in the portrait, and all of the rest.
        left = colours_in(example.portrait, 1 - example.portrait_mask)
        assert {COLOURS[name] for name in clip.masks if name not in names} <= left
        assert not {COLOURS[name] for name in names} & left
        expected = sum((BOXES[name][1] - BOXES[name][0]) * 14 for name in names)
        assert example.target_masks.sum((1, 2, 3)).tolist() == [expected] * 2
        columns = [np.flatnonzero(m[0].any(0)).min() for m in example.attribute_masks[:count]]
        places.add(len(set(columns)) > 1)
    assert set(numbers) == {1, 2, 3}
    assert min(numbers.values()) > 10  # drawn evenly
    assert True in places


def test_only_what_is_worn_and_weighed_is_drawn():
    clips = [dressed("a", "hair", "hat"), dressed("b", "beard")]
    weights = {"hair": 1.0, "beard": 1.0}
    sampler = ReconstructionSampler(clips, 1, 4, attributes=4, attribute_weights=weights, augmentation=STILL)
    for seed in range(20):
        example = sampler.draw(np.random.default_rng(seed))
        assert example.worn.tolist() == [True, False, False, False]
        shown = colours_in(example.attributes[0], example.attribute_masks[0])
        assert shown in ({COLOURS["hair"]}, {COLOURS["beard"]})


def test_hair_under_hats_can_be_left_out():
    clips = [dressed("a", "hair", "hat"), dressed("b", "hair"), dressed("c", "hat")]
    config = DataConfig(clips=Path("clips"), targets=1)
    assert sampler_of(config, clips, 4).counts == {"hair": 2, "hat": 2}
    sampler = sampler_of(config.model_copy(update={"hair_under_hats": False}), clips, 4)
    assert sampler.counts == {"hair": 1, "hat": 2}
    assert sampler.mask_bank.counts() == {"hair": 1, "hat": 2}


def test_room_for_more_attributes_changes_nothing_where_one_is_worn():
    clips = [dressed("a", "hair"), dressed("b", "hat"), dressed("c", "hair")]
    one, many = (ReconstructionSampler(clips, 2, 4, attributes=n) for n in (1, 3))
    for seed in range(10):
        a, b = (s.draw(np.random.default_rng(seed)) for s in (one, many))
        for field in dataclasses.fields(a):
            left, right = getattr(a, field.name), getattr(b, field.name)
            if field.name.startswith("attribute") or field.name == "worn":
                assert not right[1:].any()
                right = right[:1]
            np.testing.assert_array_equal(left, right)


OPTIONS = {
    "mini": {},
    "all tokens": {"reference_net": {"drop_masked_tokens": False}},
    "no copies": {"copy_heads": 0},
    "joint": {"joint_references": True, "copy_heads": 0},
    "guidance": {"guidance_channels": 8},
}


def objective_of(tmp_path: Path, options: dict, **changes: object) -> ReconstructionObjective:
    values = {"preset": "mini", "stage": 1, "output": tmp_path, "data": {"clips": tmp_path}, "steps": 1}
    config = TrainConfig.model_validate({**values, **changes})
    networks = tiny_networks(temporal=False, **options).eval()
    return ReconstructionObjective(networks, DDIMScheduler(**tiny_preset().scheduler), config)


@torch.no_grad()
@pytest.mark.parametrize("name", OPTIONS)
def test_a_padded_example_is_as_if_it_were_alone(tmp_path: Path, name: str):
    # Exact enough not to depend on the order in which kernels for other batch sizes sum.
    objective = objective_of(tmp_path, OPTIONS[name]).double()
    for encoder in (objective.networks.attribute_encoder, objective.networks.identity_encoder):
        encoder.float()  # these always work in single precision
    clips = [dressed("a", "hair", "glasses", "beard"), dressed("b", "hat")]
    guidance = 8 if name == "guidance" else None
    sampler = ReconstructionSampler(clips, 2, 8, attributes=3, guidance_size=guidance)
    drawn = [int(sampler.draw(np.random.default_rng([0, i])).worn.sum()) for i in range(40)]
    chosen = [drawn.index(count) for count in (3, 1, 2)]
    together = doubled(batch_of(sampler, *chosen))
    noisy = torch.randn(3, 48, 2, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    timesteps = torch.tensor([[900, 100]]).expand(3, 2)
    keep = torch.tensor([True, True, True])

    def predict(batch: Batch, rows: slice, dropped: bool = False) -> torch.Tensor:
        positions, _ = objective.read_positions(batch)
        kept = keep[rows] & (not dropped)
        return objective.predict(batch, noisy[rows], timesteps[rows], positions, keep[rows], kept)

    for dropped in (False, True):
        whole = predict(together, slice(None), dropped)
        for row, index in enumerate(chosen):
            alone = doubled(batch_of(sampler, index))
            for key in ("attributes", "attribute_masks", "attribute_positions", "worn"):
                alone[key] = alone[key][:, : drawn[index]]
            expected = predict(alone, slice(row, row + 1), dropped)
            torch.testing.assert_close(whole[row : row + 1], expected, atol=2e-5, rtol=1e-4)
    # And the further attributes do count where there are any.
    fewer = {**together, "worn": together["worn"] & torch.tensor([True, False, False])}
    assert (predict(fewer, slice(None))[0] - predict(together, slice(None))[0]).abs().max() > 1e-3


def test_the_loss_of_a_padded_example_is_that_of_the_unpadded_one(tmp_path: Path):
    objective = objective_of(tmp_path, {}, drop_attribute=0.0, drop_portrait=0.0)
    clips = [dressed("b", "hat")]
    losses = []
    for room in (1, 3):
        batch = batch_of(ReconstructionSampler(clips, 2, 8, attributes=room), 0, 1)
        losses.append(objective(batch, example_generators(0, torch.arange(2))))
        assert batch["worn"].shape == (2, room)
    assert losses[0] == losses[1]


def test_gradients_through_padding_are_finite(tmp_path: Path):
    objective = objective_of(tmp_path, {})
    clips = [dressed("a", "hair", "glasses", "beard"), dressed("b", "hat")]
    sampler = ReconstructionSampler(clips, 2, 8, attributes=3)
    batch = batch_of(sampler, *range(6))
    assert batch["worn"].sum(1).unique().numel() > 1
    for seed in range(3):  # with and without condition dropout
        objective(batch, example_generators(seed, torch.arange(6))).backward()
    gradients = [p.grad for p in objective.parameters() if p.grad is not None]
    assert gradients
    assert all(torch.isfinite(g).all() for g in gradients)


def test_previews_show_several_attributes(tmp_path: Path):
    networks = tiny_networks(temporal=False)
    clips = [dressed("a", "hair", "glasses"), dressed("b", "hat")]
    batch = batch_of(ReconstructionSampler(clips, 2, 8, attributes=2), *range(6))
    assert batch["worn"].sum(1).unique().tolist() == [1, 2]
    scheduler = DDIMScheduler(**tiny_preset().scheduler)
    assert reconstruct(networks, scheduler, batch, steps=1).shape == (6, 2, 3, SIZE, SIZE)
    references = read_references(networks, batch)
    assert references.embedding_keep is not None
    assert references.embedding_keep.shape == references.embedding.shape[:2]


# --- balancing ------------------------------------------------------------------------------------------


def test_weights_of_attributes():
    counts = {"hair": 80, "beard": 20}
    assert attribute_probabilities(counts, "natural") == {"hair": 0.8, "beard": 0.2}
    assert attribute_probabilities(counts, "balanced") == {"hair": 0.5, "beard": 0.5}
    tempered = attribute_probabilities(counts, "balanced", 0.5)
    assert tempered["hair"] / tempered["beard"] == pytest.approx(2)
    assert attribute_probabilities(counts, {"hat": 5, "hair": 1, "beard": 3}) == {"hair": 0.25, "beard": 0.75}
    given_by_default = attribute_probabilities(counts)
    assert given_by_default["hair"] == pytest.approx(5 / 6)
    for weights in ({"hat": 1.0}, {"hair": 0.0}, {}):
        with pytest.raises(ValueError, match="no clip shows any"):
            attribute_probabilities(counts, weights)


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=30), st.floats(0, 1))
def test_every_style_has_its_share(styles: list[str], power: float):
    shares = clip_probabilities(styles, power)
    assert shares.sum() == pytest.approx(1)
    wanted = {style: count**power for style, count in Counter(styles).items()}
    for style, weight in wanted.items():
        total = sum(share for share, each in zip(shares, styles, strict=True) if each == style)
        assert total == pytest.approx(weight / sum(wanted.values()))


def test_balanced_drawing_evens_out_kinds_and_styles(tmp_path: Path):
    clips = [dressed(f"{i}", "hair", styles={"hair": "bob"}) for i in range(9)]
    clips += [dressed("x", "hair", styles={"hair": "afro"}), dressed("y", "hat")]
    write_shard(tmp_path / "clips-000.tar", clips)
    clips = list(read_clips(tmp_path))
    assert clips[9].styles == {"hair": "afro"}
    sampler = sampler_of(DataConfig(clips=tmp_path, targets=1, attribute_weights="balanced"), clips, 4)
    drawn = Counter()
    for seed in range(400):
        clip, frames = sampler._attribute_frames(np.random.default_rng(seed))
        drawn[clip.name if clip.name in "xy" else "bobs"] += 1
        assert set(frames) <= set(clip.masks)
    assert drawn["y"] == pytest.approx(200, abs=40)
    assert drawn["x"] == pytest.approx(100, abs=35)
    assert "hair 10 (50%), hat 1 (50%)" in sampler.summary()
    natural = sampler_of(DataConfig(clips=tmp_path, targets=1, attribute_weights="natural"), clips, 4)
    assert natural.probabilities["hat"] == pytest.approx(1 / 11)


def test_clips_without_the_wanted_attributes_are_refused(tmp_path: Path):
    config = DataConfig(clips=tmp_path, attribute_weights={"glasses": 1.0})
    with pytest.raises(DurianError, match="no clip shows any of the attributes glasses"):
        sampler_of(config, [dressed("a", "hair")], 4)


# --- masks ----------------------------------------------------------------------------------------------


def test_references_are_complementary_and_expansion_hides_the_own_shape():
    clips = [dressed("a", "hair"), dressed("b", "hair")]
    clips[1].masks["hair"][:] = False
    clips[1].masks["hair"][:, 2:28, 2:30] = True  # somebody with hair everywhere
    always = dataclasses.replace(STILL, mask_expansion=1.0)
    sampler = ReconstructionSampler(clips[:1], 1, 4, augmentation=always)
    sampler.mask_bank = ReconstructionSampler(clips[1:], 1, 4).mask_bank
    for seed in range(10):
        example = sampler.draw(np.random.default_rng(seed))
        assert colours_in(example.attributes[0], example.attribute_masks[0]) == {COLOURS["hair"]}
        assert COLOURS["hair"] not in colours_in(example.portrait, 1 - example.portrait_mask)
        assert example.portrait_mask.sum() > 2 * example.attribute_masks.sum()  # M_port ⊃ M_attr


def test_the_mask_may_be_united_with_several_of_others():
    """Each of six others hides a column of its own: how many columns are hidden tells how many were drawn."""
    own, others = dressed("a", "hair"), [dressed(str(index), "hair") for index in range(6)]
    own.masks["hair"][:] = False
    own.masks["hair"][:, :2] = True
    for index, clip in enumerate(others):
        clip.masks["hair"][:] = False
        clip.masks["hair"][:, :, 3 * index + 7] = True

    def columns(draws: int) -> set[int]:
        strengths = dataclasses.replace(STILL, mask_expansion=1.0, mask_draws=draws)
        sampler = ReconstructionSampler([own], 1, 4, augmentation=strengths)
        sampler.mask_bank = ReconstructionSampler(others, 1, 4).mask_bank
        masks = [sampler.draw(np.random.default_rng(seed)).portrait_mask[0] for seed in range(60)]
        return {int((mask[10:].mean(0) > 0.9).sum()) for mask in masks}

    assert columns(1) == {1}
    assert columns(3) == {1, 2, 3}


def test_a_bank_draws_faces_like_the_portraits():
    rng = np.random.default_rng(0)
    faces = face_template()[None].repeat(20, 0) * 8 + 16
    faces[:, :, 0] += np.linspace(-1, 1, 20)[:, None] * faces[:, :, 2]  # sheared as if turned
    masks = np.zeros((20, SIZE, SIZE), bool)
    for i in range(20):
        masks[i].flat[i] = True  # tells who it is
    read = [lambda frame, i=i: masks[i] for i in range(20)]
    sources = {"hair": [MaskSource(faces[i : i + 1], np.array([0]), read[i]) for i in range(20)]}
    bank = MaskBank(sources, nearest=3)
    moved = faces[17] * 0.9 + rng.uniform(-3, 3, 3)  # neither place nor size count
    found = {int(np.argmax(bank.sources["hair"][i].read(0))) for i in range(20)}
    assert found == set(range(20))
    drawn = set()
    for seed in range(30):
        picked = bank.pick(np.random.default_rng(seed), "hair", moved)
        drawn.add(int(np.argmax(picked.read(0))))
    assert drawn == {16, 17, 18}


# --- augmentation ---------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 0.3), st.floats(0, 0.5), st.floats(0, 45))
def test_the_drawn_motion_is_within_its_limits(seed: int, shift: float, scale: float, rotation: float):
    strengths = Augmentation(shift, scale, rotation)
    matrix = draw_affine(np.random.default_rng(seed), strengths, 100)
    u, stretch, vt = np.linalg.svd(matrix[:, :2])
    np.testing.assert_allclose(stretch, stretch[0])
    assert abs(np.log(stretch[0])) <= scale + 1e-9
    turn = u @ vt
    assert abs(np.rad2deg(np.arctan2(turn[1, 0], turn[0, 0]))) <= rotation + 1e-6
    middle = matrix @ [50, 50, 1]
    assert np.abs(middle - 50).max() <= shift * 100 + 1e-9


def test_light_comes_from_a_side_and_off_changes_nothing():
    image = np.full((32, 32, 3), 100, np.uint8)
    off = Augmentation(colour=0.0)
    np.testing.assert_array_equal(jitter(np.random.default_rng(0), off, image), image)
    ratios = []
    for seed in range(200):
        lit = relight(np.random.default_rng(seed), 0.5, image)[..., 0].astype(float)
        ratios.append((lit.max() / lit.min(), np.argmax(lit) // 32 > 15, np.argmax(lit) % 32 > 15))
        # Smooth: no step between neighbours.
        assert max(np.abs(np.diff(lit, axis=axis)).max() for axis in (0, 1)) < 12
    strongest = max(ratio for ratio, *_ in ratios)
    assert 2 < strongest < 3  # e^(2 · 0.5), a little more from corner to corner
    assert {sides for _, *sides in map(tuple, ratios) for sides in [tuple(sides)]} >= {
        (a, b) for a in (True, False) for b in (True, False)
    }


def test_an_attribute_may_come_in_another_light_and_nothing_else():
    clip = dressed("a", "hair", "beard")
    lit = dataclasses.replace(
        clip, name="a.relit", frames=clip.frames // 2, masks={"hair": clip.masks["hair"]}
    )
    both = dataclasses.replace(clip, relit=lit)
    dark = {tuple(value // 2 for value in COLOURS["hair"])}

    def colours(clip: Clip, name: str, share: float) -> list[set[tuple[int, ...]]]:
        strengths = dataclasses.replace(STILL, relit=share)
        sampler = ReconstructionSampler([clip], 2, 4, attribute_weights={name: 1}, augmentation=strengths)
        examples = [sampler.draw(np.random.default_rng(seed)) for seed in range(20)]
        for example in examples:
            assert COLOURS[name] in colours_in(example.targets[0], example.target_masks[0])
            assert not dark & colours_in(example.portrait, 1 - example.portrait_mask)
        return [colours_in(each.attributes[0], each.attribute_masks[0]) for each in examples]

    assert colours(both, "hair", 1) == [dark] * 20
    assert 0 < colours(both, "hair", 0.5).count(dark) < 20
    assert colours(both, "hair", 0) == colours(clip, "hair", 1) == [{COLOURS["hair"]}] * 20
    assert colours(both, "beard", 1) == [{COLOURS["beard"]}] * 20  # no relit frame shows it


def test_a_portrait_may_be_without_its_hats_shadow_and_nothing_else():
    clip = dressed("a", "hat", "beard")
    light = dataclasses.replace(clip, unshaded=np.minimum(clip.frames + 20, 255).astype(np.uint8))
    usual, lit = {(40,) * 3, (150,) * 3}, {(60,) * 3, (170,) * 3}

    def draws(clip: Clip, name: str, share: float) -> list[set[tuple[int, ...]]]:
        strengths = dataclasses.replace(STILL, unshaded=share)
        sampler = ReconstructionSampler([clip], 2, 4, attribute_weights={name: 1}, augmentation=strengths)
        examples = [sampler.draw(np.random.default_rng(seed)) for seed in range(20)]
        for example in examples:
            assert colours_in(example.attributes[0], example.attribute_masks[0]) == {COLOURS[name]}
            assert usual < colours_in(example.targets[0], np.ones_like(example.target_masks[0]))
        return [colours_in(each.portrait, 1 - each.portrait_mask) for each in examples]

    assert all(lit <= colours for colours in draws(light, "hat", 1))
    some = [lit <= colours for colours in draws(light, "hat", 0.5)]
    assert 0 < sum(some) < 20
    # Where the hat is no attribute it stays in the portrait, shadow and all.
    for same in (draws(light, "hat", 0), draws(clip, "hat", 1), draws(light, "beard", 1)):
        assert all(usual <= colours for colours in same)


def test_an_attribute_may_be_worn_by_somebody_else_and_the_portrait_be_without():
    clip = dressed("a", "hair", "beard")
    other = dressed("a.donor", "hair")
    other = dataclasses.replace(other, frames=other.frames // 2)
    bare = dressed("a.before")
    hidden = clip.masks["hair"] | np.roll(clip.masks["hair"], 2, axis=1)
    bare = dataclasses.replace(bare, frames=bare.frames + 1, masks={"hair": hidden})
    full = dataclasses.replace(clip, donors={"hair": other}, before={"hair": bare})
    theirs = {tuple(value // 2 for value in COLOURS["hair"])}

    def drawn(*names: str, **shares: float) -> list[tuple[bool, bool]]:
        """Of each example, whether an attribute is another's, and whether the portrait is as before."""
        sampler = ReconstructionSampler(
            [full],
            2,
            4,
            attributes=len(names),
            attribute_weights=dict.fromkeys(names, 1.0),
            augmentation=dataclasses.replace(STILL, **shares),
        )
        found = []
        for example in (sampler.draw(np.random.default_rng(seed)) for seed in range(20)):
            pairs = zip(example.attributes, example.attribute_masks, strict=True)
            shown = [colours_in(image, mask) for image, mask in pairs]
            left = colours_in(example.portrait, 1 - example.portrait_mask)
            assert not theirs & left
            found.append((theirs in shown, (41, 41, 41) in left))
            if found[-1][1]:
                np.testing.assert_array_equal(example.portrait_mask[0].any(1), hidden[0].any(1))
        return found

    assert set(drawn("hair")) == {(False, False)}
    assert set(drawn("hair", donors=1)) == {(True, False)}
    assert set(drawn("hair", before=1)) == {(False, True)}
    assert len(set(drawn("hair", donors=0.5, before=0.5))) == 4
    assert set(drawn("beard", donors=1, before=1)) == {(False, False)}  # no such picture has one
    # Of several attributes each may be another's; no portrait is without one and still wears the other.
    assert (True, False) in drawn("hair", "beard", donors=1, before=1)


def test_of_somebody_else_no_place_is_known():
    clip = dressed("a", "hair")
    places = np.zeros((*clip.frames.shape[:3], 3), np.uint16)
    places[..., 0] = np.arange(SIZE) * 600 + 20000
    places[..., 1] = (np.arange(SIZE) * 600 + 20000)[:, None]
    places[..., 2] = 30000
    other = dressed("a.donor", "hair")
    full = dataclasses.replace(clip, surface=places, donors={"hair": other})
    for share in (0, 1):
        strengths = dataclasses.replace(STILL, donors=share)
        sampler = ReconstructionSampler([full], 2, 4, augmentation=strengths, match_size=8)
        example = sampler.draw(np.random.default_rng(0))
        assert example.portrait_matches[:, 2].any()
        assert example.attribute_matches[0, :, 2].any() == (share == 0)


def test_only_the_attribute_is_relit():
    clip = dressed("a", "hair")
    lit = dataclasses.replace(STILL, light=0.8)
    example = ReconstructionSampler([clip], 1, 4, augmentation=lit).draw(np.random.default_rng(1))
    assert len(colours_in(example.attributes[0], example.attribute_masks[0])) > 1
    assert colours_in(example.portrait, 1 - example.portrait_mask) == {(40,) * 3, (150,) * 3}
