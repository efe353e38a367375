"""Contact sheets: what went in and what came out, in one picture."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont, ImageOps

from durian.errors import DurianError

_PAPER, _INK = (255, 255, 255), (40, 40, 40)
_GAP, _TEXT = 6, 13  # pixels: between tiles, and the height of the labels


@dataclass(frozen=True)
class SheetRow:
    """One animation.

    Attributes:
        references: what it was made from, by label: the portrait and the attributes.
        driving: frames of the driving video, RGB uint8 of any size.
        frames: the result; frame i follows `driving[i]`.
    """

    references: Mapping[str, UInt8[np.ndarray, "_ _ 3"]]
    driving: Sequence[UInt8[np.ndarray, "_ _ 3"]]
    frames: Sequence[UInt8[np.ndarray, "H W 3"]]


def draw_sheet(rows: Sequence[SheetRow], columns: int = 6, tile: int = 160) -> UInt8[np.ndarray, "H W 3"]:
    """Draw each row as its references, and beside them driving frames above the frames they led to.

    Args:
        rows: one animation each, all with as many references as fit: they share the height of two tiles.
        columns: moments of each animation, spread evenly over it.
        tile: side of a frame's square in pixels.
    """
    block = 2 * (tile + _TEXT + 2 * _GAP)  # height of a row: driving frames above results
    sheet = Image.new("RGB", (_GAP + (columns + 1) * (tile + _GAP) + _GAP, _GAP + len(rows) * block), _PAPER)
    for index, row in enumerate(rows):
        top = _GAP + index * block
        _draw_references(sheet, row.references, top, tile, block)
        moments = np.linspace(0, len(row.frames) - 1, columns).round().astype(int)
        for label, line, images in (("driving", 0, row.driving), ("result", 1, row.frames)):
            y = top + line * block // 2
            for column, moment in enumerate(moments):
                x = 2 * _GAP + (column + 1) * (tile + _GAP)
                _draw_tile(sheet, images[moment], f"{label} {moment + 1}", x, y, tile)
    return np.asarray(sheet)


def save_sheet(path: str | os.PathLike[str], sheet: UInt8[np.ndarray, "H W 3"]) -> None:
    """Write a PNG; it appears under its name when it is complete.

    Raises:
        DurianError: the folder cannot be written to.
    """
    path = Path(path)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=".png")
    except OSError as error:
        raise DurianError(f"{path}: cannot write into the folder {path.parent}") from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            Image.fromarray(sheet).save(file, "PNG", optimize=True)
        temporary.chmod(0o644)  # mkstemp's files are for their owner alone
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _draw_references(
    sheet: Image.Image, references: Mapping[str, np.ndarray], top: int, tile: int, block: int
) -> None:
    share = block // len(references)
    side = min(tile, share - _TEXT - 2 * _GAP)
    for index, (label, image) in enumerate(references.items()):
        _draw_tile(sheet, image, label, _GAP + (tile - side) // 2, top + index * share, side)


def _draw_tile(sheet: Image.Image, image: np.ndarray, label: str, x: int, y: int, side: int) -> None:
    """A square of the image's middle with its label below."""
    fitted = ImageOps.fit(Image.fromarray(image), (side, side), Image.Resampling.LANCZOS)
    sheet.paste(fitted, (x, y))
    font = ImageFont.load_default(_TEXT)
    ImageDraw.Draw(sheet).text((x + side / 2, y + side + 1), label, fill=_INK, font=font, anchor="ma")
