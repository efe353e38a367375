"""Reading and writing pictures and videos."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from durian.errors import DurianError
from durian.video import (
    GENERATED_COMMENT,
    VideoReader,
    check_writable,
    read_image,
    read_mask,
    write_video,
)


def gradient(height: int = 48, width: int = 64) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, 0 * x + 90], -1).astype(np.uint8)


def frames(count: int = 6, height: int = 48, width: int = 64) -> list[np.ndarray]:
    return [np.roll(gradient(height, width), 2 * index, 1) for index in range(count)]


def write_with_sound(path: Path, seconds: float) -> None:
    """A tone with a short picture, as a phone would make it."""
    rate = 44100
    with av.open(str(path), "w", format="mp4") as output:
        video = output.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = output.add_stream("aac", rate=rate)
        for index in range(int(seconds * 10)):
            frame = av.VideoFrame.from_ndarray(gradient(), format="rgb24")
            frame.pts = index
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        wave = np.sin(np.arange(int(rate * seconds)) * 0.06).astype(np.float32)
        for start in range(0, len(wave) - 1023, 1024):
            block = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], "fltp", "mono")
            block.sample_rate, block.pts = rate, start
            output.mux(sound.encode(block))
        output.mux(sound.encode(None))


def sound_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        return [bytes(packet) for packet in container.demux(stream) if packet.pts is not None]


def outcome(action: Callable[[], Any]) -> tuple[Any, str]:
    """What an action returns, or its message for the user; any other exception is a failure."""
    try:
        return action(), ""
    except DurianError as error:
        return None, str(error)


def test_read_image_colours_and_alpha(tmp_path: Path) -> None:
    image = gradient()
    Image.fromarray(image).save(tmp_path / "rgb.png")
    assert np.array_equal(read_image(tmp_path / "rgb.png"), image)

    alpha = np.zeros((*image.shape[:2], 1), np.uint8)
    alpha[:, :32] = 255
    Image.fromarray(np.concatenate([image, alpha], -1)).save(tmp_path / "rgba.png")
    read = read_image(tmp_path / "rgba.png")
    assert np.array_equal(read[:, :32], image[:, :32])
    assert (read[:, 32:] == 255).all(), "what is transparent is white, not the hidden colour"

    Image.fromarray(image[..., 0]).save(tmp_path / "grey.png")
    assert np.array_equal(read_image(tmp_path / "grey.png"), np.repeat(image[..., :1], 3, -1))

    Image.fromarray(image).convert("P").save(tmp_path / "palette.gif", transparency=0)
    assert read_image(tmp_path / "palette.gif").shape == image.shape


def test_read_image_16_bit_keeps_its_tones(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 48 * 64).reshape(48, 64).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    read = read_image(tmp_path / "deep.png")
    assert np.abs(read[..., 0].astype(float) - values / 257).max() <= 1


def test_read_image_applies_exif_rotation(tmp_path: Path) -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, :20] = (255, 0, 0)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: the left side becomes the top
    Image.fromarray(image).save(tmp_path / "phone.jpg", exif=exif, quality=95)
    read = read_image(tmp_path / "phone.jpg")
    assert read.shape == (60, 40, 3)
    assert read[:15, :, 0].min() > 200
    assert read[30:, :, 0].max() < 60


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(max_size=200),
    cut=st.integers(0, 400),
    format=st.sampled_from(["png", "jpeg", "webp", "raw"]),
)
def test_damaged_files_are_one_clear_line(tmp_path: Path, data: bytes, cut: int, format: str) -> None:
    """Random bytes, and pictures cut short with random bytes after, give a picture or a DurianError."""
    path = tmp_path / "damaged"
    if format != "raw":
        Image.fromarray(gradient(16, 16)).save(path, format=format)
        data = path.read_bytes()[:cut] + data
    path.write_bytes(data)
    for read in (read_image, read_mask):
        shape, message = outcome(lambda read=read: read(path).shape[:2])
        assert shape == (16, 16) or (str(path) in message and "\n" not in message)
    if format == "raw":
        with pytest.raises(DurianError):
            list(VideoReader(path))


def test_unreadable_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DurianError, match="no such file"):
        read_image(tmp_path / "missing.png")
    with pytest.raises(DurianError, match="not a file"):
        read_image(tmp_path)
    (tmp_path / "empty.png").touch()
    with pytest.raises(DurianError, match="empty"):
        read_image(tmp_path / "empty.png")
    Image.fromarray(gradient()).save(tmp_path / "bomb.png")
    monkeypatch.setattr("durian.media.checks.MAX_PIXELS", 2000)
    with pytest.raises(DurianError, match="too many pixels"):
        read_image(tmp_path / "bomb.png")


def test_read_mask_kinds(tmp_path: Path) -> None:
    wanted = np.zeros((48, 64), np.float32)
    wanted[10:30, 5:50] = 1
    grey = Image.fromarray((wanted * 255).astype(np.uint8))
    grey.save(tmp_path / "grey.png")
    grey.convert("1").save(tmp_path / "bits.png")
    grey.convert("RGB").save(tmp_path / "colour.png")
    cutout = Image.fromarray(gradient())
    cutout.putalpha(grey)
    cutout.save(tmp_path / "cutout.png")
    for name in ("grey", "bits", "colour", "cutout"):
        mask = read_mask(tmp_path / f"{name}.png", (48, 64))
        assert mask.dtype == np.float32
        assert np.array_equal(mask, wanted), name
    with pytest.raises(DurianError, match="64×48"):
        read_mask(tmp_path / "grey.png", (64, 48))


@pytest.mark.parametrize(("height", "width"), [(48, 64), (47, 63), (1, 1)])
def test_video_round_trip(tmp_path: Path, height: int, width: int) -> None:
    path = tmp_path / "out.mp4"
    made = frames(7, height, width)
    write_video(path, iter(made), fps=12.5)
    with VideoReader(path) as reader:
        assert reader.fps == pytest.approx(12.5)
        assert reader.frame_count == 7
        read = list(reader)
    assert len(read) == 7
    assert read[0].shape == (height + height % 2, width + width % 2, 3)
    difference = np.abs(read[3][:height, :width].astype(float) - made[3])
    assert difference.mean() < 12
    with av.open(str(path)) as container:
        assert container.metadata["comment"] == GENERATED_COMMENT
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
    assert [file.name for file in tmp_path.iterdir()] == ["out.mp4"]


def test_sound_is_copied_and_cut_at_the_picture(tmp_path: Path) -> None:
    driver, short, full = tmp_path / "driver.mp4", tmp_path / "short.mp4", tmp_path / "full.mp4"
    write_with_sound(driver, 2.0)
    write_video(short, frames(10), fps=10, audio_from=driver)
    write_video(full, frames(20), fps=10, audio_from=driver)
    original = sound_packets(driver)
    copied = sound_packets(short)
    assert copied == original[: len(copied)], "byte for byte"
    assert len(copied) * 1024 / 44100 == pytest.approx(1.0, abs=0.05)
    assert len(sound_packets(full)) >= len(original) - 2

    silent = tmp_path / "silent.mp4"
    write_video(tmp_path / "mute.mp4", frames(3), fps=10)
    write_video(silent, frames(3), fps=10, audio_from=tmp_path / "mute.mp4")
    with av.open(str(silent)) as container:
        assert not container.streams.audio


def test_sound_that_mp4_cannot_hold_is_recoded(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "old.wav"), "w") as output:
        stream = output.add_stream("pcm_u8", rate=8000, layout="mono")
        tone = (128 + 100 * np.sin(np.arange(8000) * 0.3)).astype(np.uint8)
        block = av.AudioFrame.from_ndarray(tone[None], "u8", "mono")
        block.sample_rate = 8000
        output.mux(stream.encode(block))
    write_video(tmp_path / "out.mp4", frames(10), fps=10, audio_from=tmp_path / "old.wav")
    with av.open(str(tmp_path / "out.mp4")) as container:
        sound = np.concatenate([block.to_ndarray()[0] for block in container.decode(audio=0)])
    assert len(sound) / 8000 == pytest.approx(1.0, abs=0.3)
    assert np.abs(sound).max() > 0.3


def test_a_failure_leaves_nothing_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"the last good result")

    def broken() -> Iterator[np.ndarray]:
        yield gradient()
        raise RuntimeError("the GPU caught fire")

    with pytest.raises(RuntimeError, match="fire"):
        write_video(path, broken(), fps=25)
    with pytest.raises(DurianError, match="no frames"):
        write_video(path, [], fps=25)
    with pytest.raises(DurianError, match="sound"):
        write_video(path, frames(2), fps=25, audio_from=tmp_path / "missing.mp4")
    assert [file.name for file in tmp_path.iterdir()] == ["out.mp4"]
    assert path.read_bytes() == b"the last good result"


def test_check_writable(tmp_path: Path) -> None:
    check_writable(tmp_path / "new.mp4")
    assert not any(tmp_path.iterdir())
    with pytest.raises(DurianError, match="does not exist"):
        check_writable(tmp_path / "no" / "new.mp4")
    with pytest.raises(DurianError, match="is a folder"):
        check_writable(tmp_path)
    with pytest.raises(DurianError, match="cannot write"):
        check_writable("/proc/new.mp4")


def test_reader_honours_limit_gifs_and_stills(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", frames(9), fps=25)
    with VideoReader(tmp_path / "v.mp4", limit=4) as reader:
        assert reader.frame_count == 4
        assert len(list(reader)) == 4
    pictures = [Image.fromarray(frame) for frame in frames(5)]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=100)
    with VideoReader(tmp_path / "a.gif") as reader:
        assert len(list(reader)) == 5
    pictures[0].save(tmp_path / "still.png")
    with VideoReader(tmp_path / "still.png") as reader:
        (still,) = reader
    assert np.array_equal(still, gradient())


_SHOWN = {  # of a display matrix: what a player shows of a picture, per the file format (ISO 14496-12)
    (1, 0, 0, 1): lambda image: image,
    (0, 1, -1, 0): lambda image: np.rot90(image, -1),
    (-1, 0, 0, -1): lambda image: np.rot90(image, 2),
    (0, -1, 1, 0): lambda image: np.rot90(image, 1),
    (-1, 0, 0, 1): np.fliplr,
    (1, 0, 0, -1): np.flipud,
    (0, 1, 1, 0): lambda image: image.swapaxes(0, 1),
    (0, -1, -1, 0): lambda image: np.rot90(image, 2).swapaxes(0, 1),
}


@pytest.mark.parametrize("linear", list(_SHOWN))
def test_reader_turns_and_mirrors_the_picture(linear: tuple[int, int, int, int], tmp_path: Path) -> None:
    path = tmp_path / "phone.mp4"
    image = np.full((48, 64, 3), 20, np.uint8)
    image[:16, :16] = (255, 0, 0)
    image[:16, -16:] = (0, 255, 0)
    image[-16:, :16] = (0, 0, 255)
    write_video(path, [image] * 3, fps=25)
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 24 + 8 + 8  # after version, times, id, duration, layer and volume
    one = 1 << 16
    a, b, c, d = (one * value for value in linear)
    data[matrix : matrix + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    with VideoReader(path) as reader:
        frame = next(iter(reader))
    shown = _SHOWN[linear](image)
    assert frame.shape == shown.shape
    for row in (8, -8):
        for column in (8, -8):
            assert np.abs(frame[row, column].astype(int) - shown[row, column]).max() < 60


def test_unreadable_videos(tmp_path: Path) -> None:
    with pytest.raises(DurianError, match="no such file"):
        VideoReader(tmp_path / "missing.mp4")
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(DurianError, match="empty"):
        VideoReader(tmp_path / "empty.mp4")
    (tmp_path / "text.mp4").write_text("hello " * 100)
    with pytest.raises(DurianError, match=r"text\.mp4"):
        list(VideoReader(tmp_path / "text.mp4"))
    with av.open(str(tmp_path / "sound.wav"), "w") as output:
        stream = output.add_stream("pcm_s16le", rate=8000)
        block = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        block.sample_rate = 8000
        output.mux(stream.encode(block))
    with pytest.raises(DurianError, match="only sound"):
        VideoReader(tmp_path / "sound.wav")


def test_a_video_cut_short_gives_an_error_or_its_first_frames(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    write_video(path, frames(30, 96, 128), fps=25)
    whole = path.read_bytes()
    for part in (0.1, 0.5, 0.9):
        path.write_bytes(whole[: int(len(whole) * part)])
        count, message = outcome(lambda: len(list(VideoReader(path))))
        assert "v.mp4" in message or 0 < count <= 30
