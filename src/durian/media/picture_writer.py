"""Animated GIF and WebP, and folders of PNG."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from PIL import Image

from durian.provenance import add_gif_xmp, add_webp_xmp, png_metadata

_GIF_CLOCK = Fraction(1, 100)
_LEAST_GIF_DELAY = 2  # hundredths of a second: browsers slow anything faster down to 100 ms
_WEBP_CLOCK = Fraction(1, 1000)


def write_gif(path: Path, frames: Iterable[np.ndarray], shape: tuple[int, int], fps: float) -> None:
    """Loops for ever. GIF counts hundredths of a second: delays alternate so that the whole keeps its length.

    Above 50 frames a second, frames are left out.
    """
    last = -_LEAST_GIF_DELAY
    delay = max(_LEAST_GIF_DELAY, round(1 / fps / _GIF_CLOCK))
    options = {"loop": "0", "final_delay": str(delay)}
    with av.open(str(path), "w", format="gif", options=options) as output:
        stream = output.add_stream("gif", rate=100)
        (stream.height, stream.width), stream.pix_fmt = shape, "pal8"
        for index, image in enumerate(frames):
            stamp = round(index / fps / _GIF_CLOCK)
            if stamp < last + _LEAST_GIF_DELAY:
                continue
            last = stamp
            frame = av.VideoFrame.from_ndarray(cast(Any, _quantised(image)), format="pal8")
            frame.pts, frame.time_base = stamp, _GIF_CLOCK
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    add_gif_xmp(path)


def write_webp(path: Path, frames: Iterable[np.ndarray], shape: tuple[int, int], fps: float) -> None:
    """Loops for ever; lossy, of high quality. Only compressed frames are held."""
    with av.open(str(path), "w", format="webp", options={"loop": "0"}) as output:
        stream = output.add_stream("libwebp_anim", rate=1000, options={"quality": "90"})
        (stream.height, stream.width), stream.pix_fmt = shape, "bgra"
        for index, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="bgra")
            frame.pts, frame.time_base = round(index / fps / _WEBP_CLOCK), _WEBP_CLOCK
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    add_webp_xmp(path)


def write_png_folder(path: Path, frames: Iterable[np.ndarray], shape: tuple[int, int], fps: float) -> None:
    """`00000.png`, `00001.png`, …; the rate is in the metadata of each."""
    path.mkdir()
    info = png_metadata()
    info.add_text("Frame-Rate", f"{fps:.6g}")
    for index, image in enumerate(frames):
        Image.fromarray(image).save(path / f"{index:05d}.png", pnginfo=info)


def _quantised(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices and a palette of 256 colours as ARGB bytes."""
    coarse = Image.fromarray(image).quantize(255, Image.Quantize.MEDIANCUT)
    dithered = Image.fromarray(image).quantize(palette=coarse, dither=Image.Dither.FLOYDSTEINBERG)
    colours = np.asarray(dithered.getpalette("RGB"), np.uint8).reshape(-1, 3)
    palette = np.zeros((256, 4), np.uint8)
    palette[:, 0] = 255
    palette[: len(colours), 1:] = colours
    return np.asarray(dithered), palette
