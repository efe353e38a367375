"""A mask bank on disk: `NAME.json` of each picture it was parsed from, `NAME.npy` its landmarks,
`NAME.ATTRIBUTE.png` the masks."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float

from durian.data.mask_bank import MaskBank, MaskSource
from durian.errors import DurianError
from durian.portrait.attributes import ATTRIBUTES
from durian.portrait.lenses import lens_openings

MANIFEST = "mask-bank.json"

NEAREST = 32
"""Sources to draw among: those with a face like the portrait's, and yet not always the same few."""


def read_mask_bank(folder: Path) -> MaskBank:
    """The bank that `durian mask-bank` wrote; masks are read when they are drawn.

    Raises:
        DurianError: there is no mask in the folder, or a damaged file.
    """
    folder = Path(folder)
    sources: dict[str, list[MaskSource]] = {}
    for record in sorted(folder.glob("*.json")):
        if record.name == MANIFEST:
            continue
        try:
            found = json.loads(record.read_text("utf-8"))["attributes"]
            landmarks = np.load(record.with_suffix(".npy"), allow_pickle=False)[None] if found else None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DurianError(f"{record}: not a record of a mask bank ({error})") from error
        for attribute in ATTRIBUTES:
            if attribute in found and landmarks is not None:
                path = record.with_suffix(f".{attribute}.png")
                points = landmarks[0] if attribute == "glasses" else None
                read = partial(_read, path, points)
                sources.setdefault(attribute, []).append(MaskSource(landmarks, np.array([0]), read))
    if not sources:
        raise DurianError(f"{folder} holds no masks: make some with durian mask-bank")
    return MaskBank(sources, NEAREST)


def _read(path: Path, glasses: Float[np.ndarray, "478 3"] | None, frame: int) -> np.ndarray:
    """The mask; of glasses, whose landmarks are given, the frame alone (`Clip.outline`)."""
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise DurianError(f"{path}: the mask is missing or damaged")
    inside = mask > 127
    return inside if glasses is None else inside & ~lens_openings(inside, None, glasses)
