"""Metrics that need published weights: LPIPS, FID, VFID, CLIP-I, masked DINO, identity by ArcFace.

Each is there if its weights are given, and absent if not: nothing is fetched without being asked for, and
no number comes from weights that are not the published ones. See docs/metrics.md.
"""

from __future__ import annotations

from durian.evaluation.perceptual.frechet import frechet_distance
from durian.evaluation.perceptual.sources import WeightSources
from durian.evaluation.trial import Metric

# `PerceptualMetrics` is in `measure`, as it imports torch and transformers.
__all__ = ["PERCEPTUAL_METRICS", "WeightSources", "frechet_distance"]

PERCEPTUAL_METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("lpips", "LPIPS", "lower", about="Perceptual distance to the true frames (AlexNet), from 0."),
        Metric(
            "clip_i",
            "CLIP-I, attribute",
            "higher",
            about="Cosine of CLIP embeddings of the attribute in the frames and on the donor, in [-1, 1].",
        ),
        Metric(
            "dino_attribute",
            "DINO, attribute",
            "higher",
            about="Cosine of DINOv2 embeddings of the attribute in the frames and on the donor, in [-1, 1].",
        ),
        Metric(
            "identity_arcface",
            "identity, ArcFace",
            "higher",
            about="Cosine of ArcFace's embeddings of the frames' faces and the portrait's, in [-1, 1].",
        ),
        Metric(
            "fid",
            "FID",
            "lower",
            digits=2,
            about="Fréchet distance of Inception features between all frames and all true ones, from 0.",
        ),
        Metric(
            "vfid",
            "VFID",
            "lower",
            digits=2,
            about="Fréchet distance of VideoMAE features between all clips and all true ones, from 0.",
        ),
    )
}
"""By name. `fid` and `vfid` are of a set of trials, the others of one."""
