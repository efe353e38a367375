"""Motions saved and used again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from durian.errors import DurianError
from durian.portrait.geometry import face_template
from durian.portrait.motion_template import MotionTemplate


def template() -> MotionTemplate:
    return MotionTemplate(np.stack([face_template() + step for step in range(3)]), 29.97)


@pytest.mark.parametrize("name", ["m.npz", "m.safetensors"])
def test_a_motion_comes_back_as_it_was(name: str, tmp_path: Path) -> None:
    template().save(tmp_path / name)
    again = MotionTemplate.load(tmp_path / name)
    assert again.fps == 29.97
    assert (again.landmarks == template().landmarks).all()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def _write(path: Path, **changes) -> None:
    values = {
        "landmarks": template().landmarks,
        "fps": 25.0,
        "version": 1,
        "kind": "durian-motion",
        **changes,
    }
    values = {name: value for name, value in values.items() if value is not None}
    if path.suffix == ".npz":
        np.savez(path, **values)
    else:
        landmarks = values.pop("landmarks", np.zeros(1))
        metadata = {name: str(value) for name, value in values.items()}
        save_file({"landmarks": np.ascontiguousarray(landmarks)}, path, metadata=metadata)


@pytest.mark.parametrize("name", ["m.npz", "m.safetensors"])
@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "something else"},
        {"kind": None},
        {"fps": 0.0},
        {"fps": np.nan},
        {"landmarks": np.zeros((3, 468, 3), np.float32)},
        {"landmarks": np.zeros((0, 478, 3), np.float32)},
        {"landmarks": np.full((2, 478, 3), np.nan, np.float32)},
    ],
    ids=str,
)
def test_what_is_no_motion_is_refused(name: str, changes: dict, tmp_path: Path) -> None:
    _write(tmp_path / name, **changes)
    with pytest.raises(DurianError, match="is no motion"):
        MotionTemplate.load(tmp_path / name)


@pytest.mark.parametrize("name", ["m.npz", "m.safetensors"])
def test_broken_files_are_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    with pytest.raises(DurianError, match="no such file"):
        MotionTemplate.load(path)
    for content in (b"", b"not a motion", b"PK\x03\x04", b"\xff" * 1000):
        path.write_bytes(content)
        with pytest.raises(DurianError, match="is no motion"):
            MotionTemplate.load(path)
    template().save(path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(DurianError, match="is no motion"):
        MotionTemplate.load(path)
    _write(path, version=2)
    with pytest.raises(DurianError, match="newer version"):
        MotionTemplate.load(path)


def test_pickles_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    np.savez(path, landmarks=np.array([{"a": 1}], object), fps=1.0, version=1, kind="durian-motion")
    with pytest.raises(DurianError, match="is no motion"):
        MotionTemplate.load(path)


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DurianError, match=r"\.safetensors or \.npz"):
        template().save(tmp_path / "m.pkl")
