"""Fitting attributes to a head, with hats pressing hair and scarves carrying it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from durian.synth.attributes import ceiling
from durian.synth.attributes.beard_build import build_beard
from durian.synth.attributes.collection import Attributes
from durian.synth.attributes.earrings_build import build_earrings
from durian.synth.attributes.glasses_build import build_glasses
from durian.synth.attributes.hair_build import build_hair, padding
from durian.synth.attributes.hat_build import build_hat
from durian.synth.attributes.paint_build import build_paint
from durian.synth.attributes.scarf_build import build_scarf, collar
from durian.synth.parts import AttributeParts

if TYPE_CHECKING:
    from durian.synth.head import Head


def build_attributes(attributes: Attributes, head: Head) -> dict[str, AttributeParts]:
    """The parts of every attribute that is worn, fitted to the head; keys are `Attributes`' field names."""
    parts: dict[str, AttributeParts] = {}
    space = ceiling.bare()
    if attributes.hat is not None:
        parts["hat"] = build_hat(attributes.hat, head, padding(attributes.hair))
        space = ceiling.under(parts["hat"].meshes)
    space = replace(space, collar=collar(attributes.scarf))
    if attributes.hair is not None:
        parts["hair"] = build_hair(attributes.hair, head, space)
    if attributes.beard is not None:
        parts["beard"] = build_beard(attributes.beard, head)
    if attributes.glasses is not None:
        parts["glasses"] = build_glasses(attributes.glasses, head)
    if attributes.earrings is not None:
        parts["earrings"] = build_earrings(attributes.earrings, head)
    if attributes.paint is not None:
        parts["paint"] = build_paint(attributes.paint, head)
    if attributes.scarf is not None:
        parts["scarf"] = build_scarf(attributes.scarf, head)
    return parts
