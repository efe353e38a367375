"""Aligned guidance: the references warped to the driving keypoints, an option of DNet (not in the paper)."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from jaxtyping import Float

from durian.portrait.geometry import similarity_matrix, warp_image
from durian.portrait.inputs import Reference

GUIDANCE_CHANNELS = 8
"""RGB and mask of the portrait, then of the attributes."""


def aligned_guidance(
    portrait: Reference,
    attributes: Collection[Reference],
    keypoints: Float[np.ndarray, "F 478 3"],
    latent_size: int,
) -> Float[np.ndarray, "F 8 h w"]:
    """The masked references warped by landmarks to each frame's keypoints, at the latents' size.

    Channels: RGB in [-1, 1] and mask of the portrait, then of all attributes pasted over each other.
    """
    size = portrait.image.shape[0]
    factor = size // latent_size
    layers = [_masked(portrait, 1 - portrait.mask)]
    layers += [_masked(attribute, attribute.mask) for attribute in attributes]
    sources = [portrait.landmarks, *(attribute.landmarks for attribute in attributes)]
    out = []
    for points in keypoints:
        warped = [
            warp_image(layer, similarity_matrix(source, points), (size, size))
            for layer, source in zip(layers, sources, strict=True)
        ]
        worn = np.zeros_like(warped[0])
        for each in warped[1:]:
            worn += each - worn * each[..., 3:]
        both = np.concatenate([warped[0], worn], -1)
        small = both.reshape(latent_size, factor, latent_size, factor, GUIDANCE_CHANNELS).mean((1, 3))
        out.append(small.transpose(2, 0, 1))
    return np.stack(out).astype(np.float32)


def _masked(reference: Reference, visible: np.ndarray) -> Float[np.ndarray, "H W 4"]:
    image = (reference.image / 127.5 - 1) * visible[..., None]
    return np.concatenate([image, visible[..., None]], -1).astype(np.float32)
