"""One face followed through a video, and which of several."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durian.errors import DurianError
from durian.portrait.face_choice import LARGEST, FaceChoice
from durian.portrait.geometry import face_template
from durian.portrait.landmarks import FaceBox
from durian.portrait.photo import Photo
from durian.portrait.tracking import FaceTracker, GapBridge, TrackedFace, track_face
from durian.video import read_image

LOOKS = [np.random.default_rng(seed).integers(0, 255, (6, 6, 3), np.uint8) for seed in range(3)]


def face(x: float, y: float = 100, scale: float = 30) -> np.ndarray:
    return (scale * face_template() + (x, y, 0)).astype(np.float32)


class Scene:
    """A picture with painted faces at known places, and a finder that knows them."""

    def __init__(self, **places: tuple[float, float] | float) -> None:
        self.faces = {}
        for name, place in places.items():
            x, y = place if isinstance(place, tuple) else (place, 100.0)
            self.faces[int(name[1:])] = face(x, y)

    def draw(self) -> np.ndarray:
        image = np.full((200, 400, 3), 90, np.uint8)
        for look, points in self.faces.items():
            low, high = points[:, :2].min(0).astype(int), points[:, :2].max(0).astype(int)
            patch = cv2.resize(LOOKS[look], tuple(high - low), interpolation=cv2.INTER_LINEAR)
            image[low[1] : high[1], low[0] : high[0]] = patch
        return image


class SceneFinder:
    """Gives the true faces of the scene whose turn it is."""

    def __init__(self, scenes: list[Scene]) -> None:
        self.scenes, self.searches = scenes, 0
        self.current = scenes[0]

    def frames(self) -> Iterator[np.ndarray]:
        for scene in self.scenes:
            self.current = scene
            yield scene.draw()

    def search(self, image: np.ndarray, thorough: bool = False) -> list[np.ndarray]:
        self.searches += 1
        return sorted(self.current.faces.values(), key=lambda points: -np.ptp(points[:, 0]))

    def look(self, image: np.ndarray, box: FaceBox) -> np.ndarray | None:
        centre = np.array([box.x, box.y])
        inside = [
            points
            for points in self.current.faces.values()
            if np.abs(points[:, :2].mean(0) - centre).max() < 0.4 * box.side
        ]
        return min(inside, key=lambda points: np.abs(points[:, :2].mean(0) - centre).max(), default=None)


def follow(scenes: list[Scene], choice: FaceChoice = LARGEST) -> tuple[list[float | None], SceneFinder]:
    """Where, from left to right, the followed face is in each frame."""
    finder = SceneFinder(scenes)
    tracker = FaceTracker(choice, finder)
    found = [tracker(frame) for frame in finder.frames()]
    return [None if points is None else round(float(points[168, 0])) for points in found], finder


def place(x: float) -> int:
    return round(float(face(x)[168, 0]))


def test_a_face_is_followed_without_searching_again() -> None:
    places, finder = follow([Scene(f0=100 + 3 * step, f1=320) for step in range(20)], FaceChoice(index=1))
    assert places == [place(100 + 3 * step) for step in range(20)]
    assert finder.searches == 1


def test_a_lost_face_is_not_exchanged_for_another() -> None:
    both, other = Scene(f0=100, f1=300), Scene(f1=300)
    places, _ = follow([both] * 3 + [other] * 30 + [both] * 2, FaceChoice(index=1))
    assert places == [place(100)] * 3 + [None] * 30 + [place(100)] * 2


def test_who_takes_the_lost_ones_place_is_not_followed() -> None:
    places, _ = follow([Scene(f0=100)] * 3 + [Scene()] * 2 + [Scene(f1=110)] * 10)
    assert places == [place(100)] * 3 + [None] * 12


def test_a_face_that_comes_back_elsewhere_is_the_same() -> None:
    places, _ = follow(
        [Scene(f0=100, f1=200)] * 3 + [Scene(f1=200)] * 3 + [Scene(f0=320, f1=200)] * 2, LARGEST
    )
    assert places == [place(100)] * 3 + [None] * 3 + [place(320)] * 2


def test_faces_that_pass_each_other_are_not_mixed_up() -> None:
    """The nearer one hides the other for a while."""
    scenes = []
    for step in range(41):
        x = 100 + 5 * step
        hidden = abs(x - 200) < 35
        scenes.append(Scene(f1=x) if hidden else Scene(f0=200, f1=x))
    places, _ = follow(scenes, FaceChoice(point=(200, 100)))
    assert set(places) == {place(200), None}
    assert places[-1] == place(200)


@pytest.mark.parametrize(
    ("text", "x"), [("largest", 200), ("1", 60), ("2", 200), ("3", 330), ("310,90", 330), ("90,0", 60)]
)
def test_which_face(text: str, x: float) -> None:
    faces = [face(200, scale=32), face(330), face(60)]
    chosen = FaceChoice.parse(text).choose(faces)
    assert chosen is not None
    assert place(x) == pytest.approx(chosen[168, 0], abs=1)
    assert FaceChoice.parse(text).choose([]) is None


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "left", "1,2,3", "nan,1", "1,", "nan"])
def test_what_is_no_choice_is_refused(text: str) -> None:
    with pytest.raises(DurianError, match="'largest'"):
        FaceChoice.parse(text)


def test_too_few_faces_for_the_index() -> None:
    finder = SceneFinder([Scene(f0=100, f1=300)])

    class Detector(SceneFinder):
        def __call__(self, image: np.ndarray) -> np.ndarray | None:
            return None

    detector = Detector(finder.scenes)
    image = finder.scenes[0].draw()
    assert Photo.find("the portrait", image, 64, detector, FaceChoice(index=2)).landmarks is not None
    with pytest.raises(DurianError, match="only 2 faces can be found in the portrait"):
        Photo.find("the portrait", image, 64, detector, FaceChoice(index=3))


# Gaps


@settings(max_examples=40, deadline=None)
@given(seen=st.lists(st.booleans(), max_size=30), patience=st.integers(0, 6))
def test_every_frame_gets_its_face_in_time(seen: list[bool], patience: int) -> None:
    bridge, out = GapBridge(patience), []
    for count, there in enumerate(seen, 1):
        out += bridge.push(face(10 * count) if there else None)
        assert count - len(out) <= patience
    out += bridge.finish()
    assert len(out) == len(seen)
    first = seen.index(True) if True in seen else len(seen)
    for index, (result, there) in enumerate(zip(out, seen, strict=True)):
        if there:
            assert result.source == "seen"
            assert result.landmarks == pytest.approx(face(10 * (index + 1)))
        elif result.landmarks is None:
            assert index < first, "once a face has been seen there always is one"


def test_short_gaps_are_bridged_and_long_ones_held() -> None:
    def run(gap: int) -> list[TrackedFace]:
        bridge = GapBridge(patience=4)
        track = [face(100), *[None] * gap, face(200), *[None] * gap]
        return [done for landmarks in track for done in bridge.push(landmarks)] + bridge.finish()

    short = run(3)
    assert [result.source for result in short] == ["seen", *["bridged"] * 3, "seen", *["held"] * 3]
    assert [round(float(r.landmarks[168, 0]) - place(0)) for r in short[:5]] == [100, 125, 150, 175, 200]
    long = run(5)
    assert [result.source for result in long] == ["seen", *["held"] * 5, "seen", *["held"] * 5]
    assert [round(float(r.landmarks[168, 0]) - place(0)) for r in long] == [100] * 6 + [200] * 6


def test_a_video_is_tracked_frame_by_frame() -> None:
    scenes = [Scene()] * 2 + [Scene(f0=100)] * 3 + [Scene()] * 2 + [Scene(f0=115)]
    finder = SceneFinder(scenes)
    sources = [
        result.source for result in track_face(finder.frames(), FaceTracker(finder=finder), patience=3)
    ]
    assert sources == ["bridged"] * 2 + ["seen"] * 3 + ["bridged"] * 2 + ["seen"]
    blank = SceneFinder([Scene()] * 7)
    results = list(track_face(blank.frames(), FaceTracker(finder=blank), patience=3))
    assert [result.landmarks for result in results] == [None] * 7


def test_real_people_are_not_mixed_up(shared_dir: Path) -> None:
    left, right = (
        cv2.resize(read_image(shared_dir / f"real/portraits/{name}.jpg"), (360, 360))
        for name in ("man_brown_hair", "woman_long_dark")
    )
    group = np.full((400, 760, 3), 128, np.uint8)
    group[20:380, 10:370], group[20:380, 390:750] = left, right
    alone = group.copy()
    alone[:, :380] = 128
    swapped = group.copy()
    swapped[20:380, 10:370] = right
    moved = np.roll(group, 30, axis=1)
    with FaceTracker(FaceChoice(index=1)) as tracker:
        found = [tracker(frame) for frame in (group, group, alone, swapped, moved)]
    assert [None if face is None else face[4, 0] < 390 for face in found] == [True, True, None, None, True]
