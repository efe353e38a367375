"""`durian motion`, and what `durian animate` offers about faces and motion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from durian.cli import main
from durian.demo import SAMPLES
from durian.portrait.head_pose import head_pose
from durian.portrait.motion_template import MotionTemplate
from durian.video import VideoReader, read_image, write_video
from test_cli import FakePipeline, pipeline

__all__ = ["pipeline"]  # the fixture


@pytest.fixture(scope="module")
def motion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("motion") / "motion.npz"
    arguments = ["motion", str(SAMPLES / "driving.mp4"), "--output", str(path), "--frames", "4"]
    assert main(arguments) == 0
    return path


def animate(driving: Path, output: Path, *more: str) -> int:
    files = ["--portrait", str(SAMPLES / "portrait.png"), "--attribute", f"hair={SAMPLES / 'hair.png'}"]
    return main(["animate", *files, "--driving", str(driving), "--output", str(output), *more])


def last_keypoints(pipeline: FakePipeline) -> np.ndarray:
    return pipeline.calls[-1]["inputs"].keypoints


def test_a_motion_drives_as_its_video_does(
    motion: Path, pipeline: FakePipeline, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with VideoReader(SAMPLES / "driving.mp4") as video:
        assert MotionTemplate.load(motion).fps == video.fps
    assert animate(SAMPLES / "driving.mp4", tmp_path / "video.mp4", "--frames", "4") == 0
    by_video = last_keypoints(pipeline)
    assert animate(motion, tmp_path / "motion.mp4") == 0, capfd.readouterr().err
    assert last_keypoints(pipeline) == pytest.approx(by_video, abs=1e-3)
    with VideoReader(tmp_path / "motion.mp4") as video:
        assert len(list(video)) == 4


def test_options_reach_the_motion(motion: Path, pipeline: FakePipeline, tmp_path: Path) -> None:
    still = ("--head-scale", "0", "--region", "pose")
    assert animate(motion, tmp_path / "a.mp4", *still, "--frames", "3") == 0
    keypoints = last_keypoints(pipeline)
    assert keypoints == pytest.approx(
        np.stack([pipeline.calls[-1]["inputs"].portrait.landmarks] * 3), abs=0.01
    )
    assert animate(motion, tmp_path / "b.mp4", "--absolute-pose") == 0
    driver = [head_pose(face).yaw for face in MotionTemplate.load(motion).landmarks]
    assert [head_pose(face).yaw for face in last_keypoints(pipeline)] == pytest.approx(driver, abs=2.5)


def test_paste_back_gives_the_whole_picture(
    motion: Path, pipeline: FakePipeline, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    portrait = read_image(SAMPLES / "portrait.png")
    wide = np.pad(portrait, ((80, 20), (100, 40), (0, 0)), "edge")
    Image.fromarray(wide).save(tmp_path / "wide.png")
    more = ["--portrait", str(tmp_path / "wide.png"), "--paste-back", "--frames", "2"]
    assert animate(motion, tmp_path / "frames", *more) == 0
    assert "enlarged" in capfd.readouterr().out
    for path in sorted((tmp_path / "frames").iterdir()):
        frame = read_image(path)
        assert frame.shape == wide.shape
        assert (frame[:20] == wide[:20]).all()
        assert np.abs(frame[200:230, 200:230].astype(int) - (200, 30, 30)).max() < 60


def test_a_still_gives_its_pose(pipeline: FakePipeline, tmp_path: Path) -> None:
    assert animate(SAMPLES / "glasses.png", tmp_path / "still.mp4") == 0
    assert len(last_keypoints(pipeline)) == 1


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--region", "ears"], "--region ears: choose from pose, eyes, brows, lips"),
        (["--driving-face", "left"], "--driving-face: face 'left'"),
        (["--attribute-face", "hat=1"], "there is no --attribute hat"),
        (["--portrait-face", "2"], "only one face can be found in the portrait"),
        (["--start", "99"], "the motion has no frames after 99 s"),
    ],
)
def test_what_cannot_be_is_said(
    more: list[str], message: str, motion: Path, pipeline: FakePipeline, tmp_path: Path, capfd
) -> None:
    assert animate(motion, tmp_path / "out.mp4", *more) == 2
    error = capfd.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out.mp4").exists()


def test_a_motion_of_nobody(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_video(tmp_path / "faceless.mp4", np.full((3, 128, 128, 3), 90, np.uint8), 15.0)
    output = tmp_path / "m.safetensors"
    assert main(["motion", str(tmp_path / "faceless.mp4"), "--output", str(output)]) == 2
    assert "no face was found" in capfd.readouterr().err
    more = ["--driving-face", "3", "--frames", "2"]
    assert main(["motion", str(SAMPLES / "driving.mp4"), "--output", str(output), *more]) == 2
    assert "no frame of the driving video shows 3 faces" in capfd.readouterr().err
    assert not output.exists()
