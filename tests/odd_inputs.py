"""Broken and odd files of every kind that a user, or an attacker, may hand in.

Each is made by a function that writes to the path it is given. `ODD_INPUTS` says what shall come of it.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image, ImageCms, ImageDraw

from films import write_film

SAMPLES = Path(__file__).resolve().parents[1] / "src" / "durian" / "samples"
PORTRAIT, DRIVER = SAMPLES / "portrait.png", SAMPLES / "driving.mp4"


class Outcome(Enum):
    """What comes of an input."""

    RESULT = "a result"
    LINE = "one line"
    EITHER = "a result or one line"


@dataclass(frozen=True)
class OddInput:
    """A file in the place of a good one.

    Attributes:
        role: the option that it is given to. file: its name. make: writes it.
        outcome: what shall come of it. says: part of the line, where there is one.
    """

    role: str
    file: str
    make: Callable[[Path], object]
    outcome: Outcome
    says: str = ""


def portrait() -> Image.Image:
    """The sample that works."""
    return Image.open(PORTRAIT).convert("RGB")


def saved(mode: str = "RGB", **options: object) -> Callable[[Path], None]:
    """The portrait in another mode, with options of Pillow."""
    return lambda path: portrait().convert(mode).save(path, **options)


def cut(format: str, share: float, **options: object) -> Callable[[Path], None]:
    """The portrait in a file of which only the first part is there."""

    def make(path: Path) -> None:
        portrait().save(path, format=format, **options)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return make


def array(values: Callable[[], np.ndarray]) -> Callable[[Path], None]:
    """Any picture, written by Pillow."""
    return lambda path: Image.fromarray(values()).save(path)


def opencv(values: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    """The portrait's pixels changed, written by OpenCV (deep colours)."""
    return lambda path: cv2.imwrite(str(path), values(np.asarray(portrait()))[..., ::-1])


def data(content: bytes) -> Callable[[Path], None]:
    """These bytes."""
    return lambda path: path.write_bytes(content)


def link(target: str | Path) -> Callable[[Path], None]:
    """A symbolic link."""
    return lambda path: path.symlink_to(target)


def png(width: int, height: int, *, rows: bool = False) -> bytes:
    """A 1-bit PNG of any size, with all of its rows or none."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    body = zlib.compress(bytes((1 + (width + 7) // 8) * height), 9) if rows else zlib.compress(b"")
    header = chunk(b"IHDR", struct.pack(">2I5B", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def gif_header(width: int, height: int) -> bytes:
    """A GIF that promises a picture of any size."""
    return (
        b"GIF89a"
        + struct.pack("<2H3B", width, height, 0, 0, 0)
        + b","
        + struct.pack("<4HB", 0, 0, width, height, 0)
        + b"\x02\x02\x4c\x01\x00;"
    )


def damaged(source: Callable[[], bytes], seed: int, share: float = 0.002) -> Callable[[Path], None]:
    """Some bytes changed, but for the first."""

    def make(path: Path) -> None:
        content = np.frombuffer(source(), np.uint8).copy()
        rng = np.random.default_rng(seed)
        places = rng.integers(200, len(content), max(4, int(share * len(content))))
        content[places] = rng.integers(0, 256, len(places))
        path.write_bytes(content.tobytes())

    return make


def cut_video(share: float) -> Callable[[Path], None]:
    """The first part of the driver, whose index is at its beginning."""
    return lambda path: path.write_bytes(DRIVER.read_bytes()[: int(DRIVER.stat().st_size * share)])


def driver_frames(count: int = 6) -> list[np.ndarray]:
    """The sample that works."""
    with av.open(str(DRIVER)) as container:
        frames = container.decode(video=0)
        return [next(frames).to_ndarray(format="rgb24") for _ in range(count)]


def film(
    change: Callable[[list[np.ndarray]], list[np.ndarray]] = list,
    times: Callable[[int], float] = lambda index: index / 15,
    **options: object,
) -> Callable[[Path], None]:
    """The driver made anew, with changes."""

    def make(path: Path) -> None:
        images = change(driver_frames())
        write_film(path, images, [times(index) for index in range(len(images))], **options)

    return make


def indexed_at_the_end(path: Path) -> None:
    """An mp4 as recorders leave it when their battery is empty: pictures without an index."""
    film(pixels="yuv420p")(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 7 // 10])


def two_sizes(path: Path) -> None:
    """A stream that changes its size on the way, as from a call with a bad connection."""
    parts = []
    for size in (256, 128):
        part = path.with_suffix(f".{size}.ts")
        images = [cv2.resize(image, (size, size)) for image in driver_frames()]
        write_film(part, images, [index / 15 for index in range(6)], pixels="yuv420p")
        parts.append(part.read_bytes())
        part.unlink()
    path.write_bytes(b"".join(parts))


def no_frames(path: Path) -> None:
    """An index that lists no pictures."""
    film(pixels="yuv420p")(path)
    content = path.read_bytes()
    for name in (b"stsz", b"stts", b"stsc", b"stco"):
        place = content.index(name) + 8  # after the name, version and flags
        place += 4 if name == b"stsz" else 0
        content = content[:place] + bytes(4) + content[place + 4 :]
    path.write_bytes(content)


def sound(codec: str) -> Callable[[Path], None]:
    """A file with sound alone."""

    def make(path: Path) -> None:
        with av.open(str(path), "w") as output:
            stream = output.add_stream(codec, rate=48000, layout="mono")
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 9600), np.int16), "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
            output.mux([*stream.encode(frame), *stream.encode(None)])

    return make


def avi_header(width: int, height: int) -> bytes:
    """An AVI of raw video that promises pictures of any size."""
    main = struct.pack("<14I", 40000, 0, 0, 0, 1, 0, 1, 0, width, height, 0, 0, 0, 0)
    stream = b"vidsDIB " + struct.pack("<3I6I4h", 0, 0, 0, 1, 25, 0, 1, 0, 0, 0, 0, 0, 0)
    form = struct.pack("<IiiHH6I", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)

    def chunk(name: bytes, body: bytes) -> bytes:
        return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)

    lists = chunk(b"LIST", b"strl" + chunk(b"strh", stream) + chunk(b"strf", form))
    head = chunk(b"LIST", b"hdrl" + chunk(b"avih", main) + lists)
    return chunk(b"RIFF", b"AVI " + head + chunk(b"LIST", b"movi" + chunk(b"00db", bytes(1000))))


def animation(count: int = 3, **options: object) -> Callable[[Path], None]:
    """The driver as an animated picture."""

    def make(path: Path) -> None:
        first, *others = (Image.fromarray(image) for image in driver_frames(count))
        first.save(path, save_all=True, append_images=others, **({"duration": 66} | options))

    return make


def cut_animation(share: float) -> Callable[[Path], None]:
    """Of which only the first part is there."""

    def make(path: Path) -> None:
        animation(5)(path)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return make


def folder(*files: tuple[str, Callable[[Path], object]]) -> Callable[[Path], None]:
    """A folder with these files in it."""

    def make(path: Path) -> None:
        path.mkdir()
        for name, write in files:
            write(path / name)

    return make


def driver_picture(size: int = 256) -> Callable[[Path], None]:
    """One frame of the driver."""
    return lambda path: Image.fromarray(cv2.resize(driver_frames(1)[0], (size, size))).save(path)


def drawing(ears: bool) -> Callable[[Path], None]:
    """A face as children draw it, or a cat's."""

    def make(path: Path) -> None:
        image = Image.new("RGB", (256, 256), (250, 240, 220))
        draw = ImageDraw.Draw(image)
        if ears:
            draw.polygon([(60, 90), (70, 20), (120, 70)], fill=(120, 100, 90))
            draw.polygon([(196, 90), (186, 20), (136, 70)], fill=(120, 100, 90))
        draw.ellipse((50, 50, 206, 226), fill=(120, 100, 90) if ears else (255, 220, 120), outline=(0, 0, 0))
        for x in (95, 160):
            draw.ellipse((x - 12, 105, x + 12, 130), fill=(255, 255, 255), outline=(0, 0, 0))
            draw.ellipse((x - 4, 112, x + 4, 124), fill=(0, 0, 0))
        draw.arc((95, 140, 161, 195), 20, 160, fill=(160, 20, 20), width=5)
        image.save(path)

    return make


def profile(path: Path) -> None:
    """Someone turned away by 86 degrees."""
    from durian.synth.model import build
    from durian.synth.performance import FrameState
    from durian.synth.person import sample_person
    from durian.synth.render import render

    person = sample_person(np.random.default_rng(5), split="train")
    Image.fromarray(render(build(person), FrameState(yaw=1.5), 192).rgb).save(path)


def crowd(path: Path) -> None:
    """Two hundred faces."""
    face = np.asarray(portrait().resize((48, 48)))
    Image.fromarray(np.tile(face, (10, 20, 1))).save(path)


def turned(path: Path) -> None:
    """On its side, with the note to turn it upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    portrait().rotate(90, expand=True).save(path, exif=exif, quality=95)


def with_exif(exif: bytes) -> Callable[[Path], None]:
    """A camera's notes that make no sense."""
    return lambda path: portrait().save(path, exif=exif)


def lab(path: Path) -> None:
    """Colours as printers count them."""
    spaces = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    ImageCms.profileToProfile(portrait(), *spaces, outputMode="LAB").save(path)


def bad_checksum(path: Path) -> None:
    """One bit of the pixels is wrong, and their checksum says so."""
    content = bytearray(PORTRAIT.read_bytes())
    content[content.index(b"IDAT") + 400] ^= 1
    path.write_bytes(content)


def holes(path: Path) -> None:
    """Fractions with some that are none."""
    values = np.asarray(portrait().convert("L"), np.float32) / 255
    values[:4] = np.nan
    values[4:8], values[8:12], values[12:16] = np.inf, -np.inf, -3
    Image.fromarray(values).save(path)


def sparse(path: Path) -> None:
    """Eight gigabytes of nothing, which take no place on the disk."""
    with open(path, "wb") as file:
        file.truncate(8 << 30)


def unreadable(path: Path) -> None:
    """Nobody but root may read it."""
    portrait().save(path)
    path.chmod(0)


def linear(values: np.ndarray) -> np.ndarray:
    """Light of sRGB."""
    return ((values.astype(np.float32) / 255) ** 2.2).astype(np.float32)


def _picture(file: str, make: Callable[[Path], object], outcome: Outcome, says: str = "") -> OddInput:
    return OddInput("portrait", file, make, outcome, says)


def _driver(file: str, make: Callable[[Path], object], outcome: Outcome, says: str = "") -> OddInput:
    return OddInput("driving", file, make, outcome, says)


def _mask(file: str, make: Callable[[Path], object], outcome: Outcome, says: str = "") -> OddInput:
    return OddInput("attribute-mask", file, make, outcome, says)


RESULT, LINE, EITHER = Outcome.RESULT, Outcome.LINE, Outcome.EITHER
_JPEG = {"format": "JPEG", "quality": 92}

PICTURES = [
    # Cut short
    *(_picture(f"cut{s}.jpg", cut("JPEG", s), LINE, "damaged") for s in (0.02, 0.5, 0.97)),
    *(_picture(f"cut{s}.png", cut("PNG", s), LINE, "damaged") for s in (0.001, 0.5, 0.95)),
    *(_picture(f"cut{s}.webp", cut("WEBP", s), LINE, "damaged") for s in (0.1, 0.8)),
    _picture("cut.avif", cut("AVIF", 0.5), LINE, "damaged"),
    _picture("cut.gif", cut("GIF", 0.5), EITHER),
    _picture("cut.tif", cut("TIFF", 0.5), LINE, "damaged"),
    _picture("cut.bmp", cut("BMP", 0.5), LINE, "damaged"),
    _picture("cut.hdr", data(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 64 +X 64\n\2\2\0"), LINE, "damaged"),
    _picture("cut.exr", data(b"\x76\x2f\x31\x01\2\0\0\0" + bytes(40)), LINE, "damaged"),
    _picture("checksum.png", bad_checksum, LINE, "damaged"),
    *(_picture(f"flipped{i}.jpg", damaged(lambda: _bytes("JPEG"), i), EITHER) for i in range(2)),
    *(_picture(f"flipped{i}.webp", damaged(lambda: _bytes("WEBP"), i), EITHER) for i in range(2)),
    *(_picture(f"flipped{i}.tif", damaged(lambda: _bytes("TIFF"), i), EITHER) for i in range(2)),
    # Not what the name says
    _picture("empty.png", data(b""), LINE, "empty"),
    _picture("text.jpg", data(b"This is not a picture.\n" * 40), LINE, "neither a picture"),
    _picture("page.png", data(b"<!DOCTYPE html><html><body>404</body></html>"), LINE, "neither a picture"),
    _picture("drawing.svg", data(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), LINE, "neither a picture"),
    _picture("archive.png", data(b"PK\3\4" + bytes(200)), LINE, "neither a picture"),
    _picture("video.png", link(DRIVER), RESULT),
    _picture("png.jpg", saved(format="PNG"), RESULT),
    _picture("no_suffix", saved(format="WEBP"), RESULT),
    _picture("new.jxl", data(b"\xff\x0a" + bytes(60)), LINE, "JPEG XL"),
    # Sizes
    _picture("bomb.png", data(png(50000, 50000)), LINE, "pixels"),
    _picture("bomb.gif", data(gif_header(65535, 65535)), LINE, "pixels"),
    _picture("full_bomb.png", data(png(12000, 12000, rows=True)), LINE, "pixels"),
    _picture("sparse.png", sparse, LINE, "neither a picture"),
    _picture("one.png", array(lambda: np.zeros((1, 1, 3), np.uint8)), LINE, "face"),
    _picture("tall.png", array(lambda: np.zeros((5000, 1, 3), np.uint8)), LINE, "face"),
    _picture("wide.png", array(lambda: np.zeros((1, 5000, 3), np.uint8)), LINE, "face"),
    _picture("odd.png", lambda path: portrait().crop((0, 0, 255, 253)).save(path), RESULT),
    # What they show
    _picture("black.png", array(lambda: np.zeros((128, 128, 3), np.uint8)), LINE, "face"),
    _picture("noise.png", array(lambda: _noise()), LINE, "face"),
    _picture("profile.png", profile, EITHER, "face"),
    _picture("cartoon.png", drawing(ears=False), EITHER, "face"),
    _picture("cat.png", drawing(ears=True), EITHER, "face"),
    _picture("crowd.png", crowd, EITHER, "face"),
    # Kinds of colour
    _picture("grey16.png", array(lambda: _grey().astype(np.uint16) * 257), RESULT),
    _picture("deep.png", opencv(lambda image: image.astype(np.uint16) * 257), RESULT),
    _picture("deep.tif", opencv(lambda image: image.astype(np.uint16) * 257), RESULT),
    _picture("print.jpg", saved("CMYK", quality=95), RESULT),
    _picture("print.tif", saved("CMYK"), RESULT),
    _picture("lab.tif", lab, RESULT),
    _picture("palette.png", lambda path: portrait().quantize(200).save(path, transparency=3), RESULT),
    _picture("clear.png", array(lambda: np.zeros((128, 128, 4), np.uint8)), LINE, "face"),
    _picture("grey_alpha.png", saved("LA"), RESULT),
    _picture("bits.png", saved("1"), EITHER, "face"),
    _picture("holes.tif", holes, RESULT),
    _picture("nothing.tif", array(lambda: np.full((64, 64), np.nan, np.float32)), LINE, "face"),
    _picture("negative.tif", array(lambda: np.full((64, 64), -9, np.float32)), LINE, "face"),
    _picture("light.hdr", opencv(linear), RESULT),
    _picture("light.tif", opencv(linear), RESULT),
    _picture("small.avif", saved(quality=80), RESULT),
    # Metadata
    _picture("turned.jpg", turned, RESULT),
    _picture("exif.jpg", with_exif(b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(30)), RESULT),
    _picture("profile_broken.png", saved(icc_profile=b"not a profile" * 9), RESULT),
    _picture("tail.jpg", lambda path: path.write_bytes(_bytes("JPEG") + b"more" * 999), RESULT),
    _picture("moving.gif", animation(), RESULT),
    _picture("pages.tif", animation(2), RESULT),
    # Names and kinds of file
    _picture("good_link.png", link(PORTRAIT), RESULT),
    _picture("circle.png", lambda path: path.symlink_to(path.name), LINE, "circle.png"),
    _picture("nowhere.png", link("missing.png"), LINE, "no such file"),
    _picture("folder.png", Path.mkdir, LINE, "no pictures in this folder"),
    _picture("unreadable.png", unreadable, RESULT if os.geteuid() == 0 else LINE, "permission"),
    _picture("pipe.png", os.mkfifo, LINE, "not a file"),
    _picture("zero.png", link("/dev/zero"), LINE, "not a file"),
    _picture("null.png", link("/dev/null"), LINE, "not a file"),
    _picture("größe 画像 🙂.png", saved(), RESULT),
    _picture("two\nlines.png", data(b"?"), LINE, "two lines.png"),
    _picture("-x.png", saved(), RESULT),
    _picture(os.fsdecode(b"not\xffutf8.png"), data(b"?"), LINE, "neither a picture"),
    _picture("n" * 300 + ".png", lambda path: None, LINE, "cannot be opened"),
    _picture("missing/x.png", lambda path: None, LINE, "no such file"),
]

DRIVERS = [
    *(_driver(f"cut{s}.mp4", cut_video(s), EITHER, "cut") for s in (0.01, 0.05, 0.3, 0.6, 0.95)),
    _driver("battery.mp4", indexed_at_the_end, LINE, "nor a video"),
    *(_driver(f"flipped{i}.mp4", damaged(DRIVER.read_bytes, i), EITHER) for i in range(4)),
    _driver("empty.mp4", data(b""), LINE, "empty"),
    _driver("text.mp4", data(b"This is not a video.\n" * 200), LINE, "nor a video"),
    _driver("noise.mp4", lambda path: path.write_bytes(_noise().tobytes()), LINE, "noise.mp4"),
    _driver("list.mp4", data(b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"), LINE, "nor a video"),
    _driver("concat.mp4", data(b"ffconcat version 1.0\nfile /etc/passwd\n"), LINE, "nor a video"),
    _driver("words.srt", data(b"1\n00:00:00,000 --> 00:00:01,000\nhello\n"), LINE, "nor a video"),
    _driver("sound.mp4", sound("aac"), LINE, "only sound"),
    _driver("sound.wav", sound("pcm_s16le"), LINE, "only sound"),
    _driver("no_frames.mp4", no_frames, LINE, "no_frames"),
    _driver("huge.avi", data(avi_header(60000, 60000)), LINE, "huge.avi"),
    _driver("sparse.mp4", sparse, LINE, "nor a video"),
    _driver("one.mp4", film(lambda images: images[:1], pixels="yuv420p"), RESULT),
    _driver("still.png", driver_picture(), RESULT),
    _driver("two_sizes.ts", two_sizes, RESULT),
    _driver("varying.mp4", film(times=lambda index: 0.02 * index**2, pixels="yuv420p"), RESULT),
    _driver("late.mkv", film(times=lambda index: 5000 + index / 15), RESULT),
    _driver("leap.mkv", film(times=lambda index: index / 15 + (40000 if index > 2 else 0)), RESULT),
    _driver("thousand.mp4", film(times=lambda index: index / 1000), RESULT),
    _driver("faceless.mp4", film(lambda images: [image * 0 + 90 for image in images]), LINE, "face"),
    _driver("tiny.mp4", film(lambda images: [image[:2, :2] for image in images]), LINE, "face"),
    _driver("blank_start.mp4", film(lambda images: [images[0] * 0, *images]), RESULT),
    _driver("deep.mkv", film(pixels="yuv444p10le"), RESULT),
    _driver("wrong_suffix.avi", link(DRIVER), RESULT),
    _driver("moving.gif", animation(), RESULT),
    _driver("moving.webp", animation(), RESULT),
    _driver("moving.png", animation(), RESULT),
    _driver("hurried.gif", animation(duration=0), RESULT),
    *(_driver(f"cut{s}.gif", cut_animation(s), EITHER, "cut") for s in (0.001, 0.5)),
    *(_driver(f"cut{s}.webp", cut_animation(s), EITHER, "cut") for s in (0.1, 0.7)),
    _driver("bomb.gif", data(gif_header(65535, 65535)), LINE, "pixels"),
    _driver("frames", folder(("2.png", driver_picture()), ("10.jpg", driver_picture())), RESULT),
    _driver("mixed", folder(("1.png", driver_picture()), ("2.png", driver_picture(128))), LINE, "one size"),
    _driver("rotten", folder(("1.png", driver_picture()), ("2.png", data(b"?"))), LINE, "2.png"),
    _driver("nothing", folder(), LINE, "no pictures"),
    _driver("piped", folder(("1.png", os.mkfifo)), LINE, "no pictures"),
    _driver("pipe.mp4", os.mkfifo, LINE, "not a file"),
    _driver("zero.mp4", link("/dev/zero"), LINE, "not a file"),
    _driver("circle.mp4", lambda path: path.symlink_to(path.name), LINE, "circle.mp4"),
    _driver("größe\n映像.mp4", link(DRIVER), RESULT),
]

MASKS = [
    _mask("small.png", array(lambda: np.zeros((64, 64), np.uint8)), LINE, "64×64"),
    _mask("black.png", array(lambda: np.zeros((256, 256), np.uint8)), EITHER),
    _mask("white.png", array(lambda: np.full((256, 256), 255, np.uint8)), RESULT),
    _mask("dot.png", array(lambda: _dot()), EITHER),
    _mask("ones.png", array(lambda: _upper(1)), RESULT),
    _mask("deep.png", array(lambda: _upper(65535).astype(np.uint16)), RESULT),
    _mask("holes.tif", array(lambda: np.where(_upper(1) > 0, 1, np.nan).astype(np.float32)), RESULT),
    _mask("cut.png", cut("PNG", 0.5), LINE, "damaged"),
    _mask("bomb.png", data(png(50000, 50000)), LINE, "pixels"),
    _mask("video.mp4", link(DRIVER), LINE, "not a picture"),
]

ODD_INPUTS = [*PICTURES, *DRIVERS, *MASKS]


def _bytes(format: str) -> bytes:
    import io

    buffer = io.BytesIO()
    portrait().save(buffer, format)
    return buffer.getvalue()


def _noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)


def _grey() -> np.ndarray:
    return np.asarray(portrait().convert("L"))


def _dot() -> np.ndarray:
    mask = np.zeros((256, 256), np.uint8)
    mask[60, 120] = 255
    return mask


def _upper(value: int) -> np.ndarray:
    mask = np.zeros((256, 256), np.int32)
    mask[:110] = value
    return mask.astype(np.uint8) if value < 256 else mask
