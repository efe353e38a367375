"""What the package carries."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

import durian
from durian.portrait.landmarks import MediaPipeLandmarks
from durian.video import VideoReader, read_image, read_mask

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "src" / "durian" / "samples"


def test_samples_are_small() -> None:
    assert sum(path.stat().st_size for path in SAMPLES.iterdir()) < 600_000


def test_every_sample_is_listed_and_every_listed_sample_is_there() -> None:
    listed = (SAMPLES / "README.md").read_text("utf-8")
    names = {path.name for path in SAMPLES.iterdir()} - {"README.md", "__pycache__"}
    assert all(f"`{name}`" in listed for name in names)
    assert names == {name for name in listed.split("`") if name.endswith((".png", ".mp4"))}


@pytest.mark.parametrize("name", ["portrait", "hair", "glasses"])
def test_sample_pictures_have_a_face_and_a_mask_of_their_size(name: str) -> None:
    image = read_image(SAMPLES / f"{name}.png")
    mask = read_mask(SAMPLES / f"{name}_mask.png", image.shape[:2])
    assert image.shape == (256, 256, 3)
    assert 0.01 < mask.mean() < 0.5
    with MediaPipeLandmarks() as detect:
        landmarks = detect(image)
    assert landmarks is not None
    # The mask is where that attribute should be: glasses over the eyes, hair above the brows.
    rows = np.nonzero(mask.max(1) > 0.5)[0]
    eyes = landmarks[[33, 133, 362, 263], 1].mean()
    assert rows[0] < eyes
    if name == "glasses":
        assert mask[int(eyes), [int(x) for x in landmarks[[468, 473], 0]]].min() > 0.5


def test_the_driving_sample_shows_motion_and_a_blink() -> None:
    with VideoReader(SAMPLES / "driving.mp4") as video, MediaPipeLandmarks(static=False) as detect:
        found = [detect(frame) for frame in video]
    landmarks = np.stack([points for points in found if points is not None])
    assert len(landmarks) == len(found) == 28
    width = np.linalg.norm(landmarks[:, 33, :2] - landmarks[:, 263, :2], axis=1)
    mouth = (landmarks[:, 14, 1] - landmarks[:, 13, 1]) / width
    lids = (landmarks[:, 145, 1] - landmarks[:, 159, 1]) / width
    nose = landmarks[:, 4, 0] - landmarks[:, [33, 263], 0].mean(1)
    assert np.ptp(mouth) > 0.1
    assert lids.min() < 0.5 * np.median(lids)
    assert np.ptp(nose / width) > 0.3


def test_public_names_are_listed_and_others_are_refused() -> None:
    assert set(durian.__all__) <= set(dir(durian))
    with pytest.raises(AttributeError, match="durien"):
        _ = durian.durien


def test_the_wheel_holds_the_samples_and_the_command(tmp_path: Path) -> None:
    uv = shutil.which("uv")
    assert uv, "the tests are run by uv, so it must be there"
    build = [uv, "build", "--wheel", "--offline", "--quiet", "--out-dir", str(tmp_path), str(ROOT)]
    run = subprocess.run(build, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
        entry = next(name for name in names if name.endswith("entry_points.txt"))
        assert "durian = durian.cli:main" in wheel.read(entry).decode().replace("=", " = ").replace("  ", " ")
    package = ROOT / "src" / "durian"
    expected = {
        f"durian/{path.relative_to(package).as_posix()}"
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert expected <= names
    assert not any("__pycache__" in name or name.startswith("tests") for name in names)
