"""Formats in and out: colours, time, sound, and what files say about their origin."""

from __future__ import annotations

import io
import sys
import zlib
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from durian.errors import DurianError
from durian.media.hdr import from_hlg, from_pq, tone_map
from durian.media.sources import natural_key
from durian.media.timing import constant_rate, steady
from durian.provenance import DIGITAL_SOURCE_TYPE, GENERATED_COMMENT, marked, read_provenance
from durian.video import VideoReader, read_image, read_mask, write_video
from films import click_times, flashes, write_film

COLOURS = [(200, 40, 40), (40, 180, 60), (30, 60, 210), (200, 190, 40), (128, 128, 128), (250, 250, 250)]


def bars(height: int = 48, width: int = 96) -> np.ndarray:
    """Six upright bars of colour."""
    image = np.zeros((height, width, 3), np.uint8)
    for index, colour in enumerate(COLOURS):
        image[:, index * width // 6 : (index + 1) * width // 6] = colour
    return image


def middles(image: np.ndarray) -> np.ndarray:
    """The colours in the middles of the bars."""
    width = image.shape[1]
    return image[image.shape[0] // 2, [(2 * index + 1) * width // 12 for index in range(6)]].astype(int)


def read_all(path: Path, **options) -> list[np.ndarray]:
    with VideoReader(path, **options) as reader:
        return list(reader)


# Pictures


def test_colour_profiles_are_converted(tmp_path: Path) -> None:
    """A picture in a wide space has other numbers for the same colours."""
    wide = ImageCms.createProfile("sRGB")
    profile = ImageCms.ImageCmsProfile(wide).tobytes()
    assert np.array_equal(bars(), _saved(tmp_path / "srgb.png", icc_profile=profile))
    # A profile whose red and blue primaries are exchanged: readers that ignore it see other colours.
    swapped = profile.replace(b"rXYZ", b"tXYZ").replace(b"bXYZ", b"rXYZ").replace(b"tXYZ", b"bXYZ")
    swapped = swapped.replace("sRGB".encode("utf-16-be"), "none".encode("utf-16-be"))
    description = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(swapped)))
    assert "sRGB" not in description
    read = _saved(tmp_path / "other.png", icc_profile=swapped)
    assert np.abs(middles(read) - middles(bars())[:, ::-1]).max() <= 3
    assert np.array_equal(bars(), _saved(tmp_path / "broken.png", icc_profile=b"nonsense" * 40))


def _saved(path: Path, **options) -> np.ndarray:
    Image.fromarray(bars()).save(path, **options)
    return read_image(path)


def test_cmyk_lab_and_deep_colour(tmp_path: Path) -> None:
    Image.fromarray(bars()).convert("CMYK").save(tmp_path / "print.jpg", quality=98)
    assert np.abs(middles(read_image(tmp_path / "print.jpg")) - COLOURS).max() <= 6
    lab = ImageCms.profileToProfile(
        Image.fromarray(bars()),
        ImageCms.createProfile("sRGB"),
        ImageCms.createProfile("LAB"),
        outputMode="LAB",
    )
    lab.save(tmp_path / "lab.tif")
    assert np.abs(middles(read_image(tmp_path / "lab.tif")) - COLOURS).max() <= 6
    for name in ("deep.png", "deep.tif"):
        cv2.imwrite(str(tmp_path / name), bars()[..., ::-1].astype(np.uint16) * 257)
        assert np.abs(middles(read_image(tmp_path / name)) - COLOURS).max() <= 1, name


@pytest.mark.parametrize("name", ["light.hdr", "light.tif"])
def test_high_dynamic_range_pictures_are_tone_mapped(tmp_path: Path, name: str) -> None:
    srgb = bars().astype(np.float32) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)
    linear[:, -16:] = 40.0  # a lamp
    cv2.imwrite(str(tmp_path / name), linear[..., ::-1])
    read = middles(read_image(tmp_path / name))
    assert np.abs(read[:5] - COLOURS[:5]).max() <= 5, "what is not bright stays as it is"
    assert read[5].min() >= 250


@pytest.mark.parametrize("kind", ["half", "float"])
def test_exr_is_tone_mapped(tmp_path: Path, kind: str) -> None:
    linear = np.full((16, 16, 3), (0.2140, 0.0497, 0.5), np.float32)  # sRGB 127, 63, 188
    linear[:, 8:] = 30
    with av.open(str(tmp_path / "render.exr"), "w", format="image2") as output:
        stream = output.add_stream("exr", rate=1, options={"format": kind})
        stream.width = stream.height = 16
        stream.pix_fmt = "gbrpf32le"
        output.mux(stream.encode(av.VideoFrame.from_ndarray(linear, format="gbrpf32le")))
        output.mux(stream.encode(None))
    read = read_image(tmp_path / "render.exr").astype(int)
    assert np.abs(read[8, 4] - (127, 63, 188)).max() <= 2
    assert read[8, 12].min() >= 253


def test_float_pictures_with_holes(tmp_path: Path) -> None:
    values = np.linspace(-1, 1, 64 * 48, dtype=np.float32).reshape(48, 64)
    values[0, :3] = np.nan, np.inf, -np.inf
    Image.fromarray(values).save(tmp_path / "holes.tif")
    read = read_image(tmp_path / "holes.tif")
    assert list(read[0, :3, 0]) == [0, 255, 0]
    assert read[:20].max() <= 255
    assert read[10:20].max() == 0, "below zero is black"
    assert read[-1, -1, 0] == 255


def test_masks_of_zeros_and_ones(tmp_path: Path) -> None:
    mask = np.zeros((8, 8), np.uint8)
    mask[2:5] = 1
    Image.fromarray(mask).save(tmp_path / "labels.png")
    Image.fromarray(mask.astype(np.uint16)).save(tmp_path / "deep.png")
    for name in ("labels.png", "deep.png"):
        assert np.array_equal(read_mask(tmp_path / name), mask), name


def test_heic(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.fromarray(bars())).save(tmp_path / "phone.jpg", quality=95, chroma=444)
    assert np.abs(middles(read_image(tmp_path / "phone.jpg")) - COLOURS).max() <= 8
    (tmp_path / "cut.heic").write_bytes((tmp_path / "phone.jpg").read_bytes()[:300])
    with pytest.raises(DurianError, match="damaged"):
        read_image(tmp_path / "cut.heic")


def test_formats_that_need_more_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    with pytest.raises(DurianError, match="extra heif"):
        read_image(tmp_path / "phone.heic")
    (tmp_path / "new.jxl").write_bytes(b"\xff\x0a" + bytes(50))
    with pytest.raises(DurianError, match="JPEG XL"):
        read_image(tmp_path / "new.jxl")


def test_avif(tmp_path: Path) -> None:
    Image.fromarray(bars()).save(tmp_path / "a.avif", quality=95, subsampling="4:4:4")
    assert np.abs(middles(read_image(tmp_path / "a.avif")) - COLOURS).max() <= 6


# Colours of videos


@pytest.mark.parametrize("height", [48, 720])
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", ["ITU601", "ITU709", None])
def test_matrix_and_range_are_those_of_the_file(
    tmp_path: Path, height: int, full_range: bool, matrix: str | None
) -> None:
    """None: the file does not say, which means BT.709 for large pictures."""
    path = tmp_path / "v.mp4"
    tags = {"color_range": 2 if full_range else 1}
    tags |= {"colorspace": {"ITU601": 6, "ITU709": 1}[matrix]} if matrix else {}
    used = matrix or ("ITU709" if height >= 720 else "ITU601")
    write_film(path, [bars(height, 96)], [0], matrix=used, full_range=full_range, tags=tags)
    (frame,) = read_all(path, limit=1)
    assert np.abs(middles(frame) - COLOURS).max() <= 4


def test_what_is_written_says_its_colours(tmp_path: Path) -> None:
    write_video(tmp_path / "out.mp4", [bars()] * 3, 25)
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = next(container.decode(video=0))
        assert (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc) == (1, 1, 1, 1)
    assert np.abs(middles(read_all(tmp_path / "out.mp4")[1]) - COLOURS).max() <= 6


def _pq(nits: np.ndarray) -> np.ndarray:
    x = (nits / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * x) / (1 + 18.6875 * x)) ** 78.84375


def _hlg(scene: np.ndarray) -> np.ndarray:
    bright = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-6)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), bright)


def test_tone_mapping_keeps_what_is_not_bright() -> None:
    grey = np.array([0.0, 0.02, 0.1, 0.2, 0.5, 0.79])
    srgb = np.where(grey <= 0.0031308, 12.92 * grey, 1.055 * grey ** (1 / 2.4) - 0.055) * 255
    light = np.repeat(grey[None, :, None], 3, -1)
    assert np.abs(tone_map(light)[0, :, 1] - srgb).max() <= 1
    signal = (_pq(203 * light) * 65535).round().astype(np.uint16)
    assert np.abs(from_pq(signal)[0, :, 1] - srgb).max() <= 1.5
    scene = (203 * light / 1000) ** (1 / 1.2)
    assert np.abs(from_hlg((_hlg(scene) * 65535).round().astype(np.uint16))[0, :, 1] - srgb).max() <= 1.5


@given(st.lists(st.floats(0, 1e4), min_size=2, max_size=20))
def test_tone_mapping_keeps_the_order(values: list[float]) -> None:
    row = np.repeat(np.sort(np.float32(values))[None, :, None], 3, -1)
    assert (np.diff(tone_map(row)[0, :, 0].astype(int)) >= 0).all()


@pytest.mark.parametrize(("curve", "encode"), [(16, _pq), (18, _hlg)])
def test_hdr_videos_of_ten_bits(tmp_path: Path, curve: int, encode) -> None:
    light = np.full((32, 64, 3), 0.2140)  # sRGB 127
    light[:, 32:] = 20 if curve == 16 else 4.9
    linear = 203 * light if curve == 16 else (203 * light / 1000) ** (1 / 1.2)
    signal = (np.clip(encode(linear), 0, 1) * 65535).round().astype(np.uint16)
    tags = {"color_trc": curve, "color_primaries": 9, "colorspace": 9, "color_range": 1}
    path = tmp_path / "hdr.mp4"
    write_film(
        path,
        [signal] * 3,
        [0, 0.04, 0.08],
        source="rgb48le",
        pixels="yuv420p10le",
        matrix="BT2020",
        tags=tags,
    )
    frame = read_all(path)[0].astype(int)
    assert np.abs(frame[16, 16] - 127).max() <= 4
    assert frame[16, 48].min() >= 235


@pytest.mark.parametrize("kind", ["png", "avif", "heic"])
@pytest.mark.parametrize(("curve", "encode"), [(16, _pq), (18, _hlg)])
def test_hdr_pictures(tmp_path: Path, kind: str, curve: int, encode) -> None:
    light = np.full((32, 64, 3), 0.2140)  # sRGB 127
    light[:, 32:] = 20 if curve == 16 else 4.9
    linear = 203 * light if curve == 16 else (203 * light / 1000) ** (1 / 1.2)
    signal = np.clip(encode(linear), 0, 1)
    path = tmp_path / f"hdr.{kind}"
    if kind == "png":
        _, encoded = cv2.imencode(".png", (signal * 65535).round().astype(np.uint16))
        data, mark = encoded.tobytes(), b"cICP" + bytes([9, curve, 0, 1])
        end = data.index(b"IHDR") + 4 + 13 + 4
        chunk = (4).to_bytes(4, "big") + mark + zlib.crc32(mark).to_bytes(4, "big")
        path.write_bytes(data[:end] + chunk + data[end:])
    elif kind == "heic":
        heif = pytest.importorskip("pillow_heif")
        picture = heif.from_pillow(Image.fromarray((signal * 255).round().astype(np.uint8)))
        colours = {"color_primaries": 9, "transfer_characteristics": curve, "matrix_coefficients": 9}
        picture.save(path, quality=100, chroma=444, full_range_flag=1, **colours)
    else:
        Image.fromarray((signal * 255).round().astype(np.uint8)).save(path, quality=100)
        data = bytearray(path.read_bytes())
        place = data.index(b"colrnclx") + 8
        data[place : place + 4] = bytes([0, 9, 0, curve])
        path.write_bytes(data)
    frame = read_image(path).astype(int)
    assert np.abs(frame[16, 16] - 127).max() <= 4
    assert frame[16, 48].min() >= 235


@pytest.mark.parametrize("kind", ["png", "avif"])
def test_pictures_of_the_usual_curve_stay_as_they_are(tmp_path: Path, kind: str) -> None:
    Image.new("RGB", (32, 32), (127, 127, 127)).save(tmp_path / f"sdr.{kind}", quality=100)
    assert np.abs(read_image(tmp_path / f"sdr.{kind}").astype(int) - 127).max() <= 1


def test_ten_bit_sdr(tmp_path: Path) -> None:
    write_film(tmp_path / "v.mkv", [bars()], [0], pixels="yuv420p10le")
    assert np.abs(middles(read_all(tmp_path / "v.mkv", limit=1)[0]) - COLOURS).max() <= 5


# Shapes of videos


@pytest.mark.parametrize(("aspect", "shape"), [("4:3", (48, 128)), ("1:2", (96, 96)), ("1:1", (48, 96))])
def test_pixels_that_are_not_square(tmp_path: Path, aspect: str, shape: tuple[int, int]) -> None:
    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 96, 48, "yuv420p"
        video.codec_context.sample_aspect_ratio = Fraction(aspect.replace(":", "/"))
        for _ in range(2):
            output.mux(video.encode(av.VideoFrame.from_ndarray(bars(), format="rgb24")))
        output.mux(video.encode(None))
    frame = read_all(path)[0]
    assert frame.shape[:2] == shape
    assert np.abs(middles(frame) - COLOURS).max() <= 12


def test_interlaced_videos_are_made_whole(tmp_path: Path) -> None:
    """A square that moves between the two fields has combed edges; deinterlaced, it has not."""
    images = []
    for index in range(6):
        image = np.zeros((64, 96, 3), np.uint8)
        for parity in (0, 1):
            left = 8 + 8 * index + 4 * parity
            image[16 + parity : 48 : 2, left : left + 24] = 255
        images.append(image)
    options = {"crf": "4", "x264-params": "interlaced=1:tff=1"}
    write_film(
        tmp_path / "tv.mp4", images, [index / 25 for index in range(6)], pixels="yuv420p", options=options
    )
    frames = read_all(tmp_path / "tv.mp4", fps=25)
    assert len(frames) == 6
    assert _combing(frames[3]) < 0.35 * _combing(images[3])


def _combing(image: np.ndarray) -> float:
    """How much lines differ from both their neighbours."""
    grey = image[20:44, :, 0].astype(float)
    return float(np.abs(grey[1:-1] - (grey[:-2] + grey[2:]) / 2).mean())


# Time


@settings(deadline=None)
@given(
    gaps=st.lists(st.floats(0.001, 0.4), min_size=1, max_size=60),
    fps=st.floats(5, 60),
    start=st.floats(0, 1),
)
@example(gaps=[0.32723082915850293, 0.3220511812230837, 0.3220511812230837], fps=55.07898522908131, start=0.0)
def test_a_constant_rate_shows_each_moment_as_it_was(gaps: list[float], fps: float, start: float) -> None:
    times = np.cumsum([0.0, *gaps])
    period = float(np.mean(gaps))
    shown = list(constant_rate(zip(times, times, strict=True), fps, start=start, period=period))
    length = times[-1] + period - start
    if length <= 1e-6:
        assert shown == []
        return
    assert abs(len(shown) - length * fps) <= 1, "the whole is as long as it was"
    for slot, time in enumerate(shown):
        moment = start + slot / fps
        # The last that is at most half a period early; where it is exactly half, it or the one before.
        seen = [times[times <= moment + 0.5 / fps + slack] for slack in (-1e-6, 1e-6)]
        assert time in [each[-1] if len(each) else times[0] for each in seen]


def test_time_stamps_that_are_damaged() -> None:
    period = 0.04
    stamps = [0.0, 0.04, None, 0.12, 0.11, 90000.0, 90000.04, 0.0, 0.04]
    times = [time for time, _ in steady(((stamp, 0) for stamp in stamps), period)]
    assert times == sorted(times)
    assert times[-1] == pytest.approx(8 * period, abs=2 * period)
    assert [time for time, _ in steady([(119.5, 0), (120.1, 0)], period, start=120)] == [119.5, 120.1]


def _phone_times(seconds: float) -> np.ndarray:
    """30 frames a second that become 15 in the dark and 24 later, with jitter."""
    times, time = [], 0.0
    rng = np.random.default_rng(3)
    while time < seconds:
        times.append(time)
        rate = 30 if time < seconds / 3 else 15 if time < seconds * 0.6 else 24
        time += (1 + rng.uniform(-0.1, 0.1)) / rate
    return np.round(times, 3)


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
@pytest.mark.parametrize(("fps", "start"), [(None, 0.0), (25.0, 0.0), (30.0, 3.5)])
def test_sound_stays_in_sync_at_a_variable_rate(
    tmp_path: Path, suffix: str, fps: float | None, start: float
) -> None:
    """Flashes and clicks that come together in the driver come together in the result."""
    moments = [1.0, 4.0, 7.0, 11.0]
    times = _phone_times(12)
    driver, result = tmp_path / "phone.mp4", tmp_path / f"out{suffix}"
    options = {"crf": "20", "g": "30"}
    write_film(
        driver,
        flashes(times, moments),
        list(times),
        clicks=moments,
        seconds=12,
        pixels="yuv420p",
        options=options,
    )
    with VideoReader(driver, fps=fps, start=start) as reader:
        expected = (12 - start) * reader.fps
        frames = list(reader)
        assert abs(len(frames) - expected) <= 2
        assert reader.frame_count == pytest.approx(len(frames), abs=3)
        write_video(result, frames, reader.fps, audio_from=driver, audio_start=start)
    with av.open(str(result)) as container:
        light = [(frame.time, frame.to_ndarray(format="gray").mean()) for frame in container.decode(video=0)]
    begins = [time for (_, before), (time, now) in pairwise(light) if now > 128 > before]
    clicks = click_times(result)
    wanted = [moment - start for moment in moments if moment > start]
    assert len(begins) == len(clicks) == len(wanted)
    # A driver's frame comes up to 1/15 s late; the picture then snaps to a frame of the result.
    assert np.abs(np.subtract(begins, wanted)).max() < 1 / 15 + 0.5 / 24
    assert np.abs(np.subtract(clicks, wanted)).max() < 0.03
    assert np.ptp(np.subtract(begins, clicks)) < 1 / 15 + 1 / 24, "no drift"


def test_start_length_and_rate(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    write_video(path, [np.full((32, 32, 3), 5 * index, np.uint8) for index in range(50)], 25)
    values = lambda **options: [frame.mean() / 5 for frame in read_all(path, **options)]  # noqa: E731
    assert values(start=1.0) == pytest.approx(range(25, 50), abs=0.5)
    assert values(start=1.0, duration=0.2) == pytest.approx(range(25, 30), abs=0.5)
    assert values(start=1.92, limit=9) == pytest.approx([48, 49], abs=0.7)
    assert values(limit=3, duration=5) == pytest.approx(range(3), abs=0.5)
    assert len(values(fps=50)) == 100
    assert values(fps=5, duration=1) == pytest.approx([0, 5, 10, 15, 20], abs=3)
    with pytest.raises(DurianError, match="lasts 2"):
        VideoReader(path, start=2.0)


# Animated pictures and folders


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_animated_pictures_keep_their_timing(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    images = [Image.new("RGB", (32, 24), (60 * index, 255 - 60 * index, 40)) for index in range(4)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=[100, 300, 100, 100], loop=0)
    with VideoReader(path, fps=10) as reader:
        assert reader.frame_count == 6
        frames = list(reader)
    reds = [round(frame[..., 0].mean() / 60) for frame in frames]
    assert reds in ([0, 1, 1, 1, 2, 3], [0, 1, 1, 1, 2, 3, 3])
    assert read_image(path).shape == (24, 32, 3), "as a picture, its first frame"


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    for number in (2, 10, 1, 33):
        Image.new("RGB", (16, 16), (number * 5, 0, 0)).save(tmp_path / f"frame{number}.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / ".hidden.png").write_text("not a picture")
    with VideoReader(tmp_path, fps=12) as reader:
        assert (reader.fps, reader.frame_count) == (12, 4)
        assert [frame[0, 0, 0] // 5 for frame in reader] == [1, 2, 10, 33]
    assert [frame[0, 0, 0] // 5 for frame in read_all(tmp_path, start=0.05)] == [2, 10, 33]
    Image.new("RGB", (16, 8)).save(tmp_path / "frame50.jpg")
    with pytest.raises(DurianError, match="one size"):
        read_all(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DurianError, match="no pictures"):
        VideoReader(tmp_path / "empty")


def test_names_sort_as_people_do() -> None:
    names = ["a10.png", "a9.png", "b1.png", "a009b2.png", "1.png", "²3.png"]
    assert sorted(names, key=natural_key) == ["1.png", "a009b2.png", "a9.png", "a10.png", "b1.png", "²3.png"]


# Out


def test_a_cover_is_not_a_video(tmp_path: Path) -> None:
    Image.fromarray(bars()).save(tmp_path / "cover.png")
    with av.open(str(tmp_path / "song.mp4"), "w") as output:
        sound = output.add_stream("aac", rate=48000, layout="mono")
        cover = output.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 96, 48, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        block = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.int16), "s16", "mono")
        block.sample_rate = 48000
        output.mux([*sound.encode(block), *sound.encode(None)])
        packet = av.Packet((tmp_path / "cover.png").read_bytes())
        packet.stream, packet.pts, packet.dts, packet.time_base = cover, 0, 0, cover.time_base
        output.mux(packet)
    with pytest.raises(DurianError, match="only sound"):
        VideoReader(tmp_path / "song.mp4")


OUTPUTS = ["out.mp4", "out.webm", "out.gif", "out.webp", "frames"]


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("fps", [15.0, 30.0])
def test_every_format_keeps_frames_time_and_origin(tmp_path: Path, name: str, fps: float) -> None:
    path = tmp_path / name
    made = [np.roll(bars(), 4 * index, 1) for index in range(12)]
    write_video(path, iter(made), fps)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    with VideoReader(path, fps=fps) as reader:
        read = list(reader)
    assert len(read) == 12
    for before, after in zip(made, read, strict=True):
        assert np.abs(before.astype(int) - after).mean() < 8
    if not path.is_dir():
        with VideoReader(path) as reader:
            assert reader.fps == pytest.approx(fps, rel=0.02)
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        told = read_provenance(file)
        assert told.comment == GENERATED_COMMENT
        assert told.source_type == DIGITAL_SOURCE_TYPE
    if path.suffix in (".gif", ".webp"):
        with Image.open(path) as image:
            if path.suffix == ".webp":
                assert DIGITAL_SOURCE_TYPE.encode() in image.info["xmp"]
            else:
                assert image.info["comment"] == GENERATED_COMMENT.encode()
            assert image.n_frames == 12
            assert image.info["loop"] == 0


@pytest.mark.parametrize("name", OUTPUTS)
def test_every_format_appears_whole_or_not_at_all(tmp_path: Path, name: str) -> None:
    def broken():
        yield from [bars()] * 3
        raise RuntimeError("the power failed")

    with pytest.raises(RuntimeError, match="power"):
        write_video(tmp_path / name, broken(), 25)
    assert list(tmp_path.iterdir()) == []


def test_outputs_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DurianError, match=r"\.webm"):
        write_video(tmp_path / "out.avi", [bars()], 25)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").touch()
    with pytest.raises(DurianError, match="not empty"):
        write_video(tmp_path / "full", [bars()], 25)
    (tmp_path / "file").touch()
    with pytest.raises(DurianError, match="is a file"):
        write_video(tmp_path / "file", [bars()], 25)
    (tmp_path / "empty").mkdir()
    write_video(tmp_path / "empty", [bars()], 25)
    assert [path.name for path in (tmp_path / "empty").iterdir()] == ["00000.png"]
    long = tmp_path / ("ö" * 120 + ".mp4")
    write_video(long, [bars()], 25)
    assert long.is_file()


def test_gifs_faster_than_browsers_show_are_thinned(tmp_path: Path) -> None:
    write_video(tmp_path / "a.gif", [np.roll(bars(), 2 * index, 1) for index in range(60)], 60)
    with Image.open(tmp_path / "a.gif") as image:
        delays = []
        for index in range(image.n_frames):
            image.seek(index)
            delays.append(image.info["duration"])
    assert min(delays) >= 20
    assert sum(delays) == pytest.approx(1000, abs=40)


def test_provenance_of_files_that_say_nothing(tmp_path: Path) -> None:
    Image.fromarray(bars()).save(tmp_path / "plain.png")
    told = read_provenance(tmp_path / "plain.png")
    assert (told.comment, told.source_type) == (None, None)
    (tmp_path / "text.mp4").write_text("hello " * 50)
    with pytest.raises(DurianError, match=r"text\.mp4"):
        read_provenance(tmp_path / "text.mp4")


@pytest.mark.parametrize("shape", [(512, 512), (128, 128), (40, 30), (3, 2)])
def test_the_mark_is_legible_small_and_in_the_corner(shape: tuple[int, int]) -> None:
    height, width = shape
    grey = np.full((height, width, 3), 120, np.uint8)
    (frame,) = marked([grey])
    assert frame.shape == grey.shape
    changed = (frame != grey).any(-1)
    assert changed.any()
    assert (grey == 120).all(), "the frame that came in is as it was"
    if height >= 128:
        assert not changed[: height * 3 // 4].any()
        assert changed.mean() < 0.1
        letters = frame[changed].astype(int).mean(-1)
        assert letters.max() - letters.min() > 120, "white on dark"
        rows = np.flatnonzero(changed.any(1))
        assert len(rows) >= 10
