"""Files that appear when they are complete."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from durian.errors import DurianError


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """Give a path beside `path` to write to, and rename it into place if all went well.

    It has the suffix of `path`. It may be made a folder, which takes the place of an empty folder or of none.

    Raises:
        DurianError: the folder cannot be written to, or the disk is full.
    """
    # Shortened, as names have a longest length.
    temporary = path.with_name(f".{os.getpid()}.{path.stem[:40]}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise DurianError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def same_file(one: Path, other: Path) -> bool:
    """Whether two names are of one existing file or folder."""
    try:
        return one.samefile(other)
    except (OSError, ValueError):  # one of them is not there, or cannot be
        return False
