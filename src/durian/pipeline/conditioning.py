"""Prepared inputs (arrays) to what the networks take (tensors)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from durian.portrait.geometry import canonical_positions
from durian.portrait.inputs import Reference
from durian.portrait.keypoints import draw_keypoints
from durian.portrait.landmark_places import landmark_places


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
    # Bytes are carried to a GPU, and put in order there.
    return torch.from_numpy(images).to(device).permute(0, 3, 1, 2).contiguous().float() / 255


def draw_all(keypoints: Float[np.ndarray, "F 478 3"], size: int) -> UInt8[np.ndarray, "F H W 3"]:
    """The keypoint images of a driving motion."""
    return np.stack([draw_keypoints(points, size) for points in keypoints])


def position_tensor(
    keypoints: Float[np.ndarray, "F 478 3"], size: int, grid: int, device: torch.device
) -> Float[Tensor, "F g g 2"]:
    """Face coordinates of the frames to generate."""
    return torch.from_numpy(np.stack([canonical_positions(p, size, grid) for p in keypoints])).to(device)


def known_tensor(
    portrait: Float[np.ndarray, "478 3"],
    keypoints: Float[np.ndarray, "F 478 3"],
    size: int,
    device: torch.device,
) -> Float[Tensor, "F 3 size size"]:
    """Where landmarks say that frames are in the portrait, and how sure that is."""
    known = np.stack([landmark_places(portrait, points, size) for points in keypoints])
    return torch.from_numpy(known).to(device).permute(0, 3, 1, 2).contiguous()
