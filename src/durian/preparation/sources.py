"""The videos to prepare, and their names."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from durian.errors import DurianError

VIDEO_SUFFIXES = frozenset(
    (".avi", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ts", ".webm", ".wmv")
)


@dataclass(frozen=True)
class Source:
    """One video.

    Attributes:
        name: its path from the folder that was given on, with `/`; the same wherever that folder lies.
        path: on this machine.
        size: of the file in bytes.
    """

    name: str
    path: Path
    size: int

    @property
    def key(self) -> str:
        """Its name as a part of file names."""
        return file_key(self.name)


def file_key(name: str) -> str:
    """A video's name as a part of file names: readable and unique, and without dots, at which webdataset
    would split it."""
    readable = re.sub(r"[^A-Za-z0-9_-]+", "_", Path(name).stem)[:40]
    return f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:10]}"


def find_sources(paths: Sequence[Path]) -> list[Source]:
    """The given files, and all videos in the given folders and below, by name.

    Raises:
        DurianError: nothing there, no video, or two videos of one name.
    """
    sources: dict[str, Source] = {}
    for path in paths:
        if not path.exists():
            raise DurianError(f"{path}: there is no such file or folder")
        root = path.resolve()
        for file in _videos(root) if root.is_dir() else [root]:
            source = Source(file.relative_to(root.parent).as_posix(), file, file.stat().st_size)
            other = sources.setdefault(source.name, source)
            if other.path != file:
                raise DurianError(
                    f"{file} and {other.path} would both be called {source.name}: "
                    "give the folder that holds both of them"
                )
    if not sources:
        raise DurianError(f"no videos in {', '.join(map(str, paths))}: their names end in {_suffixes()}")
    # One file under two names (given itself, and in a folder that was given) is one video.
    unique = {source.path: source for _, source in sorted(sources.items(), reverse=True)}
    return sorted(unique.values(), key=lambda source: source.name)


def _videos(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if path.suffix.lower() in VIDEO_SUFFIXES and not name.startswith(".") and path.is_file():
                yield path


def _suffixes() -> str:
    return ", ".join(sorted(VIDEO_SUFFIXES))
