"""Training on tiny networks and clips made here."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from accelerate import Accelerator
from diffusers import DDIMScheduler, MotionAdapter
from safetensors.torch import load_file

from durian.data.augmentation import Augmentation
from durian.data.clips import Clip, read_clips
from durian.data.outpainted import View
from durian.data.reconstruction import ReconstructionSampler, split_clips
from durian.errors import DurianError
from durian.models import presets
from durian.pipeline.checkpoint import load_motion_adapter, save_checkpoint
from durian.training.build import build_networks, prepare_networks, trainable_parameters
from durian.training.config import load_config
from durian.training.dataset import draw_example
from durian.training.losses import hue_error
from durian.training.noise import example_generators
from durian.training.objective import ReconstructionObjective
from durian.training.optimizer import learning_rate
from durian.training.pace import Pace
from durian.training.run import train
from people import write_shard
from tiny import tiny_inputs, tiny_networks, tiny_preset, tiny_unet
from tiny_runs import config_with, make_clip, write_config

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
NO_AUGMENTATION = Augmentation(0, 0, 0, 0, 0, 0)


def test_clips_are_read_back_from_shards(clips, tmp_path: Path):
    write_shard(tmp_path / "clips-000.tar", clips)
    back = list(read_clips(tmp_path))
    assert [clip.name for clip in back] == [clip.name for clip in clips]
    assert (back[2].masks["hair"] == clips[2].masks["hair"]).all()
    assert back[2].masks.keys() == {"hair"}
    assert np.abs(back[2].frames.astype(int) - clips[2].frames).mean() < 8
    assert len(list(read_clips(tmp_path, limit=2))) == 2
    with pytest.raises(DurianError, match="no clips in"):
        list(read_clips(tmp_path / "nowhere"))


def test_examples_have_complementary_masks_of_one_person(clips):
    sampler = ReconstructionSampler(clips, targets=2, grid=4, augmentation=NO_AUGMENTATION)
    example = sampler.draw(np.random.default_rng(0))
    visible_hair = example.attributes[0][:, example.attribute_masks[0, 0] == 1]
    owner = next(c for c in clips if np.abs(c.frames[0, 7, 8] / 127.5 - 1 - visible_hair.mean(1)).max() < 0.1)
    kept = example.portrait[:, example.portrait_mask[0] == 0]
    hair_colour = owner.frames[0, 7, 8] / 127.5 - 1
    # The person's own attribute is nowhere left in the portrait.
    assert np.abs(kept - hair_colour[:, None]).max(0).min() > 0.15
    assert example.targets.shape == (2, 3, 32, 32)
    assert example.target_masks.mean() == pytest.approx(6 * 14 / 32**2)
    assert (example.keypoints.reshape(2, -1).max(1) > 0).all()


def test_mask_expansion_only_adds(clips):
    wide = make_clip("wide", 200)
    wide.masks["hair"][:, 4:20, 2:26] = True
    everybody = [*clips, wide]
    never = ReconstructionSampler(everybody, 1, 4, augmentation=NO_AUGMENTATION)
    always = ReconstructionSampler(
        everybody, 1, 4, augmentation=dataclasses.replace(NO_AUGMENTATION, mask_expansion=1.0)
    )
    areas = {
        name: np.mean([s.draw(np.random.default_rng(k)).portrait_mask.mean() for k in range(30)])
        for name, s in (("never", never), ("always", always))
    }
    assert areas["always"] > 1.15 * areas["never"]


def test_augmentation_moves_image_mask_and_landmarks_together(clips):
    sampler = ReconstructionSampler(clips, 1, 4, augmentation=Augmentation(0.1, 0.1, 10, 0, 0, 0))
    frame, mask = clips[0].frames[0], clips[0].masks["hair"][0].astype(np.float32)
    marked = np.where(mask[..., None] > 0, 255, 0).astype(np.uint8).repeat(3, -1)
    points = np.zeros((478, 3), np.float32)
    points[:, :2] = np.argwhere(mask > 0)[:, ::-1].mean(0) + 0.5
    for seed in range(10):
        reference = sampler._moved(np.random.default_rng(seed), View(marked, 0, {}, points), mask).reference
        image, moved, landmarks = reference.image, reference.mask, reference.landmarks
        np.testing.assert_allclose(image[..., 0] / 255, moved, atol=0.01)
        ys, xs = np.indices(moved.shape) + 0.5
        centre = [(xs * moved).sum() / moved.sum(), (ys * moved).sum() / moved.sum()]
        np.testing.assert_allclose(landmarks[0, :2], centre, atol=0.8)
    assert frame.shape == image.shape


def test_consecutive_targets_follow_each_other(clips):
    sampler = ReconstructionSampler(clips, 4, 4, consecutive=True, augmentation=NO_AUGMENTATION)
    visible = np.array([0, 1, 2, 3, 4])
    for seed in range(20):
        chosen = sampler._target_frames(np.random.default_rng(seed), visible, None)
        assert len(chosen) == 4
        assert (np.abs(np.diff(chosen)) == 1).all()
    assert sampler._target_frames(np.random.default_rng(0), visible[:2], None).tolist() == [0, 1, 1, 0]


def test_consecutive_targets_are_of_one_take(clips):
    sampler = ReconstructionSampler(clips, 4, 4, consecutive=True, augmentation=NO_AUGMENTATION)
    visible, take = np.array([0, 1, 2, 4, 5]), np.array([0, 0, 0, 1, 1, 1])
    drawn = {tuple(sampler._target_frames(np.random.default_rng(seed), visible, take)) for seed in range(20)}
    assert drawn == {(0, 1, 2, 2), (4, 5, 5, 4)}
    alone = [dataclasses.replace(clip, take=np.arange(len(clip.frames))) for clip in clips]
    ReconstructionSampler(alone, 4, 4)
    with pytest.raises(ValueError, match="each frame is a take of its own"):
        ReconstructionSampler(alone, 4, 4, consecutive=True)
    mixed = ReconstructionSampler([alone[0], *clips[1:]], 4, 4, consecutive=True)
    assert {index for each in mixed.frames.values() for index, _ in each} == set(range(1, len(clips)))
    assert mixed.draw(np.random.default_rng(0)).targets.std(0).max() > 0


def test_frames_without_a_face_are_never_used(clips):
    for clip in clips:
        clip.landmarks[2:] = np.nan
    sampler = ReconstructionSampler(clips, 3, 4)
    for seed in range(10):
        example = sampler.draw(np.random.default_rng(seed))
        assert all(np.isfinite(getattr(example, f.name)).all() for f in dataclasses.fields(example))
        assert (example.keypoints.reshape(3, -1).max(1) > 0).all()


def test_held_out_clips_are_apart(clips):
    training, held_out = split_clips(clips, 1)
    assert {c.name for c in training} | {c.name for c in held_out} == {c.name for c in clips}
    assert len(held_out) == 1
    assert not {c.name for c in training} & {c.name for c in held_out}


def batch_of(clips: list[Clip], count: int = 2, **kwargs: object) -> dict[str, torch.Tensor]:
    sampler = ReconstructionSampler(clips, 2, 8, **kwargs)
    examples = [draw_example(sampler, 0, index) for index in range(count)]
    return {key: torch.from_numpy(np.stack([e[key] for e in examples])) for key in examples[0]}


@pytest.mark.parametrize("prediction_type", ["sample", "epsilon", "v_prediction"])
def test_a_perfect_prediction_has_no_loss(clips, tmp_path: Path, prediction_type: str, monkeypatch):
    scheduler = DDIMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type=prediction_type)
    networks = tiny_networks(temporal=False)
    objective = ReconstructionObjective(networks, scheduler, config_with(tmp_path, position_loss_weight=0.0))
    batch = batch_of(clips)
    clean = torch.nn.functional.pixel_unshuffle(batch["targets"].flatten(0, 1), 4) * 2
    clean = clean.unflatten(0, (2, 2)).transpose(1, 2)

    def oracle(self, batch, noisy, timesteps, *keep):
        a = scheduler.alphas_cumprod[timesteps][:, None, :, None, None]
        noise = (noisy - a.sqrt() * clean) / (1 - a).sqrt()
        velocity = a.sqrt() * noise - (1 - a).sqrt() * clean
        return {"sample": clean, "epsilon": noise, "v_prediction": velocity}[prediction_type], None, None

    monkeypatch.setattr(ReconstructionObjective, "denoise", oracle)
    assert objective(batch).item() < 1e-5


def test_a_reader_learns_the_frames_positions_from_their_keypoint_images(clips, tmp_path: Path):
    networks = tiny_networks(temporal=False)
    objective = ReconstructionObjective(networks, DDIMScheduler(), config_with(tmp_path))
    batch = batch_of(clips)
    reader = networks.position_reader
    assert reader is not None
    optimizer = torch.optim.Adam(reader.parameters(), lr=1e-2)
    errors = []
    for _ in range(60):
        _, misread = objective.read_positions(batch)
        optimizer.zero_grad()
        misread.backward()
        optimizer.step()
        errors.append(float(misread))
    assert errors[-1] < 0.3 * errors[0]
    # What attention is given is what was read, and attention does not teach the reader.
    keypoints = batch["keypoints"].flatten(0, 1)
    read = networks.denoising_unet.encode_positions(reader(keypoints))
    given, _ = objective.read_positions(batch)
    torch.testing.assert_close(given[64], read[64])
    assert not given[64].requires_grad
    # At inference the image alone says where the face is, whatever coordinates come with it.
    anywhere = torch.zeros_like(batch["target_positions"].flatten(0, 1))
    torch.testing.assert_close(networks.frame_positions(keypoints, anywhere)[64], read[64])


def test_the_attribute_can_weigh_more(clips, tmp_path: Path):
    batch = batch_of(clips)
    objective = ReconstructionObjective(
        tiny_networks(temporal=False), DDIMScheduler(), config_with(tmp_path, attribute_loss_weight=3.0)
    )
    weight = objective._weight(batch)
    assert weight.shape == (2, 2, 8, 8)
    assert weight.min() == 1
    assert weight.max() == pytest.approx(4)
    # What is small weighs in all as what has a tenth of the picture, what is larger as it did.
    options = {"attribute_loss_weight": 3.0, "attribute_loss_area": 0.1}
    evened = ReconstructionObjective(
        tiny_networks(temporal=False), DDIMScheduler(), config_with(tmp_path, **options)
    )
    masks = torch.zeros_like(batch["target_masks"])
    masks[0, 0, 0, 8:16, 8:12] = masks[0, 1, 0, :, :16] = 1
    small, large, none = evened._weight({**batch, "target_masks": masks}).flatten(0, 1)[:3]
    assert (small - 1).mean() == pytest.approx(0.3)
    assert (large - 1).mean() == pytest.approx(3 * masks[0, 1].mean().item())
    assert none.max() == 1


def test_hue_error_sees_colour_and_not_brightness_or_texture():
    residual = torch.zeros(1, 48, 1, 2, 2)
    assert hue_error(residual + 0.5).max() < 1e-12  # all colours alike: brightness
    texture = residual.clone()
    texture[:, 0], texture[:, 1] = 1.0, -1.0  # two pixels of red that cancel
    assert hue_error(texture).max() < 1e-12
    red = residual.clone()
    red[:, :16] = 0.3
    torch.testing.assert_close(hue_error(red), torch.full((1, 1, 2, 2), (0.2**2 + 2 * 0.1**2) / 3))


def test_timestep_shift_draws_more_noise(clips, tmp_path: Path):
    means = []
    for shift in (1.0, 4.0):
        objective = ReconstructionObjective(
            tiny_networks(temporal=False), DDIMScheduler(), config_with(tmp_path, timestep_shift=shift)
        )
        t = objective.timesteps(torch.rand(2000, 1, generator=torch.Generator().manual_seed(0)))
        assert 0 <= int(t.min()) <= int(t.max()) <= 999
        means.append(float(t.float().mean()))
    assert means[0] == pytest.approx(500, abs=25)
    assert means[1] > 650


def test_stages_train_what_they_should():
    one = trainable_parameters(tiny_networks(temporal=False), stage=1)
    networks = tiny_networks(temporal=True)
    two = trainable_parameters(networks, stage=2)
    assert two
    assert all(".motion_modules." in name for name in two)
    assert not any(".motion_modules." in name for name in one)
    some = trainable_parameters(tiny_networks(temporal=False), 1, "attention")
    assert some.keys() < one.keys()
    inside = [name for name in some if "_blocks." in name or ".mid_block." in name]
    assert inside
    assert all(".attn1." in name or ".attn2." in name for name in inside)
    assert {"portrait_net.conv_in.weight", "attribute_encoder.proj.weight"} <= some.keys()
    pixels = trainable_parameters(tiny_networks(temporal=False), 1, "pixels")
    assert {name.split(".")[2] for name in pixels} == {"gate", "tone", "choice", "polish"}
    assert pixels.keys() < some.keys()
    with pytest.raises(DurianError, match="trained: pixels is for networks that copy"):
        trainable_parameters(tiny_networks(temporal=False, copy_heads=0), 1, "pixels")
    assert one.keys() | two.keys() == {
        name for name, _ in networks.named_parameters() if not name.startswith("vae.")
    }


def test_only_what_makes_pixels_of_copies_changes(clips, tmp_path: Path):
    config = config_with(tmp_path, trained="pixels")
    networks = tiny_networks(temporal=False)
    before = {name: value.clone() for name, value in networks.state_dict().items()}
    parameters = prepare_networks(networks, config, "cpu")
    objective = ReconstructionObjective(networks, DDIMScheduler(**tiny_preset().scheduler), config)
    objective(batch_of(clips[:1]), example_generators(0, torch.arange(2))).backward()
    torch.optim.SGD(parameters.values(), lr=1.0).step()
    changed = {name for name, value in networks.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == parameters.keys()


def test_absolute_errors_cost_what_their_weight_says(clips, tmp_path: Path):
    networks, scheduler = tiny_networks(temporal=False), DDIMScheduler(**tiny_preset().scheduler)
    batch, losses = batch_of(clips[:1]), []
    for weight in (0.0, 0.5):
        objective = ReconstructionObjective(
            networks, scheduler, config_with(tmp_path, absolute_loss_weight=weight)
        )
        losses.append(objective(batch, example_generators(0, torch.arange(2))))
    made = objective.reconstruct(batch, example_generators(0, torch.arange(2)))
    expected = (made.prediction - made.target).abs().mean()  # all places have the same weight here
    torch.testing.assert_close(losses[1] - losses[0], 0.5 * expected, rtol=1e-3, atol=0)


def test_flicker_costs_what_its_weight_says(clips, tmp_path: Path):
    """Of the very frames that are trained on, and on the way to the weights."""
    networks, scheduler = tiny_networks(), DDIMScheduler(**tiny_preset().scheduler)
    batch, losses = batch_of(clips[:1], consecutive=True), []
    for weight in (0.0, 1.0, 3.0):
        config = config_with(tmp_path, stage=2, flicker_loss_weight=weight)
        objective = ReconstructionObjective(networks, scheduler, config)
        losses.append(objective(batch, example_generators(0, torch.arange(2))))
    once, thrice = losses[1] - losses[0], losses[2] - losses[0]
    assert once > 0.01
    torch.testing.assert_close(thrice, 3 * once, rtol=1e-3, atol=0)
    networks.zero_grad()
    once.backward()
    temporal = [each for name, each in networks.named_parameters() if ".motion_modules." in name]
    assert any(each.grad is not None and each.grad.abs().sum() > 0 for each in temporal)


def test_overfitting_a_person_lowers_the_loss(clips, tmp_path: Path):
    networks = tiny_networks(temporal=False)
    objective = ReconstructionObjective(
        networks, DDIMScheduler(**tiny_preset().scheduler), config_with(tmp_path)
    )
    batch = batch_of(clips[:1], augmentation=NO_AUGMENTATION)
    optimizer = torch.optim.AdamW(networks.parameters(), lr=3e-3)

    def step(seed: int) -> float:
        loss = objective(batch, example_generators(seed, torch.arange(2)))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    losses = [step(seed) for seed in range(60)]
    assert np.mean(losses[-10:]) < 0.4 * np.mean(losses[:5])


def test_learning_rate_warms_up_holds_and_decays(tmp_path: Path):
    optimizer = {"learning_rate": 1.0, "warmup_steps": 9, "decay_steps": 10}
    config = config_with(tmp_path, steps=100, optimizer=optimizer)
    rates = [learning_rate(config, step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[50] == rates[90] == 1
    assert rates[95] == pytest.approx(0.5)
    assert rates[100] == 0


def test_a_run_with_little_time_has_the_pace_of_a_whole_one(tmp_path: Path):
    now = [1000.0]
    optimizer = {"learning_rate": 1.0, "warmup_steps": 0, "decay_steps": 50}
    config = config_with(tmp_path, steps=100, minutes=1, optimizer=optimizer)
    pace = Pace(config, Accelerator(cpu=True), spent=6.0, clock=lambda: now[0])
    assert pace.done(0) == pytest.approx(10)
    assert pace.done(30) == 30  # faster than there was need to be
    now[0] += 39
    assert pace.left() == pytest.approx(15)
    assert pace.done(20) == pytest.approx(75)
    assert learning_rate(config, 20, pace.done(20)) == pytest.approx(0.5)
    now[0] += 16
    assert (pace.done(20), pace.left()) == (100, 0)
    assert learning_rate(config, 20, pace.done(20)) == 0
    unlimited = Pace(config_with(tmp_path, steps=100), Accelerator(cpu=True), clock=lambda: now[0])
    assert (unlimited.done(20), unlimited.left()) == (20, None)


def test_a_run_ends_when_its_time_is_over_and_is_then_at_its_end(clips, tmp_path: Path, tiny_mini):
    write_shard(tmp_path / "clips-000.tar", clips)
    config = write_config(tmp_path, steps=100_000)
    checkpoint = train(config, output=tmp_path / "run", minutes=0.001)
    made = int(load_file(tmp_path / "run/state/weights.safetensors")["step"])
    assert 1 <= made < 100
    before = (checkpoint / "denoising_unet/diffusion_pytorch_model.safetensors").read_bytes()
    assert train(config, output=tmp_path / "run", minutes=0.001) == checkpoint
    assert int(load_file(tmp_path / "run/state/weights.safetensors")["step"]) == made
    assert (checkpoint / "denoising_unet/diffusion_pytorch_model.safetensors").read_bytes() == before


@pytest.mark.parametrize(("chosen", "other"), [("adamw", "muon"), ("muon", "adamw")])
def test_an_interrupted_run_goes_on_to_the_same_weights(
    clips, tmp_path: Path, tiny_mini, chosen: str, other: str
):
    write_shard(tmp_path / "clips-000.tar", clips)
    config = write_config(tmp_path, optimizer={"name": chosen, "warmup_steps": 0})
    whole = train(config, output=tmp_path / "whole")
    train(config, output=tmp_path / "parts", steps=2)
    parts = train(config, output=tmp_path / "parts")
    for name in ("weights", "ema", "optimizer"):
        a, b = (load_file(tmp_path / run / "state" / f"{name}.safetensors") for run in ("whole", "parts"))
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a)
    assert int(load_file(tmp_path / "whole" / "state" / "weights.safetensors")["step"]) == 4
    assert (whole / "model_index.json").is_file()
    assert parts.parent.name == "parts"
    with pytest.raises(DurianError, match="start from the run's checkpoint"):
        train(write_config(tmp_path, optimizer={"name": other}, steps=5), output=tmp_path / "parts")


def test_stage_two_trains_motion_modules_alone_on_top_of_stage_one(clips, tmp_path: Path, tiny_mini):
    from durian.pipeline.checkpoint import load_networks

    write_shard(tmp_path / "clips-000.tar", clips)
    one = train(write_config(tmp_path, steps=1), output=tmp_path / "one")
    data = {"clips": tmp_path, "targets": 3, "held_out": 1}
    config = write_config(tmp_path, stage=2, steps=2, init_from=str(one), data=data)
    two = load_networks(train(config, output=tmp_path / "two"))
    before = load_networks(one).state_dict()
    after = two.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in before)
    moved = [m.proj_out.weight.abs().max() for m in two.denoising_unet.motion_modules().values()]
    assert moved
    assert all(value > 0 for value in moved)


def test_sd15_starts_from_its_sources_and_stage_two_from_animatediff(sources, tmp_path: Path):
    config = config_with(tmp_path, preset="sd15", sources=sources)
    networks = build_networks(config)
    assert not networks.denoising_unet.motion_modules()
    assert torch.equal(networks.denoising_unet.conv_out.weight, tiny_unet().conv_out.weight)
    save_checkpoint(tmp_path / "one", networks, DDIMScheduler(), presets.SD15, torch.float32)
    config = config_with(tmp_path, preset="sd15", stage=2, sources=sources, init_from=str(tmp_path / "one"))
    video = build_networks(config).denoising_unet.state_dict()
    adapter = MotionAdapter.from_pretrained(sources["motion_adapter"]).state_dict()
    assert adapter
    assert all(torch.equal(video[key], value) for key, value in adapter.items())
    with pytest.raises(DurianError, match="cannot load motion modules"):
        load_motion_adapter({"motion_adapter": str(tmp_path / "nowhere")})


def test_clips_of_another_size_are_refused(clips, tmp_path: Path):
    write_shard(tmp_path / "clips-000.tar", clips)
    with pytest.raises(DurianError, match="clip 00000 is 32×32 pixels and mini wants 128×128"):
        train(write_config(tmp_path))


def test_a_preview_shows_people_that_training_never_sees(clips, tmp_path: Path, tiny_mini):
    write_shard(tmp_path / "clips-000.tar", clips)
    train(write_config(tmp_path, sample_every=2, steps=2), output=tmp_path / "run")
    image = cv2.imread(str(tmp_path / "run" / "previews" / "000002.png"))
    assert image.shape == (6 * 2 * 32, 4 * 32, 3)


def test_every_shipped_configuration_parses():
    found = sorted(CONFIGS.rglob("*.yaml"))
    assert found
    for path in found:
        load_config(path)


ABLATIONS = sorted(path.stem for path in (CONFIGS / "ablations").glob("*.yaml"))


@pytest.mark.parametrize("name", [name for name in ABLATIONS if name != "two-stages"])
def test_every_ablation_trains_and_its_checkpoint_animates(clips, tmp_path: Path, name: str):
    """As shipped, but for the widths, the size, the data and the number of steps."""
    from durian.pipeline import DurianPipeline

    write_shard(tmp_path / "clips-000.tar", clips)
    config = load_config(CONFIGS / "ablations" / f"{name}.yaml").model_dump(mode="json")
    tiny = tiny_preset()
    networks = {**config["networks"], "size": 32, "unet": tiny.unet, "keypoint_guider": tiny.keypoint_guider}
    networks |= {key: getattr(tiny, key) for key in ("attribute_encoder", "identity_encoder")}
    if networks["position_reader"] is not None:
        networks["position_reader"] = tiny.position_reader
    data = {**config["data"], "clips": str(tmp_path), "targets": 2, "held_out": 1}
    changes = {"networks": networks, "data": data, "steps": 2, "save_every": 2, "sample_every": 2}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**config, **changes}))
    pipeline = DurianPipeline.from_pretrained(train(tmp_path / "config.yaml", output=tmp_path / "run"), "cpu")
    assert pipeline.size == 32
    inputs = tiny_inputs(2, ("hair", "glasses"))
    frames = pipeline.animate(inputs, attribute_scale=1.5, portrait_scale=1.2)
    assert frames.shape == (2, 32, 32, 3)
    assert (frames != pipeline.animate(inputs, drop_attribute_tokens=True)).any()


def test_a_configuration_extends_another_at_any_depth(tmp_path: Path):
    (tmp_path / "base.yaml").write_text(
        "{preset: mini, stage: 1, output: a, steps: 3, data: {clips: c, targets: 2, shift: 0.5},"
        " networks: {unet: {sample_size: 16}, reference_net: {mask_channel: false}}}"
    )
    (tmp_path / "below").mkdir()
    path = tmp_path / "below" / "child.yaml"
    path.write_text(
        "{extends: ../base.yaml, output: b, data: {shift: 0.1}, networks: {reference_net: {token_stride: 2}}}"
    )
    config = load_config(path)
    assert (config.steps, str(config.output), config.data.targets, config.data.shift) == (3, "b", 2, 0.1)
    shape = config.shape()
    assert (shape.reference_net["mask_channel"], shape.reference_net["token_stride"]) == (False, 2)
    assert shape.unet == {**presets.MINI.unet, "sample_size": 16}
    (tmp_path / "base.yaml").write_text("extends: below/child.yaml")
    with pytest.raises(DurianError, match="extends itself"):
        load_config(path)


COMPLETE = "{preset: mini, stage: 1, output: a, steps: 3, data: {clips: c}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: -1\npreset: mini", "steps: .*greater than"),
        ("preset: maxi\nsteps: 3", "preset: .*'sd15' or 'mini'"),
        ("preset: mini\nsetps: 3", "setps: Extra inputs"),
        ("- 1", "not a mapping"),
        ("a: [", "cannot read"),
        ("extends: nowhere.yaml", "cannot read the configuration .*nowhere.yaml"),
        (f"{COMPLETE}, networks: {{size_: 3}}}}", "no 'size_' in a preset"),
        (
            f"{COMPLETE}, networks: {{reference_net: {{mask_chanel: true}}}}}}",
            "no 'mask_chanel' in reference_net",
        ),
        (f"{COMPLETE}, networks: {{unet: 3}}}}", "'unet' must be a mapping"),
        (f"{COMPLETE}, init_from: x, networks: {{size: 64}}}}", "can't be changed"),
    ],
)
def test_mistakes_in_a_configuration_are_named(tmp_path: Path, text: str, message: str):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(DurianError, match=message):
        load_config(path)
    with pytest.raises(DurianError, match="cannot read"):
        load_config(tmp_path / "missing.yaml")


def test_no_clips_is_one_line(tmp_path: Path):
    with pytest.raises(DurianError, match="no clips in"):
        train(write_config(tmp_path))
