"""Scores of frames against the true frames, pixel by pixel and window by window.

All scores are of one trial (one clip of F frames), with pixels as numbers in [0, 1], and a table's figure is
the mean of its trials' scores. The PSNR of a trial comes from the mean squared error over all its frames,
pixels and channels at once; it is not the mean of the frames' PSNRs, which a single perfect frame would
pull up.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Float32

from durian.evaluation.trial import Frames, Metric, Scores, Trial

# An exact answer would have an infinite PSNR and swallow every mean: 1e-10 caps it at 100 dB. The mean
# squared error of a 1024×1024 clip of 8 frames with one pixel off by one level is about 6e-13, so no
# visible difference is hidden.
MIN_SQUARED_ERROR = 1e-10

# SSIM as published (Wang et al., 2004).
_WINDOW, _SIGMA = 11, 1.5
_BORDER = _WINDOW // 2
_C1, _C2 = 0.01**2, 0.03**2

# Exponents of MS-SSIM's scales, the finest first (Wang et al., 2003).
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)

PIXEL_METRICS: tuple[Metric, ...] = (
    Metric("psnr", "PSNR", "higher", "dB", 2, "peak signal-to-noise ratio of the clip, at most 100"),
    Metric("psnr_attribute", "PSNR, attribute", "higher", "dB", 2, "PSNR where the true attribute is"),
    Metric("psnr_face", "PSNR, face", "higher", "dB", 2, "PSNR on the true face without the attribute"),
    Metric("psnr_rest", "PSNR, rest", "higher", "dB", 2, "PSNR where neither attribute nor face is"),
    Metric("ssim", "SSIM", "higher", "", 4, "structural similarity, in [-1, 1]"),
    Metric("ssim_attribute", "SSIM, attribute", "higher", "", 4, "mean of SSIM where the true attribute is"),
    Metric(
        "ms_ssim",
        "MS-SSIM",
        "higher",
        "",
        4,
        "multi-scale SSIM over the up to five scales that the window fits in, in [0, 1]; "
        "images of different sizes do not compare",
    ),
    Metric("l1", "L1", "lower", "", 4, "mean absolute error, in [0, 1]"),
    Metric(
        "l1_attribute", "L1, attribute", "lower", "", 4, "mean absolute error where the true attribute is"
    ),
    Metric(
        "detail",
        "detail",
        "higher",
        "",
        3,
        "likeness of the amounts of fine detail, wherever its exact place; blur and noise lose, in [0, 1]",
    ),
    Metric("detail_attribute", "detail, attribute", "higher", "", 3, "detail where the true attribute is"),
)


def pixel_scores(frames: Frames, trial: Trial) -> Scores:
    """All of `PIXEL_METRICS` of one trial.

    A score is None where its region is unknown or has no pixel, and all are where the trial has no true
    frames.

    Args:
        frames: at the trial's size.

    Raises:
        ValueError: the frames are not uint8 of the true frames' shape.
    """
    targets = trial.targets
    if targets is None:
        return {metric.name: None for metric in PIXEL_METRICS}
    attribute = trial.regions.get("attribute")
    scores: Scores = {"psnr": psnr(frames, targets)}
    for name in ("attribute", "face", "rest"):
        region = trial.regions.get(name)
        scores[f"psnr_{name}"] = None if region is None else psnr(frames, targets, region)
    similarity = ssim_map(frames, targets)
    scores["ssim"] = float(similarity.mean(dtype=np.float64))
    scores["ssim_attribute"] = None if attribute is None else _mean_over(similarity, attribute)
    scores["ms_ssim"] = ms_ssim(frames, targets)
    scores["l1"] = l1(frames, targets)
    scores["l1_attribute"] = None if attribute is None else l1(frames, targets, attribute)
    scores["detail"] = detail(frames, targets)
    scores["detail_attribute"] = None if attribute is None else detail(frames, targets, attribute)
    return scores


def psnr(frames: Frames, targets: Frames, region: Bool[np.ndarray, "F S S"] | None = None) -> float | None:
    """Peak signal-to-noise ratio in dB, at most 100.

    Args:
        region: the pixels that count, all frames' together; None counts all.

    Returns:
        None where `region` has no pixel.
    """
    squared = _mean_over(_difference(frames, targets) ** 2, region)  # of whole numbers, so exact
    if squared is None:
        return None
    return float(-10 * np.log10(max(squared / 255**2, MIN_SQUARED_ERROR)))


def l1(frames: Frames, targets: Frames, region: Bool[np.ndarray, "F S S"] | None = None) -> float | None:
    """Mean absolute error, in [0, 1]; None where `region` has no pixel."""
    absolute = _mean_over(np.abs(_difference(frames, targets)), region)
    return None if absolute is None else absolute / 255


def detail(frames: Frames, targets: Frames, region: Bool[np.ndarray, "F S S"] | None = None) -> float | None:
    """How alike the amounts of fine detail are, in [0, 1], wherever its exact place.

    `Σ min(c, t) / Σ max(c, t)`, with c the frames' and t the true frames' root mean squared slope between
    neighbouring pixels, in windows of 11×11. Squared error and structural similarity prefer a blurred texture
    to a crisp one that is a pixel off; here blur loses what is missing, and noise what is too much.

    Returns:
        None where `region` has no pixel or neither has any slope.
    """
    _check(frames, targets)
    made, true = (np.stack([_steepness(image) for image in images]) for images in (frames, targets))
    if region is not None:
        made, true = made[region], true[region]
    total = np.maximum(made, true).sum(dtype=np.float64)
    return float(np.minimum(made, true).sum(dtype=np.float64) / total) if total > 0 else None


def _steepness(image: np.ndarray) -> Float32[np.ndarray, "H W"]:
    pixels = cv2.copyMakeBorder(_unit(image), 1, 1, 1, 1, cv2.BORDER_REFLECT_101)
    across, down = np.diff(pixels[1:-1], axis=1) ** 2, np.diff(pixels[:, 1:-1], axis=0) ** 2
    # To both neighbours, so that a mirrored picture has the mirrored slopes.
    squared = (across[:, 1:] + across[:, :-1] + down[1:] + down[:-1]).mean(2) / 2
    return np.sqrt(cv2.blur(squared, (_WINDOW, _WINDOW), borderType=cv2.BORDER_REFLECT_101).clip(min=0))


def ssim(frames: Frames, targets: Frames) -> float:
    """Structural similarity: Gaussian 11×11 window of σ 1.5, mean over channels, pixels and frames."""
    return float(ssim_map(frames, targets).mean(dtype=np.float64))


def ssim_map(frames: Frames, targets: Frames) -> Float32[np.ndarray, "F S S 3"]:
    """SSIM of every pixel's window; windows are continued beyond the border by reflection."""
    _check(frames, targets)
    return np.stack([_similarity(_unit(x), _unit(y))[0] for x, y in zip(frames, targets, strict=True)])


def ms_ssim(frames: Frames, targets: Frames) -> float | None:
    """Multi-scale SSIM, mean over the frames, in [0, 1].

    As many of the five published scales are used as leave a side of at least the window's 11 pixels (3 at 64
    pixels, 4 at 128, 5 from 176 on), and their published exponents are renormalised to sum to 1. Negative
    similarities count as 0.

    Returns:
        None where the images are smaller than the window.
    """
    _check(frames, targets)
    side = min(frames.shape[1:3])
    count = sum(side >> scale >= _WINDOW for scale in range(len(_SCALE_WEIGHTS)))
    if count == 0:
        return None
    weights = np.array(_SCALE_WEIGHTS[:count]) / sum(_SCALE_WEIGHTS[:count])
    values = []
    for frame, target in zip(frames, targets, strict=True):
        predicted, true = _unit(frame), _unit(target)
        terms = []
        for scale in range(count):
            if scale:
                predicted, true = _halve(predicted), _halve(true)
            similarity, contrast = _similarity(predicted, true)
            # Brightness counts at the coarsest scale only. The other scales leave out windows that reach
            # beyond the border: as torchmetrics does.
            kept = similarity if scale == count - 1 else contrast[_BORDER:-_BORDER, _BORDER:-_BORDER]
            terms.append(kept.mean(dtype=np.float64))
        values.append(np.prod(np.maximum(terms, 0) ** weights))
    return float(np.mean(values))


def _similarity(
    predicted: Float32[np.ndarray, "H W 3"], true: Float32[np.ndarray, "H W 3"]
) -> tuple[Float32[np.ndarray, "H W 3"], Float32[np.ndarray, "H W 3"]]:
    """Maps of SSIM and of its contrast and structure part, for pixels in [0, 1].

    Written with OpenCV's separable filter, which takes a fraction of the time of torchmetrics' convolution
    with the whole window; a test holds the two together.
    """
    mean_p, mean_t = _blur(predicted), _blur(true)
    product, squares = mean_p * mean_t, mean_p**2 + mean_t**2
    covariance = _blur(predicted * true) - product
    variances = _blur(predicted**2 + true**2) - squares
    contrast = (2 * covariance + _C2) / (variances + _C2)
    return contrast * ((2 * product + _C1) / (squares + _C1)), contrast


def _blur(image: Float32[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "H W 3"]:
    return cv2.GaussianBlur(image, (_WINDOW, _WINDOW), _SIGMA, borderType=cv2.BORDER_REFLECT_101)


def _halve(image: Float32[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "h w 3"]:
    """Means of 2×2 pixels; an odd last row or column is left out."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    return cv2.resize(image[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)


def _unit(image: np.ndarray) -> np.ndarray:
    return image.astype(np.float32) / np.float32(255)


def _difference(frames: Frames, targets: Frames) -> np.ndarray:
    _check(frames, targets)
    return frames.astype(np.int32) - targets


def _mean_over(values: np.ndarray, region: Bool[np.ndarray, "F S S"] | None) -> float | None:
    if region is not None:
        values = values[region]
    return float(values.mean(dtype=np.float64)) if values.size else None


def _check(frames: Frames, targets: Frames) -> None:
    if frames.shape != targets.shape or frames.dtype != np.uint8 or targets.dtype != np.uint8:
        raise ValueError(
            f"frames {frames.shape} {frames.dtype} and targets {targets.shape} {targets.dtype} "
            "must be uint8 of the same shape"
        )
