"""Prepared clips on disk: what each video gave, shards, and the manifest.

A video's clips are first a small tar of their own, in the folder `.prepare` of the output, with a record
beside it that is written last: what has a record is whole. When all videos of a shard are there, their tars
become the shard, in the videos' order, and the shard's record takes the place of theirs. So whenever a run
ends, the next one goes on, and what comes out does not depend on where it ended or in which order workers
were done.
"""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from durian.errors import DurianError
from durian.files import replacing
from durian.preparation.records import ShardRecord, VideoRecord, total
from durian.preparation.settings import Settings
from durian.preparation.sources import Source, file_key
from durian.preparation.video import Members, VideoClips

R = TypeVar("R", bound=BaseModel)

FORMAT = 1
"""Raised when the same video and settings would give other clips."""

MANIFEST = "manifest.json"
_WORK = ".prepare"


class Store:
    """The output folder of one preparation, see `claim`.

    Attributes:
        shards: that are complete.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder, self.settings = folder, settings
        self.shards: list[ShardRecord] = []
        self._work = folder / _WORK
        self._shards = self._work / "shards"

    def claim(self, fresh: bool = False) -> None:
        """Make the folder if it is not there, and see what it holds; workers need not.

        Args:
            fresh: remove what an earlier preparation left.

        Raises:
            DurianError: it cannot be written to, holds something else, or clips of other settings.
        """
        try:
            if fresh and self._work.is_dir():
                self._clear()
            if not self._work.is_dir() and any(self.folder.glob("*.tar")):
                raise DurianError(f"{self.folder} holds tar files of something else: choose another folder")
            self._shards.mkdir(parents=True, exist_ok=True)
            # What a killed run was writing.
            for leftover in (*self.folder.glob(".clips-*.tar.*"), *self._work.glob(".*.tar.*")):
                leftover.unlink()
        except OSError as error:
            raise DurianError(f"{self.folder}: cannot write there ({error.strerror})") from error
        self._check_settings()
        self.shards = [
            _read(ShardRecord, self._shards / f"{number:05d}.json")
            for number in range(len(list(self._shards.glob("*.json"))))
        ]
        if self.shards:
            self._forget(self.shards[-1])

    def record(self, source: Source) -> VideoRecord | None:
        """What is known of a video that waits for its shard."""
        path = self._path(source, ".json")
        record = _read(VideoRecord, path) if path.is_file() else None
        return record if record and record.size == source.size else None

    def write(self, source: Source, outcome: VideoClips | str) -> VideoRecord:
        """Keep a video's clips, or why it could not be read."""
        if isinstance(outcome, str):
            record = VideoRecord(name=source.name, size=source.size, error=outcome)
        else:
            record = VideoRecord(
                name=source.name,
                size=source.size,
                frames=outcome.frames,
                scenes=outcome.scenes,
                clips=len(outcome.clips),
                dropped=dict(sorted(outcome.dropped.items())),
                attributes=dict(sorted(outcome.attributes.items())),
            )
            with replacing(self._path(source, ".tar")) as path, tarfile.open(path, "w") as tar:
                for index, members in enumerate(outcome.clips):
                    _add(tar, f"{source.key}-{index:02d}", members)
        _write(self._path(source, ".json"), record.model_dump())
        return record

    def close_shard(self, sources: Sequence[Source]) -> ShardRecord:
        """Join these videos' clips into the next shard."""
        records = [self.record(source) for source in sources]
        shard = ShardRecord(number=len(self.shards), videos=tuple(r for r in records if r is not None))
        target = self.folder / shard.file
        if shard.clips:
            with replacing(target) as path, tarfile.open(path, "w") as tar:
                for source in sources:
                    _copy(self._path(source, ".tar"), tar)
        else:
            target.unlink(missing_ok=True)
        _write(self._shards / f"{shard.number:05d}.json", shard.model_dump())
        self.shards.append(shard)
        self._forget(shard)
        return shard

    def write_manifest(self) -> None:
        """Write what the folder holds."""
        videos = [video for shard in self.shards for video in shard.videos]
        manifest = {
            "format": FORMAT,
            "settings": self.settings.model_dump(mode="json"),
            "clips": sum(video.clips for video in videos),
            "attributes": total(video.attributes for video in videos),
            "dropped": total(video.dropped for video in videos),
            "shards": [{"file": shard.file, "clips": shard.clips} for shard in self.shards if shard.clips],
            "videos": [video.model_dump() for video in videos],
        }
        _write(self.folder / MANIFEST, manifest)

    def _path(self, source: Source, suffix: str) -> Path:
        return self._work / f"{source.key}{suffix}"

    def _forget(self, shard: ShardRecord) -> None:
        """Remove what is in a shard now from the work folder."""
        for video in shard.videos:
            for suffix in (".json", ".tar"):
                (self._work / f"{file_key(video.name)}{suffix}").unlink(missing_ok=True)

    def _check_settings(self) -> None:
        wanted = {"format": FORMAT, "settings": self.settings.model_dump(mode="json")}
        path = self._work / "settings.json"
        if not path.is_file():
            _write(path, wanted)
            return
        found = _load(path)
        if found == wanted:
            return
        differences = _differences(found, wanted) or "made by another version of durian"
        raise DurianError(
            f"{self.folder} holds clips of other settings ({differences}): "
            "choose another folder, or begin anew with --fresh"
        )

    def _clear(self) -> None:
        """Remove what a preparation wrote, and nothing else."""
        for record in self._shards.glob("*.json"):
            (self.folder / f"clips-{record.stem}.tar").unlink(missing_ok=True)
        # A shard whose record was not written yet comes after these.
        (self.folder / f"clips-{len(list(self._shards.glob('*.json'))):05d}.tar").unlink(missing_ok=True)
        (self.folder / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(self._work)


def _add(tar: tarfile.TarFile, name: str, members: Members) -> None:
    for member in sorted(members):
        info = tarfile.TarInfo(f"{name}.{member}")  # no time, no owner: equal clips are equal bytes
        info.size = len(members[member])
        tar.addfile(info, io.BytesIO(members[member]))


def _copy(source: Path, target: tarfile.TarFile) -> None:
    if not source.is_file():  # an unreadable video has none
        return
    with tarfile.open(source) as tar:
        for info in tar:
            target.addfile(info, tar.extractfile(info))


def _write(path: Path, value: dict[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DurianError(f"{path} cannot be read: begin anew with --fresh") from error


def _read(kind: type[R], path: Path) -> R:
    try:
        return kind.model_validate(_load(path))
    except ValidationError as error:
        raise DurianError(f"{path} is of another version of durian: begin anew with --fresh") from error


def _differences(found: Any, wanted: dict[str, Any]) -> str:
    if not isinstance(found, dict) or not isinstance(found.get("settings"), dict):
        return ""
    old, new = _flat(found["settings"]), _flat(wanted["settings"])
    return ", ".join(f"{key} {old.get(key)}, not {new.get(key)}" for key in new if old.get(key) != new[key])


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key != "filters"} | settings.get("filters", {})
