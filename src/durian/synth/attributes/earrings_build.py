"""Building earrings on the lobes of both ears."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from durian.labels import Label
from durian.synth.attributes.colours import Colour
from durian.synth.attributes.earrings import Earrings
from durian.synth.attributes.meshes import mesh, sphere, tube
from durian.synth.parts import AttributeParts, Binding, Material, Mesh

if TYPE_CHECKING:
    from durian.synth.head import Head

Array = np.ndarray


def build_earrings(earrings: Earrings, head: Head) -> AttributeParts:
    """Meshes of both earrings; they hang straight down from the lobes."""
    meshes: list[Mesh] = []
    for side in (-1.0, 1.0):
        meshes += _FORMS[earrings.style](earrings, _lobe(head, side), side, head)
    return AttributeParts(meshes=tuple(meshes))


def _axes(head: Head, side: float) -> tuple[Array, Array]:
    """Forward and outward along the ear."""
    angle = head.identity.ears.out
    forward = np.array([-side * math.sin(angle), 0.0, math.cos(angle)])
    return forward, np.array([side * math.cos(angle), 0.0, math.sin(angle)])


def _lobe(head: Head, side: float) -> Array:
    """The hole in the lobe, on the ear's outside."""
    forward, outward = _axes(head, side)
    base = head.ear * np.array([side, 1.0, 1.0]) - 0.06 * forward + 0.045 * outward
    return base + np.array([0.0, -0.165 * head.ear_size, 0.0]) + 0.015 * outward + 0.01 * forward


def _part(material: Material, shape: tuple[Array, Array], colour: Colour) -> Mesh:
    return mesh(Label.EARRINGS, material, Binding.HEAD, *shape, colour)


def _stud(earrings: Earrings, lobe: Array, side: float, head: Head) -> list[Mesh]:
    outward = _axes(head, side)[1]
    size = 0.042 * earrings.size
    return [
        _part(Material.METAL, sphere(lobe, size * 0.9, 7, 10), earrings.colour),
        _part(Material.GEM, sphere(lobe + outward * size * 0.5, size * 0.8, 8, 12), earrings.gem_colour),
    ]


def _hoop(earrings: Earrings, lobe: Array, side: float, head: Head) -> list[Mesh]:
    forward = _axes(head, side)[0]
    radius = 0.115 * earrings.size
    angle = np.linspace(0, 2 * math.pi, 28, endpoint=False)
    centre = lobe + np.array([0.0, -radius, 0.0])
    # Hoops swing a little outwards, so that they are seen from the front too.
    plane = forward * 0.75 + np.array([side * 0.66, 0.0, 0.0])
    plane /= np.linalg.norm(plane)
    path = (
        centre + np.cos(angle)[:, None] * radius * plane + np.sin(angle)[:, None] * np.array([0, radius, 0])
    )
    axis = np.cross(plane, [0.0, 1.0, 0.0])
    ring = tube(path, 0.017, 0.017, 7, up=(float(axis[0]), 0.0, float(axis[2])), closed=True)
    return [_part(Material.METAL, ring, earrings.colour)]


def _teardrop(top: Array, length: float, radius: float) -> tuple[Array, Array]:
    share = np.linspace(0, 1, 9)
    path = top + np.stack([0 * share, -length * share, 0 * share], -1)
    profile = radius * np.sin(share**1.6 * math.pi * 0.93) ** 0.8 + 0.002
    return tube(path, profile, profile, 10, up=(0.0, 0.0, 1.0))


def _drop(earrings: Earrings, lobe: Array, side: float, head: Head) -> list[Mesh]:
    size = earrings.size
    below = lobe + np.array([side * 0.01, -0.05 * size, 0.0])
    return [
        _part(Material.METAL, sphere(lobe, 0.026 * size, 7, 9), earrings.colour),
        _part(Material.METAL, tube(np.stack([lobe, (lobe + below) / 2, below]), 0.008), earrings.colour),
        _part(Material.GEM, _teardrop(below, 0.20 * size, 0.052 * size), earrings.gem_colour),
    ]


def _disc(earrings: Earrings, lobe: Array, side: float, head: Head) -> list[Mesh]:
    size = 0.10 * earrings.size
    outward = _axes(head, side)[1]
    centre = lobe + np.array([0.0, -size - 0.03, 0.0])
    vertices, triangles = sphere(np.zeros(3), 1.0, 9, 16)
    # A flat lens that faces half sideways, half forwards.
    facing = outward + np.array([0.0, 0.0, 0.8])
    facing /= np.linalg.norm(facing)
    right = np.cross([0.0, 1.0, 0.0], facing)
    local = (
        vertices[:, :1] * right * size
        + vertices[:, 1:2] * np.array([0, size, 0])
        + vertices[:, 2:] * facing * 0.016
    )
    rim = np.hypot(vertices[:, 0], vertices[:, 1]) > 0.72
    colours = np.where(rim[:, None], np.asarray(earrings.colour), np.asarray(earrings.gem_colour))
    return [
        mesh(Label.EARRINGS, Material.METAL, Binding.HEAD, centre + local, triangles, colours),
        _part(Material.METAL, sphere(lobe, 0.026, 7, 9), earrings.colour),
    ]


def _chandelier(earrings: Earrings, lobe: Array, side: float, head: Head) -> list[Mesh]:
    size = earrings.size
    forward = _axes(head, side)[0] * 0.6 + np.array([side * 0.8, 0.0, 0.0])
    bar = lobe + np.array([0.0, -0.09 * size, 0.0])
    parts = [
        _part(Material.METAL, sphere(lobe, 0.028 * size, 7, 9), earrings.colour),
        _part(
            Material.METAL,
            tube(np.stack([bar - forward * 0.08 * size, bar + 0.02, bar + forward * 0.08 * size]), 0.016),
            earrings.colour,
        ),
        _part(Material.METAL, tube(np.stack([lobe, (lobe + bar) / 2, bar]), 0.010), earrings.colour),
    ]
    for at, length in ((-1.0, 0.12), (0.0, 0.19), (1.0, 0.12)):
        top = bar + forward * 0.075 * size * at
        parts.append(_part(Material.GEM, _teardrop(top, length * size, 0.030 * size), earrings.gem_colour))
    return parts


_FORMS = {"stud": _stud, "hoop": _hoop, "drop": _drop, "disc": _disc, "chandelier": _chandelier}
