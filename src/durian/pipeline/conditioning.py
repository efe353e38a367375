"""Prepared inputs (arrays) to what the networks take (tensors)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from durian.portrait.geometry import canonical_positions, similarity_matrix, warp_image
from durian.portrait.inputs import AnimationInputs, Reference
from durian.portrait.keypoints import draw_keypoints


@dataclass(frozen=True)
class ReferenceTensors:
    """One reference with a leading batch axis of 1.

    Attributes:
        image: in [-1, 1]. visible: 1 where the reference shows something.
        canonical: face coordinates on the grid of the finest attention.
    """

    image: Float[Tensor, "1 3 H W"]
    visible: Float[Tensor, "1 1 H W"]
    canonical: Float[Tensor, "1 g g 2"]


def reference_tensors(reference: Reference, role: str, grid: int, device: torch.device) -> ReferenceTensors:
    """A portrait shows what its mask leaves (`1 - M_port`), an attribute what its mask holds (`M_attr`)."""
    image = torch.from_numpy(np.ascontiguousarray(reference.image.transpose(2, 0, 1))).float() / 127.5 - 1
    mask = torch.from_numpy(np.ascontiguousarray(reference.mask, np.float32))
    visible = 1 - mask if role == "portrait" else mask
    canonical = torch.from_numpy(canonical_positions(reference.landmarks, reference.image.shape[0], grid))
    return ReferenceTensors(
        image[None].to(device), visible[None, None].to(device), canonical[None].to(device)
    )


def keypoint_tensor(images: UInt8[np.ndarray, "F H W 3"], device: torch.device) -> Float[Tensor, "F 3 H W"]:
    """Keypoint images in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).to(device).float() / 255


def draw_all(keypoints: Float[np.ndarray, "F 478 3"], size: int) -> UInt8[np.ndarray, "F H W 3"]:
    """The keypoint images of a driving motion."""
    return np.stack([draw_keypoints(points, size) for points in keypoints])


def position_tensor(
    keypoints: Float[np.ndarray, "F 478 3"], size: int, grid: int, device: torch.device
) -> Float[Tensor, "F g g 2"]:
    """Face coordinates of the frames to generate."""
    return torch.from_numpy(np.stack([canonical_positions(p, size, grid) for p in keypoints])).to(device)


def aligned_guidance(
    inputs: AnimationInputs, frames: slice, latent_size: int
) -> Float[np.ndarray, "F G h w"]:
    """The masked references warped by landmarks to each frame's keypoints, at the latents' size.

    Channels: RGB in [-1, 1] and mask of the portrait, then of all attributes pasted over each other.
    An option of the networks (not in the paper).
    """
    size = inputs.portrait.image.shape[0]
    out = []
    for points in inputs.keypoints[frames]:
        portrait = _warped(inputs.portrait, 1 - inputs.portrait.mask, points, size)
        attributes = np.zeros_like(portrait)
        for attribute in inputs.attributes.values():
            warped = _warped(attribute, attribute.mask, points, size)
            attributes += warped - attributes * warped[..., 3:]
        both = np.concatenate([portrait, attributes], -1).astype(np.float32)
        factor = size // latent_size
        small = both.reshape(latent_size, factor, latent_size, factor, 8).mean((1, 3))
        out.append(small.transpose(2, 0, 1))
    return np.stack(out)


def _warped(reference: Reference, visible: np.ndarray, points: np.ndarray, size: int) -> np.ndarray:
    image = (reference.image / 127.5 - 1) * visible[..., None]
    matrix = similarity_matrix(reference.landmarks, points)
    return warp_image(
        np.concatenate([image, visible[..., None]], -1).astype(np.float32), matrix, (size, size)
    )
