"""Decoded video frames as upright sRGB with square pixels."""

from __future__ import annotations

from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.video.reformatter import ColorRange, Colorspace, ColorTrc, Interpolation
from jaxtyping import UInt8

from durian.media.hdr import from_hlg, from_pq

_UNSPECIFIED, _RGB = 2, 0  # AVColorSpace
_BT2020 = (9, 10)
_QUALITY = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


def to_srgb(frame: av.VideoFrame, aspect: Fraction | None = None) -> UInt8[np.ndarray, "H W 3"]:
    """Convert a decoded frame.

    The matrix and the range are those that the frame names. Where it names none, BT.709 for what is larger
    than television once was and BT.601 below, as players do. PQ and HLG are tone-mapped.

    Args:
        frame: of any pixel format.
        aspect: width to height of one pixel; the shorter side is stretched, so that no detail is lost.
    """
    width, height = _square_pixels(frame.width, frame.height, aspect)
    hdr = {ColorTrc.SMPTE2084: from_pq, ColorTrc.ARIB_STD_B67: from_hlg}.get(frame.color_trc)
    converted = frame.reformat(
        width=width,
        height=height,
        format="rgb48le" if hdr else "rgb24",
        src_colorspace=_matrix(frame, hdr is not None),
        src_color_range=_range(frame),
        dst_color_range=ColorRange.JPEG,
        interpolation=_QUALITY,
    ).to_ndarray()
    image = hdr(converted) if hdr else converted
    # PyAV's stub declares another type: https://github.com/PyAV-Org/PyAV, av/frame.pyi.
    data = cast(SideDataContainer, frame.side_data)
    return _upright(image, bytes(data["DISPLAYMATRIX"])) if "DISPLAYMATRIX" in data else image


def _upright(image: np.ndarray, display: bytes) -> np.ndarray:
    """Turned by quarters and mirrored as a display matrix says: (x, y) is shown at (a·x + c·y, b·x + d·y).

    `VideoFrame.rotation` knows the turns alone, and gives a mirrored picture the wrong one.
    """
    a, b, _, c, d = np.frombuffer(display, np.int32)[:5].astype(int)
    if abs(b) + abs(c) > abs(a) + abs(d):  # x and y change places
        image, across, down = image.swapaxes(0, 1), c, b
    else:
        across, down = a, d
    return np.ascontiguousarray(image[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1])


def _square_pixels(width: int, height: int, aspect: Fraction | None) -> tuple[int, int]:
    if not aspect or aspect == 1 or not Fraction(1, 8) <= aspect <= 8:  # beyond that it is damage
        return width, height
    return (round(width * aspect), height) if aspect > 1 else (width, round(height / aspect))


def _matrix(frame: av.VideoFrame, hdr: bool) -> int | None:
    if frame.format.is_rgb or frame.colorspace == _RGB:
        return None
    if frame.colorspace in _BT2020:
        return Colorspace.BT2020
    if frame.colorspace != _UNSPECIFIED:
        return None  # PyAV hands on what the frame names
    if hdr:
        return Colorspace.BT2020
    large = frame.width >= 1280 or frame.height > 576
    return Colorspace.ITU709 if large else Colorspace.ITU601


def _range(frame: av.VideoFrame) -> int | None:
    if frame.format.is_rgb or frame.format.name.startswith("yuvj"):
        return ColorRange.JPEG
    return frame.color_range or ColorRange.MPEG
