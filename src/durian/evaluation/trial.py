"""What is animated and scored, wherever it comes from: a benchmark case, or a clip of a video."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, UInt8

from durian.portrait.inputs import AnimationInputs, Reference

Frames = UInt8[np.ndarray, "F S S 3"]


@dataclass(frozen=True)
class Request:
    """What a method is asked for.

    Attributes:
        inputs: at the method's resolution.
        interpolate_to, portrait_to, interpolation: as in `DurianPipeline.animate`; None where nothing is
            interpolated.
    """

    inputs: AnimationInputs
    interpolate_to: Mapping[str, Reference] | None = None
    interpolation: Float[np.ndarray, " F"] | None = None
    portrait_to: Reference | None = None


@dataclass(frozen=True)
class Trial:
    """One animation to make, and what is known of the answer, at the trial's own resolution S.

    Attributes:
        id: unique in its protocol, such as "single/000_hair".
        groups: the rows of the table that it counts in, such as ("single", "single, hair").
        attributes: what is transferred, by name.
        request: what a method of a given resolution is asked for. It never sees the answer.
        portrait: the portrait as it is, its mask `M_port`. donors: the attribute references.
        keypoints: the landmarks that the frames should have.
        targets: the true frames; None where there is no truth (cross-identity on real videos).
        regions: of the targets, by name: "attribute", "face" (without the attribute), "rest" (neither).
            Empty where nothing is known.
        motion_is_own: whether `keypoints` are the portrait's person's own (not another's, retargeted).
        facts: numbers that say what kind of trial it is, such as {"pose_gap": 41.5}, in degrees.
        seed: of the noise.
    """

    id: str
    groups: tuple[str, ...]
    attributes: tuple[str, ...]
    request: Callable[[int], Request]
    portrait: Reference
    donors: Mapping[str, Reference]
    keypoints: Float[np.ndarray, "F 478 3"]
    targets: Frames | None = None
    regions: Mapping[str, Bool[np.ndarray, "F S S"]] = field(default_factory=dict)
    motion_is_own: bool = True
    facts: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0

    @property
    def size(self) -> int:
        """Side of its images in pixels."""
        return self.portrait.image.shape[0]


@dataclass(frozen=True)
class Metric:
    """How a number is shown and which way is good.

    Attributes:
        name: its key in reports. title: its heading.
        better: "higher" or "lower".
        unit: "dB", "%", … or "".
        digits: after the decimal point.
        about: one sentence: what it is, and in which range.
    """

    name: str
    title: str
    better: Literal["higher", "lower"]
    unit: str = ""
    digits: int = 3
    about: str = ""


Scores = dict[str, float | None]
"""By a metric's name; None where it does not apply to the trial (no such region, no face found …)."""


@dataclass(frozen=True)
class TrialRef:
    """A trial that is not loaded yet, so that a run can be resumed without decoding what is done.

    Attributes:
        id, groups, attributes: as the `Trial` will have them.
        load: decodes and prepares it; raises `DurianError` where what it is made from cannot be used.
        fingerprint: of what it is made from; with another one, what was scored before does not count.
    """

    id: str
    groups: tuple[str, ...]
    attributes: tuple[str, ...]
    load: Callable[[], Trial]
    fingerprint: str = ""
