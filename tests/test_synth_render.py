"""The renderer of synthetic portraits: values, masks, landmarks and steadiness."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durian.errors import DurianError
from durian.labels import LENS_BIT, Label
from durian.synth.attributes import Attributes, sample_attributes
from durian.synth.dynamics import lagging_poses
from durian.synth.head import Head
from durian.synth.identity import sample_identity
from durian.synth.model import Model, build
from durian.synth.performance import FrameState, Performance, sample_performance
from durian.synth.person import Person, sample_person
from durian.synth.pose import HeadPose
from durian.synth.render import Rendered, render
from durian.synth.serialise import from_json, to_json

SIZE = 48
SEEDS = (2, 5, 9, 18)


@pytest.fixture(scope="module")
def models() -> list[Model]:
    return [build(sample_person(np.random.default_rng(seed))) for seed in SEEDS]


@pytest.fixture(scope="module")
def frames(models: list[Model]) -> list[Rendered]:
    return [render(model, FrameState(yaw=0.2, jaw=0.5), SIZE, 2) for model in models]


@given(seed=st.integers(0, 2**32 - 1), split=st.sampled_from(["train", "test"]))
@settings(max_examples=25, deadline=None)
def test_a_person_reads_back_exactly(seed: int, split: str) -> None:
    person = sample_person(np.random.default_rng(seed), split)  # ty: ignore[invalid-argument-type]
    assert from_json(Person, to_json(person)) == person


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_a_performance_reads_back_exactly(seed: int) -> None:
    performance = sample_performance(np.random.default_rng(seed), 5)
    assert from_json(Performance, to_json(performance)) == performance


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda data: data["identity"]["nose"].pop("up"), "Person.identity.nose: missing key 'up'"),
        (lambda data: data["scene"].update(moon=1), "Person.scene: unknown key 'moon'"),
        (lambda data: data["identity"].update(age="old"), "Person.identity.age"),
        (lambda data: data["clothes"].update(colour=[1, 2]), "Person.clothes.colour"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(change, names: str) -> None:
    data = json.loads(to_json(Person()))
    change(data)
    with pytest.raises(DurianError) as caught:
        from_json(Person, json.dumps(data))
    assert names in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(DurianError, match="not JSON"):
        from_json(Person, "{")


def test_equal_seeds_give_equal_pictures() -> None:
    state = FrameState(yaw=-0.3, smile=0.6)
    first, second = (render(build(sample_person(np.random.default_rng(4))), state, SIZE, 2) for _ in range(2))
    np.testing.assert_array_equal(first.rgb, second.rgb)
    np.testing.assert_array_equal(first.labels, second.labels)


def test_an_attribute_moves_to_another_person_unchanged() -> None:
    rng = np.random.default_rng(3)
    donor = sample_person(rng)
    other = replace(sample_person(rng), attributes=donor.attributes)
    assert from_json(Attributes, to_json(other.attributes)) == donor.attributes
    frame = render(build(other), FrameState(), SIZE, 2)
    assert set(frame.visible) == set(render(build(donor), FrameState(), SIZE, 2).visible)


def test_masks_are_shares_and_visible_is_within_amodal(frames: list[Rendered]) -> None:
    for frame in frames:
        for name, visible in frame.visible.items():
            assert visible.min() >= 0
            assert visible.max() <= 1
            assert (visible <= frame.amodal[name] + 1e-6).all(), name
        # Lenses let what is behind them be seen; all else covers a sample once.
        others = [mask for name, mask in frame.visible.items() if name != "glasses"]
        if others:
            assert np.sum(others, axis=0).max() <= 1 + 1e-6


def test_labels_are_known_and_agree_with_masks(frames: list[Rendered]) -> None:
    for frame in frames:
        plain = frame.labels & (LENS_BIT - 1)
        assert set(np.unique(plain)) <= {int(label) for label in Label}
        assert (np.isinf(frame.depth) <= (plain == Label.BACKGROUND)).all()
        for label, name in ((Label.HAIR, "hair"), (Label.HAT, "hat"), (Label.BEARD, "beard")):
            if name in frame.visible:
                whole = frame.visible[name] > 0.75
                assert (plain[whole] == label).all(), name


def test_every_part_of_a_face_is_labelled(frames: list[Rendered]) -> None:
    seen = set().union(*(np.unique(frame.labels & (LENS_BIT - 1)).tolist() for frame in frames))
    assert {Label.SKIN, Label.EYES, Label.MOUTH, Label.HAIR, Label.BROW, Label.CLOTHES} <= seen


@pytest.mark.parametrize("yaw", [-0.7, 0.0, 0.3])
def test_a_bare_face_has_no_holes(models: list[Model], yaw: float) -> None:
    bald = build(replace(models[0].person, attributes=Attributes()))
    frame = render(bald, FrameState(yaw=yaw, jaw=0.6, smile=0.5), 128, 2)
    behind = np.isinf(frame.depth).astype(np.uint8)
    count, _, sizes, _ = cv2.connectedComponentsWithStats(behind, connectivity=4)
    assert count == 2, sizes[1:, cv2.CC_STAT_AREA]  # the person, and one background all round
    # Nothing shines through eyes or mouth from far behind.
    face = np.isin(frame.labels, (Label.EYES, Label.MOUTH))
    around = cv2.dilate(face.astype(np.uint8), np.ones((5, 5))) > 0
    depth = frame.depth[around & np.isfinite(frame.depth)]
    assert depth.max() - np.median(depth) < 0.8


def test_an_amodal_mask_is_that_of_the_attribute_worn_alone() -> None:
    rng = np.random.default_rng(0)
    person = sample_person(rng)
    worn = next(
        a
        for a in (sample_attributes(np.random.default_rng(k), -0.5, 0.2, "train") for k in range(200))
        if a.glasses and a.scarf
    )
    both = render(build(replace(person, attributes=worn)), FrameState(yaw=0.3), SIZE, 2)
    alone = replace(person, attributes=Attributes(glasses=worn.glasses))
    only = render(build(alone), FrameState(yaw=0.3), SIZE, 2)
    np.testing.assert_allclose(both.amodal["glasses"], only.visible["glasses"], atol=1e-6)


def test_a_still_pose_is_perfectly_still(models: list[Model]) -> None:
    performance = sample_performance(np.random.default_rng(1), 3, static=True)
    poses = lagging_poses(performance)
    pictures = [
        render(models[0], s, SIZE, 2, lag).rgb for s, lag in zip(performance.frames, poses, strict=True)
    ]
    np.testing.assert_array_equal(pictures[0], pictures[1])
    np.testing.assert_array_equal(pictures[0], pictures[2])
    at_rest = HeadPose.of(performance.frames[0])
    np.testing.assert_array_equal(poses[-1].rotation, at_rest.rotation)


@pytest.mark.parametrize("fps", [8.0, 30.0])
def test_soft_things_lag_whatever_the_frame_rate(fps: float) -> None:
    count = int(fps)  # one second: turn for half of it, then stand still
    states = [FrameState(yaw=min(1.0, 2 * i / fps) * 0.6) for i in range(count + 1)]
    poses = lagging_poses(Performance(tuple(states), fps))
    yaw = np.array([np.arctan2(p.rotation[0, 2], p.rotation[2, 2]) for p in poses])
    behind = np.array([s.yaw for s in states]) - yaw
    assert behind.max() == pytest.approx(0.21, abs=0.02)
    assert abs(behind[-1]) < 0.03


def test_landmarks_of_the_far_side_are_hidden(models: list[Model]) -> None:
    outer_corners = {33: -1, 263: 1}  # the eyes' at the image's left and right
    ahead = render(models[0], FrameState(), SIZE, 2)
    assert ahead.landmark_visible[list(outer_corners)].all()
    assert ahead.landmark_visible.mean() > 0.9
    for index, side in outer_corners.items():
        turned = render(models[0], FrameState(yaw=1.1 * side), SIZE, 2)
        assert not turned.landmark_visible[index]
        assert turned.landmark_visible[33 if side > 0 else 263]


def test_landmarks_follow_the_picture(models: list[Model]) -> None:
    for model in models:
        frame = render(model, FrameState(), 96, 2)
        x, y = frame.landmarks[:, 0], frame.landmarks[:, 1]
        assert x[33] < x[133] < x[168] < x[362] < x[263]  # corners of the eyes, root of the nose
        assert y[10] < y[168] < y[4] < y[13] < y[152]  # forehead, root, tip, lips, chin
        assert frame.landmarks[4, 2] < frame.landmarks[234, 2]  # the tip of the nose is nearer
        if "glasses" not in frame.visible:
            for middle in (468, 473):
                row, column = int(y[middle]), int(x[middle])
                assert frame.labels[row, column] & (LENS_BIT - 1) == Label.EYES


def test_expressions_move_landmarks(models: list[Model]) -> None:
    def gap(state: FrameState, upper: int, lower: int) -> float:
        points = render(models[0], state, 96, 2).landmarks
        return float(points[lower, 1] - points[upper, 1])

    assert gap(FrameState(jaw=0.8), 13, 14) > 4 > 0.5 > gap(FrameState(), 13, 14)
    assert gap(FrameState(), 159, 145) > 3 > 1 > gap(FrameState(blink_left=1.0, blink_right=1.0), 159, 145)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_a_heads_queries_agree(seed: int) -> None:
    head = Head(sample_identity(np.random.default_rng(seed)))
    lon, lat = np.meshgrid(np.linspace(-3, 3, 7), np.linspace(-0.2, 1.2, 5))
    points = head.surface(lon, lat)
    again_lon, again_lat = head.angles(points)
    np.testing.assert_allclose(again_lon, lon, atol=1e-4)
    np.testing.assert_allclose(again_lat, lat, atol=1e-4)
    # A head is as wide to the left as to the right.
    np.testing.assert_allclose(head.radius(lon, lat), head.radius(-lon, lat), atol=1e-3)
    assert (np.abs(head.skull_distance(points)[lat > 0.75]) < 0.12).all()


def test_landmarks_in_space_are_those_in_the_picture(models: list[Model]) -> None:
    state = FrameState(yaw=0.3, pitch=-0.1, jaw=0.4, x=0.1)
    frame = render(models[0], state, SIZE, 1)
    camera = models[0].person.scene.camera
    x, y, z = frame.landmarks_3d.T
    seen = np.stack([x, camera.height - y], -1) * (camera.focal / (camera.distance - z))[:, None]
    np.testing.assert_allclose(frame.landmarks[:, :2], (1 + seen) * SIZE / 2, atol=0.05)
    # Nearer to the camera is nearer in both.
    assert np.corrcoef(frame.landmarks[:, 2], z)[0, 1] < -0.99
