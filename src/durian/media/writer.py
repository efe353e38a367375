"""Animations on disk, in the format that the name asks for."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from durian.errors import DurianError
from durian.files import replacing
from durian.media.checks import check_output
from durian.media.formats import OutputFormat
from durian.provenance import marked

if TYPE_CHECKING:
    from durian.signing import Signing


def write_video(
    path: str | os.PathLike[str],
    frames: Iterable[UInt8[np.ndarray, "H W 3"]],
    fps: float,
    audio_from: str | os.PathLike[str] | None = None,
    audio_start: float = 0.0,
    *,
    mark: bool = False,
    signing: Signing | None = None,
) -> None:
    """Write an animation that says in its metadata that it is generated.

    It appears under its name when it is complete; after a failure nothing is left.

    Args:
        path: where to; the suffix is the format: `.mp4` (H.264, every player shows it), `.webm` (VP9),
            `.gif`, `.webp`, or none for a folder of PNG pictures.
        frames: RGB frames of one size, taken one at a time. In mp4 and webm an odd width or height gets one
            more column or row.
        fps: frames a second.
        audio_from: a file whose first sound track is kept, as it is where the format can hold it, cut at the
            end of the pictures. GIF, WebP and pictures have no sound.
        audio_start: seconds of `audio_from`, counted from its first picture, at which the first frame is.
        mark: lay a small badge over a corner that says that it is generated.
        signing: who signs it, with a C2PA manifest.

    Raises:
        DurianError: no frames, an unknown suffix, the folder cannot be written to, or `audio_from` is
            unreadable.
    """
    path = Path(path)
    format = OutputFormat.of(path)
    check_output(path)
    iterator = iter(frames)
    first = next(iterator, None)
    if first is None:
        raise DurianError(f"{path}: there are no frames to write")
    frames = chain([first], iterator)
    if mark:
        frames = marked(frames)
    with replacing(path) as temporary:
        if format.has_sound:
            from durian.media.container_writer import write_container

            write_container(temporary, format, frames, first.shape[:2], fps, audio_from, audio_start)
        else:
            from durian.media import picture_writer

            write = {
                OutputFormat.GIF: picture_writer.write_gif,
                OutputFormat.WEBP: picture_writer.write_webp,
                OutputFormat.PNG_FOLDER: picture_writer.write_png_folder,
            }[format]
            write(temporary, frames, first.shape[:2], fps)
        if signing is not None:
            signing.sign(temporary, format, path.name)
