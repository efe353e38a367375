"""Label maps of clips, cases and renderings: what every pixel shows.

The low seven bits are the pixel's class, the high bit says that it is seen through an eyeglass lens.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from jaxtyping import Bool, UInt8


class Label(IntEnum):
    """Class of a pixel."""

    BACKGROUND = 0
    SKIN = 1
    EYES = 2
    MOUTH = 3
    HAIR = 4
    BROW = 5
    BEARD = 6
    GLASSES = 7
    HAT = 8
    CLOTHES = 9
    EARRINGS = 10
    PAINT = 11
    SCARF = 12


LENS_BIT = 128

ATTRIBUTE_LABELS = {"hair": Label.HAIR, "glasses": Label.GLASSES, "beard": Label.BEARD, "hat": Label.HAT}


def pixel_classes(labels: UInt8[np.ndarray, "*F H W"]) -> UInt8[np.ndarray, "*F H W"]:
    """Classes without the lens bit."""
    return labels & np.uint8(LENS_BIT - 1)


def attribute_region(labels: UInt8[np.ndarray, "*F H W"], attribute: str) -> Bool[np.ndarray, "*F H W"]:
    """Where the attribute is; of glasses, frame and what is seen through the lenses."""
    region = pixel_classes(labels) == ATTRIBUTE_LABELS[attribute]
    return region | (labels >= LENS_BIT) if attribute == "glasses" else region


def lens_region(labels: UInt8[np.ndarray, "*F H W"]) -> Bool[np.ndarray, "*F H W"]:
    """What is seen through eyeglass lenses, but for the frame itself."""
    return (labels >= LENS_BIT) & (pixel_classes(labels) != Label.GLASSES)
