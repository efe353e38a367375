"""Contact sheets of prepared clips, to look at before training on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from durian.data.clips import Clip, read_clips
from durian.portrait.keypoints import draw_keypoints

COLOURS = {"hair": (70, 130, 230), "beard": (230, 150, 40), "hat": (80, 190, 80), "glasses": (230, 60, 160)}
"""Of the attributes' masks."""

_TEXT, _GAP = 16, 6  # pixels


def clips_sheet(
    folder: Path, limit: int = 24, columns: int = 2, tile: int = 176
) -> UInt8[np.ndarray, "H W 3"]:
    """Draw clips, spread evenly over the shards: first frame, its masks, its landmarks, last frame.

    Args:
        folder: of the shards.
        limit: clips at most.
        columns: clips side by side.
        tile: side of a picture in pixels.

    Raises:
        DurianError: no clips there.
    """
    count = sum(1 for _ in read_clips(folder))
    chosen = set(np.linspace(0, count - 1, min(limit, count)).round().astype(int).tolist())
    clips = [clip for index, clip in enumerate(read_clips(folder)) if index in chosen]
    strips = [_strip(clip, tile) for clip in clips]
    return _arrange(strips, columns)


def _strip(clip: Clip, tile: int) -> UInt8[np.ndarray, "h w 3"]:
    first, last = clip.visible_frames()[[0, -1]]
    frame = _resized(clip.frames[first], tile)
    masks = {name: _resized(mask[first].astype(np.uint8), tile) > 0 for name, mask in clip.masks.items()}
    row = np.concatenate(
        [
            frame,
            _overlay(frame, masks),
            _with_landmarks(frame, clip.landmarks[first] * np.float32(tile / len(clip.frames[first]))),
            _resized(clip.frames[last], tile),
        ],
        axis=1,
    )
    strip = Image.new("RGB", (row.shape[1], tile + _TEXT), "white")
    strip.paste(Image.fromarray(row), (0, _TEXT))
    pen, font = ImageDraw.Draw(strip), ImageFont.load_default(_TEXT - 4)
    pen.text((2, 0), clip.name, fill="black", font=font)
    x = max(tile, int(pen.textlength(clip.name, font=font)) + _GAP) + 2
    for name in clip.masks:
        pen.text((x, 0), name, fill=COLOURS[name], font=font)
        x += int(pen.textlength(f"{name}  ", font=font))
    return np.asarray(strip)


def _resized(image: np.ndarray, tile: int) -> np.ndarray:
    way = cv2.INTER_AREA if image.ndim == 3 else cv2.INTER_NEAREST
    return cv2.resize(image, (tile, tile), interpolation=way)


def _overlay(frame: np.ndarray, masks: dict[str, np.ndarray]) -> np.ndarray:
    picture = frame.copy()
    for name, mask in masks.items():
        picture[mask] = (0.45 * picture[mask] + 0.55 * np.array(COLOURS[name])).astype(np.uint8)
    return picture


def _with_landmarks(frame: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    lines = draw_keypoints(landmarks, len(frame))
    return np.where(lines.any(-1, keepdims=True), lines, (0.6 * frame).astype(np.uint8))


def _arrange(strips: Sequence[np.ndarray], columns: int) -> np.ndarray:
    height, width = strips[0].shape[:2]
    columns = min(columns, len(strips))
    rows = -(-len(strips) // columns)
    sheet = np.full((rows * (height + _GAP), columns * (width + _GAP), 3), 255, np.uint8)
    for index, strip in enumerate(strips):
        y, x = divmod(index, columns)
        sheet[y * (height + _GAP) :, x * (width + _GAP) :][:height, :width] = strip
    return sheet
