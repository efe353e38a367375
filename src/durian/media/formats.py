"""What kinds of files an animation can be written to. Light: the command line imports it at once."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from durian.errors import DurianError


class OutputFormat(Enum):
    """By the suffix of the name."""

    MP4 = ".mp4"
    WEBM = ".webm"
    GIF = ".gif"
    WEBP = ".webp"
    PNG_FOLDER = ""

    @property
    def has_sound(self) -> bool:
        """Whether the driving video's sound can be kept."""
        return self in (OutputFormat.MP4, OutputFormat.WEBM)

    @classmethod
    def of(cls, path: Path) -> OutputFormat:
        """The format that a name asks for.

        Raises:
            DurianError: there is none of this suffix.
        """
        try:
            return cls(path.suffix.lower())
        except ValueError:
            raise DurianError(
                f"{path}: the result can be .mp4, .webm, .gif or .webp, or a folder of PNG pictures "
                "(a name without a suffix)"
            ) from None
