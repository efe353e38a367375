"""`durian inspect` on rendered people: everything is in the picture, and what is wrong is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from durian.cli import main
from durian.demo import SAMPLES
from durian.inspect.gather import Inspection, inspect_inputs
from durian.inspect.page import html
from durian.inspect.sheet import draw_inspection, tinted
from durian.portrait.face_choice import FaceChoice
from durian.portrait.landmarks import MediaPipeLandmarks
from durian.video import VideoReader, read_image, read_mask

SIZE = 64


@pytest.fixture(scope="module")
def inputs() -> dict[str, np.ndarray]:
    return {name: read_image(SAMPLES / f"{name}.png") for name in ("portrait", "hair", "glasses")}


@pytest.fixture(scope="module")
def driving() -> list[np.ndarray]:
    with VideoReader(SAMPLES / "driving.mp4", limit=3) as video:
        return list(video)


def look(inputs: dict[str, np.ndarray], driving: list[np.ndarray], **masks) -> Inspection:
    attributes = {name: inputs[name] for name in ("hair", "glasses")}
    given = {name: read_mask(SAMPLES / f"{name}_mask.png", attributes[name].shape[:2]) for name in attributes}
    own = read_mask(SAMPLES / "portrait_mask.png", inputs["portrait"].shape[:2])
    return inspect_inputs(
        inputs["portrait"], attributes, driving,
        size=SIZE, attribute_masks=given | masks, portrait_mask=own,
    )  # fmt: skip


def test_all_is_in_the_picture(inputs: dict[str, np.ndarray], driving: list[np.ndarray]) -> None:
    found = look(inputs, driving)
    assert list(found.aligned) == ["hair", "glasses"]
    assert found.keypoints.shape == (3, 478, 3)
    assert found.seen.tolist() == [True] * 3
    assert not [text for text in found.warnings if "touches" not in text]
    # What is aligned lies within the mask that the portrait gives up.
    for mask in found.aligned.values():
        assert (found.references.portrait.mask[mask > 0.5] > 0.5).all()
    picture = draw_inspection(found)
    colours = np.unique(picture.reshape(-1, 3), axis=0)
    assert len(colours) > 1000, "four rows of pictures"
    assert picture.shape[0] > 4 * 224
    page = html(b"png", ["a < b"])
    assert "a &lt; b" in page
    assert "No warnings" in html(b"png", [])


def test_what_is_wrong_is_said(inputs: dict[str, np.ndarray], driving: list[np.ndarray]) -> None:
    speck = np.zeros(inputs["hair"].shape[:2], np.float32)
    speck[20:34, 120:134] = 1
    frames = [driving[0], np.zeros_like(driving[0]), driving[1]]
    found = look(inputs, frames, hair=speck)
    text = "\n".join(found.warnings)
    assert "the mask of the hair covers" in text
    assert "1 of the driving video's 3 frames show no face" in text
    assert found.seen.tolist() == [True, False, True]
    worse = draw_inspection(found)
    assert worse.shape[0] > draw_inspection(look(inputs, driving)).shape[0], "a line each"


@pytest.mark.parametrize("index", [1, 2])
def test_the_chosen_face_is_the_one_that_is_judged(
    inputs: dict[str, np.ndarray], driving: list[np.ndarray], index: int
) -> None:
    pair = np.concatenate([inputs["portrait"], inputs["hair"]], 1)
    assert inputs["portrait"].shape == inputs["hair"].shape
    found = inspect_inputs(
        pair, {"hair": inputs["hair"]}, driving[:1], size=SIZE,
        attribute_masks={"hair": read_mask(SAMPLES / "hair_mask.png", inputs["hair"].shape[:2])},
        portrait_mask=np.zeros(pair.shape[:2], np.float32), portrait_face=FaceChoice(index=index),
    )  # fmt: skip
    middle = found.references.photo.landmarks[:, 0].mean() / inputs["portrait"].shape[1]
    assert index - 1 < middle < index
    crop = found.references.photo.crop.points(found.references.photo.landmarks)
    assert np.abs(crop - found.references.portrait.landmarks).max() < 0.02 * SIZE
    assert not [text for text in found.warnings if "about the same size" in text]


def test_an_attribute_that_is_not_there_is_a_warning(
    inputs: dict[str, np.ndarray], driving: list[np.ndarray]
) -> None:
    """Seeing what went wrong is what the command is for."""
    found = look(inputs, driving, hair=np.zeros(inputs["hair"].shape[:2], np.float32))
    assert any("is the hair there?" in text for text in found.warnings)
    assert not found.aligned["hair"].any()
    assert found.aligned["glasses"].any()
    draw_inspection(found)


def test_each_photo_is_searched_once(
    inputs: dict[str, np.ndarray], driving: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To prepare it and to judge it, in whichever way a detector can be asked."""
    searched: list[int] = []

    def count(name: str) -> None:
        method = getattr(MediaPipeLandmarks, name)

        def counted(self: MediaPipeLandmarks, image: np.ndarray, *more: bool, **options: bool) -> object:
            searched.append(id(image))
            return method(self, image, *more, **options)

        monkeypatch.setattr(MediaPipeLandmarks, name, counted)

    count("search")
    count("__call__")
    found = look(inputs, driving)
    assert found.references.photo.image is inputs["portrait"]
    assert [searched.count(id(photo)) for photo in inputs.values()] == [1, 1, 1]


def test_a_mask_is_drawn_where_it_is() -> None:
    mask = np.zeros((8, 8), np.float32)
    mask[2:4] = 1
    drawn = tinted(np.full((8, 8, 3), 100, np.uint8), mask)
    assert (drawn[mask == 0] == 100).all()
    assert (drawn[mask == 1] != 100).any(-1).all()


@pytest.mark.parametrize("suffix", ["png", "html"])
def test_the_command(suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    output = tmp_path / f"seen.{suffix}"
    arguments = [
        "inspect", "--portrait", SAMPLES / "portrait.png", "--attribute", f"glasses={SAMPLES}/glasses.png",
        "--attribute-mask", f"glasses={SAMPLES}/glasses_mask.png",
        "--portrait-mask", SAMPLES / "portrait_mask.png",
        "--driving", SAMPLES / "driving.mp4", "--frames", 2, "--output", output,
    ]  # fmt: skip
    assert main([str(argument) for argument in arguments]) == 0
    assert f"Wrote {output}" in capsys.readouterr().out
    if suffix == "png":
        assert Image.open(output).size[0] > 1000
    else:
        page = output.read_text("utf-8")
        assert "data:image/png;base64," in page
        assert "http://" not in page
    assert [path.name for path in tmp_path.iterdir()] == [output.name]


def test_other_names_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    photo = tmp_path / "photo.png"
    Image.new("RGB", (32, 32)).save(photo)
    common = ["inspect", "--portrait", str(photo), "--attribute", f"hair={photo}", "--driving", str(photo)]
    assert main([*common, "--output", str(tmp_path / "seen.txt")]) == 2
    assert "ends in .png or .html" in capsys.readouterr().err
    assert main([*common, "--output", str(photo)]) == 2
    assert "one of the inputs" in capsys.readouterr().err
    assert main([*common, "--output", str(tmp_path / "seen.png")]) == 2
    assert "no face was found in the portrait" in capsys.readouterr().err
