"""Blending two attributes of one kind and style."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, TypeVar

from durian.synth.attributes.beard import Beard
from durian.synth.attributes.earrings import Earrings
from durian.synth.attributes.glasses import Glasses
from durian.synth.attributes.hair import Hair
from durian.synth.attributes.hat import Hat
from durian.synth.attributes.paint import Paint
from durian.synth.attributes.scarf import Scarf

Kind = TypeVar("Kind", Hair, Beard, Glasses, Hat, Earrings, Paint, Scarf)


def interpolate(a: Kind, b: Kind, t: float) -> Kind:
    """The attribute at share `t` of the way from `a` (0) to `b` (1): linear in every number and colour.

    Keeps `a`'s seed, so that strands correspond along the way.

    Raises:
        ValueError: the attributes differ in kind or in style.
    """
    if type(a) is not type(b):
        raise ValueError(f"cannot interpolate between {type(a).__name__} and {type(b).__name__}")
    if a.style != b.style:
        raise ValueError(f"cannot interpolate {type(a).__name__}: style {a.style!r} is not {b.style!r}")
    blended: dict[str, Any] = {}
    for field in fields(a):
        if field.name in ("style", "seed"):
            continue
        first, second = getattr(a, field.name), getattr(b, field.name)
        if isinstance(first, tuple):
            blended[field.name] = tuple(_mix(x, y, t) for x, y in zip(first, second, strict=True))
        else:
            blended[field.name] = _mix(first, second, t)
    return replace(a, **blended)


def _mix(a: float, b: float, t: float) -> float:
    """Linear and exact at both ends."""
    return a * (1 - t) + b * t
