"""Files that appear when they are complete."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from durian.errors import DurianError


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """Give a path beside `path` to write to, and rename it into place if all went well.

    Raises:
        DurianError: the folder cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise DurianError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
