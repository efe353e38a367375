"""A sheet of what training sees."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from durian.data.clips import read_clips
from durian.data.example import Example
from durian.training.config import TrainConfig
from durian.training.sampler import sampler_of

_GAP, _TEXT, _FRAMES = 4, 13, 2  # pixels, pixels, targets of an example that are drawn
_PAPER, _INK, _HIDDEN = (255, 255, 255), (40, 40, 40), (0.0, -0.1, 0.1)


def draw_examples(
    config: TrainConfig, count: int, clips: int = 100, tile: int = 128, seed: int | None = None
) -> tuple[UInt8[np.ndarray, "H W 3"], str]:
    """The first examples of a run on its first clips.

    Args:
        config: of the run; nothing but its data section and its seed matters.
        count: rows of the sheet.
        clips: read no more than so many.
        tile: side of each picture in pixels.
        seed: in place of the configuration's.

    Returns:
        The sheet and a line about how often each attribute is drawn.

    Raises:
        DurianError: the clips are not usable.
    """
    limit = min(clips, config.data.limit or clips)
    sampler = sampler_of(config.data, list(read_clips(config.data.clips, limit)), 8, config.stage == 2)
    chosen = config.seed if seed is None else seed
    rows = [_pictures(sampler.draw(np.random.default_rng([chosen, index]))) for index in range(count)]
    return _arrange(rows, tile), sampler.summary()


def _pictures(example: Example) -> dict[str, UInt8[np.ndarray, "H W 3"]]:
    """By label; labels of absent attributes come with an empty picture, so that columns agree."""
    shown = {"portrait": _masked(example.portrait, 1 - example.portrait_mask)}
    for i, worn in enumerate(example.worn):
        image = _masked(example.attributes[i], example.attribute_masks[i])
        label = "attribute" if len(example.worn) == 1 else f"attribute {i + 1}"
        shown[label] = image if worn else np.full_like(image, 255)
    for i in range(min(_FRAMES, len(example.targets))):
        shown[f"target {i + 1}"] = _bytes(example.targets[i])
        shown[f"where {i + 1}"] = _masked(example.targets[i], example.target_masks[i])
        shown[f"keypoints {i + 1}"] = _bytes(example.keypoints[i] * 2 - 1)
    return shown


def _masked(image: Float[np.ndarray, "3 H W"], visible: Float[np.ndarray, "1 H W"]) -> np.ndarray:
    """What is hidden is grey to the networks; here it has a tint, to be told from grey things."""
    return _bytes(image * visible + np.array(_HIDDEN)[:, None, None] * (1 - visible))


def _bytes(image: Float[np.ndarray, "3 H W"]) -> UInt8[np.ndarray, "H W 3"]:
    return np.round((image.transpose(1, 2, 0) + 1) * 127.5).clip(0, 255).astype(np.uint8)


def _arrange(rows: list[dict[str, np.ndarray]], tile: int) -> UInt8[np.ndarray, "H W 3"]:
    step = tile + _GAP
    size = (_GAP + step * len(rows[0]), 2 * _GAP + _TEXT + step * len(rows))
    sheet = Image.new("RGB", size, _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_TEXT - 2)
    for column, label in enumerate(rows[0]):
        draw.text((_GAP + step * column + tile / 2, _GAP), label, fill=_INK, font=font, anchor="ma")
    for line, row in enumerate(rows):
        for column, image in enumerate(row.values()):
            way = Image.Resampling.NEAREST if tile % len(image) == 0 else Image.Resampling.LANCZOS
            picture = Image.fromarray(image).resize((tile, tile), way)
            sheet.paste(picture, (_GAP + step * column, 2 * _GAP + _TEXT + step * line))
    return np.asarray(sheet)
