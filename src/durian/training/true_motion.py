"""Where every pixel of the true frames came from, for losses over time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from durian.evaluation.temporal import Motion

PLACES, VISIBLE = "motion_places", "motion_visible"
"""What a batch has where the motion was found beforehand."""


@dataclass(frozen=True)
class TrueMotion:
    """Of B clips of F frames that follow each other.

    Attributes:
        places: for each frame but the first of its clip, where its pixels lay in the frame before, x and y in
            [-1, 1], as `F.grid_sample` takes them.
        visible: 1 where that place was seen in the frame before.
    """

    places: Float[Tensor, "B*(F-1) H W 2"]
    visible: Float[Tensor, "B*(F-1) H W"]

    @classmethod
    def of_batch(cls, batch: Mapping[str, Tensor]) -> TrueMotion:
        """Of a batch's targets: as it was found beforehand (`found`), or found now."""
        if PLACES not in batch:
            return cls.of(batch["targets"])
        return cls(batch[PLACES].flatten(0, 1), batch[VISIBLE].flatten(0, 1))

    @classmethod
    def found(cls, targets: Float32[np.ndarray, "F 3 H W"]) -> dict[str, np.ndarray]:
        """Of one clip, as an example has it: optical flow is slow, and examples are drawn beside the
        training."""
        motion = cls.of(torch.from_numpy(targets)[None])
        return {PLACES: motion.places.numpy(), VISIBLE: motion.visible.numpy()}

    @classmethod
    @torch.no_grad()
    def of(cls, frames: Float[Tensor, "B F 3 H W"]) -> TrueMotion:
        """Optical flow, as the scores of flicker follow it (`durian.evaluation.temporal`).

        Args:
            frames: in [-1, 1].
        """
        clips = ((frames + 1) * 127.5).round().byte().permute(0, 1, 3, 4, 2).cpu().numpy()
        motions = [Motion.of(clip) for clip in clips]
        flow = torch.from_numpy(np.concatenate([motion.flow for motion in motions])).to(frames)
        visible = torch.from_numpy(np.concatenate([motion.visible for motion in motions])).to(frames)
        height, width = frames.shape[-2:]
        y, x = torch.meshgrid(
            torch.arange(height).to(frames) + 0.5, torch.arange(width).to(frames) + 0.5, indexing="ij"
        )
        places = (flow + torch.stack([x, y], -1)) * (2 / flow.new_tensor([width, height])) - 1
        return cls(places, visible)
