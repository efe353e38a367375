"""Fréchet distance between two sets of features, each taken for a Gaussian (Heusel et al., 2017)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

MIN_SAMPLES = 32


def frechet_distance(
    features_a: Float[np.ndarray, "N D"], features_b: Float[np.ndarray, "M D"], min_samples: int = MIN_SAMPLES
) -> float | None:
    """`|μ_a - μ_b|² + tr(Σ_a + Σ_b - 2 (Σ_a Σ_b)^½)`, from 0.

    It is biased upwards, the more the fewer samples there are, and with fewer samples than features far
    from its limit: compare only numbers from equally many samples, of the same trials, and with published
    ones not at all unless their set is the same. Frames of one clip are alike, so that they count for
    fewer than they are.

    The last trace is that of the singular values of `A Bᵀ`, where `Σ = AᵀA` with A the centred features
    over √(N - 1). So no root of a singular matrix is taken, and few samples of many features are cheap.

    Args:
        min_samples: fewer of either are not measured.

    Returns:
        None where there are too few samples.
    """
    if features_a.ndim != 2 or features_b.ndim != 2 or features_a.shape[1] != features_b.shape[1]:
        raise ValueError(f"features {features_a.shape} and {features_b.shape} must be (N, D) and (M, D)")
    if min(len(features_a), len(features_b)) < max(min_samples, 2):
        return None
    mean_a, root_a = _moments(features_a)
    mean_b, root_b = _moments(features_b)
    cross = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    distance = ((mean_a - mean_b) ** 2).sum() + (root_a**2).sum() + (root_b**2).sum() - 2 * cross
    return float(max(distance, 0))


def _moments(features: np.ndarray) -> tuple[Float[np.ndarray, " D"], Float[np.ndarray, "K D"]]:
    """Mean, and a matrix A of at most D rows with `AᵀA` the covariance."""
    features = features.astype(np.float64)
    mean = features.mean(0)
    root = (features - mean) / np.sqrt(len(features) - 1)
    if len(root) > root.shape[1]:
        root = np.asarray(np.linalg.qr(root, mode="r"))
    return mean, root
