"""How often each attribute is drawn: by given weights, by what the clips wear, or rare ones more often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from durian.portrait.attributes import ATTRIBUTES

Weights = Mapping[str, float] | Literal["balanced", "natural"]

DEFAULT_WEIGHTS = {"hair": 0.5, "glasses": 0.22, "hat": 0.18, "beard": 0.1}


def attribute_probabilities(
    counts: Mapping[str, int], weights: Weights | None = None, power: float = 0.0
) -> dict[str, float]:
    """How often each attribute is drawn first.

    Args:
        counts: clips that wear each attribute.
        weights: by attribute; "natural": as often as worn; "balanced": worn^power; None: the weights
            that the packaged model was trained with.
        power: of "balanced": 0 draws all attributes equally often, 1 is "natural".

    Raises:
        ValueError: no clip wears any attribute that has a weight.
    """
    if isinstance(weights, str):
        exponent = 1.0 if weights == "natural" else power
        weights = {name: counts[name] ** exponent for name in ATTRIBUTES if counts.get(name)}
    weights = DEFAULT_WEIGHTS if weights is None else weights
    chosen = {name: weight for name, weight in weights.items() if counts.get(name)}
    values = np.array(list(chosen.values()), float)
    if not values.sum():
        raise ValueError(f"no clip shows any of the attributes {', '.join(weights) or '(none)'}")
    return dict(zip(chosen, (values / values.sum()).tolist(), strict=True))


def clip_probabilities(styles: Sequence[str | None], power: float) -> Float[np.ndarray, " N"]:
    """How often each clip that wears an attribute is drawn, so that rare styles come more often.

    Args:
        styles: of each clip, None where it is not known; clips without one count as one style.
        power: 0 draws each style equally often, 1 each clip.
    """
    counts = Counter(styles)
    weights = np.array([counts[style] ** (power - 1) for style in styles])
    return weights / weights.sum()
