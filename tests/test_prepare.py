"""The steps from videos to clips: names, scenes, tracks, candidates, quality, label images, parsers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durian.errors import DurianError
from durian.labels import ATTRIBUTE_LABELS, attribute_region
from durian.portrait.crop import EYE_DISTANCE, FaceCrop
from durian.portrait.geometry import face_template
from durian.portrait.landmarks import FaceBox
from durian.portrait.parsers import open_parser
from durian.preparation.candidates import Candidate, CandidateCutter
from durian.preparation.labels import label_images
from durian.preparation.quality import (
    Geometry,
    Look,
    Reason,
    head_pose,
    judge_geometry,
    judge_look,
    measure_geometry,
    measure_look,
)
from durian.preparation.scenes import resample, split_scenes
from durian.preparation.settings import Filters, make_settings, parse_filters
from durian.preparation.sources import find_sources
from durian.preparation.tracks import FaceTracker
from durian.preparation.video import frame_clip

SIZE = 96


def _face(x: float = 48, y: float = 48, unit: float = EYE_DISTANCE * SIZE, yaw: float = 0) -> np.ndarray:
    """The mean face at a place, turned by so many degrees to the image's right."""
    angle = np.deg2rad(yaw)
    turn = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
    return (unit * face_template() @ turn.T + (x, y, 0)).astype(np.float32)


# --- names


def test_videos_are_found_below_folders_and_named_from_there(tmp_path: Path) -> None:
    (tmp_path / "set" / "a.b").mkdir(parents=True)
    for name in ("z.MP4", "a.b/talk.one.webm", "a.b/notes.txt", "a.b/.hidden.mp4"):
        (tmp_path / "set" / name).write_bytes(b"1234")
    found = find_sources([tmp_path / "set", tmp_path / "set" / "z.MP4"])
    assert [source.name for source in found] == ["set/a.b/talk.one.webm", "set/z.MP4"]
    assert found[0].size == 4
    assert found[0].key.startswith("talk_one-")
    moved = (tmp_path / "set").rename(tmp_path / "elsewhere").rename(tmp_path / "x")
    (tmp_path / "set").mkdir()
    moved.rename(tmp_path / "set" / "inner")
    assert len({source.key for source in (*found, *find_sources([tmp_path / "set"]))}) == 4


def test_two_videos_of_one_name_and_no_video_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "talk.mp4").write_bytes(b"1")
    files = [tmp_path / folder / "talk.mp4" for folder in ("a", "b")]
    with pytest.raises(DurianError, match=r"would both be called talk\.mp4"):
        find_sources(files)
    assert len(find_sources([tmp_path])) == 2
    (tmp_path / "empty").mkdir()
    with pytest.raises(DurianError, match="no videos in"):
        find_sources([tmp_path / "empty"])
    with pytest.raises(DurianError, match="there is no such"):
        find_sources([tmp_path / "nowhere"])


# --- scenes


@given(st.integers(1, 200), st.floats(1, 120), st.floats(1, 120))
def test_resampling_keeps_the_rate(count: int, source: float, wanted: float) -> None:
    kept = list(resample(range(count), source, wanted))
    assert kept == sorted(set(kept))
    assert kept[0] == 0
    if wanted >= source:
        assert kept == list(range(count))
    else:
        assert abs(len(kept) - count * wanted / source) <= 1


def test_a_cut_is_found_and_movement_is_none() -> None:
    rng = np.random.default_rng(0)
    walls = [cv2.resize(rng.integers(0, 255, (6, 8, 3), np.uint8), (260, 160)) for _ in range(2)]
    # The camera pans quickly over each of two walls.
    frames = [walls[i // 15][20:120, 4 * (i % 15) :][:, :160] for i in range(30)]
    scenes, shown = zip(*split_scenes(frames), strict=True)
    assert scenes == (0,) * 15 + (1,) * 15
    assert all(one is other for one, other in zip(shown, frames, strict=True))


# --- tracks


class _Faces:
    """Finds the faces that a test says are there."""

    def __init__(self) -> None:
        self.now: list[np.ndarray] = []

    def search(self, image: np.ndarray) -> list[np.ndarray]:
        return self.now

    def look(self, image: np.ndarray, box: FaceBox) -> np.ndarray | None:
        near = [f for f in self.now if np.hypot(*(f[:, :2].mean(0) - (box.x, box.y))) < box.side / 3]
        return near[0] if near else None


def _track(moments: list[list[np.ndarray]]) -> list[dict[int, np.ndarray | None]]:
    faces = _Faces()
    tracker = FaceTracker(faces)
    found = []
    for faces.now in moments:
        found.append(tracker.update(np.zeros((8, 8, 3), np.uint8)))
    return found


def test_two_faces_keep_their_tracks() -> None:
    found = _track([[_face(100 + 6 * i), _face(400 - 6 * i)] for i in range(15)])
    assert [set(faces) for faces in found] == [{0, 1}] * 15
    for i, faces in enumerate(found):
        np.testing.assert_array_equal(faces[0], _face(100 + 6 * i))


def test_a_face_may_be_lost_for_a_moment_but_not_for_long() -> None:
    there, gone = [_face()], []
    found = _track([there, there, gone, gone, there, there])
    assert [faces[0] is None for faces in found] == [False, False, True, True, False, False]
    found = _track([there, *[gone] * 4, *[there] * 5])
    assert [list(faces) for faces in found] == [[0]] * 4 + [[]] + [[1]] * 5 or 0 not in found[4]
    assert 0 not in found[-1]
    assert 1 in found[-1]


def test_a_jump_is_another_track_and_newcomers_are_found() -> None:
    found = _track([[_face(100)]] * 3 + [[_face(300)]] * 9)
    assert list(found[2]) == [0]
    assert list(found[-1]) == [1]
    found = _track([[_face(100)]] * 2 + [[_face(100), _face(300)]] * 6)
    assert set(found[-1]) == {0, 1}


def test_tracks_that_fall_together_become_one() -> None:
    found = _track([[_face(100), _face(180)]] + [[_face(100)]] * 6)
    assert [set(faces) for faces in found][-1] == {0}


# --- candidates


class _Script:
    """A tracker that reads which faces are there from a script."""

    def __init__(self, moments: list[set[int]]) -> None:
        self.moments = iter(moments)

    def update(self, image: np.ndarray) -> dict[int, np.ndarray | None]:
        return {track: _face(48 + 100 * track) for track in next(self.moments)}


def _cut(
    scenes: list[list[set[int]]], frames: int, gap: int = 0, keep: bool = True
) -> tuple[list[Candidate], list[Reason]]:
    dropped: list[Reason] = []
    trackers = iter([_Script(moments) for moments in scenes])
    cutter = CandidateCutter(frames, gap, lambda: next(trackers), dropped.append)  # ty: ignore
    images = [
        (number, np.full((2, 2, 3), index, np.uint8))
        for number, moments in enumerate(scenes)
        for index in range(len(moments))
    ]
    found = []
    for candidate in cutter.cut(images):
        found.append(candidate)
        if keep:
            cutter.keep(candidate)
    return found, dropped


def test_candidates_follow_each_other_with_a_gap_if_they_are_kept() -> None:
    kept, dropped = _cut([[{0}] * 14], frames=4, gap=1)
    assert [candidate.first for candidate in kept] == [0, 5, 10]
    assert dropped == []
    assert [candidate.first for candidate in _cut([[{0}] * 14], 4, 1, keep=False)[0]] == [0, 4, 8]
    assert [image[0, 0, 0] for image in kept[1].images] == [5, 6, 7, 8]


def test_what_never_becomes_a_candidate_is_counted_once() -> None:
    scenes = [[{0}] * 3, [set()] * 5, [{0}, {0}, {1}, {1}, {1}, {1}], [{0}] * 7]
    candidates, dropped = _cut(scenes, frames=4)
    assert [(c.scene, c.track, c.first) for c in candidates] == [(2, 1, 10), (3, 0, 14)]
    assert dropped == [Reason.SHORT_SCENE, Reason.NO_FACE, Reason.SHORT_TRACK]


def test_the_other_faces_are_told() -> None:
    candidates, _ = _cut([[{0}, {0, 1}, {0, 1}, {0}]], frames=4)
    assert [len(others) for others in candidates[0].others] == [0, 1, 1, 0]


@given(
    st.lists(st.lists(st.sets(st.integers(0, 2)), min_size=1, max_size=20), min_size=1, max_size=3),
    st.integers(2, 5),
    st.integers(0, 3),
)
def test_candidates_never_overlap_nor_leave_their_scene(
    scenes: list[list[set[int]]], frames: int, gap: int
) -> None:
    # A tracker never uses a number again: only the first stretch of each counts.
    for moments in scenes:
        seen: set[int] = set()
        for before, now in zip([set(), *moments], moments, strict=False):
            now -= {track for track in now if track in seen and track not in before}
            seen |= now
    candidates, _ = _cut(scenes, frames, gap)
    starts = np.cumsum([0, *map(len, scenes)])
    taken: dict[tuple[int, int], int] = {}
    for candidate in candidates:
        assert len(candidate.images) == len(candidate.landmarks) == frames
        place = candidate.scene, candidate.track
        assert candidate.first >= taken.get(place, 0)
        taken[place] = candidate.first + frames + gap
        local = candidate.first - starts[candidate.scene]
        moments = scenes[candidate.scene][local : local + frames]
        assert len(moments) == frames
        assert all(candidate.track in moment for moment in moments)


# --- quality


@pytest.mark.parametrize("yaw", [-50, -20, 0, 35, 65])
def test_the_pose_is_that_of_the_head(yaw: float) -> None:
    np.testing.assert_allclose(head_pose(_face(yaw=yaw)), (yaw, 0, 0), atol=0.01)


def test_geometry_is_measured() -> None:
    faces = np.stack([_face(x=200 + 4 * i, y=150, unit=60, yaw=10 * i) for i in range(4)])
    crop = frame_clip(faces, SIZE, (300, 400, 3))
    assert crop.matrix[0, 0] == pytest.approx(EYE_DISTANCE * SIZE / 60)
    measured = measure_geometry(crop, faces, [[], [_face(x=200, y=150, unit=60)], [], [_face(x=800)]])
    assert measured.scale == pytest.approx(60 / (EYE_DISTANCE * SIZE))
    assert measured.yaw == pytest.approx(30, abs=0.01)
    assert measured.beyond == 0
    assert not measured.leaves
    assert measured.other_face > 0.1
    assert measured.motion > 0.05
    assert measure_geometry(crop, faces[[1, 1]], [[], []]).motion == 0
    faces[2:] = np.nan
    assert measure_geometry(crop, faces, [[]] * 4).face_share == 0.5
    far = measure_geometry(crop, faces[:1] + np.float32([80, 0, 0]), [[]])
    assert far.leaves


@given(st.floats(10, 390), st.floats(10, 290))
def test_the_share_beyond_the_picture_is_that_of_its_mask(x: float, y: float) -> None:
    face = _face(x=x, y=y, unit=60)
    crop = FaceCrop.from_landmarks(face, SIZE, (300, 400))
    inside = crop.apply_mask(np.ones((300, 400), np.float32)).mean()
    assert measure_geometry(crop, face[None], [[]]).beyond == pytest.approx(1 - inside, abs=0.03)


def _portraits(frames: int = 3) -> np.ndarray:
    rng = np.random.default_rng(5)
    noise = cv2.resize(rng.integers(0, 255, (SIZE // 2, SIZE // 2, 3), np.uint8), (SIZE, SIZE))
    return np.stack([np.roll(noise, i, 1) for i in range(frames)])


@settings(max_examples=10, deadline=None)
@given(st.floats(0.7, 4), st.floats(0.3, 0.9))
def test_blur_lowers_sharpness_and_light_does_not(sigma: float, gain: float) -> None:
    frames, faces = _portraits(), np.repeat(_face()[None], 3, 0)
    sharp = measure_look(frames, faces).sharpness
    blurred = np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in frames])
    assert measure_look(blurred, faces).sharpness < 0.9 * sharp
    darker = measure_look((frames * gain).astype(np.uint8), faces)
    assert darker.sharpness == pytest.approx(sharp, rel=0.05)
    assert darker.brightness < 255 * gain


def _resized(frame: np.ndarray, times: float) -> np.ndarray:
    way = cv2.INTER_CUBIC if times > 1 else cv2.INTER_AREA
    return cv2.resize(frame, None, fx=times, fy=times, interpolation=way)


def test_sharpness_does_not_depend_on_the_size() -> None:
    frame = cv2.GaussianBlur(_resized(_portraits(1)[0], 4), (0, 0), 2)
    once = measure_look(frame[None], 4 * _face()[None]).sharpness
    assert measure_look(_resized(frame, 2)[None], 8 * _face()[None]).sharpness == pytest.approx(once, rel=0.2)
    # What is good enough for a small crop need not be for a large one.
    assert measure_look(_resized(frame, 0.25)[None], _face()[None]).sharpness > 2 * once


def test_frames_that_are_shown_twice_are_counted() -> None:
    frames = _portraits(5)
    frames[1], frames[3] = frames[0], frames[2]
    assert measure_look(frames, np.repeat(_face()[None], 5, 0)).duplicates == 0.5


GOOD = Geometry(
    face_share=1, scale=1, beyond=0, leaves=False, yaw=0, pitch=0, roll=0, other_face=0, motion=0.1
)
CLEAR = Look(brightness=120, sharpness=0.2, duplicates=0)


def test_a_good_candidate_has_no_reason() -> None:
    assert judge_geometry(GOOD, Filters()) is None
    assert judge_look(CLEAR, Filters()) is None


@pytest.mark.parametrize(
    ("measure", "threshold", "reason"),
    [
        ("face_share", "min_face_share", Reason.LOST),
        ("scale", "min_scale", Reason.SMALL),
        ("beyond", "max_beyond", Reason.BEYOND),
        ("yaw", "max_yaw", Reason.POSE),
        ("pitch", "max_pitch", Reason.POSE),
        ("roll", "max_roll", Reason.POSE),
        ("other_face", "max_other_face", Reason.OTHERS),
        ("motion", "min_motion", Reason.STILL),
        ("duplicates", "max_duplicates", Reason.STILL),
        ("brightness", "min_brightness", Reason.DARK),
        ("brightness", "max_brightness", Reason.BRIGHT),
        ("sharpness", "min_sharpness", Reason.BLURRED),
    ],
)
@given(st.floats(0.01, 0.99), st.floats(0.001, 0.5))
def test_each_threshold_decides(
    measure: str, threshold: str, reason: Reason, limit: float, by: float
) -> None:
    # Everything else passes; on the threshold is still good, beyond it is not.
    filters = Filters.model_validate(
        {name: 0 if name.startswith("min") else 1 for name in Filters.model_fields} | {"max_brightness": 255}
        | {threshold: limit}
    )  # fmt: skip
    worse = limit - by if threshold.startswith("min") else limit + by
    geometry, look = replace(GOOD, scale=1, motion=1), replace(CLEAR, brightness=255, sharpness=1)
    if threshold == "max_brightness":
        look = replace(look, brightness=0)

    def judge(value: float) -> Reason | None:
        if hasattr(GOOD, measure):
            return judge_geometry(replace(geometry, **{measure: value}), filters)
        return judge_look(replace(look, **{measure: value}), filters)

    assert judge(limit) is None
    assert judge(worse) is reason


def test_leaving_the_crop_is_a_reason() -> None:
    assert judge_geometry(replace(GOOD, leaves=True), Filters()) is Reason.LEAVES


# --- label images


def _half(rows: slice, frames: int = 4) -> np.ndarray:
    mask = np.zeros((frames, 16, 16), np.float32)
    mask[:, rows] = 1
    return mask


def test_labels_are_what_clips_read() -> None:
    masks = {"hair": _half(slice(0, 8)), "hat": _half(slice(0, 4)), "glasses": _half(slice(6, 9))}
    labels, areas = label_images(masks, 32, np.ones(4, bool), 0.003, 0.5)
    assert labels.shape == (4, 32, 32)
    assert areas == pytest.approx({"hair": 2 / 16, "hat": 4 / 16, "glasses": 3 / 16})
    for name, rows in (("hat", slice(0, 8)), ("hair", slice(8, 12)), ("glasses", slice(12, 18))):
        expected = np.zeros((4, 32, 32), bool)
        expected[:, rows] = True
        np.testing.assert_array_equal(attribute_region(labels, name), expected)


def test_an_attribute_that_comes_and_goes_is_left_out() -> None:
    flicker, hair = _half(slice(0, 4)), _half(slice(8, 12))
    flicker[1:] = 0
    labels, areas = label_images({"hat": flicker, "hair": hair}, 16, np.ones(4, bool), 0.003, 0.5)
    assert list(areas) == ["hair"]
    assert set(np.unique(labels)) == {0, ATTRIBUTE_LABELS["hair"]}
    # Of frames without a face nothing is asked.
    seen = np.array([True, False, False, False])
    assert set(label_images({"hat": flicker}, 16, seen, 0.003, 0.5)[1]) == {"hat"}
    tiny = np.zeros((4, 16, 16), np.float32)
    assert label_images({"hat": tiny}, 16, np.ones(4, bool), 0.0, 0.0)[1] == {}


# --- parsers


def test_a_network_is_asked_by_the_names_of_its_labels(network: Path) -> None:
    parser = open_parser(str(network), "cpu")
    assert parser.attributes == ("hair", "glasses")
    landmarks = np.stack([_face(), np.full((478, 3), np.nan), _face()])
    masks = parser(np.zeros((3, 64, 64, 3), np.uint8), landmarks, ["glasses", "hair"])
    assert masks["hair"].shape == (3, 64, 64)
    np.testing.assert_allclose(masks["hair"][[0, 2]], 1, atol=1e-2)
    np.testing.assert_allclose(masks["glasses"], 0, atol=1e-2)
    assert not masks["hair"][1].any()


def test_a_parser_that_cannot_be_loaded_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for name in ("empty", "file"):
        with pytest.raises(DurianError, match="--parser"):
            open_parser(str(tmp_path / name))


# --- settings


def test_settings_that_cannot_be_are_named() -> None:
    assert make_settings({"filters": parse_filters(["min_scale=0.25"])}).filters.min_scale == 0.25
    assert make_settings({"attributes": ("hat", "hair")}).attributes == ("hair", "hat")
    with pytest.raises(DurianError, match=r"filters\.max_beyond.*less than or equal"):
        make_settings({"filters": parse_filters(["max_beyond=2"])})
    with pytest.raises(DurianError, match="NAME from min_scale, "):
        parse_filters(["sharp=1"])
    with pytest.raises(DurianError, match="unknown attribute 'scarf'"):
        make_settings({"attributes": ("scarf",)})
