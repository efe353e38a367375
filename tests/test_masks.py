"""The built-in masks: their frame, evidence, network, and what they find on synthetic people."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from durian.errors import DurianError
from durian.portrait.attributes import ATTRIBUTES
from durian.portrait.face_frame import FaceFrame
from durian.portrait.geometry import face_template
from durian.portrait.glasses_mask import better_outlined, find_glasses
from durian.portrait.guided_filter import guided_filter
from durian.portrait.line_contrast import line_contrast
from durian.portrait.mask_evidence import CHANNELS, GRID, MaskFrame, evidence, mirrored
from durian.portrait.mask_network import weigh
from durian.portrait.masks import FallbackMasker
from durian.synth import FrameState, Person, build, render, sample_person
from durian.synth.attributes import Attributes, sample_beard, sample_glasses, sample_hair, sample_hat
from durian.synth.recipes import wear

WIDTHS = (3, 5, 6)
_SIZE = 160
SAMPLERS = {"hair": sample_hair, "glasses": sample_glasses, "beard": sample_beard, "hat": sample_hat}


def face(scale: float, x: float, y: float, roll: float = 0.0) -> np.ndarray:
    turn, _ = cv2.Rodrigues(np.radians([0, 0, roll]))
    return (scale * face_template() @ turn.T + (x, y, 0)).astype(np.float32)


@settings(max_examples=20, deadline=None)
@given(roll=st.floats(-60, 60), scale=st.floats(20, 200), x=st.floats(-50, 300), y=st.floats(-50, 300))
def test_a_face_is_in_the_same_place_of_its_square(roll: float, scale: float, x: float, y: float) -> None:
    expected = MaskFrame.of(face(50, 100, 100)).points(face(50, 100, 100))
    points = face(scale, x, y, roll)
    frame = MaskFrame.of(points)
    assert frame.points(points)[:, :2] == pytest.approx(expected[:, :2], abs=0.05)
    assert frame.unit == pytest.approx(scale, rel=0.01)


def test_what_is_cut_out_comes_back() -> None:
    image = np.zeros((300, 260), np.float32)
    cv2.ellipse(image, (120, 150), (50, 70), 20, 0, 360, 1, -1)
    frame = MaskFrame.of(face(60, 125, 140, 25))
    back = frame.back(frame.cut(image), image.shape)
    assert back.shape == image.shape
    assert ((back > 0.5) == (image > 0.5)).mean() > 0.98


def test_evidence_of_a_picture_in_a_mirror() -> None:
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 256, (GRID, GRID, 3)).astype(np.uint8), (0, 0), 3)
    person = np.clip(cv2.GaussianBlur(rng.normal(0.5, 3, (GRID, GRID)), (0, 0), 5), 0, 1)
    points = MaskFrame.of(face(50, 100, 100)).points(face(50, 100, 100))
    template = face_template()
    other = np.array([np.linalg.norm(template - point * (-1, 1, 1), axis=1).argmin() for point in template])
    points += (points[other] * (-1, 1, 1) + (GRID, 0, 0) - points) / 2  # as like itself in a mirror as can be
    seen = np.ones((GRID, GRID), np.float32)
    seen[:8, :20] = 0
    lines = np.abs(rng.normal(size=(GRID, GRID)))
    straight = evidence(image, person, lines, points, seen)
    other_way = (part[:, ::-1].copy() for part in (image, person, lines))
    turned = evidence(*other_way, points, seen[:, ::-1].copy())
    assert straight.shape == (CHANNELS, GRID, GRID)
    assert np.abs(straight).max() <= 1
    assert np.isfinite(straight).all()
    # Polygons are drawn on whole pixels, which are not quite alike on both sides.
    assert np.abs(mirrored(straight) - turned).mean((1, 2)).max() < 0.02
    assert np.abs(straight - turned).mean() > 0.1


@pytest.mark.parametrize("shade", [0, 255])
def test_evidence_of_a_blank_picture_is_finite(shade: int) -> None:
    points = MaskFrame.of(face(50, 100, 100)).points(face(50, 100, 100))
    image, nobody = np.full((GRID, GRID, 3), shade, np.uint8), np.zeros((GRID, GRID), np.float32)
    assert np.isfinite(evidence(image, nobody, nobody, points, nobody)).all()


def small_network(rng: np.random.Generator) -> dict[str, np.ndarray]:
    kinds = len(ATTRIBUTES)
    shapes: dict[str, tuple[int, ...]] = {"stem": (WIDTHS[0], 4 * CHANNELS, 1, 1)}
    shapes["head"] = (4 * kinds, WIDTHS[0], 3, 3)
    shapes["down.0.0"] = (WIDTHS[0], WIDTHS[0], 3, 3)
    for depth, (first, second) in enumerate(pairwise(WIDTHS)):
        shapes[f"down.{depth + 1}.0"] = (second, first, 3, 3)
        shapes[f"down.{depth + 1}.1"] = (second, second, 3, 3)
        shapes[f"up.{depth}"] = (first, first + second, 3, 3)
    shapes |= {"whole": (7, 2 * WIDTHS[-1]), "spread": (WIDTHS[-1], 7), "presence": (kinds, 7)}
    weights = {f"{name}.weight": rng.normal(0, 0.3, shape) for name, shape in shapes.items()}
    weights |= {f"{name}.bias": rng.normal(0, 0.3, shape[0]) for name, shape in shapes.items()}
    return {name: value.astype(np.float32) for name, value in weights.items()}


def test_the_network_is_that_of_torch() -> None:
    rng = np.random.default_rng(0)
    weights = small_network(rng)
    inputs = rng.normal(size=(CHANNELS, 16, 16)).astype(np.float32)
    tensors = {name: torch.from_numpy(value) for name, value in weights.items()}

    def layer(x: torch.Tensor, name: str) -> torch.Tensor:
        kernel = tensors[f"{name}.weight"]
        return F.conv2d(x, kernel, tensors[f"{name}.bias"], padding=kernel.shape[-1] // 2)

    def dense(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.linear(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"])

    x = F.relu(layer(F.pixel_unshuffle(torch.from_numpy(inputs)[None], 2), "stem"))
    levels = [F.relu(layer(x, "down.0.0"))]
    for depth in (1, 2):
        x = F.relu(layer(F.max_pool2d(levels[-1], 2), f"down.{depth}.0"))
        levels.append(F.relu(layer(x, f"down.{depth}.1")))
    x = levels[-1]
    whole = F.relu(dense(torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1), "whole"))
    x = x + dense(whole, "spread")[..., None, None]
    for depth in (1, 0):
        x = F.relu(layer(torch.cat([levels[depth], F.interpolate(x, scale_factor=2)], 1), f"up.{depth}"))
    pixels, there = weigh(inputs, weights)
    assert pixels == pytest.approx(F.pixel_shuffle(layer(x, "head"), 2)[0].numpy(), abs=1e-4)
    assert there == pytest.approx(dense(whole, "presence")[0].numpy(), abs=1e-4)


def test_a_filtered_mask_follows_the_picture() -> None:
    picture = np.full((64, 64, 3), 40, np.uint8)
    picture[:, 32:] = (200, 180, 90)
    rough = np.zeros((64, 64), np.float32)
    rough[:, 35:] = 1  # three pixels off, and soft
    rough = cv2.GaussianBlur(rough, (0, 0), 4)
    inside = guided_filter(rough, picture, 8, 0.05) > 0.5
    assert inside[:, 32:].all()
    assert not inside[:, :32].any()
    plain = guided_filter(rough, np.full_like(picture, 90), 8, 0.05)
    assert plain == pytest.approx(cv2.blur(cv2.blur(rough, (17, 17)), (17, 17)), abs=0.02)


def test_a_filtered_mask_that_is_linear_in_the_picture_stays_as_it_is() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    picture = cv2.GaussianBlur(noise, (0, 0), 1.5)
    values = (picture.astype(np.float32) / 255) @ np.float32([0.5, -0.3, 0.8])
    assert guided_filter(values, picture, 6, 1e-3) == pytest.approx(values, abs=0.01)  # up to the border


def drawn_glasses(bridge: bool) -> tuple[FaceFrame, np.ndarray]:
    """Two round lenses drawn on plain skin, and where they are."""
    image, inside = np.full((400, 400, 3), (205, 160, 135), np.uint8), np.zeros((400, 400), np.uint8)
    for side in (-1, 1):
        centre = (200 + 36 * side, 188)
        cv2.circle(image, centre, 26, (40, 30, 30), 3, cv2.LINE_AA)
        cv2.circle(inside, centre, 28, 1, -1)
    if bridge:
        cv2.line(image, (190, 184), (210, 184), (40, 30, 30), 3, cv2.LINE_AA)
    return FaceFrame(image, face(100, 200, 180)), inside > 0


def test_lenses_are_found_by_their_rims() -> None:
    drawn, truth = drawn_glasses(bridge=True)
    lines = line_contrast(drawn)
    found = find_glasses(drawn, lines)
    assert (found & truth).sum() / (found | truth).sum() > 0.7
    assert better_outlined(drawn, lines, truth, np.roll(truth, 12, 0))
    assert not better_outlined(drawn, lines, np.roll(truth, 12, 0), truth)
    assert not better_outlined(drawn, lines, np.zeros_like(truth), truth)


def test_lenses_without_a_bridge_are_no_glasses() -> None:
    drawn, _ = drawn_glasses(bridge=False)
    assert not find_glasses(drawn, line_contrast(drawn)).any()


# On synthetic people


@pytest.fixture(scope="module")
def masker():
    with FallbackMasker() as found:
        yield found


def plain_person(seed: int) -> Person:
    """A man with nothing on, in a light and before a background of his own."""
    person = sample_person(np.random.default_rng([99, seed]))
    identity = replace(person.identity, masculinity=0.8)
    return replace(person, identity=identity, attributes=Attributes())


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attributes_of_synthetic_people(masker: FallbackMasker, name: str) -> None:
    """In styles that training never shows."""
    scores, bare = [], []
    for seed in range(4):
        person = plain_person(seed)
        rng = np.random.default_rng(seed)
        dressed = wear(person, **{name: SAMPLERS[name](rng, 0.8, 0.5, "test")})
        state = FrameState(yaw=rng.uniform(-0.4, 0.4), roll=rng.uniform(-0.3, 0.3))
        frame = render(build(dressed), state, _SIZE, 2)
        found, truth = masker(frame.rgb, frame.landmarks, name) > 0.5, frame.visible[name] > 0.5
        scores.append((found & truth).sum() / (found | truth).sum())
        frame = render(build(person), state, _SIZE, 2)
        bare.append((masker(frame.rgb, frame.landmarks, name) > 0.5).mean())
    assert np.mean(scores) > 0.6
    assert np.median(bare) == 0


def test_several_attributes_at_once(masker: FallbackMasker) -> None:
    frame = render(build(sample_person(np.random.default_rng(3))), FrameState(yaw=0.2), _SIZE, 2)
    together = masker.find(frame.rgb, frame.landmarks, ATTRIBUTES)
    assert list(together) == list(ATTRIBUTES)
    assert max(mask.max() for mask in together.values()) > 0.5
    for name, mask in together.items():
        assert mask == pytest.approx(masker(frame.rgb, frame.landmarks, name), abs=1e-3)


def test_unknown_attributes_are_refused(masker: FallbackMasker) -> None:
    with pytest.raises(DurianError, match="unknown attribute"):
        masker(np.zeros((64, 64, 3), np.uint8), face(20, 32, 32), "earrings")
