"""From photos and videos to the model's inputs."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durian.errors import DurianError
from durian.portrait.crop import EYE_CENTRE, EYE_DISTANCE, FaceCrop
from durian.portrait.geometry import face_template, rotation_angle, transform_points, warp_image
from durian.portrait.landmarks import MediaPipeLandmarks
from durian.portrait.masks import FallbackMasker
from durian.portrait.prepare import driving_landmarks, prepare
from durian.portrait.retarget import bridge_gaps, retarget
from durian.video import VideoReader, read_image

NO_LIMIT = {"max_shift": np.inf, "max_zoom": np.inf}


def rotation(yaw: float = 0, pitch: float = 0, roll: float = 0) -> np.ndarray:
    """From angles in degrees."""
    turns = [np.array([0, yaw, 0.0]), np.array([pitch, 0, 0.0]), np.array([0, 0, roll])]
    matrices = [cv2.Rodrigues(np.radians(turn))[0] for turn in turns]
    return matrices[2] @ matrices[1] @ matrices[0]


def face(
    scale: float = 100,
    x: float = 200,
    y: float = 180,
    turn: np.ndarray | None = None,
    shape: int | None = None,
) -> np.ndarray:
    """The mean face, or with a seed `shape` another one, posed in an image."""
    points = face_template().astype(np.float64)
    if shape is not None:
        # Smooth differences, symmetric like those of real faces.
        a, b, c = np.random.default_rng(shape).normal(0, 0.06, 3)
        points = points * (1 + a, 1 + b, 1 + c)
    turn = np.eye(3) if turn is None else turn
    return (scale * points @ turn.T + (x, y, 0)).astype(np.float32)


def open_mouth(points: np.ndarray, by: float, scale: float = 100) -> np.ndarray:
    points = points.copy()
    template = face_template()
    below = np.clip((template[:, 1] - template[13, 1]) / 0.2, 0, 1)
    points[:, 1] += by * scale * below
    points[[14, 87, 88, 95, 178, 317, 318, 324, 402], 1] += by * scale * 0.9
    return points


def lip_gap(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[..., 14, :2] - points[..., 13, :2], axis=-1)


def lid_gap(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[..., 145, :2] - points[..., 159, :2], axis=-1)


def eye_distance(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[..., 33, :] - points[..., 263, :], axis=-1)


@pytest.fixture(scope="module")
def clips(shared_dir: Path) -> list[np.ndarray]:
    """Landmarks of a few synthetic clips without gaps."""
    found: list[np.ndarray] = []
    with tarfile.open(shared_dir / "data/portraits-v0/clips/clips-000.tar") as shard:
        for member in shard:
            if member.name.endswith("landmarks.npy") and (stream := shard.extractfile(member)):
                landmarks = np.load(io.BytesIO(stream.read())).astype(np.float32)
                if np.isfinite(landmarks).all():
                    found.append(landmarks)
            if len(found) == 8:
                break
    return found


@pytest.fixture(scope="module")
def photos(shared_dir: Path) -> dict[str, np.ndarray]:
    return {path.stem: read_image(path) for path in sorted((shared_dir / "real/portraits").iterdir())}


@pytest.fixture(scope="module")
def detector() -> Iterator[MediaPipeLandmarks]:
    with MediaPipeLandmarks() as landmarks:
        yield landmarks


# Crops


@given(
    scale=st.floats(20, 400), x=st.floats(-50, 600), y=st.floats(-50, 500),
    yaw=st.floats(-40, 40), size=st.sampled_from([64, 128, 512]),
)  # fmt: skip
def test_crop_frames_every_face_alike_and_its_points_return(
    scale: float, x: float, y: float, yaw: float, size: int
) -> None:
    landmarks = face(scale, x, y, rotation(yaw))
    crop = FaceCrop.from_landmarks(landmarks, size, (480, 640, 3))
    points = crop.points(landmarks)
    assert eye_distance(points) == pytest.approx(EYE_DISTANCE * size, rel=1e-3)
    assert points[[33, 263], :2].mean(0) / size == pytest.approx(np.array(EYE_CENTRE), abs=2e-3)
    inverse = cv2.invertAffineTransform(crop.matrix)
    assert transform_points(inverse, points) == pytest.approx(landmarks, abs=0.05)


@settings(max_examples=20, deadline=None)
@given(scale=st.floats(20, 80), x=st.floats(30, 170), y=st.floats(30, 130))
def test_crop_moves_pixels_where_it_moves_points(scale: float, x: float, y: float) -> None:
    """A blob drawn between the eyes is in the crop where `points` puts the place between the eyes."""
    crop = FaceCrop.from_landmarks(face(scale, x, y), 128, (160, 200))
    columns, rows = np.meshgrid(np.arange(200) + 0.5, np.arange(160) + 0.5)
    blob = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 5**2)).astype(np.float32)
    target = crop.points(np.array([[x, y]], np.float32))[0]
    assert target == pytest.approx(np.array(EYE_CENTRE) * 128, abs=0.3)
    image = np.repeat((blob * 255).astype(np.uint8)[..., None], 3, -1)
    grid = np.stack(np.meshgrid(np.arange(128) + 0.5, np.arange(128) + 0.5), -1)
    for cut in (crop.apply_mask(blob), crop.apply(image)[..., 0] / 255):
        assert (cut[..., None] * grid).sum((0, 1)) / cut.sum() == pytest.approx(target, abs=0.2)


def test_crop_beyond_the_border_continues_the_image() -> None:
    image = np.full((60, 60, 3), (200, 40, 90), np.uint8)
    crop = FaceCrop.from_landmarks(face(30, 5, 5), 96, image.shape)
    assert (crop.apply(image) == image[0, 0]).all(), "no black frame"
    mask = crop.apply_mask(np.ones((60, 60), np.float32))
    assert mask[:20, :20].max() == 0, "but masks end there"
    assert mask.max() == 1


# Landmarks


def test_a_dog_and_an_empty_picture_have_no_face(
    detector: MediaPipeLandmarks, photos: dict[str, np.ndarray]
) -> None:
    assert detector(np.full((90, 120, 3), 127, np.uint8)) is None
    assert detector(np.zeros((1, 1, 3), np.uint8)) is None
    assert detector(photos["not_a_person_dog"]) is None


def test_small_faces_are_found_where_they_are(
    detector: MediaPipeLandmarks, photos: dict[str, np.ndarray]
) -> None:
    photo = photos["woman_long_dark"]
    whole = detector(photo)
    assert whole is not None
    assert whole.shape == (478, 3)
    assert whole.dtype == np.float32
    matrix = np.array([[0.16, 0, 900], [0, 0.16, 500]])
    small = detector(cv2.resize(photo, None, fx=0.5, fy=0.5))
    assert small is not None
    assert np.abs(small * 2 - whole).mean() < 0.02 * eye_distance(whole)
    distant = warp_image(photo, matrix, (720, 1280))
    tiny = detector(distant)
    assert tiny is not None, "the face is a twentieth of the picture's width"
    expected = transform_points(matrix, whole)
    assert np.abs(tiny - expected)[:, :2].mean() < 0.06 * eye_distance(expected)


def test_the_largest_face_is_chosen(detector: MediaPipeLandmarks, photos: dict[str, np.ndarray]) -> None:
    small = cv2.resize(photos["man_brown_hair"], (300, 300))
    large = cv2.resize(photos["woman_long_dark"], (600, 600))
    group = np.full((600, 900, 3), 128, np.uint8)
    group[150:450, :300], group[:, 300:] = small, large
    found = detector(group)
    assert found is not None
    assert found[:, 0].min() > 300


def test_following_a_face_agrees_with_single_frames(detector: MediaPipeLandmarks, shared_dir: Path) -> None:
    path = shared_dir / "real/driving/woman_small_in_frame.mp4"
    with VideoReader(path, limit=8) as reader, MediaPipeLandmarks(static=False) as follow:
        for frame in reader:
            single, followed = detector(frame), follow(frame)
            assert single is not None
            assert followed is not None
            assert np.abs(single - followed)[:, :2].mean() < 0.05 * eye_distance(single)
        assert follow(np.zeros_like(frame)) is None
        assert follow(frame) is not None, "found again after a gap"


def test_the_native_graphs_are_quiet(shared_dir: Path) -> None:
    script = (
        "import sys; from durian.video import read_image\n"
        "from durian.portrait.landmarks import MediaPipeLandmarks\n"
        "image = read_image(sys.argv[1])\n"
        "with MediaPipeLandmarks() as detect: assert detect(image) is not None\n"
        "print('still here', file=sys.stderr)"
    )
    photo = shared_dir / "real/portraits/woman_long_dark.jpg"
    done = subprocess.run(
        [sys.executable, "-c", script, str(photo)],
        capture_output=True, text=True, check=True, env=os.environ, timeout=60,
    )  # fmt: skip
    assert done.stderr.strip() == "still here"


# Motion


@given(degrees=st.floats(0, 180), first=st.floats(-80, 80), axis=st.integers(0, 99))
def test_the_angle_between_rotations_is_that_of_the_one_turn(degrees: float, first: float, axis: int) -> None:
    direction = np.random.default_rng(axis).normal(size=3)
    turn = cv2.Rodrigues(np.radians(degrees) * direction / np.linalg.norm(direction))[0]
    one = rotation(first, first / 2)
    assert rotation_angle(one, turn @ one) == pytest.approx(degrees, abs=1e-3)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 99), yaw=st.floats(-25, 25), pitch=st.floats(-20, 20), scale=st.floats(20, 300)
)  # fmt: skip
def test_a_driver_who_does_not_move_leaves_the_portrait_as_it_is(
    seed: int, yaw: float, pitch: float, scale: float
) -> None:
    driver = np.stack([face(scale, 50, 80, rotation(yaw, pitch), seed)] * 3)
    portrait = face(40, 64, 60, rotation(-pitch, yaw), seed + 1)
    for reference in (0, None):
        moved = retarget(driver, portrait, reference)
        # Not exactly: a part of the difference between two people's faces passes for expression.
        assert np.linalg.norm(moved - portrait, axis=-1).mean() < 0.025 * eye_distance(portrait)
        assert moved[1:] == pytest.approx(moved[:-1], abs=1e-3)
    assert retarget(driver, driver[0], 0) == pytest.approx(driver, abs=0.1)


def test_own_motion_is_reproduced(clips: list[np.ndarray]) -> None:
    for clip in clips:
        moved = retarget(clip, clip[0], reference_frame=0, **NO_LIMIT)
        error = np.linalg.norm(moved - clip, axis=-1).mean()
        assert error < 0.02 * np.median(eye_distance(clip))


@settings(max_examples=5, deadline=None)
@given(scale=st.floats(0.3, 5), x=st.floats(-500, 500), y=st.floats(-500, 500))
def test_the_drivers_place_and_size_do_not_matter(
    clips: list[np.ndarray], scale: float, x: float, y: float
) -> None:
    driver, portrait = clips[0], clips[1][0]
    moved = retarget(driver, portrait)
    elsewhere = retarget(driver * scale + np.array([x, y, 0], np.float32), portrait)
    assert elsewhere == pytest.approx(moved, abs=0.2)


def test_the_drivers_face_shape_does_not_leak() -> None:
    """Two drivers of different face shape who do the same move the portrait the same way."""
    turns = [rotation(yaw, pitch) for yaw, pitch in ((0, 0), (15, 0), (-20, 10), (0, -15))]
    portrait = face(36, 64, 59, shape=5)
    narrow, wide = (
        retarget(np.stack([face(90, 200, 200, turn, shape) for turn in turns]), portrait, 0)
        for shape in (1, 2)
    )
    error = np.linalg.norm(narrow - wide, axis=-1).mean()
    assert error < 0.02 * eye_distance(portrait)
    expected = np.stack([face(36, 64, 59, turn, 5) for turn in turns])
    unplaced = [each - each.mean(1, keepdims=True) for each in (narrow, expected)]
    assert np.linalg.norm(unplaced[0] - unplaced[1], axis=-1).mean() < 0.03 * eye_distance(portrait)


def test_lips_close_and_lids_shut_whatever_the_portrait() -> None:
    still = face()
    blink = still.copy()
    for upper, lower in ((159, 145), (158, 153), (160, 144), (157, 154), (161, 163), (246, 7), (173, 155)):
        blink[upper, :2] = blink[lower, :2] - (0, 0.5)
    speak = open_mouth(still, 0.3)
    driver = np.stack([still, blink, speak])
    surprised = open_mouth(face(50, shape=3), 0.4, scale=50)
    moved = retarget(driver, surprised, reference_frame=0)
    assert lip_gap(surprised) > 15
    assert lip_gap(moved)[0] < lip_gap(still) / 2 + 1, "the driver's closed mouth closes the portrait's"
    assert lip_gap(moved)[2] > 10
    assert lid_gap(moved)[0] == pytest.approx(lid_gap(surprised), rel=0.1)
    assert lid_gap(moved)[1] < 0.15 * lid_gap(surprised)
    left = np.linalg.norm(moved[:, 374, :2] - moved[:, 386, :2], axis=-1)
    assert left[1] == pytest.approx(left[0], rel=0.05), "the other eye stays open"


def test_wide_motion_stays_in_the_picture() -> None:
    walking = np.stack([face(60, 100 + 40 * step, 200) for step in range(12)])
    portrait = face(36, 64, 59)
    moved = retarget(walking, portrait)
    centres = moved[:, [33, 263], 0].mean(1)
    assert np.ptp(centres) == pytest.approx(2 * 0.6 * 36, rel=0.02)
    assert (np.diff(centres) > 0).all()
    zooming = np.stack([face(40 * 1.2**step, 200, 200) for step in range(8)])
    sizes = eye_distance(retarget(zooming, portrait)) / 36
    assert sizes.max() == pytest.approx(1.25, rel=0.02)
    assert sizes.min() == pytest.approx(1 / 1.25, rel=0.02)


@settings(max_examples=8, deadline=None)
@given(missing=st.sets(st.integers(0, 9), max_size=9))
def test_gaps_are_bridged(missing: set[int]) -> None:
    steady = np.stack([face(x=100 + 5 * step) for step in range(10)])
    gappy = steady.copy()
    gappy[list(missing)] = np.nan
    filled = bridge_gaps(gappy)
    inner = range(min(set(range(10)) - missing), max(set(range(10)) - missing) + 1)
    assert filled[inner] == pytest.approx(steady[inner], abs=1e-2)
    assert np.isfinite(filled).all()


def test_no_face_at_all_in_the_driver() -> None:
    with pytest.raises(DurianError, match="driving video"):
        retarget(np.full((5, 478, 3), np.nan, np.float32), face())


# Masks


def test_masks_on_photos(detector: MediaPipeLandmarks, photos: dict[str, np.ndarray]) -> None:
    def find(masker: FallbackMasker, name: str, attribute: str) -> tuple[np.ndarray, np.ndarray]:
        landmarks = detector(photos[name])
        assert landmarks is not None
        crop = FaceCrop.from_landmarks(landmarks, 256, photos[name].shape)
        points = crop.points(landmarks)
        mask = masker(crop.apply(photos[name]), points, attribute)
        assert mask.shape == (256, 256)
        assert mask.min() >= 0
        assert mask.max() <= 1
        return mask, points

    def at(mask: np.ndarray, x: float, y: float) -> float:
        return float(mask[int(y), int(x)])

    with FallbackMasker() as masker:
        for name in ("man_brown_hair", "man_curly_glasses_moustache", "woman_long_dark"):
            hair, points = find(masker, name, "hair")
            crown = points[10, :2] - 0.2 * (points[152, :2] - points[10, :2])
            assert at(hair, *crown) > 0.9, name
            for index in (4, 50, 280, 152):  # nose, cheeks, chin
                assert at(hair, *points[index, :2]) < 0.1, name
            assert 0.04 < hair.mean() < 0.4
        glasses, points = find(masker, "man_curly_glasses_moustache", "glasses")
        assert at(glasses, *points[468, :2]) > 0.9
        assert at(glasses, *points[473, :2]) > 0.9
        assert at(glasses, *points[1, :2]) < 0.1
        for name in ("man_brown_hair", "woman_long_dark", "painting_girl"):
            assert find(masker, name, "glasses")[0].max() == 0, f"{name} wears no glasses"
        assert find(masker, "woman_long_dark", "beard")[0].max() == 0
        with pytest.raises(DurianError, match="unknown attribute"):
            find(masker, "woman_long_dark", "earrings")


# All together


def test_prepare(photos: dict[str, np.ndarray], shared_dir: Path) -> None:
    donor = photos["man_curly_glasses_moustache"]
    given_mask = np.zeros(donor.shape[:2], np.float32)
    given_mask[60:380, 180:560] = 1
    steps: list[int] = []
    with VideoReader(shared_dir / "real/driving/man_glasses.mp4") as reader:
        inputs = prepare(
            photos["woman_long_dark"],
            {"glasses": donor, "hair": donor},
            islice(reader, 12),
            size=128,
            fps=reader.fps,
            attribute_masks={"hair": given_mask},
            progress=steps.append,
        )
    assert steps == list(range(1, 13))
    assert inputs.fps == 30
    assert inputs.keypoints.shape == (12, 478, 3)
    assert list(inputs.attributes) == ["glasses", "hair"]
    for reference in (inputs.portrait, *inputs.attributes.values()):
        assert reference.image.shape == (128, 128, 3)
        assert reference.image.dtype == np.uint8
        assert reference.mask.shape == (128, 128)
        assert reference.landmarks.shape == (478, 3)
        assert 0 <= reference.mask.min() < reference.mask.max() <= 1
    offset = np.abs(inputs.keypoints.mean((0, 1)) - inputs.portrait.landmarks.mean(0))[:2]
    assert offset.max() < 8, "the motion is on the portrait's face"
    corner = FaceCrop.from_landmarks(
        inputs.attributes["hair"].landmarks, 128, (128, 128)
    ).matrix  # the crop is already framed
    assert corner == pytest.approx(np.array([[1, 0, 0], [0, 1, 0]]), abs=0.05)
    # M_port covers the own hair, where the glasses will be, and not the mouth.
    x, y = inputs.portrait.landmarks[[10, 468, 13], :2].astype(int).T
    assert inputs.portrait.mask[y[1], x[1]] > 0.5
    assert inputs.portrait.mask[y[2], x[2]] < 0.1
    assert inputs.portrait.mask[max(0, y[0] - 12), x[0]] > 0.5


def test_prepare_says_what_is_missing(photos: dict[str, np.ndarray]) -> None:
    person, dog = photos["man_brown_hair"], photos["not_a_person_dog"]
    blank = np.full((64, 64, 3), 90, np.uint8)
    with pytest.raises(DurianError, match="no attribute"):
        prepare(person, {}, [person], size=64)
    with pytest.raises(DurianError, match="unknown attribute 'tail'"):
        prepare(person, {"tail": person}, [person], size=64)
    with pytest.raises(DurianError, match="portrait"):
        prepare(dog, {"hair": person}, [person], size=64)
    with pytest.raises(DurianError, match="picture of the hair"):
        prepare(person, {"hair": dog}, [person], size=64)
    with pytest.raises(DurianError, match="--attribute-mask glasses="):
        prepare(person, {"glasses": person}, [person], size=64)
    with pytest.raises(DurianError, match="720×720"):
        prepare(person, {"hair": person}, [person], size=64, attribute_masks={"hair": np.ones((9, 9))})
    with pytest.raises(DurianError, match="but no picture"):
        prepare(person, {"hair": person}, [person], size=64, attribute_masks={"hat": np.ones((720, 720))})
    full = {"hair": np.ones((720, 720), np.float32)}
    with pytest.raises(DurianError, match="no frames"):
        prepare(person, {"hair": person}, [], size=64, attribute_masks=full)
    with pytest.raises(DurianError, match="any frame of the driving video"):
        prepare(person, {"hair": person}, [blank] * 2, size=64, attribute_masks=full)


def test_driving_frames_are_not_kept() -> None:
    """Frames are taken one by one: the next is made only when the last has been seen."""
    seen = 0

    def frames() -> Iterator[np.ndarray]:
        for index in range(5):
            assert seen == index
            yield np.zeros((4, 4, 3), np.uint8)

    def detector(image: np.ndarray) -> np.ndarray | None:
        nonlocal seen
        seen += 1
        return face() if seen != 3 else None

    found = driving_landmarks(frames(), detector)
    assert np.isnan(found[2]).all()
    assert np.isfinite(found[[0, 1, 3, 4]]).all()
