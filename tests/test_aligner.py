"""The Face Aligner: masks brought from one head to another."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from durian.portrait.aligner import ALIGNERS, align_mask
from durian.portrait.geometry import face_template, similarity_matrix, warp_image
from durian.portrait.head_proxy import Head, warp_around_skull
from durian.synth import FrameState, build, render
from durian.synth.benchmark import recipe


def face(scale: float, x: float, y: float, yaw: float = 0, roll: float = 0) -> np.ndarray:
    """The mean face, turned and then rolled by degrees."""
    about_y, about_z = (
        cv2.Rodrigues(np.radians(turn))[0] for turn in (np.array([0, yaw, 0.0]), np.array([0, 0, roll]))
    )
    return (scale * face_template() @ (about_z @ about_y).T + (x, y, 0)).astype(np.float32)


def ellipse(x: int, y: int, wide: int, high: int, size: int = 128) -> np.ndarray:
    mask = np.zeros((size, size), np.float32)
    cv2.ellipse(mask, (x, y), (wide, high), 0, 0, 360, 1, -1)
    return mask


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one > 0.5, other > 0.5
    return float((one & other).sum() / max((one | other).sum(), 1))


@settings(max_examples=20, deadline=None)
@given(yaw=st.floats(-30, 30), scale=st.floats(25, 50), roll=st.floats(-20, 20))
def test_on_one_ellipsoid_the_same_pose_is_a_similarity(yaw: float, scale: float, roll: float) -> None:
    source, target = face(40, 60, 60, yaw), face(scale, 70, 62, yaw, roll)
    mask = ellipse(60, 40, 35, 25)
    expected = warp_image(mask, similarity_matrix(source, target), (128, 128))
    assert np.abs(warp_around_skull(mask, source, target, 128) - expected).mean() < 0.01


@settings(max_examples=20, deadline=None)
@given(yaw=st.floats(-60, 60), x=st.floats(-1.0, 1.0), y=st.floats(-1.2, 1.0))
def test_points_of_the_proxy_return_to_their_pixels(yaw: float, x: float, y: float) -> None:
    head = Head.of(face(40, 64, 60, yaw))
    pixels = np.array([[64 + 40 * x, 60 + 40 * y]])
    for radius in (0.85, 1.3):
        assert head.project(head.shell(pixels, radius)[0]) == pytest.approx(pixels, abs=1e-6)
    centre, beside = head.shell(head.project(np.array([[0.0, 0.1, 0.8]])))
    assert beside == pytest.approx(0, abs=1e-6)
    assert head.facing(centre) == pytest.approx(1, abs=0.1)


def test_landmarks_lie_where_the_face_has_them() -> None:
    """Glasses are read by the face's own landmarks, whatever its shape."""
    landmarks = face(40, 64, 60) * (1.1, 1, 1) - (6.4, 0, 0)
    head = Head.of(landmarks)
    points = head.face_points(landmarks[[33, 263, 4], :2])
    assert points[:, :2] == pytest.approx(face_template()[[33, 263, 4], :2], abs=0.03)
    assert head.face_pixels(points) == pytest.approx(landmarks[[33, 263, 4], :2], abs=1.5)


def test_nothing_stays_nothing() -> None:
    source = face(36, 64, 60)
    assert not align_mask(np.zeros((128, 128), np.float32), source, source, 64).any()


@settings(max_examples=5, deadline=None)
@given(scale=st.floats(0.5, 3), x=st.floats(-8, 8), y=st.floats(-8, 8))
def test_the_mask_goes_with_the_head_and_has_its_size(scale: float, x: float, y: float) -> None:
    mask, source, target = ellipse(64, 30, 40, 28), face(36, 64, 60), face(36, 64, 60, yaw=30)
    still = align_mask(mask, source, target, 128)
    assert still.min() >= 0
    assert still.max() <= 1
    assert overlap(align_mask(mask, source, target * 2, 256), cv2.resize(still, (256, 256))) > 0.97
    shifted = align_mask(mask, source, target + np.array([x, y, 0], np.float32), 128)
    moved = warp_image(still, np.array([[1, 0, x], [0, 1, y]]), (128, 128))
    inside = (slice(10, -10), slice(10, -10))
    assert overlap(shifted[inside], moved[inside]) > 0.95
    large = cv2.resize(mask, None, fx=scale, fy=scale)
    assert overlap(align_mask(large, source * scale, target, 128), still) > 0.9


def test_the_other_side_is_filled_in() -> None:
    """From the side one lens of glasses is hardly seen; turned to the front, both are there."""
    (donor,) = recipe("pose", 1).donors
    assert donor.kind == "glasses"
    model = build(donor.person)
    source, target = (render(model, FrameState(yaw=yaw), 96, 2) for yaw in (0.95, -0.1))
    mask = align_mask(source.visible["glasses"], source.landmarks, target.landmarks, 96)
    for iris in (468, 473):
        x, y = target.landmarks[iris, :2].astype(int)
        assert mask[y, x] > 0.5
    x, y = target.landmarks[13, :2].astype(int)
    assert mask[y, x] < 0.1, "the mouth stays free"


def test_alignment_is_best_on_people_turned_far_apart() -> None:
    """Rendered: the donor's attribute on the donor, and on the portrait's person 30° to 60° away."""
    scores: dict[str, list[float]] = {name: [] for name in ("head", "ellipsoid", "similarity")}
    for index in (0, 1, 3, 4):
        case = recipe("pose", index)
        (donor,) = case.donors
        views: list[tuple[object, FrameState]] = [
            (donor.person, donor.state),
            (case.answers[0], case.portrait_state),
        ]
        source, target = (render(build(person), state, 96, 2) for person, state in views)
        for name, values in scores.items():
            mask = ALIGNERS[name](source.visible[donor.kind], source.landmarks, target.landmarks, 96)
            values.append(overlap(mask, target.visible[donor.kind]))
    means = {name: np.mean(values) for name, values in scores.items()}
    assert means["head"] > 0.65
    assert means["head"] > max(means["ellipsoid"], means["similarity"]) + 0.15


def test_alignment_on_exact_cases_of_an_older_world(shared_dir: Path) -> None:
    def attribute_mask(path: Path, name: str) -> np.ndarray:
        labels = np.array(Image.open(path))
        if name == "glasses":
            return ((labels & 127 == 7) | (labels > 127)).astype(np.float32)
        return (labels & 127 == {"hair": 4, "hat": 8}[name]).astype(np.float32)

    scores: dict[str, list[float]] = {name: [] for name in ("head", "ellipsoid", "similarity")}
    for folder in sorted((shared_dir / "data/portraits-v0/cases").iterdir())[:30]:
        name = json.loads((folder / "case.json").read_text())["attribute"]
        landmarks = np.load(folder / "landmarks.npz")
        donor, truth = (attribute_mask(folder / file, name) for file in ("attribute.png", "aligned.png"))
        for aligner, values in scores.items():
            mask = ALIGNERS[aligner](donor, landmarks["attribute"], landmarks["portrait"], 128)
            values.append(overlap(mask, truth))
    means = {name: np.mean(values) for name, values in scores.items()}
    assert means["head"] > max(means["ellipsoid"], means["similarity"]) + 0.02
