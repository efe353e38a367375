"""mp4 and webm with sound."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation
from av.video.stream import VideoStream

from durian.media.formats import OutputFormat
from durian.media.sound import Sound
from durian.provenance import DIGITAL_SOURCE_TYPE, GENERATED_COMMENT, add_mp4_xmp

_BT709 = 1  # AVColorSpace
_ENCODERS = {
    OutputFormat.MP4: ("libx264", {"crf": "18", "preset": "medium"}),
    OutputFormat.WEBM: (
        "libvpx-vp9",
        {"crf": "24", "b:v": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"},
    ),
}
_QUALITY = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP


def write_container(
    path: Path,
    format: OutputFormat,
    frames: Iterable[np.ndarray],
    shape: tuple[int, int],
    fps: float,
    audio_from: str | os.PathLike[str] | None,
    audio_start: float,
) -> None:
    """As `durian.media.writer.write_video`; `shape` is (height, width) of the first frame."""
    rate = Fraction(fps).limit_denominator(65535)
    height, width = (side + side % 2 for side in shape)  # yuv420p halves both
    options = {"movflags": "+faststart"} if format is OutputFormat.MP4 else {}
    with av.open(str(path), "w", format=format.value[1:], options=options) as output:
        output.metadata["comment"] = GENERATED_COMMENT
        if format is OutputFormat.WEBM:  # mp4 keeps it as XMP
            output.metadata["DigitalSourceType"] = DIGITAL_SOURCE_TYPE
        name, settings = _ENCODERS[format]
        video = cast(VideoStream, output.add_stream(name, rate=rate, options=settings))
        _describe(video, width, height)
        # The sound's stream must exist before the first packet is written, hence opened here.
        with Sound(output, audio_from, audio_start) as sound:
            count = 0
            for count, image in enumerate(frames, 1):
                padding = [(0, height - image.shape[0]), (0, width - image.shape[1]), (0, 0)]
                frame = _to_yuv(np.pad(image, padding, "edge"))
                frame.pts, frame.time_base = count - 1, 1 / rate
                output.mux(video.encode(frame))
                # As the pictures grow the sound follows, so that players find both side by side.
                sound.write(until=count / rate)
            output.mux(video.encode(None))
            sound.write(until=count / rate)
    if format is OutputFormat.MP4:
        add_mp4_xmp(path)


def _describe(video: VideoStream, width: int, height: int) -> None:
    video.width, video.height, video.pix_fmt = width, height, "yuv420p"
    context = video.codec_context
    context.colorspace, context.color_range = _BT709, ColorRange.MPEG
    context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709


def _to_yuv(image: np.ndarray) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
        format="yuv420p",
        src_color_range=ColorRange.JPEG,
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        interpolation=_QUALITY,
    )
