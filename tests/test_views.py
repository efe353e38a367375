"""Several pictures of a reference: what they change, how they are chosen, and from what they are read."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from durian.cli import main
from durian.demo import SAMPLES
from durian.errors import DurianError
from durian.models import DetailNet
from durian.models.reference_copy import Found
from durian.pipeline import AnimationOptions, DurianPipeline
from durian.portrait.face_choice import LARGEST
from durian.portrait.geometry import face_template
from durian.portrait.inputs import Reference
from durian.portrait.prepare import prepare_references
from durian.portrait.views import Sighting, View, choose_views
from durian.video import VideoReader, read_image, read_mask, write_video
from durian.views import read_views
from test_cli import FakePipeline, pipeline  # noqa: F401
from tiny import tiny_inputs, tiny_networks, tiny_preset, tiny_reference

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
from views import MOST, ROWS, SPLIT, animate, render_views

PICTURES = {name: read_image(SAMPLES / f"{name}.png") for name in ("portrait", "hair", "glasses")}
KINDS: dict[str, dict[str, Any]] = {
    "mini": {},
    "paper": {"copy_heads": 0, "pixel_values": False, "reference_net": {"drop_masked_tokens": False}},
    "detail": {},
}
GUIDED = AnimationOptions(portrait_scale=1.3, attribute_scale=1.5)


def tiny_pipeline(kind: str = "mini", **options: Any) -> DurianPipeline:
    networks, preset = tiny_networks(**KINDS[kind], **options), tiny_preset()
    if kind == "detail":
        networks.detail_net = DetailNet(2).eval()
    return DurianPipeline(networks, DDIMScheduler(**preset.scheduler), preset.size, preset.sampling_steps)


def latents(made: DurianPipeline, portrait: Reference, attributes: dict[str, Reference]) -> Tensor:
    keypoints = tiny_inputs(3, size=made.size).keypoints
    return torch.cat(list(made.latents_iter(portrait, attributes, keypoints, **GUIDED)), 2)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_pictures_are_as_one(kind: str):
    made = tiny_pipeline(kind)
    inputs = tiny_inputs(3, ("hair", "hat"), made.size)
    portrait, hair, hat = inputs.portrait, inputs.attributes["hair"], inputs.attributes["hat"]
    wanted = latents(made, portrait, {"hair": hair, "hat": hat})
    several = {"hair": replace(hair, views=(hair,)), "hat": hat}
    same = latents(made, replace(portrait, views=(portrait, portrait)), several)
    assert wanted.std() > 0.1
    torch.testing.assert_close(same, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_all_pictures_count_whatever_their_order(kind: str):
    made = tiny_pipeline(kind)
    inputs = tiny_inputs(3, size=made.size)
    portrait, hair = inputs.portrait, inputs.attributes["hair"]
    others = [tiny_reference(seed, made.size) for seed in (11, 12)]
    alone = latents(made, portrait, {"hair": hair})
    for owner in ("portrait", "hair"):
        results = []
        for views in (others, others[::-1]):
            given = {"portrait": portrait, "hair": hair}
            given[owner] = replace(given[owner], views=tuple(views))
            results.append(latents(made, given["portrait"], {"hair": given["hair"]}))
        torch.testing.assert_close(*results, atol=1e-4, rtol=1e-4)
        assert (results[0] - alone).abs().max() > 0.01


def test_what_reads_both_references_together_takes_one_picture_of_each():
    joint = {"joint_references": True, "copy_heads": 0, "reference_net": {"drop_masked_tokens": False}}
    networks = tiny_networks(**joint)
    made = DurianPipeline(networks, DDIMScheduler(**tiny_preset().scheduler), 32, 2)
    inputs = tiny_inputs()
    several = replace(inputs.attributes["hair"], views=(tiny_reference(5),))
    with pytest.raises(DurianError, match="takes one picture of the hair, and there are several"):
        made.animate(replace(inputs, attributes={"hair": several}))


def test_a_picture_of_another_size_is_refused():
    inputs = tiny_inputs()
    several = replace(inputs.portrait, views=(tiny_reference(5, 48),))
    with pytest.raises(DurianError, match="the portrait is 48×48 pixels and this checkpoint wants 32×32"):
        tiny_pipeline().animate(replace(inputs, portrait=several))


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(0, 2**32 - 1))
def test_of_several_views_nearly_one_is_copied(views: list[int], seed: int):
    generator = torch.Generator().manual_seed(seed)
    mass = torch.rand(2, 3, sum(views), 2, 2, generator=generator)
    place = torch.rand(2, 3, sum(views), 2, 2, 2, generator=generator)
    decided = Found(mass, place).decided(views)
    assert torch.equal(decided.place, place)
    for before, after in zip(mass.split(views, 2), decided.mass.split(views, 2), strict=True):
        torch.testing.assert_close(after.sum(2), before.sum(2))
        assert torch.equal(after.argmax(2), before.argmax(2))
        assert (after.amax(2) >= before.amax(2) - 1e-6).all()
    equal = Found(torch.full_like(mass, 0.1), place).decided(views)
    torch.testing.assert_close(equal.mass, torch.full_like(mass, 0.1))
    assert not Found(torch.zeros_like(mass), place).decided(views).mass.any()


def test_a_view_of_half_the_share_is_hardly_seen():
    mass = torch.tensor([0.6, 0.3, 0.1]).reshape(1, 1, 3, 1, 1)
    place = torch.zeros(1, 1, 3, 2, 1, 1)
    assert Found(mass, place).decided([2, 1]).mass.flatten().tolist() == pytest.approx(
        [0.8965, 0.0035, 0.1], abs=1e-4
    )


def sighting(yaw: float, sharpness: float = 1.0, lips: float = 0.0) -> Sighting:
    """The mean face, turned by degrees, with open lips."""
    points = face_template().copy()
    points[[13, 14, 312, 317, 82, 87], 1] += np.array([-lips, lips] * 3, np.float32) / 2
    turn = cv2.Rodrigues(np.radians([-7.0, 0, 0]))[0]  # as the mean face looks straight ahead
    turn = cv2.Rodrigues(np.radians([0, yaw, 0]))[0] @ turn
    return Sighting((points @ turn.T * 60 + 128).astype(np.float32), sharpness)


def test_the_most_unlike_poses_are_taken_and_the_frontal_one_first():
    yaws = [-30, -12, 2, 14, 28, 35]
    seen = [None, *map(sighting, yaws)]
    assert choose_views(seen, 3) == [3, 6, 1]
    assert choose_views(seen, 1) == [3]
    assert choose_views([None, None], 3) == []


def test_pictures_that_show_nothing_new_are_not_taken():
    assert choose_views([sighting(yaw) for yaw in (-4, 0, 5)], 4) == [1]


def test_neither_blurred_frames_nor_other_expressions_are_taken():
    seen = [sighting(0, lips=0.4), sighting(1), sighting(20), sighting(30, 0.2), sighting(25, lips=0.6)]
    assert choose_views(seen, 4) == [1, 2]


def test_a_still_is_one_picture_and_a_folder_all_of_its_own(tmp_path: Path):
    (still,) = read_views(SAMPLES / "portrait.png", 4)
    np.testing.assert_array_equal(still.image, PICTURES["portrait"])
    assert still.face == LARGEST
    for name in ("hair", "portrait"):
        Image.fromarray(PICTURES[name]).save(tmp_path / f"{name}.png")
    (tmp_path / "notes.txt").touch()
    views = read_views(tmp_path, 2)
    assert [view.image.shape for view in views] == [PICTURES[name].shape for name in ("hair", "portrait")]
    np.testing.assert_array_equal(views[0].image, PICTURES["hair"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DurianError, match="there are no pictures in this folder"):
        read_views(tmp_path / "empty", 4)


def test_of_a_video_frames_are_chosen(tmp_path: Path):
    told: list[tuple[int, int | None]] = []
    views = read_views(SAMPLES / "driving.mp4", 4, progress=lambda *done: told.append(done))
    with VideoReader(SAMPLES / "driving.mp4") as video:
        frames = list(video)
    assert len(views) == 2
    assert all(any(np.array_equal(view.image, frame) for frame in frames) for view in views)
    assert told[-1][0] == told[-1][1] == len(told)
    assert len(read_views(SAMPLES / "driving.mp4", 1)) == 1
    write_video(tmp_path / "one.mp4", frames[:1], 8.0)
    (one,) = read_views(tmp_path / "one.mp4", 4)
    assert one.image.shape == frames[0].shape
    assert one.face == LARGEST
    (tmp_path / "one.mp4").unlink()
    # The same as a folder of more pictures than are wanted.
    for index, frame in enumerate(frames[:12]):
        Image.fromarray(frame).save(tmp_path / f"{index}.png")
    assert 1 <= len(read_views(tmp_path, 3)) <= 3
    write_video(tmp_path / "grey.mp4", [np.full((128, 128, 3), 90, np.uint8)] * 3, 8.0)
    with pytest.raises(DurianError, match=r"grey.mp4: no face was found in it"):
        read_views(tmp_path / "grey.mp4", 4)


def test_pictures_of_the_portrait_are_cropped_as_one_and_of_attributes_by_themselves():
    moved = np.roll(PICTURES["portrait"], 9, 1)
    smaller = cv2.resize(PICTURES["hair"], None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    bald = View(PICTURES["portrait"])
    references = prepare_references(
        PICTURES["portrait"],
        {"glasses": PICTURES["glasses"], "hair": PICTURES["hair"]},
        size=128,
        portrait_views=[View(moved)],
        attribute_views={"hair": [View(smaller)], "glasses": [bald, View(PICTURES["glasses"])]},
    )
    (person,), (hair,), (glasses,) = (
        each.views for each in (references.portrait, *map(references.attributes.get, ("hair", "glasses")))
    )
    shift = np.median(person.landmarks - references.portrait.landmarks, axis=0)
    scale = references.photo.crop.matrix[0, 0]
    assert shift[0] == pytest.approx(9 * scale, abs=1.5)
    assert abs(person.mask - np.roll(references.portrait.mask, round(shift[0]), 1)).mean() < 0.03
    np.testing.assert_allclose(hair.landmarks, references.attributes["hair"].landmarks, atol=3)
    assert abs(hair.mask - references.attributes["hair"].mask).mean() < 0.03
    np.testing.assert_array_equal(glasses.mask, references.attributes["glasses"].mask)
    assert list(references.left_out) == [
        "no glasses was found in the picture of the glasses (number 2): it is left out"
    ]
    titles = [title for title, _, _ in (*references.portraits(), *references.worn())]
    assert titles == [
        *("portrait", "portrait, picture 2", "glasses", "glasses, picture 3"),  # as it was given
        *("hair", "hair, picture 2"),
    ]


def test_pictures_of_the_portrait_that_do_not_fit_are_left_out_or_refused():
    hair = {"hair": PICTURES["hair"]}
    away = np.roll(PICTURES["portrait"], PICTURES["portrait"].shape[1] // 3, 1)
    references = prepare_references(PICTURES["portrait"], hair, size=128, portrait_views=[View(away)])
    assert references.portrait.views == ()
    assert "the portrait (number 2) shows the face elsewhere" in references.left_out[0]
    small = cv2.resize(PICTURES["portrait"], (200, 200))
    with pytest.raises(DurianError, match="has another size than the first: all must be by one camera"):
        prepare_references(PICTURES["portrait"], hair, size=128, portrait_views=[View(small)])
    with pytest.raises(DurianError, match="a further picture was given for hat but no picture"):
        prepare_references(PICTURES["portrait"], hair, size=128, attribute_views={"hat": [View(small)]})


def arguments(portrait: Path, hair: Path, output: Path, *more: str, command: str = "animate") -> list[str]:
    return [
        *(command, "--portrait", str(portrait), "--attribute", f"hair={hair}"),
        *("--driving", str(SAMPLES / "driving.mp4"), "--frames", "2", "--output", str(output), *more),
    ]


def test_a_video_stands_for_its_pictures(pipeline: FakePipeline, tmp_path: Path):  # noqa: F811
    video = SAMPLES / "driving.mp4"
    assert main(arguments(video, video, tmp_path / "out.mp4", "--to", f"hair={video}", "--views", "3")) == 0
    assert main(arguments(video, video, tmp_path / "out.mp4", "--views", "1")) == 0
    several, one = (call["inputs"] for call in pipeline.calls)
    assert len(several.portrait.views) == len(several.attributes["hair"].views) == 1
    assert len(pipeline.calls[0]["interpolate_to"]["hair"].views) == 1
    assert len(pipeline.calls[0]["portrait_to"].views) == 1
    assert one.portrait.views == one.attributes["hair"].views == ()
    np.testing.assert_array_equal(one.portrait.image, several.portrait.image)
    output = tmp_path / "out.png"
    assert main(arguments(video, SAMPLES / "hair.png", output, "--views", "3", command="inspect")) == 0
    with Image.open(output) as sheet:
        assert sheet.height > 4 * 224  # two rows of the portrait, one of hair, one of the motion


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--portrait-mask", str(SAMPLES / "portrait_mask.png")], "--portrait-mask: of several pictures"),
        (["--attribute-mask", f"hair={SAMPLES / 'hair_mask.png'}"], "the mask or click of hair: of several"),
        (
            ["--to", f"hair={SAMPLES / 'driving.mp4'}", "--to-mask", f"hair={SAMPLES / 'hair_mask.png'}"],
            "--to-mask hair: of several",
        ),
        (["--views", "0"], "--views"),
    ],
)
def test_a_mask_is_of_one_picture(option: list[str], message: str, tmp_path: Path, capfd):
    video = SAMPLES / "driving.mp4"
    assert main(arguments(video, video, tmp_path / "out.mp4", *option)) == 2
    error = capfd.readouterr().err
    assert message in error
    assert not list(tmp_path.iterdir())


def test_no_video_of_the_inputs_is_lost(tmp_path: Path, capfd):
    video = tmp_path / "me.mp4"
    video.write_bytes((SAMPLES / "driving.mp4").read_bytes())
    before = video.read_bytes()
    for portrait, hair in ((video, SAMPLES / "hair.png"), (SAMPLES / "portrait.png", video)):
        assert main(arguments(portrait, hair, video)) == 2
        assert "this is one of the inputs, which would be lost" in capfd.readouterr().err
    assert video.read_bytes() == before


def test_from_python_several_pictures_may_be_given():
    images = {name: Image.fromarray(picture) for name, picture in PICTURES.items()}
    durian = DurianPipeline.from_pretrained("mini", device="cpu", detail=False)
    with VideoReader(SAMPLES / "driving.mp4", limit=1) as video:
        driving = [Image.fromarray(next(iter(video)))]
    given = durian(images["portrait"], {"hair": images["hair"]}, driving)
    same = durian(
        images["portrait"],
        {"hair": images["hair"]},
        driving,
        portrait_views=[images["portrait"]],
        attribute_views={"hair": [images["hair"]]},
    )
    (wanted,), (frame,) = given.frames, same.frames
    assert np.abs(np.asarray(frame, float) - np.asarray(wanted)).max() <= 1


class Recorder:
    """A pipeline that remembers what it was asked."""

    size = 64

    def animate(self, inputs: Any) -> np.ndarray:
        self.inputs = inputs
        return np.zeros((len(inputs.keypoints), 64, 64, 3), np.uint8)


def test_the_benchmark_gives_further_pictures_in_other_poses(tmp_path: Path):
    from durian.evaluation.cases import case_trials
    from durian.synth.benchmark import write_benchmark

    write_benchmark(tmp_path, [SPLIT], limit=1, size=64)
    (ref,) = case_trials(tmp_path, splits=[SPLIT])
    trial = ref.load()
    path = tmp_path / f"{trial.id.rpartition('/')[2]}.npz"
    render_views(path, 0, 64, other_light=False)
    recorder: Any = Recorder()
    for count in ROWS.values():
        animate(recorder, tmp_path, count, trial)
        inputs = recorder.inputs
        (worn,) = inputs.attributes.values()
        assert (len(inputs.portrait.views), len(worn.views)) == count
    plain = trial.request(64).inputs
    np.testing.assert_array_equal(inputs.portrait.image, plain.portrait.image)
    places = [each.landmarks[1, 0] for each in (inputs.portrait, *inputs.portrait.views)]
    assert len(set(places)) == MOST + 1
    assert all(0.05 < each.mask.mean() < 0.9 for each in (*inputs.portrait.views, *worn.views))


def test_masks_of_samples_are_still_theirs():
    """Given masks belong to the first picture alone."""
    mask = read_mask(SAMPLES / "hair_mask.png")
    references = prepare_references(
        PICTURES["portrait"],
        {"hair": PICTURES["hair"]},
        size=128,
        attribute_masks={"hair": mask},
        attribute_views={"hair": [View(PICTURES["hair"])]},
    )
    hair = references.attributes["hair"]
    one = prepare_references(
        PICTURES["portrait"], {"hair": PICTURES["hair"]}, size=128, attribute_masks={"hair": mask}
    )
    np.testing.assert_array_equal(hair.mask, one.attributes["hair"].mask)
    assert not np.array_equal(hair.views[0].mask, hair.mask)
