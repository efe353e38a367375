"""Small video files of kinds that `write_video` does not make."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

MILLISECOND = Fraction(1, 1000)


def write_film(
    path: Path,
    images: Sequence[np.ndarray],
    times: Sequence[float],
    *,
    codec: str = "libx264",
    source: str = "rgb24",
    pixels: str = "yuv444p",
    matrix: str = "ITU601",
    full_range: bool = False,
    tags: dict[str, Any] | None = None,
    options: dict[str, str] | None = None,
    clicks: Sequence[float] = (),
    sound_codec: str = "aac",
    seconds: float = 0.0,
) -> None:
    """Encode frames at given times, and if `seconds` of sound are wanted, silence with clicks in it.

    Args:
        source: the pixel format of the images. pixels: of the film.
        matrix, full_range: how RGB becomes YUV; `tags` says what the file tells about it.
    """
    rate = 48000
    with av.open(str(path), "w") as output:
        video = output.add_stream(codec, rate=1000, options=options or {"crf": "4"})
        video.height, video.width = images[0].shape[:2]
        video.pix_fmt, video.time_base = pixels, MILLISECOND
        video.codec_context.time_base = MILLISECOND
        for name, value in (tags or {}).items():
            setattr(video.codec_context, name, value)
        sound = output.add_stream(sound_codec, rate=rate, layout="mono") if seconds else None
        for time, image in zip(times, images, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format=source).reformat(
                format=pixels,
                src_color_range="JPEG",
                dst_colorspace=matrix,
                dst_color_range="JPEG" if full_range else "MPEG",
            )
            frame.pts, frame.time_base = round(time * 1000), MILLISECOND
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        if sound:
            wave = np.zeros(int(rate * seconds), np.float32)
            for click in clicks:
                wave[int(click * rate) : int(click * rate) + 480] = 0.9 * np.sin(np.arange(480) * 0.5)
            frame = av.AudioFrame.from_ndarray((wave[None] * 32767).astype(np.int16), "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
            output.mux([*sound.encode(frame), *sound.encode(None)])


def flashes(
    times: Sequence[float], at: Sequence[float], size: tuple[int, int] = (32, 32)
) -> list[np.ndarray]:
    """Black frames, white for a tenth of a second from each of some times on."""
    white = [any(moment <= time + 1e-6 < moment + 0.1 for moment in at) for time in times]
    return [np.full((*size, 3), 255 * value, np.uint8) for value in white]


def click_times(path: Path) -> list[float]:
    """Seconds at which clicks begin in a file's sound, on the file's clock."""
    found: list[float] = []
    last = -1.0
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            samples = np.abs(frame.to_ndarray().astype(np.float64)).reshape(-1)
            samples /= 32767 if frame.format.name.startswith("s16") else 1
            for index in np.flatnonzero(samples > 0.3):
                time = float(frame.time) + index / frame.rate
                if time - last > 0.1:
                    found.append(time)
                last = time
    return found
