"""The driver's sound, put beside the pictures of an animation."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import av.container

from durian.errors import DurianError
from durian.media.checks import check_file, is_folder
from durian.media.container import READ_ERRORS, choose_pictures, open_container, start_of
from durian.media.images import is_picture

_LEAD = Fraction(1, 10)  # seconds before the start that decoders of AAC need, and that mp4 hides
# What players expect in each container; anything else is recoded to the encoder named last.
_MP4 = {"aac", "mp3", "ac3", "eac3", "alac", "opus"}, "aac"
_WEBM = {"opus", "vorbis"}, "libopus"


class Sound:
    """Copies the first sound track of a file, as it is where the container can hold it.

    Args:
        output: gets a sound track if `path` has one.
        path: a video or sound file; pictures and folders of pictures have no sound.
        start: seconds since the first picture of `path` that are time zero of the output.

    Raises:
        DurianError: the file cannot be read.
    """

    def __init__(
        self, output: av.container.OutputContainer, path: str | os.PathLike[str] | None, start: float
    ) -> None:
        self._output, self._source = output, None
        self._packets: Iterator[av.Packet] = iter(())
        self._waiting: av.Packet | None = None
        source = _open(path)
        if source is None:
            return
        self._source = source
        track = source.streams.audio[0]
        pictures = choose_pictures(source)
        zero = start_of(pictures) if pictures else 0.0
        self._zero = Fraction(zero + start).limit_denominator(10**6)
        kept, encoder = _WEBM if output.format.name == "webm" else _MP4
        # Only mp4 has edit lists, which hide what is before its beginning.
        self._lead = _LEAD if encoder == "aac" else Fraction(0)
        if track.codec.canonical_name in kept:
            self._stream = output.add_stream_from_template(track)
            self._packets = self._copy(source)
        else:
            rate = 48000 if encoder == "libopus" else track.rate
            layout = "mono" if track.channels == 1 else "stereo"
            self._stream = output.add_stream(encoder, rate=rate, layout=layout)
            self._packets = self._recode(source)
        if start > 0:
            with suppress(*READ_ERRORS):
                source.seek(int((self._zero - 1) * av.time_base))

    def write(self, until: Fraction) -> None:
        """Write what sounds before a time of the output, in seconds."""
        packet = self._waiting or next(self._packets, None)
        while packet is not None and _time(packet) < until:
            self._output.mux(packet)
            packet = next(self._packets, None)
        self._waiting = packet

    def __enter__(self) -> Sound:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._source is not None:
            self._source.close()

    def _copy(self, source: av.container.InputContainer) -> Iterator[av.Packet]:
        for packet in _demux(source):
            shift = int(self._zero / packet.time_base)
            pts = packet.pts or 0
            packet.dts = (pts if packet.dts is None else packet.dts) - shift
            packet.pts = pts - shift
            if _time(packet) >= -self._lead:
                packet.stream = self._stream
                yield packet

    def _recode(self, source: av.container.InputContainer) -> Iterator[av.Packet]:
        for packet in _demux(source):
            with suppress(*READ_ERRORS):  # one damaged packet: what follows may be good
                for frame in packet.decode():
                    time = frame.pts * frame.time_base - self._zero
                    if time >= 0:
                        frame.pts, frame.time_base = round(time * frame.rate), Fraction(1, frame.rate)
                        yield from self._stream.encode(frame)
        yield from self._stream.encode(None)


def _time(packet: av.Packet) -> Fraction:
    """Of a packet that has one, in seconds."""
    return Fraction(packet.pts or 0) * (packet.time_base or 1)


def _demux(source: av.container.InputContainer) -> Iterator[av.Packet]:
    """Packets of sound that have times, up to the end or to where the file is damaged."""
    with suppress(*READ_ERRORS):
        for packet in source.demux(source.streams.audio[0]):
            if packet.pts is not None and packet.time_base is not None:
                yield packet


def _open(path: str | os.PathLike[str] | None) -> av.container.InputContainer | None:
    """The file's container if it has sound, else None."""
    if path is None or is_folder(Path(path)):
        return None
    try:
        check_file(Path(path))
        if is_picture(Path(path)):
            return None
        container = open_container(Path(path))
    except (DurianError, *READ_ERRORS) as error:
        raise DurianError(f"{path}: the sound cannot be read") from error
    if container.streams.audio:
        return container
    container.close()
    return None
