"""One training example, as the networks take it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float


@dataclass(frozen=True)
class Example:
    """One training example; float32 arrays, all of the same shapes so that examples can be stacked.

    An example has room for A attributes. Those that it does not have come last and are padding: grey
    pictures with empty masks, which `worn` tells apart.

    Attributes:
        portrait, attributes: images in [-1, 1], not yet masked.
        portrait_mask: `M_port`, where the attributes may go. attribute_masks: `M_attr` of each.
        portrait_positions, attribute_positions, target_positions: face coordinates on a g×g grid.
        worn: which attributes there are; at least the first.
        targets: frames in [-1, 1]. target_masks: where any of the attributes is in them.
        keypoints: keypoint images in [0, 1]; for training what enlarges pictures, smaller than these.
        guidance: aligned guidance of each target at the latents' size; no channels where none is wanted.
        portrait_matches, attribute_matches: for each cell of each target, where it is in a reference
            (`durian.data.correspondence.match`); no cells where nothing knows.
        known: where landmarks say that each target is in the portrait, and how sure that is
            (`durian.portrait.landmark_places`); no pixels where nobody asks.
    """

    portrait: Float[np.ndarray, "3 H W"]
    portrait_mask: Float[np.ndarray, "1 H W"]
    portrait_positions: Float[np.ndarray, "g g 2"]
    attributes: Float[np.ndarray, "A 3 H W"]
    attribute_masks: Float[np.ndarray, "A 1 H W"]
    attribute_positions: Float[np.ndarray, "A g g 2"]
    worn: Bool[np.ndarray, " A"]
    targets: Float[np.ndarray, "T 3 H W"]
    target_masks: Float[np.ndarray, "T 1 H W"]
    target_positions: Float[np.ndarray, "T g g 2"]
    keypoints: Float[np.ndarray, "T 3 H0 W0"]
    guidance: Float[np.ndarray, "T G h w"]
    portrait_matches: Float[np.ndarray, "T 3 m m"]
    attribute_matches: Float[np.ndarray, "A T 3 m m"]
    known: Float[np.ndarray, "T 3 k k"]


def padded(arrays: list[np.ndarray], count: int) -> np.ndarray:
    """Stack arrays of one shape and follow them with zeros up to `count`."""
    stacked = np.zeros((count, *arrays[0].shape), arrays[0].dtype)
    stacked[: len(arrays)] = arrays
    return stacked


def to_signed(image: np.ndarray) -> Float[np.ndarray, "3 H W"]:
    """uint8 RGB to float32 in [-1, 1], channels first."""
    return np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) / 127.5 - 1


def to_unit(image: np.ndarray) -> Float[np.ndarray, "3 H W"]:
    """uint8 RGB to float32 in [0, 1], channels first."""
    return np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) / 255
