"""What decides the contents of prepared clips."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from durian.errors import DurianError
from durian.portrait.attributes import ATTRIBUTES, check_attribute


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Filters(_Strict):
    """When a clip is not worth training on.

    The defaults were set by looking at clips on either side of them; they are there to be changed.
    """

    min_scale: float = Field(
        0.5, ge=0, description="pixels of the video for a pixel of the crop's side; less is a small face"
    )
    max_beyond: float = Field(
        0.3, ge=0, le=1, description="share of the crop that lies beyond the picture's border"
    )
    min_face_share: float = Field(
        0.9, ge=0, le=1, description="share of the frames in which the face is found"
    )
    max_yaw: float = Field(60.0, ge=0, description="degrees to either side, in any frame")
    max_pitch: float = Field(40.0, ge=0, description="degrees up or down, in any frame")
    max_roll: float = Field(40.0, ge=0, description="degrees of tilt, in any frame")
    max_other_face: float = Field(
        0.005, ge=0, le=1, description="share of the crop that another face covers, in any frame"
    )
    min_motion: float = Field(
        0.004,
        ge=0,
        description="how far landmarks wander (standard deviation), in distances between the eyes",
    )
    max_duplicates: float = Field(0.5, ge=0, le=1, description="share of frames that equal the one before")
    min_brightness: float = Field(25.0, ge=0, le=255, description="median grey value of the face")
    max_brightness: float = Field(235.0, ge=0, le=255, description="median grey value of the face")
    min_sharpness: float = Field(
        0.004, ge=0, description="variance of the Laplacian over the variance of grey, face at 128 pixels"
    )
    min_attribute: float = Field(
        0.003, ge=0, le=1, description="share of a frame that an attribute must cover to be seen in it"
    )
    min_attribute_share: float = Field(
        0.5, ge=0, le=1, description="share of the frames in which an attribute must be seen to count"
    )


class Settings(_Strict):
    """Two runs with equal settings make equal clips of equal videos.

    Attributes:
        size: side of the frames in pixels: 512 for `sd15`, 128 for `mini`.
        frames: of a clip.
        fps: frames a second of a clip; a slower video keeps its own rate.
        clips_per_video: at most so many, the first that pass.
        gap: seconds between the clips of one face.
        cut_threshold: how many times more than its neighbours a frame must differ from the one before to
            begin a scene.
        parser: where attribute masks come from, see `durian.portrait.parsers.open_parser`.
        attributes: those to look for.
        shard_clips: a shard is closed after the video that brings it to so many clips.
        filters: what is left out.
    """

    size: int = Field(512, ge=32, le=2048)
    frames: int = Field(16, ge=2, le=99)
    fps: float = Field(15.0, gt=0)
    clips_per_video: int = Field(8, ge=1)
    gap: float = Field(1.0, ge=0)
    cut_threshold: float = Field(3.0, gt=0)
    parser: str = "builtin"
    attributes: tuple[str, ...] = ATTRIBUTES
    shard_clips: int = Field(64, ge=1)
    filters: Filters = Filters()

    @field_validator("attributes")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            check_attribute(name)
        if not names:
            raise DurianError("no attribute to look for was named")
        return tuple(name for name in ATTRIBUTES if name in names)


def make_settings(values: Mapping[str, Any]) -> Settings:
    """Settings from what the user wrote.

    Raises:
        DurianError: naming each value that cannot be.
    """
    try:
        return Settings.model_validate(dict(values))
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise DurianError(f"settings that cannot be: {problems}") from error


def parse_filters(values: list[str]) -> dict[str, str]:
    """`["min_scale=0.4", …]` as values of `Filters`."""
    parsed: dict[str, str] = {}
    for value in values:
        name, _, number = value.partition("=")
        if name not in Filters.model_fields or not number:
            raise DurianError(
                f"--filter {value}: write NAME=NUMBER with NAME from {', '.join(Filters.model_fields)}"
            )
        parsed[name] = number
    return parsed
