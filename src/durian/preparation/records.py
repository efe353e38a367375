"""What became of each video, and which shard it is in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict


class VideoRecord(BaseModel):
    """What became of a video.

    Attributes:
        name, size: of the file, its size in bytes.
        error: why it could not be read, if so.
        frames, scenes: that were looked at.
        clips: that were kept.
        dropped: how often by reason. attributes: how many clips show each.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    size: int
    error: str | None = None
    frames: int = 0
    scenes: int = 0
    clips: int = 0
    dropped: dict[str, int] = {}
    attributes: dict[str, int] = {}


class ShardRecord(BaseModel):
    """A shard and the videos in it; a shard that no clip came into has no file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int
    videos: tuple[VideoRecord, ...]

    @property
    def clips(self) -> int:
        """How many clips are in it."""
        return sum(video.clips for video in self.videos)

    @property
    def file(self) -> str:
        """Its file name."""
        return f"clips-{self.number:05d}.tar"


def total(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Sum of counts by name, the most frequent first."""
    sums: dict[str, int] = {}
    for count in counts:
        for name, value in count.items():
            sums[name] = sums.get(name, 0) + value
    return dict(sorted(sums.items(), key=lambda item: (-item[1], item[0])))
