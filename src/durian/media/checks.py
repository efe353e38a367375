"""Whether files can be read and written, before any work is done."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from durian.errors import DurianError
from durian.media.formats import OutputFormat

_LONGEST_NAME = 255  # bytes, of most file systems
MAX_PIXELS = 89_000_000
"""Of one picture. More is a mistake or an attack: a few kilobytes can unpack to gigabytes."""


def check_file(path: Path) -> None:
    """Raise `DurianError` unless `path` is a readable regular file with something in it.

    Pipes and devices are refused unopened: they might never end, or never begin.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise DurianError(f"{path}: is not a file")
        with open(path, "rb"):
            pass
    except FileNotFoundError as error:
        raise DurianError(f"{path}: there is no such file") from error
    except PermissionError as error:
        raise DurianError(f"{path}: no permission to read this file") from error
    except (OSError, ValueError) as error:  # symbolic links in a circle, names that cannot be
        raise DurianError(
            f"{path}: cannot be opened ({getattr(error, 'strerror', None) or error})"
        ) from error
    if status.st_size == 0:
        raise DurianError(f"{path}: the file is empty")


def is_folder(path: Path) -> bool:
    """As `Path.is_dir`, and False for names that cannot be."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def check_pixels(path: Path, width: int, height: int) -> None:
    """Raise `DurianError` if a picture is unreasonably large."""
    if width * height > MAX_PIXELS:
        raise DurianError(
            f"{path}: {width}×{height} are too many pixels (at most {MAX_PIXELS // 10**6} million): "
            "shrink it first"
        )


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise `DurianError` if no file can be written at `path`: call it before the long work, not after."""
    path = Path(path)
    if is_folder(path):
        raise DurianError(f"{path}: is a folder: give the name of a file in it")
    _check_parent(path)


def check_output(path: str | os.PathLike[str]) -> None:
    """Raise `DurianError` if no animation can be written at `path`, in the format that its suffix says."""
    path = Path(path)
    if OutputFormat.of(path) is not OutputFormat.PNG_FOLDER:
        check_writable(path)
        return
    if os.path.lexists(path) and not is_folder(path):
        raise DurianError(f"{path}: is a file: give the name of a new folder")
    if is_folder(path) and any(path.iterdir()):
        raise DurianError(f"{path}: this folder is not empty: give the name of a new one")
    _check_parent(path)


def _check_parent(path: Path) -> None:
    if len(os.fsencode(path.name)) > _LONGEST_NAME:
        raise DurianError(f"{path}: this name is too long")
    if not is_folder(path.parent):
        raise DurianError(f"{path}: the folder {path.parent} does not exist: create it first")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise DurianError(f"{path}: cannot write into the folder {path.parent}") from error
