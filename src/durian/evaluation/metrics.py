"""Scores of generated frames against the true ones.

All scores are of one *case* (one clip of F frames), with pixels as numbers in [0, 1], and a table's
figure is the mean of its cases' scores (`mean_scores`). The PSNR of a case comes from the mean squared
error over all its frames, pixels and channels at once; it is not the mean of the frames' PSNRs, which a
single perfect frame would pull up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torchmetrics.functional.image import structural_similarity_index_measure

METRICS = ("psnr", "ssim", "l1", "psnr_attribute")

# An exact answer would have an infinite PSNR and swallow every mean: 1e-10 caps it at 100 dB. The mean
# squared error of a 1024×1024 clip of 8 frames with one pixel off by one level is about 6e-13, so no
# visible difference is hidden.
MIN_SQUARED_ERROR = 1e-10

Frames = UInt8[np.ndarray, "F H W 3"]


def _unit(frames: Frames) -> np.ndarray:
    return frames.astype(np.float64) / 255


def psnr(frames: Frames, targets: Frames, region: Bool[np.ndarray, "F H W"] | None = None) -> float | None:
    """Peak signal-to-noise ratio in dB, at most 100.

    Args:
        region: the pixels that count, all frames' together; None counts all.

    Returns:
        None where `region` has no pixel.
    """
    _check(frames, targets)
    squared = (_unit(frames) - _unit(targets)) ** 2
    if region is not None:
        squared = squared[region]
        if not squared.size:
            return None
    return float(-10 * np.log10(max(squared.mean(), MIN_SQUARED_ERROR)))


def ssim(frames: Frames, targets: Frames) -> float:
    """Structural similarity: Gaussian 11×11 window of σ 1.5, mean over channels, pixels and frames."""
    _check(frames, targets)
    # float32: CPU convolutions are some twenty times slower in float64
    predicted, true = (torch.from_numpy(_unit(x)).float().permute(0, 3, 1, 2) for x in (frames, targets))
    similarity = structural_similarity_index_measure(predicted, true, data_range=1.0)
    assert isinstance(similarity, torch.Tensor)  # a tuple only where the full image is asked for
    return float(similarity)


def l1(frames: Frames, targets: Frames) -> float:
    """Mean absolute error."""
    _check(frames, targets)
    return float(np.abs(_unit(frames) - _unit(targets)).mean())


def score(
    frames: Frames, targets: Frames, attribute_region: Bool[np.ndarray, "F H W"]
) -> dict[str, float | None]:
    """All of `METRICS`; `psnr_attribute` is the PSNR over `attribute_region`, None where that is empty."""
    return {
        "psnr": psnr(frames, targets),
        "ssim": ssim(frames, targets),
        "l1": l1(frames, targets),
        "psnr_attribute": psnr(frames, targets, attribute_region),
    }


def mean_scores(scores: Iterable[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Mean over cases of every metric; a case without a value is left out of that metric's mean."""
    scores = list(scores)
    return {name: mean(case[name] for case in scores) for name in METRICS}


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of the values that are there, None where there are none."""
    present = [value for value in values if value is not None]
    return float(np.mean(present)) if present else None


def _check(frames: Frames, targets: Frames) -> None:
    if frames.shape != targets.shape or frames.dtype != np.uint8 or targets.dtype != np.uint8:
        raise ValueError(
            f"frames {frames.shape} {frames.dtype} and targets {targets.shape} {targets.dtype} "
            "must be uint8 of the same shape"
        )
