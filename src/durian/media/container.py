"""Video files, decoded by FFmpeg."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import av.container
import av.error
import av.video.stream
import cv2
import numpy as np
from av.stream import Disposition

from durian.errors import DurianError
from durian.media.checks import MAX_PIXELS, check_pixels
from durian.media.colour import to_srgb
from durian.media.deinterlace import deinterlaced

# No playlists and no protocols: a file can make this program read no other file and no address.
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,h264,hevc,m4v,ivf,obu,mxf,nut,"
    "wav,mp3,aac,flac,dv,yuv4mpegpipe,gif,apng"
)
_RATES = 1.0, 240.0  # frames a second that a film can have; others come of damage or of odd time bases
READ_ERRORS = (av.error.FFmpegError, OSError, ValueError)


def open_container(path: Path) -> av.container.InputContainer:
    """Open a media file.

    Raises:
        av.error.FFmpegError, OSError, ValueError: it is none. See `READ_ERRORS`.
    """
    return av.open(f"file:{path}", options={"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"})


class ContainerFile:
    """The best picture track of a video file; see `durian.media.sources.Source`."""

    free_rate = False

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._container = open_container(path)
        except READ_ERRORS as error:
            raise DurianError(f"{path}: neither a picture nor a video that can be read") from error
        stream = choose_pictures(self._container)
        if stream is None:
            self._container.close()
            raise DurianError(f"{path}: there is no picture in this file, only sound or data")
        self._stream = stream
        try:
            check_pixels(path, stream.width, stream.height)
        except DurianError:
            self._container.close()
            raise
        self._stream.thread_type = "AUTO"
        self._stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        self.rate = _rate(self._stream)
        self.duration = _duration(self._container, self._stream)
        self.count = self._stream.frames or None
        if self.duration is not None and (self.count is None or self._stream.average_rate != self.rate):
            self.count = max(1, round(self.duration * self.rate))

    def frames(self, start: float) -> Iterator[tuple[float | None, np.ndarray]]:
        """As `Source.frames`; a file cut short gives the frames before the cut."""
        zero = start_of(self._stream)
        if start > 0:
            with suppress(*READ_ERRORS):  # where it fails, everything before is decoded
                self._container.seek(int((zero + start) * av.time_base))
        shape = None
        for frame in deinterlaced(self._decode()):
            check_pixels(self.path, frame.width, frame.height)
            image = to_srgb(frame, self._stream.sample_aspect_ratio)
            shape = shape or image.shape[:2]
            time = None if frame.time is None else frame.time - zero
            yield time, image if image.shape[:2] == shape else _fit(image, shape)

    def close(self) -> None:
        """Release the file."""
        self._container.close()

    def _decode(self) -> Iterator[av.VideoFrame]:
        count, fault = 0, None
        try:
            for packet in self._container.demux(self._stream):
                try:
                    for frame in packet.decode():
                        yield frame
                        count += 1
                except READ_ERRORS as error:  # one damaged packet: what follows may be good
                    fault = error
        except READ_ERRORS as error:
            fault = error
        if count == 0:
            what = "the video is damaged, no frame can be read" if fault else "the video has no frames"
            raise DurianError(f"{self.path}: {what}") from fault


def choose_pictures(container: av.container.InputContainer) -> av.video.stream.VideoStream | None:
    """The largest picture track that is not the cover of a sound file."""
    tracks = [
        stream
        for stream in container.streams.video
        if stream.codec_context is not None and not stream.disposition & Disposition.attached_pic
    ]
    return max(tracks, key=lambda track: track.width * track.height, default=None)


def start_of(stream: av.video.stream.VideoStream) -> float:
    """Seconds at which a track begins, on the clock of its file."""
    if stream.start_time is None or stream.time_base is None:
        return 0.0
    return float(stream.start_time * stream.time_base)


def _rate(stream: av.video.stream.VideoStream) -> float:
    """Frames a second: what the file was made at if its frames come so on average, else the average."""
    average, base = stream.average_rate, stream.base_rate
    if average and base and Fraction(9, 10) < average / base < Fraction(11, 10):
        rate = base
    else:
        rate = average or stream.guessed_rate or Fraction(25)
    return min(max(float(rate), _RATES[0]), _RATES[1])


def _duration(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def _fit(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The whole image in the middle of black of another size: some videos change size on the way."""
    height, width = shape
    factor = min(height / image.shape[0], width / image.shape[1])
    size = [max(1, round(side * factor)) for side in image.shape[:2]]
    result = np.zeros((height, width, 3), np.uint8)
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    scaled = cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    result[top : top + size[0], left : left + size[1]] = scaled
    return result
