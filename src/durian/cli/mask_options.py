"""Options of where attributes are in their pictures."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from durian.cli.options import parse_files
from durian.errors import DurianError
from durian.portrait.attributes import check_attribute

if TYPE_CHECKING:
    import numpy as np

    from durian.portrait.click import Point

AttributeMask = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=FILE",
        help="Where the attribute is in its picture: white on black, of its size.",
        show_default="found in the picture",
    ),
]
PortraitMask = Annotated[
    Path | None,
    typer.Option(
        help="Where the portrait's own hair, glasses, … are, to be replaced: white on black.",
        show_default="found in the picture",
    ),
]
Parser = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="What finds attributes: 'builtin', or a folder or hub repository of a face parser "
        "(SegFormer, Sapiens2, …) of transformers.",
    ),
]
AttributeClick = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=X,Y",
        help="A point of the attribute in its picture, in pixels: SAM 2 finds the rest. Repeat for more.",
    ),
]
ClickModel = Annotated[
    str,
    typer.Option(metavar="NAME", help="Folder or hub repository of the SAM 2 that clicks ask."),
]
To = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=FILE",
        help="A second picture of an attribute, which the first becomes in the course of the video. Repeat "
        "for more.",
    ),
]
ToMask = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=FILE",
        help="Where the attribute is in its second picture, likewise.",
        show_default="found in the picture",
    ),
]
Blend = Annotated[
    tuple[float, float],
    typer.Option(
        help="How far the first picture's attribute has become the second's in the first frame and in the "
        "last: 0.5 0.5 is a mixture all along."
    ),
]
CLICK_MODEL = "facebook/sam2.1-hiera-tiny"


def parse_mask_options(
    attributes: Mapping[str, Path], masks: Sequence[str] | None, clicks: Sequence[str] | None
) -> tuple[dict[str, Path], dict[str, list[Point]]]:
    """Files of masks, and points that were clicked, by attribute.

    Raises:
        DurianError: they are written in another way, are of attributes that are not asked for, or an
            attribute has both.
    """
    files, points = parse_files(masks or [], "--attribute-mask"), _parse_clicks(clicks or [])
    _check_owners("--attribute-mask", files, "--attribute", attributes)
    _check_owners("--attribute-click", points, "--attribute", attributes)
    if both := sorted(files.keys() & points.keys()):
        raise DurianError(f"--attribute-click {both[0]}=…: its mask is given already: leave one of them out")
    return files, points


def parse_ends(
    attributes: Mapping[str, Path], to: Sequence[str] | None, to_masks: Sequence[str] | None
) -> tuple[dict[str, Path], dict[str, Path]]:
    """Files of second pictures and of their masks, by attribute.

    Raises:
        DurianError: they are written in another way, or of attributes that are not asked for.
    """
    files, masks = parse_files(to or [], "--to"), parse_files(to_masks or [], "--to-mask")
    _check_owners("--to", files, "--attribute", attributes)
    _check_owners("--to-mask", masks, "--to", files)
    return files, masks


def _check_owners(option: str, names: Iterable[str], owner: str, known: Container[str]) -> None:
    for name in names:
        if name not in known:
            raise DurianError(f"{option} {name}=…: there is no {owner} {name}=… it could belong to")


def read_masks(
    files: Mapping[str, Path],
    clicks: Mapping[str, list[Point]],
    images: Mapping[str, np.ndarray],
    model: str = CLICK_MODEL,
    device: str | None = None,
) -> dict[str, np.ndarray]:
    """The masks of whole pictures, by attribute."""
    from durian.video import read_mask

    masks = {name: read_mask(path, images[name].shape[:2]) for name, path in files.items()}
    if clicks:
        from durian.portrait.click import ClickMasker

        find = ClickMasker(model, device)
        masks |= {name: find(images[name], points) for name, points in clicks.items()}
    return masks


def _parse_clicks(values: Sequence[str]) -> dict[str, list[Point]]:
    points: dict[str, list[Point]] = {}
    for value in values:
        name, _, text = value.partition("=")
        if not text:
            raise DurianError(f"--attribute-click {value}: write it as NAME=X,Y, such as hair=310,95")
        points.setdefault(check_attribute(name), []).append(_parse_point(value, text))
    return points


def _parse_point(value: str, text: str) -> Point:
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        raise DurianError(
            f"--attribute-click {value}: write it as NAME=X,Y, in pixels of the picture, such as hair=310,95"
        ) from None
    return x, y
