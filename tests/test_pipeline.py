"""The pipeline on tiny random networks: what it must do whatever the weights say."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny, DDIMScheduler
from safetensors.torch import load_file, save_file

from durian.errors import DurianError
from durian.pipeline import DurianPipeline
from durian.pipeline.checkpoint import build_sd15, load_networks, save_checkpoint
from durian.pipeline.sampling import sample_latents
from durian.portrait.guidance import aligned_guidance
from durian.portrait.keypoints import draw_keypoints
from tiny import SD15_OPTIONS, tiny_inputs, tiny_networks, tiny_preset, tiny_reference, tiny_unet


def tiny_pipeline(**options: object) -> DurianPipeline:
    preset = tiny_preset(**options)
    return DurianPipeline(
        tiny_networks(**options), DDIMScheduler(**preset.scheduler), preset.size, preset.sampling_steps
    )


@pytest.fixture(scope="module")
def pipeline() -> DurianPipeline:
    return tiny_pipeline()


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b).mean())


def test_animation_has_a_frame_for_each_keypoint_and_repeats(pipeline):
    inputs = tiny_inputs(3)
    frames = pipeline.animate(inputs, seed=1)
    assert frames.shape == (3, 32, 32, 3)
    assert frames.dtype == np.uint8
    assert frames.std() > 1
    assert (frames == pipeline.animate(inputs, seed=1)).all()
    assert difference(frames, pipeline.animate(inputs, seed=2)) > 0.1


@pytest.mark.parametrize("what", ["portrait", "attribute", "keypoints", "portrait mask"])
def test_every_input_matters(pipeline, what: str):
    inputs = tiny_inputs(2)
    other = tiny_reference(9)
    changed = {
        "portrait": {"portrait": dataclasses.replace(inputs.portrait, image=other.image)},
        "attribute": {
            "attributes": {"hair": dataclasses.replace(inputs.attributes["hair"], image=other.image)}
        },
        "keypoints": {"keypoints": inputs.keypoints + np.float32(3)},
        "portrait mask": {"portrait": dataclasses.replace(inputs.portrait, mask=1 - inputs.portrait.mask)},
    }[what]
    before = pipeline.animate(inputs)
    assert difference(before, pipeline.animate(dataclasses.replace(inputs, **changed))) > 0.05


def test_what_the_masks_hide_does_not_matter(pipeline):
    inputs = tiny_inputs(2)
    hidden_portrait = inputs.portrait.image.copy()
    hidden_portrait[inputs.portrait.mask == 1] = 0
    hair = inputs.attributes["hair"]
    hidden_hair = hair.image.copy()
    hidden_hair[hair.mask == 0] = 255
    same = dataclasses.replace(
        inputs,
        portrait=dataclasses.replace(inputs.portrait, image=hidden_portrait),
        attributes={"hair": dataclasses.replace(hair, image=hidden_hair)},
    )
    assert (pipeline.animate(inputs) == pipeline.animate(same)).all()


def test_attributes_compose_in_any_number(pipeline):
    one, two, three = (
        pipeline.animate(tiny_inputs(2, names))
        for names in (("hair",), ("hair", "glasses"), ("hair", "glasses", "hat"))
    )
    assert difference(one, two) > 0.05
    assert difference(two, three) > 0.05


def test_scales_of_one_are_no_guidance_and_others_change_the_result(pipeline):
    inputs = tiny_inputs(2)
    plain = pipeline.animate(inputs)
    nearly = pipeline.animate(inputs, portrait_scale=1 + 1e-6, attribute_scale=1 + 1e-6)
    assert np.abs(plain.astype(int) - nearly).max() <= 1
    assert difference(plain, pipeline.animate(inputs, attribute_scale=4.0)) > 0.05
    assert difference(plain, pipeline.animate(inputs, portrait_scale=4.0)) > 0.05


def test_interpolation_ends_are_either_attribute(pipeline):
    inputs = tiny_inputs(2)
    other = {"hair": tiny_reference(7)}
    start = pipeline.animate(inputs)
    end = pipeline.animate(dataclasses.replace(inputs, attributes=other))

    def at(alpha: float) -> np.ndarray:
        return pipeline.animate(inputs, interpolate_to=other, interpolation=alpha)

    assert np.abs(at(0.0).astype(int) - start).max() <= 1
    assert np.abs(at(1.0).astype(int) - end).max() <= 1
    assert difference(at(0.5), start) > 0.02


def test_ablations_of_the_inputs_change_the_result(pipeline):
    inputs = tiny_inputs(2)
    plain = pipeline.animate(inputs)
    assert difference(plain, pipeline.animate(inputs, drop_attribute_tokens=True)) > 0.02
    black = np.zeros((2, 32, 32, 3), np.uint8)
    assert difference(plain, pipeline.animate(inputs, keypoint_images=black)) > 0.02


def test_long_videos_are_covered_by_windows(pipeline):
    inputs = tiny_inputs(21)
    still = dataclasses.replace(inputs, keypoints=np.repeat(inputs.keypoints[:1], 21, 0))
    steps: list[tuple[int, int]] = []
    frames = pipeline.animate(still, num_inference_steps=1, progress=lambda *done: steps.append(done))
    assert frames.shape[0] == 21
    assert steps == [(1, 2), (2, 2)]
    assert (frames.reshape(21, -1).std(1) > 1).all()  # no frame left out


def test_aligned_guidance_reaches_the_network():
    guided = tiny_pipeline(guidance_channels=8)
    inputs = tiny_inputs(2)
    warped = aligned_guidance(inputs.portrait, inputs.attributes.values(), inputs.keypoints, 8)
    assert warped.shape == (2, 8, 8, 8)
    assert warped[0, 3].min() == pytest.approx(0, abs=1e-6)  # the portrait's upper half is masked
    assert warped[0, 3].max() == pytest.approx(1, abs=1e-6)
    before = guided.animate(inputs)
    torch.nn.init.zeros_(guided.networks.denoising_unet.conv_guidance.weight)
    assert difference(before, guided.animate(inputs)) > 0.02


def test_a_model_says_whether_the_images_are_all_of_its_motion(pipeline):
    assert pipeline.moves_by_image
    assert not tiny_pipeline(guidance_channels=8).moves_by_image
    inputs = tiny_inputs(2)
    images = np.stack([draw_keypoints(points + 3, 32) for points in inputs.keypoints])
    moved = dataclasses.replace(inputs, keypoints=inputs.keypoints + 3)
    assert (pipeline.animate(inputs, keypoint_images=images) == pipeline.animate(moved)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attributes": {}}, "no attribute"),
        ({"keypoints": np.zeros((0, 478, 3), np.float32)}, "no frames"),
        ({"portrait": tiny_reference(0, 64)}, "64×64"),
    ],
)
def test_unusable_inputs_are_refused(pipeline, change, message: str):
    with pytest.raises(DurianError, match=message):
        pipeline.animate(dataclasses.replace(tiny_inputs(2), **change))
    with pytest.raises(DurianError, match="0 sampling steps"):
        pipeline.animate(tiny_inputs(2), num_inference_steps=0)


@pytest.mark.parametrize("prediction_type", ["sample", "epsilon", "v_prediction"])
def test_sampling_a_known_image_finds_it(prediction_type: str):
    target = torch.linspace(-1, 1, 16).reshape(1, 1, 1, 4, 4)
    scheduler = DDIMScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type=prediction_type,
        timestep_spacing="trailing",
        clip_sample=False,
    )

    def oracle(latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        signal = scheduler.alphas_cumprod[timestep].sqrt()
        sigma = (1 - scheduler.alphas_cumprod[timestep]).sqrt()
        noise = (latents - signal * target) / sigma
        return {"sample": target, "epsilon": noise, "v_prediction": signal * noise - sigma * target}[
            prediction_type
        ]

    got = sample_latents(oracle, scheduler, torch.randn(target.shape), steps=5)
    torch.testing.assert_close(got, target, atol=1e-4, rtol=1e-4)


def test_checkpoint_round_trip(pipeline, tmp_path: Path):
    pipeline.save_pretrained(tmp_path / "model")
    assert {path.suffix for path in (tmp_path / "model").rglob("*") if path.is_file()} == {
        ".json",
        ".safetensors",
    }
    again = DurianPipeline.from_pretrained(tmp_path / "model", device="cpu")
    inputs = tiny_inputs(2)
    assert (pipeline.animate(inputs) == again.animate(inputs)).all()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_half_precision_halves_the_file_and_hardly_changes_the_result(pipeline, tmp_path: Path):
    for name, dtype in (("full", torch.float32), ("half", torch.float16)):
        pipeline.save_pretrained(tmp_path / name, dtype)
    sizes = {
        name: (tmp_path / name / "denoising_unet" / "diffusion_pytorch_model.safetensors").stat().st_size
        for name in ("full", "half")
    }
    assert sizes["half"] < 0.6 * sizes["full"]
    inputs = tiny_inputs(2)
    half = DurianPipeline.from_pretrained(tmp_path / "half", device="cpu").animate(inputs)
    assert difference(half, pipeline.animate(inputs)) < 1


def break_weights(folder: Path) -> None:
    path = folder / "portrait_net" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    weights.pop("conv_in.weight")
    save_file({**weights, "surprise": torch.zeros(1)}, path)


def break_index(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    index["vae"] = "os.system"
    (folder / "model_index.json").write_text(json.dumps(index))


def forget_attribute_net(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    del index["attribute_net"]
    (folder / "model_index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (break_weights, "missing .*conv_in.weight.* unexpected .*surprise"),
        (break_index, "unknown class 'os.system'"),
        (forget_attribute_net, "DNet expects two ReferenceNets"),
        (lambda f: (f / "model_index.json").write_text("{"), "cannot read"),
        (lambda f: (f / "model_index.json").write_text("{}"), "not of a Durian checkpoint"),
        (lambda f: (f / "model_index.json").unlink(), "not a checkpoint"),
        (lambda f: (f / "attribute_net" / "config.json").unlink(), "cannot load"),
        (
            lambda f: (f / "attribute_net" / "diffusion_pytorch_model.safetensors").write_bytes(b"x"),
            "cannot load",
        ),
    ],
)
def test_damaged_checkpoints_are_refused_in_one_line(pipeline, tmp_path: Path, harm, message: str):
    pipeline.save_pretrained(tmp_path / "model")
    harm(tmp_path / "model")
    with pytest.raises(DurianError, match=message) as error:
        DurianPipeline.from_pretrained(tmp_path / "model", device="cpu")
    assert "\n" not in str(error.value)


def test_unknown_checkpoints_and_devices_are_refused():
    with pytest.raises(DurianError, match="no checkpoint 'nothing'"):
        DurianPipeline.from_pretrained("nothing")
    with pytest.raises(DurianError, match="no device 'warp'"):
        DurianPipeline.from_pretrained("mini", device="warp")


@pytest.mark.parametrize(
    ("option", "title"),
    [
        ({"interpolate_to": {"hair": tiny_reference(7, 16)}}, "second hair"),
        ({"portrait_to": tiny_reference(7, 16)}, "second portrait"),
    ],
)
def test_references_of_another_size_are_refused(pipeline, option, title: str):
    with pytest.raises(DurianError, match=f"the {title} is 16×16 pixels and this checkpoint wants 32×32"):
        pipeline.animate(tiny_inputs(2), **option)


def test_sd15_builds_from_its_sources_animates_and_round_trips(sources, tmp_path: Path):
    torch.manual_seed(0)
    networks = build_sd15(sources, **SD15_OPTIONS)
    unet = tiny_unet()
    for net in (networks.denoising_unet, networks.portrait_net, networks.attribute_net):
        torch.testing.assert_close(
            net.mid_block.resnets[0].conv1.weight, unet.mid_block.resnets[0].conv1.weight
        )
    scheduler = DDIMScheduler(beta_schedule="linear", clip_sample=False)
    pipeline = DurianPipeline(networks, scheduler, size=16, sampling_steps=2)
    inputs = tiny_inputs(2, size=16)
    frames = pipeline.animate(inputs)
    pipeline.save_pretrained(tmp_path / "model")
    assert (DurianPipeline.from_pretrained(tmp_path / "model", device="cpu").animate(inputs) == frames).all()


def test_a_small_decoder_takes_the_place_of_the_autoencoders(sources, pipeline, tmp_path: Path):
    torch.manual_seed(0)
    tiny = AutoencoderTiny(
        encoder_block_out_channels=(4, 4),
        decoder_block_out_channels=(4, 4),
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
    )
    tiny.save_pretrained(tmp_path / "tiny")
    networks = build_sd15(sources, **SD15_OPTIONS)
    scheduler = DDIMScheduler(beta_schedule="linear", clip_sample=False)
    large = DurianPipeline(networks, scheduler, size=16, sampling_steps=2)
    inputs = tiny_inputs(2, size=16)
    frames = large.animate(inputs)
    latents = torch.cat(list(large.latents_iter(inputs.portrait, inputs.attributes, inputs.keypoints)), 2)
    large.use_decoder(tmp_path / "tiny")
    got = large.animate(inputs)
    with torch.no_grad():
        wanted = tiny.eval().decode(latents[0].transpose(0, 1)).sample.clamp(-1, 1)
    pixels = ((wanted + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    assert (got == pixels).all()
    assert (got != frames).any()

    with pytest.raises(DurianError, match="does not fit: its latents have 4 channels for 2×2 pixels, this"):
        pipeline.use_decoder(tmp_path / "tiny")
    with pytest.raises(DurianError, match="cannot load the decoder"):
        large.use_decoder(tmp_path / "nowhere")


def test_sd15_refuses_sources_that_do_not_fit(sources, tmp_path: Path):
    path = next((tmp_path / "sd" / "unet").glob("*.safetensors"))
    weights = load_file(path)
    weights.pop("conv_out.bias")
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(DurianError, match=r"missing \['conv_out.bias'\]"):
        build_sd15(sources, **SD15_OPTIONS)
    with pytest.raises(DurianError, match="cannot build sd15"):
        build_sd15({**sources, "vae": str(tmp_path / "nowhere")}, **SD15_OPTIONS)


def test_networks_without_motion_modules_are_a_checkpoint_too(tmp_path: Path):
    networks = tiny_networks(temporal=False)
    save_checkpoint(tmp_path / "image", networks, DDIMScheduler(), tiny_preset())
    assert not load_networks(tmp_path / "image").denoising_unet.motion_modules()
    video = load_networks(tmp_path / "image").denoising_unet.with_motion()
    assert not any(m.proj_out.weight.any() for m in video.motion_modules().values())


def test_openvino_that_is_not_installed_is_asked_for(pipeline, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(DurianError, match="extra openvino"):
        pipeline.use_openvino()
