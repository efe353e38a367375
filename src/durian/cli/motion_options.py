"""Options about faces and motion."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from durian.errors import DurianError
from durian.portrait.attributes import check_attribute

if TYPE_CHECKING:
    from durian.portrait.face_choice import FaceChoice
    from durian.portrait.motion_transfer import MotionOptions

_FACE = "Which of several faces: largest, a number from left to right, or X,Y in pixels."

PortraitFace = Annotated[str, typer.Option(help=f"In the portrait. {_FACE}")]
AttributeFace = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=FACE", help="In an attribute's picture, likewise.", show_default="the largest"
    ),
]
DrivingFace = Annotated[str, typer.Option(help=f"In the first frame that shows one. {_FACE}")]
Region = Annotated[
    list[str] | None,
    typer.Option(
        help="Take over only the motion of this: pose, eyes, brows or lips. Repeat for more.",
        show_default="all",
    ),
]
HeadScale = Annotated[float, typer.Option(min=0, help="How much of the head's motion to follow; 1 is all.")]
AbsolutePose = Annotated[
    bool,
    typer.Option("--absolute-pose", help="Turn the head as the driver's is, not from its own pose."),
]
Smoothing = Annotated[
    float, typer.Option(min=0, help="How steady the driver's landmarks are made; 0 is not at all.")
]


PasteBackOption = Annotated[
    bool, typer.Option("--paste-back", help="Put the result back into the whole portrait picture.")
]


@dataclass(frozen=True)
class MotionChoice:
    """What of the motion is taken over, as it was given."""

    region: Sequence[str] | None
    head_scale: float
    absolute: bool

    def __post_init__(self) -> None:
        if not self.region:
            return
        from durian.portrait.motion_transfer import REGIONS

        if unknown := [name for name in self.region if name not in REGIONS]:
            raise DurianError(f"--region {unknown[0]}: choose from {', '.join(REGIONS)}")

    def options(self) -> MotionOptions:
        """The same as the library takes it."""
        from durian.portrait.motion_transfer import REGIONS, MotionOptions

        regions = [name for name in REGIONS if not self.region or name in self.region]
        return MotionOptions(regions=regions, head_scale=self.head_scale, absolute=self.absolute)


@dataclass(frozen=True)
class Faces:
    """Which faces are meant in the inputs."""

    portrait: FaceChoice
    attributes: Mapping[str, FaceChoice]
    driver: FaceChoice


def parse_faces(
    attributes: Collection[str], portrait: str, chosen: Sequence[str] | None, driver: str
) -> Faces:
    """The choices of faces; `chosen` holds `NAME=FACE`.

    Raises:
        DurianError: one cannot be understood, or belongs to no attribute.
    """
    faces: dict[str, FaceChoice] = {}
    for value in chosen or ():
        name, _, face = value.partition("=")
        check_attribute(name)
        if name not in attributes:
            raise DurianError(f"--attribute-face {value}: there is no --attribute {name}=… it belongs to")
        faces[name] = parse_face(face, f"--attribute-face {value}")
    return Faces(parse_face(portrait, "--portrait-face"), faces, parse_face(driver, "--driving-face"))


def parse_face(text: str, option: str) -> FaceChoice:
    """One of several faces."""
    from durian.portrait.face_choice import FaceChoice

    try:
        return FaceChoice.parse(text)
    except DurianError as error:
        raise DurianError(f"{option}: {error}") from error
