"""Places that landmarks know, and the copy of the portrait that is taken from there."""

from __future__ import annotations

import json
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
from durian.models.landmark_copy import LandmarkCopy, landmark_copy, mean_tones
from durian.pipeline import DurianPipeline
from durian.pipeline.windows import Windows
from durian.portrait.expression import EYES, LOWER_LIP
from durian.portrait.geometry import face_template, transform_points
from durian.portrait.landmark_places import landmark_places
from durian.training.dry_run import dry_run
from durian.training.run import train
from people import write_shard
from tiny import tiny_inputs, tiny_networks, tiny_preset, tiny_reference
from tiny_runs import make_clip, write_config

SIZE = 256
MIDDLE = (128.0, 120.0)
NAME = "diffusion_pytorch_model.safetensors"


def face(scale: float = 60.0) -> np.ndarray:
    points = face_template().astype(np.float64) * scale
    points[:, :2] += MIDDLE
    return points


def pixels(known: np.ndarray) -> np.ndarray:
    return (known[..., :2] + 1) * (len(known) / 2)


def own(size: int = SIZE) -> np.ndarray:
    return np.stack(np.meshgrid(*[np.arange(size) + 0.5] * 2), -1)


def test_a_face_at_rest_is_where_it_was():
    known = landmark_places(face(), face(), SIZE)
    assert known.shape == (SIZE, SIZE, 3)
    assert known.dtype == np.float32
    sure = known[..., 2] > 0.5
    assert 0.05 < sure.mean() < 0.4
    assert np.abs(pixels(known) - own())[sure].max() < 0.05


@settings(deadline=None, max_examples=12)
@given(
    st.floats(0.7, 1.4), st.floats(-0.5, 0.5), st.floats(-0.2, 0.2), st.floats(-20, 20), st.floats(-20, 20)
)
def test_of_an_affine_motion_every_place_is_exact(
    scale: float, turn: float, shear: float, x: float, y: float
):
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = linear @ np.array([[1, shear], [0, 1]])
    matrix = np.concatenate([linear, (np.add(MIDDLE, (x, y)) - linear @ MIDDLE)[:, None]], 1)
    target = transform_points(matrix, face())
    known = landmark_places(face(), target, SIZE)
    inverse = (own() - matrix[:, 2]) @ np.linalg.inv(linear).T
    sure = known[..., 2] > 0.5
    assert sure.mean() > 0.02
    assert np.abs(pixels(known) - inverse)[sure].max() < 0.2  # along lids, by their rim


def test_what_is_away_from_the_face_or_in_the_mouth_is_unknown():
    open_mouth = face()
    open_mouth[list(LOWER_LIP), 1] += 8
    known = landmark_places(face(), open_mouth, SIZE)
    assert not known[:20, :, 2].any()
    assert not known[:, :20, 2].any()
    mouth = open_mouth[[13, 14], :2].mean(0).astype(int)
    assert known[mouth[1], mouth[0], 2] == 0
    assert known[int(open_mouth[17, 1]), int(open_mouth[17, 0]), 2] > 0.5  # below the lower lip


def test_where_there_is_no_face_nothing_is_known():
    nobody = np.full((478, 3), np.nan)
    for source, target in ((nobody, face()), (face(), nobody)):
        assert not landmark_places(source, target, 64).any()


def test_a_cheek_that_is_turned_away_is_unknown():
    turn = np.radians(70)
    rotation = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    turned = face_template() @ rotation.T * 60
    turned[:, :2] += MIDDLE
    confidence = landmark_places(turned, face(), SIZE)[..., 2]
    cheeks = sorted(confidence[y, x] for x, y in face()[[50, 280], :2].astype(int))
    assert cheeks[0] < 0.3 < 0.6 < cheeks[1]
    # Nor does a turned face show anything of it.
    at = [face()[mark, :2] for mark in (50, 280)]
    (hidden,) = (point for point in at if confidence[tuple(point[::-1].astype(int))] < 0.3)
    known = landmark_places(face(), turned, SIZE)
    assert np.linalg.norm(pixels(known)[known[..., 2] > 0.5] - hidden, axis=1).min() > 6


def test_eyeballs_go_with_their_irises():
    aside = face()
    aside[468:, 0] += 3
    known = landmark_places(face(), aside, SIZE)
    for iris in (468, 473):
        x, y = aside[iris, :2].astype(int)
        np.testing.assert_allclose(pixels(known)[y, x] - own()[y, x], (-3, 0), atol=0.05)
        assert known[y, x, 2] == 1
    # Skin does not.
    for brow in (105, 334):
        x, y = aside[brow, :2].astype(int)
        np.testing.assert_allclose(pixels(known)[y, x], own()[y, x], atol=0.05)


def shut(points: np.ndarray) -> np.ndarray:
    """Upper lids down on the lower ones."""
    points = points.copy()
    for lids, _, _ in EYES:
        for upper, lower in lids:
            points[upper] = points[lower]
    return points


def test_shut_lids_show_no_eyeball():
    opened, closed = face(100.0), shut(face(100.0))
    known = landmark_places(opened, closed, SIZE)
    for lids, _, iris in EYES:
        # Between the lids of the portrait, where the frame shows an upper lid.
        places = pixels(known)[known[..., 2] > 0.3]
        middle, half = opened[iris[0], :2], 0.25 * np.ptp(opened[[lids[3][0], lids[3][1]], 1])
        assert not (np.abs(places - middle) < half).all(1).any()
    # And the lid is stretched from the skin above it, its edge staying its edge.
    upper = closed[159, :2].astype(int)
    assert abs(pixels(known)[upper[1] - 2, upper[0]][1] - opened[159, 1]) < 4


def changed_copy() -> LandmarkCopy:
    torch.manual_seed(0)
    net = LandmarkCopy(2, 8)
    torch.nn.init.normal_(net.conv_out.weight, std=0.3)
    return net


def test_nothing_changes_where_nothing_is_known():
    frames, copies = torch.randn(2, 3, 64, 64), torch.zeros(2, 4, 64, 64)
    copies[:, :, 20:40, 20:40] = 1
    with torch.no_grad():
        made = changed_copy()(frames, copies)
    changed = (made - frames).abs().amax((0, 1)) > 1e-6
    assert changed[24:36, 24:36].all()
    assert not changed[:8].any()
    assert not changed[:, 56:].any()


def test_all_of_the_copy_can_be_taken_and_none():
    frames, picture = torch.randn(1, 3, 64, 64), torch.randn(1, 3, 64, 64)
    copies = F.pad(picture, (0, 0, 0, 0, 0, 1), value=1.0)
    net = LandmarkCopy(2, 8)
    with torch.no_grad():
        net.conv_out.bias[:] = 60.0
        torch.testing.assert_close(net(frames, copies), picture, atol=1e-4, rtol=0)
        net.conv_out.bias[:] = -60.0
        torch.testing.assert_close(net(frames, copies), frames, atol=1e-4, rtol=0)


def test_copies_are_of_each_clips_own_portrait():
    images = torch.stack([torch.full((4, 8, 8), value) for value in (1.0, 2.0)])
    known = torch.zeros(6, 3, 8, 8)
    known[:, 2] = torch.linspace(0, 1, 6)[:, None, None]
    copies = landmark_copy(images, known)
    wanted = torch.tensor([1.0] * 3 + [2.0] * 3) * torch.linspace(0, 1, 6)
    torch.testing.assert_close(copies[:, :, 4, 4], wanted[:, None].expand(-1, 4))


def test_pixels_are_fetched_from_the_places_given():
    picture = torch.randn(1, 4, 16, 16)
    places = torch.from_numpy(2 * own(16) / 16 - 1).float().permute(2, 0, 1)
    moved = places.roll(3, 2)
    known = torch.cat([moved, torch.ones(1, 16, 16)])[None]
    torch.testing.assert_close(landmark_copy(picture, known), picture.roll(3, 3), atol=1e-5, rtol=0)


def test_light_is_that_of_the_heads_in_use():
    tones = torch.randn(1, 4, 2, 3, 4, 4)
    shares = torch.full((1, 5, 16, 16), -20.0)
    shares[:, 2, :8], shares[:, 1, 8:] = 0, 0
    mean = mean_tones(tones, shares.log_softmax(1))
    torch.testing.assert_close(mean[:, 0, :, :, :2], tones[:, 2, :, :, :2], atol=2e-3, rtol=2e-3)
    torch.testing.assert_close(mean[:, 0, :, :, 2:], tones[:, 1, :, :, 2:], atol=2e-3, rtol=2e-3)


def pipeline_with(landmarks: bool) -> DurianPipeline:
    networks, preset = tiny_networks(), tiny_preset()
    torch.manual_seed(1)
    plain = DetailNet(2)
    torch.manual_seed(2)
    networks.detail_net = DetailNet(2, landmarks=landmarks).eval()
    networks.detail_net.load_state_dict(plain.state_dict(), strict=False)
    return DurianPipeline(networks, DDIMScheduler(**preset.scheduler), preset.size, 2)


def test_results_have_the_portraits_pixels_where_landmarks_are():
    inputs = tiny_inputs(3, size=64)
    without, with_landmarks = pipeline_with(False), pipeline_with(True)
    with torch.no_grad():
        with_landmarks.networks.detail_net.landmark_copy.conv_out.bias[:] = 60.0
    plain, made = (each.animate(inputs).astype(float) for each in (without, with_landmarks))
    for index, points in enumerate(inputs.keypoints):
        known = landmark_places(inputs.portrait.landmarks, points, 64)
        assert (np.abs(made - plain)[index].max(2) > 1)[known[..., 2] > 0.9].mean() > 0.5
        far = F.max_pool2d(torch.from_numpy(known[..., 2])[None], 17, 1, 8)[0].numpy() == 0
        assert (np.abs(made - plain)[index].max(2) == 0)[far].all()


@pytest.mark.parametrize(
    "options",
    [{}, {"interpolate_to": {"hair": tiny_reference(7, 64)}, "interpolation": np.linspace(0, 1, 20)}],
    ids=["plain", "interpolated"],
)
def test_streams_know_what_the_whole_knows(options: dict):
    pipeline, inputs = pipeline_with(True), tiny_inputs(20, size=64)
    whole = pipeline.animate(inputs, **options)
    stream = pipeline.animate_iter(inputs.portrait, inputs.attributes, iter(inputs.keypoints), **options)
    assert (np.stack(list(stream)) == whole).all()
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


LANDMARKS = {
    "trained": "landmarks",
    "critic": {"channels": 4},
    "stage": 2,
}


def test_training_changes_the_copy_of_landmarks_alone(tmp_path: Path, tiny_mini):
    shards = [make_clip(f"{i:05}", 60 * i + 20, size=64, frames=6) for i in range(3)]
    write_shard(tmp_path / "clips-000.tar", shards)
    start = tmp_path / "start"
    pipeline_with(False).save_pretrained(start)
    config = write_config(
        tmp_path, **LANDMARKS, init_from=str(start), sample_every=2, output=tmp_path / "run"
    )
    made = train(config)
    assert json.loads((made / "detail_net" / "config.json").read_text())["landmarks"] is True
    before, after = (load_file(folder / "detail_net" / NAME) for folder in (start, made))
    assert all(torch.equal(before[name].half(), after[name]) for name in before)
    new = after.keys() - before.keys()
    assert new
    assert all(name.startswith("landmark_copy.") for name in new)
    assert after["landmark_copy.conv_out.weight"].abs().sum() > 0
    dnet, kept = (load_file(folder / "denoising_unet" / NAME) for folder in (start, made))
    assert all(torch.equal(dnet[name].half(), kept[name]) for name in dnet)
    assert DurianPipeline.from_pretrained(made, device="cpu").networks.knows_landmarks


def test_a_critic_is_asked_for(tmp_path: Path, tiny_mini):
    shards = [make_clip(f"{i:05}", 60 * i + 20, size=64, frames=6) for i in range(3)]
    write_shard(tmp_path / "clips-000.tar", shards)
    with pytest.raises(DurianError, match="critic: `trained: landmarks` needs one"):
        train(write_config(tmp_path, trained="landmarks", stage=2))


def test_a_dry_run_trains_it_too(tmp_path: Path, tiny_mini):
    report = dry_run(write_config(tmp_path, **LANDMARKS))
    assert report.trained == sum(parameter.numel() for parameter in LandmarkCopy(2, 32).parameters())
