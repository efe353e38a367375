"""Options of the pictures that references are made from, and reading them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from durian.cli.motion_options import Faces
from durian.errors import DurianError

if TYPE_CHECKING:
    import numpy as np

    from durian.demo import Report
    from durian.portrait.views import View

Portrait = Annotated[
    Path,
    typer.Option(
        help="Picture of the person to animate; or a video of them, or a folder of pictures by one camera: "
        "what one does not show, another may."
    ),
]
AttributePicture = Annotated[
    list[str],
    typer.Option(
        metavar="NAME=FILE",
        help="hair, glasses, beard or hat, and a picture of someone who wears it; or a video, or a folder of "
        "pictures of it. Repeat for more.",
    ),
]
Views = Annotated[
    int, typer.Option(min=1, help="So many pictures at most are taken from each video, the most unlike ones.")
]


@dataclass(frozen=True)
class Pictures:
    """All pictures of the references, the first of each before the others."""

    portrait: list[View]
    attributes: dict[str, list[View]]
    ends: dict[str, list[View]]

    def check_masks(self, portrait: bool, attributes: Collection[str], ends: Collection[str]) -> None:
        """Who gives a mask must know which picture it is of: what has one must be a single picture.

        Raises:
            DurianError: it is not.
        """
        masked = [("--portrait-mask", self.portrait)] if portrait else []
        masked += [(f"the mask or click of {name}", self.attributes[name]) for name in attributes]
        masked += [(f"--to-mask {name}", self.ends[name]) for name in ends]
        for option, pictures in masked:
            if len(pictures) > 1:
                raise DurianError(
                    f"{option}: of several pictures it would be of one alone: leave it out, then masks are "
                    "found in all of them, or give a single picture"
                )


def read_pictures(
    portrait: Path,
    attributes: Mapping[str, Path],
    ends: Mapping[str, Path],
    count: int,
    faces: Faces,
    report: Report,
) -> Pictures:
    """Read them all; of videos at most `count` frames."""
    from durian.portrait.face_choice import LARGEST
    from durian.views import read_views

    def told(title: str) -> partial[None]:
        return partial(report, f"Pictures of {title}")

    return Pictures(
        read_views(portrait, count, faces.portrait, told("portrait")),
        {
            name: read_views(path, count, faces.attributes.get(name, LARGEST), told(name))
            for name, path in attributes.items()
        },
        {name: read_views(path, count, progress=told(f"second {name}")) for name, path in ends.items()},
    )


def first_images(pictures: Mapping[str, list[View]]) -> dict[str, np.ndarray]:
    """The first picture of each."""
    return {name: views[0].image for name, views in pictures.items()}


def further(pictures: Mapping[str, list[View]]) -> dict[str, list[View]]:
    """The other pictures of those that have several."""
    return {name: views[1:] for name, views in pictures.items() if len(views) > 1}
