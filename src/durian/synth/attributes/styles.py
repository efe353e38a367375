"""Choosing a style: weights by person and the split that keeps some styles for testing only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

Split = Literal["train", "test", "all"]
"""Which styles may be drawn: those for training, those held out, or both."""

FREE_FORM = "free-form"
"""No style: the form is drawn at random. In the tables it would change who wears what elsewhere."""


@dataclass(frozen=True)
class StyleTable:
    """The styles of one kind of attribute, with the share of people who wear them.

    `weights` maps a style to its weight for feminine and for masculine people.
    """

    weights: Mapping[str, tuple[float, float]]
    held_out: frozenset[str]

    def __post_init__(self) -> None:
        unknown = self.held_out - set(self.weights)
        if unknown:
            raise ValueError(f"held-out styles that do not exist: {sorted(unknown)}")

    def check(self, style: str, kind: str) -> None:
        """Raises `ValueError` for what is neither a style of the table nor `FREE_FORM`."""
        if style != FREE_FORM and style not in self.weights:
            raise ValueError(f"unknown {kind} style {style!r}; known: {', '.join(self.styles)}")

    @property
    def styles(self) -> tuple[str, ...]:
        return tuple(self.weights)

    @property
    def train_styles(self) -> tuple[str, ...]:
        return tuple(style for style in self.weights if style not in self.held_out)

    @property
    def held_out_styles(self) -> tuple[str, ...]:
        return tuple(style for style in self.weights if style in self.held_out)

    def of_split(self, split: Split) -> tuple[str, ...]:
        """Styles that the split may use."""
        if split == "train":
            return self.train_styles
        return self.held_out_styles if split == "test" else self.styles

    def draw(self, rng: np.random.Generator, masculinity: float, split: Split) -> str:
        """A style of the split; `masculinity` in [-1, 1] blends the two weights."""
        styles = self.of_split(split)
        share = 0.5 + 0.5 * float(np.clip(masculinity, -1.0, 1.0))
        weights = np.array([(1 - share) * self.weights[s][0] + share * self.weights[s][1] for s in styles])
        weights = weights + 1e-6  # a split may hold only styles of weight zero for this person
        return styles[int(rng.choice(len(styles), p=weights / weights.sum()))]


def draw_seed(rng: np.random.Generator) -> int:
    """The seed that an attribute keeps for everything about it that is not a parameter."""
    return int(rng.integers(1 << 31))
