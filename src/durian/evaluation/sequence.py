"""Scores of what changes along a clip: interpolations from end to end, and drift over long ones."""

from __future__ import annotations

from durian.evaluation.metrics import psnr
from durian.evaluation.trial import Frames, Metric, Scores, Trial

LONG = 64
"""Frames from which on a clip can drift."""

SEQUENCE_METRICS: tuple[Metric, ...] = (
    Metric(
        "psnr_attribute_between",
        "PSNR, attribute, between",
        "higher",
        "dB",
        2,
        "of an interpolation: PSNR where the true attribute is, in the frames with α from 1/4 to 3/4",
    ),
    Metric(
        "drift",
        "drift",
        "lower",
        "dB",
        2,
        f"PSNR of the first quarter less that of the last, in clips of {LONG} frames and more: what is lost "
        "over length",
    ),
    Metric(
        "drift_attribute",
        "drift, attribute",
        "lower",
        "dB",
        2,
        "the same where the true attribute is",
    ),
)


def sequence_scores(frames: Frames, trial: Trial) -> Scores:
    """All of `SEQUENCE_METRICS` of one trial, None for those that do not apply."""
    scores: Scores = {metric.name: None for metric in SEQUENCE_METRICS}
    if trial.targets is None:
        return scores
    region = trial.regions.get("attribute")
    alphas = trial.request(trial.size).interpolation
    if alphas is not None and region is not None:
        between = (alphas >= 0.25) & (alphas <= 0.75)
        if between.any():
            scores["psnr_attribute_between"] = psnr(frames[between], trial.targets[between], region[between])
    if len(frames) >= LONG:
        quarter = len(frames) // 4
        parts = (slice(0, quarter), slice(len(frames) - quarter, None))
        scores["drift"] = _fall(*(psnr(frames[part], trial.targets[part]) for part in parts))
        if region is not None:
            scores["drift_attribute"] = _fall(
                *(psnr(frames[part], trial.targets[part], region[part]) for part in parts)
            )
    return scores


def _fall(first: float | None, last: float | None) -> float | None:
    return None if first is None or last is None else first - last
