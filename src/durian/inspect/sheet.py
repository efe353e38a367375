"""An inspection, drawn."""

from __future__ import annotations

import textwrap

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from durian.inspect.gather import Inspection
from durian.portrait.inputs import Reference
from durian.portrait.keypoints import draw_keypoints
from durian.portrait.photo import Photo

Tile = tuple[str, UInt8[np.ndarray, "H W 3"]]

_SIDE, _GAP, _TITLE, _LINE = 224, 8, 22, 24  # pixels
_COLUMNS = 5
_PAPER, _INK, _ALARM = (24, 25, 28), (225, 225, 225), (255, 170, 60)
_TINT = np.array([255, 0, 160])
_HIDDEN = 110  # grey of what a masked reference does not show


def draw_inspection(found: Inspection) -> UInt8[np.ndarray, "H W 3"]:
    """A row for each picture of portrait and attributes, and one for the motion; warnings below."""
    references = found.references
    person = references.portrait
    rows = [
        [
            (title, _with_box(photo)),
            ("crop and landmarks", _with_landmarks(each)),
            ("mask: where attributes go", tinted(each.image, each.mask)),
            ("what the model sees of it", _masked(each.image, 1 - each.mask)),
        ]
        for title, photo, each in references.portraits()
    ]
    for title, photo, each in references.worn():
        rows.append(
            [
                (title, _with_box(photo)),
                ("crop and landmarks", _with_landmarks(each)),
                ("mask", tinted(each.image, each.mask)),
                ("what the model sees of it", _masked(each.image, each.mask)),
                ("aligned to the portrait", tinted(person.image, found.aligned[title])),
            ]
        )
    rows.append(_motion(found))
    return _page(rows, found.warnings)


def tinted(image: UInt8[np.ndarray, "S S 3"], mask: np.ndarray) -> UInt8[np.ndarray, "S S 3"]:
    """An image with a mask laid over it."""
    alpha = 0.55 * mask[..., None]
    return np.round(image * (1 - alpha) + _TINT * alpha).astype(np.uint8)


def _masked(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    alpha = mask[..., None]
    return np.round(image * alpha + _HIDDEN * (1 - alpha)).astype(np.uint8)


def _with_landmarks(reference: Reference) -> np.ndarray:
    size = len(reference.image)
    large = cv2.resize(reference.image, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR)
    drawn = draw_keypoints(reference.landmarks * (_SIDE / size), _SIDE)
    return np.where(drawn > 0, drawn, large)


def _with_box(photo: Photo) -> np.ndarray:
    """The photo in a square, its crop framed."""
    height, width = photo.image.shape[:2]
    scale = _SIDE / max(height, width)
    small = cv2.resize(
        photo.image,
        (max(1, round(width * scale)), max(1, round(height * scale))),
        interpolation=cv2.INTER_AREA,
    )
    zoom = photo.crop.matrix[0, 0]
    low = -photo.crop.matrix[:, 2] / zoom * scale
    high = low + photo.crop.size / zoom * scale
    (left, top), (right, bottom) = (np.round(corner).astype(int).tolist() for corner in (low, high))
    cv2.rectangle(small, (left, top), (right, bottom), (0, 220, 255), 2)
    tile = np.full((_SIDE, _SIDE, 3), _PAPER, np.uint8)
    y, x = (_SIDE - small.shape[0]) // 2, (_SIDE - small.shape[1]) // 2
    tile[y : y + small.shape[0], x : x + small.shape[1]] = small
    return tile


def _motion(found: Inspection) -> list[Tile]:
    """Keypoint images of frames at equal distances."""
    size, count = len(found.references.portrait.image), len(found.keypoints)
    chosen = np.unique(np.linspace(0, count - 1, _COLUMNS).round().astype(int))
    scaled = found.keypoints[chosen] * (_SIDE / size)
    return [
        (f"keypoints, frame {index + 1} of {count}" + ("" if found.seen[index] else ", bridged"),
         draw_keypoints(points, _SIDE))
        for index, points in zip(chosen, scaled, strict=True)
    ]  # fmt: skip


def _page(rows: list[list[Tile]], warnings: list[str]) -> np.ndarray:
    width = _GAP + _COLUMNS * (_SIDE + _GAP)
    lines = [(f"! {warning}", _ALARM) for warning in warnings] or [("No warnings.", _INK)]
    wrapped = [
        (part, colour) for text, colour in lines for part in textwrap.wrap(text, 130, subsequent_indent="   ")
    ]
    top = len(rows) * (_TITLE + _SIDE + _GAP) + _GAP
    page = Image.new("RGB", (width, top + len(wrapped) * _LINE + _GAP), _PAPER)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(15)
    for number, row in enumerate(rows):
        y = _GAP + number * (_TITLE + _SIDE + _GAP)
        for column, (title, tile) in enumerate(row):
            x = _GAP + column * (_SIDE + _GAP)
            draw.text((x, y), title, _INK, font)
            shown = cv2.resize(tile, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR)
            page.paste(Image.fromarray(shown), (x, y + _TITLE))
    for number, (text, colour) in enumerate(wrapped):
        draw.text((_GAP, top + number * _LINE), text, colour, font)
    return np.asarray(page)
