"""Still pictures, whatever made them, as 8-bit sRGB."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageCms, ImageOps

from durian.errors import DurianError
from durian.media.checks import check_file, check_pixels
from durian.media.hdr import tone_map
from durian.media.hdr_stills import hdr_to_srgb, hdr_transfer
from durian.media.linear import EXR_MAGIC, RADIANCE_MAGIC, TIFF_MAGIC, read_linear

# What Pillow may try: fewer decoders that strangers' files can reach, and no format that fits any bytes.
PILLOW_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "JPEG2000", "PPM")
_JPEG_XL_MAGIC = b"\xff\x0a", b"\0\0\0\x0cJXL "
_PICTURE_MAGIC = (
    *(b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
    *(EXR_MAGIC, RADIANCE_MAGIC, *TIFF_MAGIC, *_JPEG_XL_MAGIC),
    *(b"P%d" % digit for digit in range(1, 7)),
)
_WHITE = (255, 255, 255, 255)
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def read_image(path: str | os.PathLike[str]) -> UInt8[np.ndarray, "H W 3"]:
    """Read a picture as sRGB.

    EXIF rotation is applied, colour profiles are converted, transparency is laid over white, 16 bits are
    scaled to 8, and what is brighter than white (Radiance .hdr, OpenEXR, float TIFF; PNG, AVIF and HEIC of a
    PQ or HLG curve) is tone-mapped. Of an animation it is the first frame.

    Raises:
        DurianError: the file is missing, empty, damaged, far too large or not a picture.
    """
    path = Path(path)
    check_file(path)
    linear = read_linear(path)
    if linear is not None:
        return tone_map(linear)
    transfer = hdr_transfer(path)
    with open_picture(path) as image:
        if transfer is None:
            return upright_rgb(image, path)
        image.info.pop(
            "icc_profile", None
        )  # the curve says what the values are; a profile beside it is a stopgap
        return hdr_to_srgb(upright_rgb(image, path), transfer)


def read_mask(path: str | os.PathLike[str], shape: tuple[int, int] | None = None) -> Float[np.ndarray, "H W"]:
    """Read a mask: white (or opaque, where the picture has transparency) is 1, black is 0.

    A picture whose largest value is 1 is taken for one of zeros and ones.

    Args:
        path: a 1-bit, greyscale or colour picture, or one whose alpha channel is the mask.
        shape: (height, width) that the mask must have.

    Raises:
        DurianError: unreadable, or of another shape.
    """
    path = Path(path)
    with open_picture(path) as opened:
        image = _load_upright(opened, path)
    if image.mode.startswith(("I", "F")):
        mask = _deep_to_uint8(image)
    elif image.has_transparency_data:
        mask = np.asarray(image.convert("RGBA").getchannel("A"))
    else:
        mask = np.asarray(image.convert("L"))
    if mask.max() == 1:
        mask = mask * np.uint8(255)
    if shape is not None and mask.shape != tuple(shape):
        raise DurianError(
            f"{path}: the mask is {mask.shape[1]}×{mask.shape[0]} pixels but its picture is "
            f"{shape[1]}×{shape[0]}: give a mask of the picture's size"
        )
    return mask.astype(np.float32) / 255


def open_picture(path: Path) -> Image.Image:
    """Open a picture without decoding it, for use as a context manager.

    Raises:
        DurianError: it is none, or too large.
    """
    check_file(path)
    head = _head(path)
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        image = _open_heif(path)
    elif head.startswith(_JPEG_XL_MAGIC):
        raise DurianError(f"{path}: JPEG XL cannot be read here: save it as JPEG or PNG first")
    else:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # sizes are judged below, odd metadata do not matter
                image = Image.open(path, formats=PILLOW_FORMATS)
        except Image.DecompressionBombError as error:
            raise DurianError(f"{path}: the picture has too many pixels: shrink it first") from error
        # Pillow raises many kinds (OSError, ValueError, SyntaxError, struct.error, …) on damaged files.
        except Exception as error:
            raise DurianError(f"{path}: not a picture that can be read, or it is damaged") from error
    check_pixels(path, *image.size)
    return image


def is_picture(path: Path) -> bool:
    """Whether a file is a picture or an animation of pictures, and no video, judged by its first bytes."""
    head = _head(path)
    if head.startswith(_PICTURE_MAGIC):
        return True
    if head[:4] == b"RIFF":
        return head[8:12] == b"WEBP"
    return head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS | {b"avif", b"avis"}


def upright_rgb(image: Image.Image, path: Path) -> UInt8[np.ndarray, "H W 3"]:
    """Decode an opened picture (the current frame of an animation) as sRGB.

    Args:
        image: as `open_picture` gives it. path: of it, for messages.

    Raises:
        DurianError: it is damaged.
    """
    image = _load_upright(image, path)
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_deep_to_uint8(image))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, _WHITE), image)
    return np.array(_to_srgb(image))


def _head(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(16)


def _load_upright(image: Image.Image, path: Path) -> Image.Image:
    """Decode and turn upright; whatever goes wrong is one line for the user."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.load()
            return ImageOps.exif_transpose(image)
    except Exception as error:
        raise DurianError(f"{path}: not a picture that can be read, or it is damaged") from error


def _to_srgb(image: Image.Image) -> Image.Image:
    """RGB by the picture's own colour profile, where it has a usable one."""
    profile = image.info.get("icc_profile")
    try:
        if image.mode == "LAB":
            source = ImageCms.createProfile("LAB")
        elif not profile:
            return image.convert("RGB")
        else:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if "sRGB" in ImageCms.getProfileDescription(source):
                return image.convert("RGB")
            if image.mode not in ("RGB", "L", "CMYK"):
                image = image.convert("RGB")
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        return converted or image.convert("RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image.convert("RGB")


def _deep_to_uint8(image: Image.Image) -> UInt8[np.ndarray, "H W"]:
    """Grey of 16 or 32 bits or float to 8; floats up to 1 are taken for fractions."""
    values = np.asarray(image).astype(np.float64)
    finite = values[np.isfinite(values)]
    highest = finite.max(initial=0)
    if image.mode.startswith("I;16"):
        top = 1.0 if highest == 1 else 65535.0
    else:
        top = 1.0 if highest <= 1 else 255.0 if highest <= 255 else max(highest, 65535.0)
    values = np.nan_to_num(values, nan=0.0, posinf=top, neginf=0.0)
    return np.clip(np.round(values / top * 255), 0, 255).astype(np.uint8)


def _open_heif(path: Path) -> Image.Image:
    try:
        import pillow_heif
    except ImportError as error:
        raise DurianError(
            f"{path}: HEIC pictures need the package pillow-heif (uv sync --extra heif), "
            "or save it as JPEG first"
        ) from error
    try:
        heif = pillow_heif.open_heif(path, convert_hdr_to_8bit=True)
        check_pixels(path, *heif.size)
        return heif.to_pillow()
    except DurianError:
        raise
    except Exception as error:
        raise DurianError(f"{path}: not a picture that can be read, or it is damaged") from error
