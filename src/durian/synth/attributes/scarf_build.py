"""Building scarves that lie around the neck on the shoulders."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from durian.labels import Label
from durian.synth.attributes.growth import clothes_height
from durian.synth.attributes.meshes import grid, mesh, sphere
from durian.synth.attributes.scarf import Scarf
from durian.synth.parts import AttributeParts, Binding, Material, Mesh

if TYPE_CHECKING:
    from durian.synth.head import Head

Array = np.ndarray
AROUND, ACROSS = 97, 21


def build_scarf(scarf: Scarf, head: Head) -> AttributeParts:
    """Meshes bound to the body."""
    rng = np.random.default_rng(scarf.seed)
    thick = scarf.volume
    if scarf.style == "wrapped":
        meshes = [
            _ring(scarf, head, -1.22, 0.17 * thick, 0.13 * thick, 0.06, rng),
            _ring(scarf, head, -1.38, 0.15 * thick, 0.15 * thick, -0.05, rng, out=0.05),
            _tail(scarf, head, 0.20, -1.95, 0.20),
        ]
    elif scarf.style == "hanging":
        meshes = [
            _ring(scarf, head, -1.27, 0.14 * thick, 0.09 * thick, 0.10, rng),
            _tail(scarf, head, -0.30, -2.3, 0.19),
            _tail(scarf, head, 0.30, -2.45, 0.19),
        ]
    elif scarf.style == "snood":
        meshes = [_ring(scarf, head, -1.26, 0.28 * thick, 0.17 * thick, 0.05, rng, folds=5.0)]
    else:
        meshes = [_ring(scarf, head, -1.24, 0.10 * thick, 0.085 * thick, 0.06, rng), *_kerchief(scarf, head)]
    return AttributeParts(meshes=tuple(meshes))


def collar(scarf: Scarf | None) -> float:
    """How much further out hair lies around the neck because of the scarf."""
    if scarf is None:
        return 0.0
    return {"wrapped": 0.20, "hanging": 0.14, "snood": 0.22, "neckerchief": 0.09}[scarf.style] * scarf.volume


def _pattern(scarf: Scarf, along: Array, across: Array) -> Array:
    """Colours (..., 3) from two coordinates in head-space units."""
    cross = np.sin(along * 21 / scarf.scale) > 0.25
    length = np.sin(across * 26 / scarf.scale) > 0.25
    amount = (scarf.stripes * cross + scarf.checks * length) / max(1.0, scarf.stripes + scarf.checks)
    base = np.asarray(scarf.colour)
    return base + (np.asarray(scarf.second_colour) - base) * amount[..., None]


def _ring(
    scarf: Scarf,
    head: Head,
    height: float,
    tall: float,
    deep: float,
    dip: float,
    rng: np.random.Generator,
    out: float = 0.0,
    folds: float = 3.0,
) -> Mesh:
    """One turn around the neck, lower in front by `dip`, `tall` and `deep` in half-axes of its section."""
    turn = np.linspace(-math.pi, math.pi, AROUND)[None]
    section = np.linspace(0, 2 * math.pi, ACROSS)[:, None]
    phase = rng.uniform(0, 2 * math.pi, 3)
    # Folds run around with a slow twist; all terms have whole periods, so the ring closes.
    crease = 0.11 * np.sin(folds * section + 2 * turn + phase[0]) + 0.05 * np.sin(
        5 * turn + phase[1] + section
    )
    swell = 1 + crease + 0.08 * np.sin(3 * turn + phase[2])
    reach_x = head.neck_width + 0.07 + deep + out
    reach_z = 0.46 + 0.05 + deep + out
    outward = np.cos(section) * deep * swell
    x = np.sin(turn) * (reach_x + outward)
    z = np.cos(turn) * (reach_z + outward) - 0.20
    y = height - dip * np.cos(turn) + np.sin(section) * tall * swell - 0.35 * outward
    points = np.stack(np.broadcast_arrays(x, y, z), -1)
    shade = 0.80 + 1.6 * np.clip(crease, -0.1, 0.12)
    colours = _pattern(scarf, turn * 0.55 + 0 * section, section * tall + 0 * turn) * shade[..., None]
    uv = np.stack(np.broadcast_arrays(turn * 0.6, section * tall), -1)
    return grid(Label.SCARF, Material.KNIT, Binding.BODY, points, np.clip(colours, 0, 1), uv)


def _front(head: Head, x: Array, y: Array, above: float) -> Array:
    """z in front of the body at which a cloth lies `above` it."""
    z = np.full(np.broadcast_shapes(x.shape, y.shape), 1.2)
    x, y = np.broadcast_arrays(x, y)
    for _ in range(24):
        z = z - 0.9 * (head.body_distance(np.stack([x, y, z], -1)) - clothes_height(y) - above)
        z = np.clip(z, -0.5, 1.2)
    return z


def _tail(scarf: Scarf, head: Head, x: float, low: float, half: float) -> Mesh:
    """An end that hangs down the chest, with a fringe."""
    down = np.linspace(0, 1, 22)[:, None]
    across = np.linspace(-1, 1, 9)[None]
    y = -1.22 + (low + 1.22) * down + 0.0 * across
    centre = x * (0.55 + 0.45 * down)
    at = centre + across * half * (0.75 + 0.25 * down)
    z = _front(head, at, y, 0.015 + 0.05 * scarf.volume) + 0.025 * np.cos(across * 5 + 3 * down)
    points = np.stack([at, y, z], -1)
    colours = _pattern(scarf, y, at - centre)
    strands = (np.abs(np.sin(across * 14)) > 0.5) & (down > 0.93)
    colours = np.where(strands[..., None], colours * 0.55, colours)
    return grid(Label.SCARF, Material.KNIT, Binding.BODY, points, colours, np.stack([at, y], -1))


def _kerchief(scarf: Scarf, head: Head) -> list[Mesh]:
    """A knot and a triangle in front."""
    down = np.linspace(0, 1, 12)[:, None]
    across = np.linspace(-1, 1, 13)[None]
    y = -1.26 - 0.46 * scarf.scale * down - 0.0 * across
    at = across * 0.48 * (1 - 0.96 * down)
    y = y + 0.10 * np.abs(across) * (1 - down)
    z = _front(head, at, y, 0.06) + 0.015 * np.cos(across * 6)
    points = np.stack([at, y, z], -1)
    cloth = grid(
        Label.SCARF, Material.FELT, Binding.BODY, points, _pattern(scarf, y, at), np.stack([at, y], -1)
    )
    centre = np.array([0.0, -1.28, float(z[0, 6]) + 0.03])
    ball, triangles = sphere(np.zeros(3), 1.0, 8, 12)
    knot = mesh(
        Label.SCARF,
        Material.FELT,
        Binding.BODY,
        centre + ball * np.array([0.10, 0.075, 0.06]),
        triangles,
        scarf.colour,
    )
    return [cloth, knot]
