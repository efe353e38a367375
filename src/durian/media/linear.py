"""Pictures in linear light, decoded by FFmpeg: OpenEXR, Radiance and colour float TIFF."""

from __future__ import annotations

from pathlib import Path

import av
import av.error
import numpy as np
from jaxtyping import Float
from PIL import Image

from durian.errors import DurianError
from durian.media.checks import MAX_PIXELS

EXR_MAGIC, RADIANCE_MAGIC, TIFF_MAGIC = b"\x76\x2f\x31\x01", b"#?", (b"II*\0", b"MM\0*")


def may_be_linear(path: Path) -> bool:
    """Whether a file is of a kind that can hold linear light, judged by its first bytes."""
    with open(path, "rb") as file:
        head = file.read(4)
    return head == EXR_MAGIC or head.startswith(RADIANCE_MAGIC) or head in TIFF_MAGIC


def read_linear(path: Path) -> Float[np.ndarray, "H W 3"] | None:
    """Linear light of a picture that holds it, with diffuse white at 1; None for any other.

    Raises:
        DurianError: it is damaged or too large.
    """
    with open(path, "rb") as file:
        head = file.read(4)
    if head == EXR_MAGIC:
        return _decode(path, "exr_pipe")
    if head.startswith(RADIANCE_MAGIC):
        return _decode(path, "hdr_pipe")
    if head in TIFF_MAGIC:
        try:
            Image.open(path, formats=["TIFF"]).close()
        except Image.DecompressionBombError:
            return None
        except Exception:  # Pillow knows float TIFF in grey only
            return _decode(path, "tiff_pipe")
    return None


def _decode(path: Path, format: str) -> np.ndarray:
    try:
        with av.open(f"file:{path}", format=format) as container:
            stream = container.streams.video[0]
            stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
            return _to_rgb(next(container.decode(stream)))
    except (av.error.FFmpegError, OSError, ValueError, IndexError, StopIteration) as error:
        raise DurianError(f"{path}: not a picture that can be read, or it is damaged") from error


def _to_rgb(frame: av.VideoFrame) -> np.ndarray:
    """Its values as they are: scaling filters would cut off what is brighter than white."""
    name = frame.format.name
    number = np.dtype("<f2" if name.endswith("f16le") else "<f4")
    if not name.endswith(("f16le", "f32le")):
        raise ValueError(f"{name} is not linear light")
    planes = [
        np.frombuffer(bytes(plane), number).reshape(frame.height, -1)[:, : frame.width * _samples(name)]
        for plane in frame.planes
    ]
    if name.startswith("gbr"):
        values = np.stack([planes[2], planes[0], planes[1]], -1)
    else:
        values = planes[0].reshape(frame.height, frame.width, -1)
        values = values.repeat(3, -1) if values.shape[-1] == 1 else values[..., :3]
    return values.astype(np.float32)


def _samples(name: str) -> int:
    """Of one pixel in one plane."""
    return 4 if name.startswith("rgba") else 3 if name.startswith("rgb") else 1
