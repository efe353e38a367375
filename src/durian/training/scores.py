"""How well a run reconstructs people that it never saw."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from durian.evaluation.metrics import psnr
from durian.models.networks import Networks
from durian.training.build import set_training
from durian.training.objective import Batch
from durian.training.preview import draw_sheet, reconstruct


def score_held_out(
    networks: Networks, scheduler: Any, batch: Batch, steps: int
) -> tuple[dict[str, float], UInt8[np.ndarray, "H W 3"]]:
    """Reconstruct a batch, an example at a time.

    Returns:
        Means over all frames of the PSNR in dB, whole (`psnr`) and where the attributes are
        (`psnr_attribute`; of those frames where they are seen), and the picture of `draw_sheet`.
    """
    networks.eval()
    parts = ({key: value[i : i + 1] for key, value in batch.items()} for i in range(len(batch["targets"])))
    result = torch.cat([reconstruct(networks, scheduler, part, steps).float().cpu() for part in parts])
    set_training(networks)
    made, true = _frames(result), _frames(batch["targets"])
    masks = batch["target_masks"].flatten(0, 1)[:, 0].numpy() > 0.5
    whole, inside = [], []
    for i in range(len(made)):
        whole.append(psnr(made[i : i + 1], true[i : i + 1]))
        inside.append(psnr(made[i : i + 1], true[i : i + 1], masks[i : i + 1]))
    scores = {"psnr": _mean(whole), "psnr_attribute": _mean(inside)}
    return {name: value for name, value in scores.items() if value is not None}, draw_sheet(batch, result)


def _frames(images: Float[Tensor, "B F 3 H W"]) -> UInt8[np.ndarray, "BF H W 3"]:
    flat = images.flatten(0, 1).permute(0, 2, 3, 1)
    return ((flat + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
