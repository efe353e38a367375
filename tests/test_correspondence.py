"""Where what a frame shows is in a reference: rendered places, matches, and the error of copies' places."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

from durian.cli import main
from durian.data.augmentation import Augmentation
from durian.data.clips import Clip, read_clips
from durian.data.correspondence import TOLERANCE, match, surface_places
from durian.data.reconstruction import ReconstructionSampler
from durian.models.reference_copy import Found
from durian.surface import REACH, decode_surface, encode_surface
from durian.synth import build
from durian.synth.dataset import ClipSettings, clip_recipe, write_clips
from durian.synth.sequence import render_performance
from durian.training.config import TrainConfig
from durian.training.dataset import draw_example, stack
from durian.training.losses import match_error
from durian.training.objective import ReconstructionObjective
from people import FRAMES, SIZE, dressed
from tiny import tiny_networks, tiny_preset

SETTINGS = ClipSettings(frames=4, size=96, samples=3, takes=4, surface=True)


def rolling(name: str = "a") -> Clip:
    """A flat person with a hat whose colours and places both move with them; see `dressed`."""
    clip = dressed(name, "hat")
    surface = np.full((*clip.frames.shape[:3], 3), np.nan, np.float32)
    y, x = np.mgrid[:SIZE, :SIZE]
    for i in range(FRAMES):
        body = (clip.frames[i] != 40).any(2)
        places = np.stack([(x - i) / 10 - 1, y / 10 - 1, np.zeros_like(x)], -1)
        surface[i] = np.where(body[..., None], places, np.nan)
        clip.frames[i][body] = (places[body] * 60 + 120).astype(np.uint8)
    return dataclasses.replace(clip, surface=encode_surface(surface))


def test_places_survive_sixteen_bits() -> None:
    places = np.random.default_rng(0).uniform(-REACH, REACH, (5, 7, 3)).astype(np.float32)
    places[2, 3] = np.nan
    np.testing.assert_allclose(decode_surface(encode_surface(places)), places, atol=1e-4)


def test_a_point_of_the_person_has_one_place_in_every_frame() -> None:
    person, takes = clip_recipe(SETTINGS, 1)
    model = build(person)
    frames = [frame for take in takes for frame in render_performance(model, take, 96, 3)]
    for frame in frames:
        nobody = np.isnan(frame.surface).all(-1)  # in the middle of a pixel; labels are of most of it
        assert (nobody == (frame.labels == 0)).mean() > 0.98
    # What lies on the skin, far from the eyes and lips, which move by themselves.
    skin = [i for i in (4, 5, 50, 280, 117, 346, 151, 200) if all(f.landmark_visible[i] for f in frames)]
    assert len(skin) > 4
    for i in skin:
        places = []
        for frame in frames:
            x, y = frame.landmarks[i, :2].astype(int)
            places.append(frame.surface[y, x])
        assert np.abs(np.array(places) - np.mean(places, 0)).max() < 0.06, i
    heads = [frame.landmarks[4, :2] for frame in frames]
    assert np.ptp(heads, 0).max() > 3  # although the heads moved


def test_matches_of_rendered_frames_are_where_the_landmarks_say() -> None:
    person, takes = clip_recipe(SETTINGS, 1)
    model = build(person)
    frames = [frame for take in takes for frame in render_performance(model, take, 96, 3)]
    places = surface_places(np.stack([encode_surface(frame.surface) for frame in frames]))
    matches = match(places[1:], places[0], np.ones((96, 96), bool), 24)
    missed = []
    for frame, (x, y, there) in zip(frames[1:], matches, strict=True):
        for i in (4, 5, 50, 280, 117, 346, 151, 200):
            row, column = (frame.landmarks[i, 1::-1] // 4).astype(int)
            if not (frame.landmark_visible[i] and frames[0].landmark_visible[i] and there[row, column]):
                continue
            beside = frame.landmarks[i, :2] - (np.array([column, row]) * 4 + 2)
            found = (np.array([x[row, column], y[row, column]]) + 1) * 48 + beside
            missed.append(np.linalg.norm(found - frames[0].landmarks[i, :2]))
    assert len(missed) > 12
    assert np.median(missed) < 1.2
    assert max(missed) < 4  # a cell


def test_a_moved_picture_is_matched_where_it_moved_to() -> None:
    y, x = np.mgrid[:32, :32].astype(np.float32)
    target = np.stack([x, y, 0 * x], -1)[None] * (TOLERANCE * 1.5)
    same = match(target, target[0], np.ones((32, 32), bool), 8)
    centres = (np.arange(8) + 0.5) / 4 - 1
    np.testing.assert_allclose(same[0, 0], np.tile(centres, (8, 1)), atol=1e-6)
    np.testing.assert_allclose(same[0, 1], np.tile(centres[:, None], (1, 8)), atol=1e-6)
    assert same[0, 2].all()
    moved = match(target, np.roll(target[0], (3, -5), (0, 1)), np.ones((32, 32), bool), 8)
    known = moved[0, 2].astype(bool)
    np.testing.assert_allclose(moved[0, 0][:7, 2:], same[0, 0][:7, 2:] - 5 / 16, atol=1e-6)
    np.testing.assert_allclose(moved[0, 1][:7, 2:], same[0, 1][:7, 2:] + 3 / 16, atol=1e-6)
    assert known[:7, 2:].all()
    # What is hidden, or in no place of the reference, is not found.
    left = np.tile(np.arange(32) < 16, (32, 1))
    assert match(target, target[0], left, 8)[0, 2].tolist() == [[1.0] * 4 + [0.0] * 4] * 8
    assert not match(target + 2 * TOLERANCE, target[0] * 0 + 3, left, 8).any()
    assert not match(target, target[0], np.zeros((32, 32), bool), 8).any()


def test_the_background_is_where_it_is() -> None:
    nobody = np.zeros((1, 32, 32, 3), np.uint16)
    places = surface_places(nobody)
    matches = match(places, places[0], np.ones((32, 32), bool), 8)
    assert matches[0, 2].all()
    np.testing.assert_allclose(matches[0, 0], np.tile((np.arange(8) + 0.5) / 4 - 1, (8, 1)), atol=1e-6)
    person = encode_surface(np.random.default_rng(0).uniform(-2, 2, (1, 32, 32, 3)).astype(np.float32))
    assert not match(surface_places(person), places[0], np.ones((32, 32), bool), 8)[:, 2].any()


def test_augmented_references_hold_the_targets_colours_where_matches_say() -> None:
    moves = Augmentation(0.1, 0.2, 15, 0, 0, 0)
    sampler = ReconstructionSampler([rolling()], 3, 8, augmentation=moves, match_size=16)
    differences: list[float] = []
    for seed in range(12):
        example = sampler.draw(np.random.default_rng(seed))
        assert example.portrait_matches.shape == (3, 3, 16, 16)
        assert example.attribute_matches.shape == (1, 3, 3, 16, 16)
        pairs = [(example.portrait, 1 - example.portrait_mask, example.portrait_matches)]
        pairs += [(example.attributes[0], example.attribute_masks[0], example.attribute_matches[0])]
        for image, shown, matches in pairs:
            for target, (x, y, there) in zip(example.targets, matches, strict=True):
                rows, columns = np.nonzero(there)
                at = [((p[rows, columns] + 1) * SIZE / 2).astype(int).clip(0, SIZE - 1) for p in (y, x)]
                assert (shown[0, at[0], at[1]] > 0.2).mean() > 0.9
                wanted = target[:, rows * 2 + 1, columns * 2 + 1]
                off = np.abs(image[:, at[0], at[1]] - wanted).max(0)
                differences.extend(off)
    # Sloping colours; a pixel at the rim may show the other side.
    assert len(differences) > 3000
    assert np.median(differences) < 0.12
    assert np.mean(np.array(differences) < 0.25) > 0.9


def test_without_places_there_are_no_matches() -> None:
    plain = dataclasses.replace(rolling(), surface=None)
    example = ReconstructionSampler([plain], 3, 8, match_size=16).draw(np.random.default_rng(0))
    assert not example.portrait_matches.any()
    unasked = ReconstructionSampler([rolling()], 3, 8).draw(np.random.default_rng(0))
    assert unasked.portrait_matches.shape == (3, 3, 0, 0)
    asked = ReconstructionSampler([rolling()], 3, 8, match_size=16).draw(np.random.default_rng(0))
    np.testing.assert_array_equal(asked.attributes, unasked.attributes)


def test_match_error_is_of_places_that_are_used_and_known() -> None:
    mass = torch.full((1, 2, 1, 4, 4), 0.5)
    place = torch.zeros(1, 2, 1, 2, 4, 4, requires_grad=True)
    shares = torch.log_softmax(torch.zeros(1, 3, 16, 16), 1).requires_grad_()
    matches = torch.zeros(1, 1, 3, 4, 4)
    assert match_error(Found(mass, place), shares, matches).max() == 0  # nothing is known
    matches[:, :, 2] = 1
    assert match_error(Found(mass, place), shares, matches).abs().max() < 1e-6
    matches[0, 0, 0, 1, 2] = 1.0  # half the picture away: two cells
    error = match_error(Found(mass, place), shares, matches)
    assert error.shape == (1, 4, 4)
    expected = 2 * 0.5 * (1 / 3 + 0.03) * (4.01**0.5 - 0.1)
    assert float(error[0, 1, 2].detach()) == pytest.approx(expected, rel=1e-5)
    assert error.sum() == error[0, 1, 2]
    error.sum().backward()
    assert place.grad is not None
    assert (place.grad[0, :, 0, 0, 1, 2] < 0).all()
    assert shares.grad is None
    second = torch.tensor([-9.0, 9.0, -9.0])[None, :, None, None].log_softmax(1).expand(1, 3, 16, 16)
    place = place.detach().clone()
    place[:, 1] = matches[:, 0, None, :2]
    assert match_error(Found(mass, place), second, matches).max() < 0.1 * error.max()


def objective_of(tmp_path: Path, weight: float, copies: int = 2) -> ReconstructionObjective:
    values = {"preset": "mini", "stage": 1, "output": tmp_path, "data": {"clips": tmp_path}, "steps": 1}
    config = TrainConfig.model_validate({**values, "match_loss_weight": weight})
    networks = tiny_networks(temporal=False, copy_heads=copies)
    return ReconstructionObjective(networks, DDIMScheduler(**tiny_preset().scheduler), config)


def test_the_objective_tells_copies_where_to_look(tmp_path: Path) -> None:
    sampler = ReconstructionSampler([rolling(), rolling("b")], 2, 8, attributes=2, match_size=8)
    batch = stack([draw_example(sampler, 0, number) for number in range(2)])
    losses, generators = {}, [torch.Generator(), torch.Generator()]
    for weight in (0.0, 1.0, 2.0):
        objective = objective_of(tmp_path, weight)
        for index, generator in enumerate(generators):
            generator.manual_seed(index)
        losses[weight] = objective(batch, generators)
    assert losses[1.0] > losses[0.0] + 0.01
    difference = losses[2.0] - losses[0.0]
    torch.testing.assert_close(difference, 2 * (losses[1.0] - losses[0.0]), rtol=1e-4, atol=1e-6)
    # The same on a network that looks where it is told to: nothing is missed.
    objective = objective_of(tmp_path, 1.0)
    copy = objective.networks.denoising_unet.reference_copy
    assert copy is not None
    matches = torch.cat([batch["portrait_matches"][:, None], batch["attribute_matches"]], 1)[:, :2]
    told = matches.transpose(1, 2).flatten(0, 1)[:, None, :, :2].expand(-1, 2, -1, -1, -1, -1)
    find = copy.find

    def knowing(*args: torch.Tensor) -> Found:
        return dataclasses.replace(find(*args), place=told)

    copy.find = knowing
    latents = objective._latents(batch)
    times = torch.zeros(2, 2, dtype=torch.long)
    _, features, _ = objective.denoise(batch, latents, times, objective.read_positions(batch)[0], None, None)
    assert objective._missed(features, batch).abs().max() < 1e-6


def test_training_towards_true_places_brings_copies_nearer(tmp_path: Path) -> None:
    objective = objective_of(tmp_path, 1.0)
    sampler = ReconstructionSampler([rolling()], 4, 8, match_size=8)
    batch = stack([draw_example(sampler, 0, number) for number in range(2)])
    copy = objective.networks.denoising_unet.reference_copy
    assert copy is not None
    optimizer = torch.optim.Adam(objective.networks.denoising_unet.parameters(), 2e-3)
    missed = []
    for _ in range(30):
        latents = objective._latents(batch)
        times = torch.full((2, 4), 999)
        positions = objective.read_positions(batch)[0]
        _, features, _ = objective.denoise(batch, latents, times, positions, None, None)
        loss = objective._missed(features, batch).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        missed.append(float(loss.detach()))
    assert missed[-1] < 0.8 * missed[0]


def test_clips_with_places_are_rendered_and_read(tmp_path: Path, capsys) -> None:
    command = ["synth", "clips", "--out", str(tmp_path), "--clips", "1", "--frames", "2", "--size", "48"]
    assert main([*command, "--samples", "1", "--relit", "1", "--surface"]) == 0
    (clip,) = read_clips(tmp_path)
    assert clip.surface is not None
    assert clip.relit is not None
    assert clip.relit.surface is not None
    assert clip.surface.shape == (2, 48, 48, 3)
    person, (take,) = clip_recipe(ClipSettings(frames=2, size=48, samples=1, relit=1, surface=True), 0)
    for frame, stored in zip(render_performance(build(person), take, 48, 1), clip.surface, strict=True):
        np.testing.assert_array_equal(stored, encode_surface(frame.surface))
    # The relit frame is one of the two, in the same pose.
    assert any(np.array_equal(clip.relit.surface[0], own) for own in clip.surface)
    write_clips(tmp_path / "plain", 1, ClipSettings(2, 48, samples=1))
    (plain,) = read_clips(tmp_path / "plain")
    assert plain.surface is None
    np.testing.assert_array_equal(plain.landmarks, clip.landmarks)
    # One folder holds clips of one kind.
    assert main([*command, "--samples", "1", "--relit", "1"]) == 2
    assert "other settings" in capsys.readouterr().err
