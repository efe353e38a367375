"""Before the first step: the position reader alone, on drawings that cost nothing to make.

Whatever DNet copies from a reference comes from where the reader says that a frame's cells lie. All that it
learns from are landmarks: a keypoint image is drawn from them, and their coordinates are computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from durian.data.augmentation import Augmentation, draw_affine
from durian.data.clips import Clip
from durian.data.example import to_unit
from durian.models.position_reader import PositionReader
from durian.portrait.geometry import canonical_positions, transform_points
from durian.portrait.keypoints import draw_keypoints

BATCH = 12
RATE = 2e-3
MOVED = Augmentation(shift=0.08, scale=0.15, rotation=10.0)


def reading_error(read: Float[Tensor, "B g g 2"], true: Float[Tensor, "B g g 2"]) -> Float[Tensor, ""]:
    """How far read face coordinates are from the landmarks' own; far from the face it matters less."""
    error = F.smooth_l1_loss(read, true, reduction="none", beta=0.05).sum(-1)
    return (error / (1 + 0.5 * true.square().sum(-1))).mean()


def train_reader(
    reader: PositionReader,
    clips: Sequence[Clip],
    steps: int,
    seed: int = 0,
    progress: Callable[[int, float], None] | None = None,
) -> float:
    """Train with AdamW, the rate falling to 0 over the second half; the moving average is what stays.

    Args:
        clips: whose landmarks are drawn, moved at random.
        progress: called with the number of steps done and the error.

    Returns:
        The mean error of the last tenth of the steps, in distances between the outer eye corners.
    """
    landmarks = np.concatenate([clip.landmarks[clip.visible_frames()] for clip in clips])
    rng, size = np.random.default_rng([seed, 1]), clips[0].frames.shape[1]
    device = next(reader.parameters()).device
    optimizer = torch.optim.AdamW(reader.parameters(), RATE, (0.9, 0.98))
    average = {name: value.detach().clone() for name, value in reader.named_parameters()}
    distances: list[float] = []
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = RATE * min(1.0, (step + 1) / 100, 2 * (1 - step / steps))
        images, true = (array.to(device) for array in _batch(rng, landmarks, size, reader.config["grid"]))
        read = reader(images)
        loss = reading_error(read, true)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
        optimizer.step()
        keep = min(0.998, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, value in reader.named_parameters():
                average[name].lerp_(value, 1 - keep)
        distances.append(float((read - true).detach().norm(dim=-1).mean()))
        if progress is not None:
            progress(step + 1, distances[-1])
    with torch.no_grad():
        for name, value in reader.named_parameters():
            value.copy_(average[name])
    return float(np.mean(distances[-max(1, steps // 10) :]))


def _batch(
    rng: np.random.Generator, landmarks: Float[np.ndarray, "L 478 3"], size: int, grid: int
) -> tuple[Float[Tensor, "B 3 H W"], Float[Tensor, "B g g 2"]]:
    chosen = [
        transform_points(draw_affine(rng, MOVED, size), landmarks[rng.integers(len(landmarks))])
        for _ in range(BATCH)
    ]
    images = [to_unit(draw_keypoints(points, size)) for points in chosen]
    true = [canonical_positions(points, size, grid) for points in chosen]
    return torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(true))
