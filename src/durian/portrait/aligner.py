"""The Face Aligner (section 3.3): where on the portrait the attribute will be.

The paper turns the attribute's image to the portrait's head pose with an image-to-3D head avatar, only to
get a mask from it. A mask needs no avatar: here it is read off a 3D proxy of the head in several ways, and
a small network, trained on synthetic people who wear each other's attributes, weighs what was read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files

import cv2
import numpy as np
from jaxtyping import Float
from safetensors.numpy import load

from durian.portrait.alignment_evidence import evidence
from durian.portrait.geometry import similarity_matrix, warp_image
from durian.portrait.head_proxy import Head, warp_around_skull

_GRID = 128  # pixels a side that are looked at; masks are smooth
_EDGE = 2.0  # contrast of the mask's edge, in logits

MaskAligner = Callable[[np.ndarray, np.ndarray, np.ndarray, int], Float[np.ndarray, "size size"]]
"""What brings a mask from its wearer's landmarks to others."""


def align_mask(
    mask: Float[np.ndarray, "H W"],
    source_landmarks: Float[np.ndarray, "478 3"],
    target_landmarks: Float[np.ndarray, "478 3"],
    size: int,
) -> Float[np.ndarray, "size size"]:
    """Where an attribute will be on another head's place, scale, shape and pose.

    Hair and hats beyond the face go with the head; what the head hides in the source's pose is filled in
    from its other side. `docs/portrait-inputs.md` has its scores.

    Args:
        mask: of the attribute in the source image, in [0, 1].
        source_landmarks: of its wearer, in pixels of `mask`.
        target_landmarks: of the portrait, in pixels of the result.
        size: side of the result in pixels.
    """
    if mask.max() < 0.05:
        return np.zeros((size, size), np.float32)
    grid = min(size, _GRID)
    axis = (np.arange(grid) + 0.5) * (size / grid)
    pixels = np.stack(np.meshgrid(axis, axis, indexing="xy"), -1).reshape(-1, 2)
    source, target = Head.of(source_landmarks), Head.of(target_landmarks)
    logits = weigh(evidence(mask, source, target, pixels), _weights()).reshape(grid, grid)
    if grid < size:
        logits = cv2.resize(logits, (size, size), interpolation=cv2.INTER_LINEAR)
    # Exactly 0 and 1 but for the edge: what is out of the question is not masked at all.
    return np.clip((1 / (1 + np.exp(-_EDGE * logits)) - 0.02) / 0.96, 0, 1).astype(np.float32)


def weigh(features: Float[np.ndarray, "P C"], weights: Mapping[str, np.ndarray]) -> Float[np.ndarray, " P"]:
    """The network: two hidden layers; logits, which are above 0 where the attribute is more than likely."""
    hidden = features
    for layer in (0, 1):
        hidden = np.maximum(hidden @ weights[f"{layer}.weight"].T + weights[f"{layer}.bias"], 0)
    return (hidden @ weights["2.weight"].T + weights["2.bias"])[:, 0]


@cache
def _weights() -> Mapping[str, np.ndarray]:
    return load((files("durian.portrait") / "aligner.safetensors").read_bytes())


def align_mask_around_skull(
    mask: Float[np.ndarray, "H W"],
    source_landmarks: Float[np.ndarray, "478 3"],
    target_landmarks: Float[np.ndarray, "478 3"],
    size: int,
) -> Float[np.ndarray, "size size"]:
    """As `align_mask`, but laid on one ellipsoid for a head and turned with it. To compare with."""
    return warp_around_skull(mask, source_landmarks, target_landmarks, size)


def align_mask_in_plane(
    mask: Float[np.ndarray, "H W"],
    source_landmarks: Float[np.ndarray, "478 3"],
    target_landmarks: Float[np.ndarray, "478 3"],
    size: int,
) -> Float[np.ndarray, "size size"]:
    """As `align_mask`, but by a similarity of the image plane, which knows no head pose. To compare with."""
    return warp_image(mask, similarity_matrix(source_landmarks, target_landmarks), (size, size))


def no_mask(
    mask: Float[np.ndarray, "H W"],
    source_landmarks: Float[np.ndarray, "478 3"],
    target_landmarks: Float[np.ndarray, "478 3"],
    size: int,
) -> Float[np.ndarray, "size size"]:
    """No aligned mask at all: the paper's ablation without the Face Aligner."""
    return np.zeros((size, size), np.float32)


ALIGNERS: Mapping[str, MaskAligner] = {
    "head": align_mask,
    "ellipsoid": align_mask_around_skull,
    "similarity": align_mask_in_plane,
    "none": no_mask,
}
"""The Face Aligner, and what it is compared with."""
