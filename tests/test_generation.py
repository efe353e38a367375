"""Mask banks and outpainted frames, made with tiny pipelines or with generators that paint by hand."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from durian.cli import main
from durian.data.augmentation import Augmentation
from durian.data.clips import Clip
from durian.data.mask_folder import read_mask_bank
from durian.data.outpainted import OutpaintedFrames
from durian.data.reconstruction import ReconstructionSampler
from durian.errors import DurianError
from durian.generation.mask_bank import BankSettings, faces_of, make_bank
from durian.generation.openpose import FACE_POINTS, draw_openpose
from durian.generation.outpaint import OutpaintSettings, chosen_frames, outpaint_clips
from durian.generation.pipelines import load_generator, load_inpainter
from durian.generation.prompts import LOOKS, draw_prompt
from durian.portrait.attributes import ATTRIBUTES
from durian.portrait.geometry import face_template
from durian.portrait.landmarks import MediaPipeLandmarks
from durian.portrait.parsers import BuiltinParser
from durian.training.config import DataConfig
from durian.training.sampler import sampler_of
from generators import write_adapter, write_controlnet, write_inpainter, write_sdxl
from people import COLOURS, SIZE, dressed, write_shard

SAMPLES = Path(__file__).resolve().parents[1] / "src" / "durian" / "samples"
STILL = Augmentation(0, 0, 0, 0, 0, 0)
GREEN = (10, 250, 10)


def digest(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


class Interrupted(Exception):
    """Raised in place of Ctrl-C."""


class FlatWorld:
    """A generator, landmark detector and parser of flat people: hair is red, hats are yellow."""

    attributes = ("hair", "hat")

    def __init__(self, stop_after: int | None = None):
        self.made: list[str] = []
        self.stop_after = stop_after

    def generate(self, prompt: str, control: np.ndarray, seed: int) -> np.ndarray:
        if len(self.made) == self.stop_after:
            raise Interrupted
        self.made.append(prompt)
        image = np.zeros_like(control)
        if seed % 4 == 0:
            return image  # nobody
        colour = COLOURS["hat" if any(look in prompt for look in LOOKS["hat"]) else "hair"]
        image[8 : 16 + seed % 16, 10:50] = colour
        return image

    def detect(self, image: np.ndarray) -> np.ndarray | None:
        return face_template() * 14 + 32 if image.any() else None

    def __call__(self, frames, landmarks, attributes) -> dict[str, np.ndarray]:
        return {
            n: (np.abs(frames.astype(int) - COLOURS[n]).max(-1) < 9).astype(np.float32) for n in attributes
        }


def flat_bank(folder: Path, count: int, world: FlatWorld | None = None, **changes: object):
    world = world or FlatWorld()
    faces = [face_template() / 4 + 0.5]
    settings = dataclasses.replace(BankSettings(("hair", "hat"), size=64, masks=64), **changes)
    return make_bank(folder, count, faces, settings, world.generate, world.detect, world)


# --- pipelines ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "sdxl": write_sdxl(folder / "sdxl"),
        "controlnet": write_controlnet(folder / "controlnet"),
        "adapter": write_adapter(folder / "adapter"),
        "inpainter": write_inpainter(folder / "inpainter"),
        "sd": write_inpainter(folder / "sd", channels=4),
    }


@pytest.mark.parametrize("kind", ["controlnet", "adapter"])
def test_generated_pictures_follow_keypoints_prompt_and_seed(models, kind: str):
    generate = load_generator(
        models["sdxl"], models[kind], kind == "adapter", steps=2, guidance=3, control_scale=1, device="cpu"
    )
    landmarks = face_template() * 20 + 32
    control, other = draw_openpose(landmarks, 64), draw_openpose(landmarks[:, :2] * 0.5, 64)
    picture = generate("a man", control, 0)
    assert picture.shape == (64, 64, 3)
    np.testing.assert_array_equal(picture, generate("a man", control, 0))
    for changed in (("a man", other, 0), ("a woman", control, 0), ("a man", control, 1)):
        assert (generate(*changed) != picture).any()


@pytest.mark.parametrize("kind", ["inpainter", "sd"])
def test_pipelines_fill_in_parts(models, kind: str):
    fill = load_inpainter(models[kind], "a person", steps=2, guidance=3, device="cpu")
    image, mask = np.full((64, 64, 3), 90, np.uint8), np.zeros((64, 64), np.uint8)
    mask[:20] = 255
    picture = fill(image, mask, 0)
    np.testing.assert_array_equal(picture, fill(image, mask, 0))
    assert (picture != fill(image, mask, 1)).any()


def test_weights_that_do_not_fit_are_refused(models, tmp_path: Path):
    options = {"steps": 1, "guidance": 1, "control_scale": 1, "device": "cpu"}
    with pytest.raises(DurianError, match=r"cannot load .*nowhere"):
        load_generator(models["sdxl"], str(tmp_path / "nowhere"), False, **options)
    with pytest.raises(DurianError, match=r"cannot load the pipeline .*nowhere"):
        load_inpainter(str(tmp_path / "nowhere"), "", steps=1, guidance=1, device="cpu")
    weights = Path(write_controlnet(tmp_path / "broken")) / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    tensors["surplus"] = tensors.pop("conv_in.weight")
    save_file(tensors, weights)
    with pytest.raises(DurianError, match=r"do not fit ControlNetModel: missing \['conv_in.weight'\]"):
        load_generator(models["sdxl"], str(tmp_path / "broken"), False, **options)
    weights = Path(write_inpainter(tmp_path / "sd")) / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({k: v for k, v in load_file(weights).items() if k != "conv_out.bias"}, weights)
    with pytest.raises(DurianError, match=r"sd/unet do not fit UNet2DConditionModel"):
        load_inpainter(str(tmp_path / "sd"), "", steps=1, guidance=1, device="cpu")


# --- what is asked for ----------------------------------------------------------------------------------


def test_openpose_draws_the_face_where_it_is():
    assert len(FACE_POINTS) == 70
    assert len(set(FACE_POINTS)) == 70
    landmarks = face_template() * 60 + 128
    image = draw_openpose(landmarks, 256)
    # The chin is white, the forehead is black, ears and eyes have colours of their own.
    chin, forehead = (np.round(landmarks[i, :2] - 0.5).astype(int) for i in (152, 10))
    assert image[chin[1], chin[0]].min() > 200
    assert not image[forehead[1], forehead[0]].any()
    mirrored = landmarks * [-1, 1, 1] + [256, 0, 0]
    flipped = draw_openpose(mirrored, 256)[:, ::-1]
    assert (np.abs(flipped.astype(int) - image).max(-1) > 60).mean() < 0.02  # only colours are exchanged


def test_prompts_name_a_look_of_the_attribute():
    for attribute in ATTRIBUTES:
        prompts = {draw_prompt(np.random.default_rng(seed), attribute) for seed in range(60)}
        assert len(prompts) > 40
        assert all(any(look in prompt for look in LOOKS[attribute]) for prompt in prompts)
        assert attribute != "beard" or not any("woman" in prompt for prompt in prompts)


# --- mask banks -----------------------------------------------------------------------------------------


def test_a_bank_is_whole_after_an_interruption_and_what_it_holds_is_not_made_again(tmp_path: Path):
    whole = flat_bank(tmp_path / "whole", 12)
    assert whole["hair"] + whole["hat"] + whole["no face"] == 12
    assert min(whole["hair"], whole["hat"], whole["no face"]) > 0
    with pytest.raises(Interrupted):
        flat_bank(tmp_path / "parts", 12, FlatWorld(stop_after=5))
    second = FlatWorld()
    assert flat_bank(tmp_path / "parts", 12, second) == whole
    assert len(second.made) == 7
    assert digest(tmp_path / "parts") == digest(tmp_path / "whole")
    with pytest.raises(DurianError, match="was made with another seed: choose another folder"):
        flat_bank(tmp_path / "parts", 12, seed=1)


def test_training_expands_masks_from_a_bank(tmp_path: Path):
    flat_bank(tmp_path / "bank", 16)
    bank = read_mask_bank(tmp_path / "bank")
    assert bank.counts().keys() == {"hair", "hat"}
    clip = dressed("a", "hair")
    config = DataConfig(clips=tmp_path, mask_bank=tmp_path / "bank", mask_expansion=1.0, mask_radius=0.0)
    example = sampler_of(config, [clip], 4).draw(np.random.default_rng(0))
    # The face is 14 pixels wide in the bank and 8 in the clip: 40×(8…23) pixels become about 23×(5…13).
    grown = example.portrait_mask.sum()
    assert grown > example.target_masks[0].sum() + 40
    assert COLOURS["hair"] not in {tuple(c) for c in example.portrait[:, example.portrait_mask[0] == 0].T}
    with pytest.raises(DurianError, match="the mask bank has no masks of glasses"):
        sampler_of(config, [dressed("b", "glasses")], 4)
    with pytest.raises(DurianError, match="holds no masks: make some with durian mask-bank"):
        read_mask_bank(tmp_path / "nowhere")
    min((tmp_path / "bank").glob("*.hair.png")).write_bytes(b"")
    with pytest.raises(DurianError, match=r"hair.png: the mask is missing or damaged"):
        bank.sources["hair"][0].read(0)


def test_a_real_face_is_found_and_parsed(tmp_path: Path):
    portrait = np.asarray(Image.open(SAMPLES / "portrait.png").convert("RGB"))
    settings = BankSettings(("hair",), size=256, masks=256)
    with MediaPipeLandmarks() as detect:
        found = make_bank(
            tmp_path,
            1,
            [face_template() / 4 + 0.5],
            settings,
            lambda prompt, control, seed: portrait,
            detect,
            BuiltinParser(),
            keep_images=True,
        )
    assert found["hair"] == 1
    mask = read_mask_bank(tmp_path).sources["hair"][0].read(0)
    truth = cv2.resize(cv2.imread(str(SAMPLES / "portrait_mask.png"), 0), (256, 256)) > 127
    assert (mask & truth).sum() / (mask | truth).sum() > 0.5
    assert (tmp_path / "000000.webp").is_file()


def test_keypoints_come_from_frames_with_a_face():
    clip = dressed("a", "hair")
    clip.landmarks[2:] = np.nan
    faces = faces_of([clip])
    assert len(faces) == 2
    assert all(np.isfinite(face).all() and 0 < face[4, 0] < 1 for face in faces)


# --- outpainting ----------------------------------------------------------------------------------------

SETTINGS = OutpaintSettings(SIZE, margin=8, frames=3, size=96)


def paint_green(image: np.ndarray, mask: np.ndarray, seed: int) -> np.ndarray:
    """Green above, and to the left somebody's red hair."""
    painted = np.where(mask[..., None] > 0, np.uint8(GREEN), 0).astype(np.uint8)
    painted[:, :6] = COLOURS["hair"]
    return painted


def outpainted(folder: Path, clips: list[Clip], fill=paint_green, **changes: object) -> int:
    return outpaint_clips(folder, clips, dataclasses.replace(SETTINGS, **changes), fill, FlatWorld())


def test_outpainting_keeps_the_frame_and_finds_the_attribute_around_it(tmp_path: Path):
    clip = dressed("a", "hair", "hat")
    assert outpainted(tmp_path, [clip]) == 1
    frames = OutpaintedFrames(tmp_path)
    assert frames.frames("a").tolist() == chosen_frames(clip, 3) == [0, 2, 5]
    assert frames.preferred("a", np.array([1, 2, 3])).tolist() == [2]
    assert frames.preferred("a", np.array([1, 3])).tolist() == [1, 3]
    assert frames.read(clip, 1) is None
    view = frames.read(clip, 2)
    assert view is not None
    inside = slice(8, 8 + SIZE)
    np.testing.assert_array_equal(view.image[inside, inside], clip.frames[2])
    assert np.abs(view.image[:6, 12:].astype(int) - GREEN).max() < 30
    np.testing.assert_array_equal(view.mask("hair")[inside, inside], clip.masks["hair"][2])
    np.testing.assert_array_equal(view.mask("hat")[inside, inside], clip.masks["hat"][2])
    assert view.mask("hair")[:, 1].all()
    assert not view.mask("beard").any()
    np.testing.assert_allclose(view.landmarks[:, :2], clip.landmarks[2, :, :2] + 8)


def test_outpainting_goes_on_where_it_was_stopped(tmp_path: Path):
    clips = [dressed(name, "hair") for name in "abc"]
    outpainted(tmp_path / "whole", clips)
    calls = []

    def stopping(image: np.ndarray, mask: np.ndarray, seed: int) -> np.ndarray:
        calls.append(seed)
        if len(calls) == 5:
            raise Interrupted
        return paint_green(image, mask, seed)

    with pytest.raises(Interrupted):
        outpainted(tmp_path / "parts", clips, stopping)
    assert {path.name for path in (tmp_path / "parts").iterdir()} == {"a", "outpainted.json"}
    outpainted(tmp_path / "parts", clips, stopping)
    assert len(calls) == 5 + 6
    assert len(set(calls)) == 9  # noise of its own for each frame, the same after an interruption
    assert digest(tmp_path / "parts") == digest(tmp_path / "whole")
    with pytest.raises(DurianError, match="made with another margin"):
        outpainted(tmp_path / "parts", clips, margin=4)
    small = dataclasses.replace(clips[0], name="d", frames=clips[0].frames[:, :16, :16])
    with pytest.raises(DurianError, match=r"clip d is 16×16 pixels and the first one 32×32"):
        outpainted(tmp_path / "parts", [small])


def test_shifted_references_show_what_was_painted(tmp_path: Path):
    clip = dressed("a", "hair")
    outpainted(tmp_path, [clip])
    shifting = dataclasses.replace(STILL, shift=0.2)
    plain, wider = (
        ReconstructionSampler([clip], 1, 4, augmentation=shifting, outpainted=frames)
        for frames in (None, OutpaintedFrames(tmp_path))
    )
    greens = {"plain": 0.0, "wider": 0.0}
    for seed in range(10):
        for name, sampler in (("plain", plain), ("wider", wider)):
            image = (sampler.draw(np.random.default_rng(seed)).portrait + 1) * 127.5
            greens[name] += float((np.abs(image - np.array(GREEN)[:, None, None]).max(0) < 40).mean())
    assert greens["plain"] == 0
    assert greens["wider"] > 0.2
    # A wider picture is not another example: without motion all is as before.
    still = [
        ReconstructionSampler([clip], 1, 4, augmentation=STILL, outpainted=OutpaintedFrames(tmp_path)),
        ReconstructionSampler([clip], 1, 4, augmentation=STILL),
    ]
    for seed in range(20):
        a, b = (s.draw(np.random.default_rng(seed)) for s in still)
        assert a.attributes.shape == b.attributes.shape
        own = {tuple(c) for c in ((a.attributes[0][:, a.attribute_masks[0, 0] == 1].T + 1) * 127.5).round()}
        assert own == {COLOURS["hair"]}
    with pytest.raises(DurianError, match="holds no outpainted frames: make some with durian outpaint"):
        OutpaintedFrames(tmp_path / "nowhere")
    (tmp_path / "a" / "02.webp").write_bytes(b"")
    with pytest.raises(DurianError, match="not an outpainted frame of 48×48 pixels"):
        OutpaintedFrames(tmp_path).read(clip, 2)


# --- the command line -----------------------------------------------------------------------------------


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    write_shard(folder / "clips-000.tar", [dressed("a", "hair", "hat"), dressed("b", "hair")])
    return folder


def test_outpaint_on_the_command_line(models, shards: Path, tmp_path: Path, capsys):
    out = tmp_path / "out"
    options = ["--generator", models["inpainter"], "--frames", "2", "--size", "64", "--steps", "1"]
    assert main(["outpaint", str(shards), "--out", str(out), *options, "--device", "cpu"]) == 0
    assert "2 clips in" in capsys.readouterr().out
    frames = OutpaintedFrames(out)
    assert (frames.margin, len(frames.frames("a")), len(frames.frames("b"))) == (8, 2, 2)
    before = digest(out)
    assert main(["outpaint", str(shards), "--out", str(out), *options, "--device", "cpu"]) == 0
    assert digest(out) == before
    assert json.loads((out / "outpainted.json").read_text())["models"][0] == models["inpainter"]


def test_random_weights_give_no_faces_and_that_is_said(models, shards: Path, tmp_path: Path, capsys):
    out = tmp_path / "out"
    options = ["--generator", models["sdxl"], "--controlnet", models["controlnet"], "--size", "64"]
    options += ["--steps", "1", "--count", "2", "--mask-size", "64", "--keep-images", "--device", "cpu"]
    assert main(["mask-bank", str(shards), "--out", str(out), *options]) == 2
    captured = capsys.readouterr()
    assert "Of 2 pictures: 2 no face" in captured.out
    assert "no picture shows a face with an attribute" in captured.err
    assert len(list(out.glob("*.webp"))) == 2


def test_mistakes_of_the_user_are_one_line(shards: Path, tmp_path: Path, capsys):
    bank = ["mask-bank", str(shards), "--out", str(tmp_path / "o"), "--generator", "x"]
    for arguments, message in (
        (bank, "give either --controlnet or --adapter"),
        ([*bank, "--controlnet", "x", "--attribute", "shoes"], "unknown attribute 'shoes'"),
        ([*bank, "--controlnet", "x", "--control-image", "y"], "choose from openpose, mesh"),
        ([*bank, "--controlnet", "x", "--dtype", "int"], "choose from float32"),
        ([*bank, "--controlnet", "x", "--size", "100"], "must be a multiple of 8"),
        (["outpaint", str(tmp_path), "--out", "o", "--generator", "x"], "no clips in"),
        (["outpaint", str(shards), "--out", "o", "--generator", "x", "--size", "72"], "multiple of 16"),
    ):
        assert main(arguments) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_examples_are_drawn_on_a_sheet(shards: Path, tmp_path: Path, capsys):
    config = tmp_path / "config.yaml"
    config.write_text(
        f"{{preset: mini, stage: 1, output: o, steps: 1, data: {{clips: {shards}, attributes: 2}}}}"
    )
    sheet = tmp_path / "sheet.png"
    assert main(["examples", str(config), "--out", str(sheet), "--count", "3", "--tile", "32"]) == 0
    assert "hair 2 (74%), hat 1 (26%)" in capsys.readouterr().out
    image = np.asarray(Image.open(sheet))
    assert image.shape == (3 * 36 + 8 + 13, 9 * 36 + 4, 3)
    assert (image == COLOURS["hair"]).all(-1).any()
    assert main(["examples", str(config), "--out", "sheet.jpg"]) == 2
