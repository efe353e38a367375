"""Many videos: workers, shards as they become complete, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import av.error
import cv2

from durian.errors import DurianError
from durian.portrait.parsers import AttributeParser, open_parser
from durian.preparation.records import VideoRecord, total
from durian.preparation.settings import Settings
from durian.preparation.sources import Source, find_sources
from durian.preparation.store import Store
from durian.preparation.video import cut_clips

Executor = Callable[[Callable[..., str], Sequence[tuple]], Iterator[str]]
"""Calls a function for each job, anywhere, and yields the results as they come."""


_READ_ERRORS = (DurianError, av.error.FFmpegError, cv2.error)


@dataclass(frozen=True)
class Summary:
    """What a folder of prepared clips holds, by video."""

    videos: tuple[VideoRecord, ...]
    shards: int

    @property
    def clips(self) -> int:
        """How many clips were kept."""
        return sum(video.clips for video in self.videos)

    @property
    def dropped(self) -> dict[str, int]:
        """How often by reason, the most frequent first."""
        return total(video.dropped for video in self.videos)

    @property
    def attributes(self) -> dict[str, int]:
        """How many clips show each attribute, the most frequent first."""
        return total(video.attributes for video in self.videos)

    @property
    def unreadable(self) -> dict[str, str]:
        """The error by video."""
        return {video.name: video.error for video in self.videos if video.error is not None}


def prepare_videos(
    paths: Sequence[Path],
    folder: Path,
    settings: Settings,
    execute: Executor,
    *,
    fresh: bool = False,
    device: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Prepare videos into shards, going on from what the folder holds.

    Args:
        paths: videos, and folders that are searched for them.
        folder: of the shards; made if it is not there.
        settings: of the clips.
        execute: where the work is done, one job for each video.
        fresh: begin anew.
        device: of the parser's network.
        progress: called with videos done and videos in all.

    Raises:
        DurianError: no videos, no such parser, a folder of other settings or that cannot be written to, or
            a video that has changed since. A video that cannot be read is in the summary.
    """
    sources = find_sources(paths)
    # Workers elsewhere have a working directory of their own.
    folder, parser = folder.resolve(), _absolute(settings.parser)
    known = open_parser(parser, device).attributes  # in vain before hours of work, if it fails
    if not set(known) & set(settings.attributes):
        raise DurianError(
            f"the parser {settings.parser} finds {', '.join(known)} and none of "
            f"{', '.join(settings.attributes)}: name others, or another parser"
        )
    store = Store(folder, settings)
    store.claim(fresh)
    pending = _pending(sources, store)
    waiting = {source.name: source for source in pending if store.record(source) is None}
    done = len(sources) - len(waiting)
    closer = _ShardCloser(store, pending, settings.shard_clips)
    if progress is not None:
        progress(done, len(sources))
    closer.advance()
    jobs = [(source, folder, settings, parser, device) for source in waiting.values()]
    for name in execute(prepare_video, jobs):
        if store.record(waiting[name]) is None:
            raise DurianError(
                f"{folder}: what a worker wrote for {name} is not here: "
                "the videos and the output must be on storage that all machines share"
            )
        done += 1
        if progress is not None:
            progress(done, len(sources))
        closer.advance()
    if done != len(sources):
        raise RuntimeError(f"{len(sources) - done} jobs were lost")
    closer.finish()
    store.write_manifest()
    videos = tuple(video for shard in store.shards for video in shard.videos)
    return Summary(videos, sum(shard.clips > 0 for shard in store.shards))


def prepare_video(source: Source, folder: Path, settings: Settings, parser: str, device: str | None) -> str:
    """One job: prepare a video, keep what came of it in the folder, and return the video's name.

    `parser` is that of the settings, with an absolute path where it is a folder.
    """
    if not source.path.is_file():
        raise DurianError(
            f"{source.path}: no longer there, or not on this machine: "
            "videos must be on storage that all machines share"
        )
    find_attributes = _open_parser(parser, device)
    store = Store(folder, settings)
    try:
        outcome = cut_clips(source.path, source.name, settings, find_attributes)
    except _READ_ERRORS as error:
        outcome = " ".join(str(error).removeprefix(f"{source.path}: ").split())
    store.write(source, outcome)
    return source.name


@cache  # a network takes seconds to load, and a worker gets many videos
def _open_parser(name: str, device: str | None) -> AttributeParser:
    return open_parser(name, device)


def _absolute(parser: str) -> str:
    return str(Path(parser).resolve()) if Path(parser).exists() else parser


def _pending(sources: Sequence[Source], store: Store) -> list[Source]:
    """The videos that are in no shard yet."""
    sizes = {video.name: video.size for shard in store.shards for video in shard.videos}
    for source in sources:
        if sizes.get(source.name, source.size) != source.size:
            raise DurianError(
                f"{source.path} has changed since it was prepared: choose another folder, "
                "or begin anew with --fresh"
            )
    return [source for source in sources if source.name not in sizes]


class _ShardCloser:
    """Closes shards in the videos' order, each as soon as all its videos are there."""

    def __init__(self, store: Store, sources: Sequence[Source], clips: int) -> None:
        self._store, self._sources, self._clips = store, sources, clips
        self._next = 0
        self._open: list[Source] = []
        self._count = 0

    def advance(self) -> None:
        while self._next < len(self._sources):
            source = self._sources[self._next]
            record = self._store.record(source)
            if record is None:
                return
            self._next += 1
            self._open.append(source)
            self._count += record.clips
            if self._count >= self._clips:
                self.finish()

    def finish(self) -> None:
        if self._open:
            self._store.close_shard(self._open)
            self._open, self._count = [], 0
