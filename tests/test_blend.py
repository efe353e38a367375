"""One attribute that becomes another over a video: `--to`, from Python, and in what is shown before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from durian.cli import main
from durian.demo import SAMPLES
from durian.errors import DurianError
from durian.inspect.gather import inspect_inputs
from durian.inspect.sheet import draw_inspection
from durian.pipeline import DurianPipeline
from durian.portrait.blend import shares
from durian.portrait.prepare import prepare_references
from durian.video import VideoReader, read_image, read_mask
from test_cli import FakePipeline, pipeline  # noqa: F401

PICTURES = {name: read_image(SAMPLES / f"{name}.png") for name in ("portrait", "hair", "glasses")}
HAIR = {"hair": read_mask(SAMPLES / "hair_mask.png")}
TO = ["--to", f"hair={SAMPLES / 'glasses.png'}"]


def arguments(output: Path, *more: str, driving: str | None = None) -> list[str]:
    return [
        "animate",
        *("--portrait", str(SAMPLES / "portrait.png")),
        *("--attribute", f"hair={SAMPLES / 'hair.png'}"),
        *("--attribute", f"glasses={SAMPLES / 'glasses.png'}"),
        *("--driving", driving or str(SAMPLES / "driving.mp4")),
        *("--frames", "3", "--output", str(output)),
        *more,
    ]


def test_the_second_picture_is_blended_in_over_the_video(pipeline: FakePipeline, tmp_path: Path):  # noqa: F811
    assert main(arguments(tmp_path / "out.mp4", *TO)) == 0
    assert main(arguments(tmp_path / "out.mp4", *TO, "--blend", "0.5", "0.25")) == 0
    assert main(arguments(tmp_path / "out.mp4")) == 0
    blended, part, plain = pipeline.calls
    np.testing.assert_allclose(blended["interpolation"], [0, 0.5, 1])
    np.testing.assert_allclose(part["interpolation"], [0.5, 0.375, 0.25])
    assert plain["interpolate_to"] is None
    first, second = blended["inputs"].attributes, blended["interpolate_to"]
    assert list(first) == list(second) == ["hair", "glasses"]
    # What has no second picture stays, and the other is of its own.
    assert second["glasses"] is first["glasses"]
    assert not np.array_equal(second["hair"].image, first["hair"].image)
    assert second["hair"].mask.mean() > 0.05


def test_a_mask_of_the_second_picture_may_be_given(pipeline: FakePipeline, tmp_path: Path):  # noqa: F811
    mask = np.zeros(PICTURES["glasses"].shape[:2], np.uint8)
    mask[20:120, 60:200] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    given = ["--to-mask", f"hair={tmp_path / 'mask.png'}"]
    assert main(arguments(tmp_path / "out.mp4", *TO, *given)) == 0
    assert main(arguments(tmp_path / "out.mp4", *TO)) == 0
    given_mask, found_mask = (call["interpolate_to"]["hair"].mask for call in pipeline.calls)
    assert abs(given_mask - found_mask).mean() > 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", f"hat={SAMPLES / 'hair.png'}"], "--to hat=…: there is no --attribute hat=…"),
        (["--to", "hair"], "--to hair: write it as NAME=FILE"),
        (["--to-mask", f"hair={SAMPLES / 'hair_mask.png'}"], "--to-mask hair=…: there is no --to hair=…"),
        (["--blend", "0.5", "0.5"], "--blend: there is no second picture to blend towards"),
        ([*TO, "--blend", "0", "2"], "a blend from 0 to 2: both must be in 0 … 1"),
        ([*TO, "--to-mask", f"hair={SAMPLES / 'driving.mp4'}"], "driving.mp4"),
        (["--to", "hair=nowhere.png"], "nowhere.png"),
    ],
)
def test_what_cannot_be_blended_is_said_in_a_line(options: list[str], message: str, tmp_path: Path, capfd):
    assert main(arguments(tmp_path / "out.mp4", *options)) == 2
    error = capfd.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_camera_has_no_end(tmp_path: Path, capfd):
    assert main(arguments(tmp_path / "out.mp4", *TO, driving="camera")) == 2
    assert "a camera's video has no end to blend towards" in capfd.readouterr().err


def test_the_portrait_gives_way_to_each_end_alone():
    given: dict[str, Any] = {"size": 128, "attribute_masks": HAIR}
    one = prepare_references(PICTURES["portrait"], {"hair": PICTURES["hair"]}, **given)
    both = prepare_references(
        PICTURES["portrait"], {"hair": PICTURES["hair"]}, to={"hair": PICTURES["glasses"]}, **given
    )
    other = prepare_references(PICTURES["portrait"], {"hair": PICTURES["glasses"]}, size=128)
    assert one.others is None
    assert both.others is not None
    assert both.portrait_to is not None
    np.testing.assert_array_equal(both.portrait.mask, one.portrait.mask)
    np.testing.assert_array_equal(both.portrait_to.mask, other.portrait.mask)
    assert (both.portrait.mask > both.portrait_to.mask + 0.5).any()
    np.testing.assert_array_equal(both.others["hair"].mask, other.attributes["hair"].mask)


def test_a_second_picture_without_the_attribute_is_refused():
    bald = read_image(SAMPLES / "portrait.png").copy()
    nothing = {"hair": np.zeros(bald.shape[:2], np.float32)}
    attributes = {"hair": PICTURES["hair"]}
    with pytest.raises(DurianError, match=r"no hair was found in the second picture of the hair.*--to-mask"):
        prepare_references(PICTURES["portrait"], attributes, size=128, to={"hair": bald}, to_masks=nothing)
    with pytest.raises(DurianError, match="a picture to blend towards was given for hat but no picture"):
        prepare_references(PICTURES["portrait"], attributes, size=128, to={"hat": bald})


def test_from_python_the_ends_are_those_of_each_alone():
    images = {name: Image.fromarray(picture) for name, picture in PICTURES.items()}
    with VideoReader(SAMPLES / "driving.mp4", limit=2) as video:
        still = [Image.fromarray(next(iter(video)))] * 3
    durian = DurianPipeline.from_pretrained("mini", device="cpu", detail=False)

    def frames(hair: str, to: str | None = None, blend: tuple[float, float] = (0, 1)) -> np.ndarray:
        ends = None if to is None else {"hair": images[to]}
        made = durian(images["portrait"], {"hair": images[hair]}, still, to=ends, blend=blend)
        return np.stack([np.asarray(frame, float) for frame in made.frames])

    for blend, alone in (((0, 0), "hair"), ((1, 1), "glasses")):
        assert abs(frames("hair", "glasses", blend) - frames(alone)).max() <= 1
    forth, back = frames("hair", "glasses", (0, 1)), frames("glasses", "hair", (1, 0))
    assert abs(forth - back).mean() < 0.5  # the same mixtures, of the same noise
    first, middle, last = forth
    assert abs(first - last).mean() > 15
    assert max(abs(middle - first).mean(), abs(middle - last).mean()) < abs(first - last).mean()


def test_shares_go_from_one_end_to_the_other():
    np.testing.assert_allclose(shares((0.25, 0.75), 3), [0.25, 0.5, 0.75])
    np.testing.assert_allclose(shares((0.5, 0.5), 2), 0.5)
    assert shares((0, 1), 1) == [0]
    with pytest.raises(DurianError, match="from -1 to 1"):
        shares((-1, 1), 2)


def test_second_pictures_are_shown_before(tmp_path: Path):
    with VideoReader(SAMPLES / "driving.mp4", limit=2) as video:
        found = inspect_inputs(
            PICTURES["portrait"],
            {"hair": PICTURES["hair"]},
            video,
            size=128,
            to={"hair": PICTURES["glasses"]},
            to_masks={"hair": np.ones(PICTURES["glasses"].shape[:2], np.float32)},
        )
    assert list(found.aligned) == ["hair", "then hair"]
    (warning,) = [text for text in found.warnings if "more than hair usually does" in text]
    assert warning.startswith("the mask of the hair in its second picture")
    assert "give --to-mask hair=FILE" in warning
    assert draw_inspection(found).shape[0] > 4 * 224
