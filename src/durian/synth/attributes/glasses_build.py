"""Building eyeglasses: frame, temples and lenses, symmetric about the nose and fitted to a head."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from durian.labels import Label
from durian.synth.attributes.colours import Colour, mix, scaled
from durian.synth.attributes.glasses import Glasses
from durian.synth.attributes.lens_shapes import LensShape, outline, shape_of
from durian.synth.attributes.meshes import grid_triangles, merged, mesh, smooth_path, tube
from durian.synth.fields import CENTRE_Y
from durian.synth.parts import AttributeParts, Binding, Material, Mesh

if TYPE_CHECKING:
    from durian.synth.head import Head

Array = np.ndarray
BANDS = 6
"""Bands of a lens with a gradient, each with an opacity of its own."""
BASE_CURVE = 0.26
"""How fast the front recedes away from the nose, per squared unit of x."""


@dataclass(frozen=True)
class Front:
    """The bent surface that lenses and rims lie in."""

    centre_x: float
    centre_y: float
    depth: float
    """z at the nose."""

    def place(self, flat: Array, side: float) -> Array:
        """Points (..., 2) of a lens on the surface at the image's right (1) or left (-1)."""
        x = self.centre_x + flat[..., 0]
        y = self.centre_y + flat[..., 1]
        return np.stack([side * x, y, self.at(x, y)], -1)

    def at(self, x: Array, y: Array) -> Array:
        """Bent around the face and leaning back at the cheeks."""
        return self.depth - BASE_CURVE * np.clip(np.abs(x) - 0.08, 0, None) ** 2 + 0.10 * (y - self.centre_y)


def build_glasses(glasses: Glasses, head: Head) -> AttributeParts:
    """Frame, temples and lenses; both halves are mirror images."""
    shape = shape_of(glasses.style, glasses.seed)
    flat = outline(shape, glasses.width, glasses.height)
    front = _fit_front(glasses, shape, flat, head)
    thickness = shape.thickness * glasses.thickness
    frame = [_bridge(shape, front, flat, thickness, glasses.colour, head)]
    lenses: list[Mesh] = []
    for side in (-1.0, 1.0):
        frame += _rim(glasses, shape, front, flat, thickness, side)
        if not shape.one_lens:
            lenses += _lens(glasses, _rows(front.place(flat * 0.985, side), 2 * BANDS + 1))
    if shape.rim == "goggle":
        temples = [_strap(glasses, front, flat, head, side) for side in (-1.0, 1.0)]
    else:
        temples = [_temple(glasses, shape, front, flat, thickness, head, side) for side in (-1.0, 1.0)]
    if shape.one_lens:
        lenses = _lens(glasses, _shield(front, flat, 2 * BANDS + 1))
        frame = [_shield_bar(front, flat, thickness, glasses.colour)]
    return AttributeParts(meshes=(merged(frame), merged(temples), *lenses))


def _fit_front(glasses: Glasses, shape: LensShape, flat: Array, head: Head) -> Front:
    """Puts the front as close to the face as nose, brows and cheeks allow."""
    centre_x = max(head.eye_x + 0.01, shape.width * glasses.width + 0.055)
    centre_y = head.eye_y - 0.025 + shape.offset - 0.09 * glasses.slide
    front = Front(centre_x, centre_y, 0.0)
    x, y = centre_x + flat[:, 0], centre_y + flat[:, 1]
    inner = np.linspace(0.02, max(0.05, centre_x - shape.width * glasses.width), 5)
    x = np.concatenate([x, inner])
    y = np.concatenate([y, np.full(len(inner), centre_y + 0.06)])
    # Towards the temples the surface falls away; there it cannot touch.
    near = x < 0.62
    needed = (head.front_z(x, y) - front.at(x, y))[near]
    nose = float(needed[-len(inner) :].max())
    depth = max(float(np.quantile(needed, 0.9)), nose - 0.10)
    return Front(centre_x, centre_y, depth + 0.03)


def _part(glasses: Glasses, material: Material, shape: tuple[Array, Array], colour: Colour) -> Mesh:
    return mesh(Label.GLASSES, material, Binding.HEAD, *shape, colour)


def _rim(
    glasses: Glasses, shape: LensShape, front: Front, flat: Array, thickness: float, side: float
) -> list[Mesh]:
    """The rim of one lens."""
    path = front.place(flat, side)
    material = shape.material
    if shape.rim == "full":
        bold = thickness * (
            1 + 0.35 * np.clip(flat[:, 1] / np.abs(flat[:, 1]).max(), 0, 1) * (shape.sweep > 0)
        )
        return [_part(glasses, material, tube(path, bold, bold * 1.15, 8, closed=True), glasses.colour)]
    if shape.rim == "goggle":
        ring = _part(
            glasses, material, tube(path, thickness, thickness * 1.4, 10, closed=True), glasses.colour
        )
        inner = front.place(flat * 1.02, side)
        inner[:, 2] -= 0.10
        cup = np.stack([path, inner])
        cup = np.concatenate([cup, cup[:, :1]], 1)
        wall = mesh(
            Label.GLASSES, material, Binding.HEAD, cup, grid_triangles(*cup.shape[:2]),
            scaled(glasses.second_colour, 0.8),
        )  # fmt: skip
        return [ring, wall]
    upper = np.flatnonzero(flat[:, 1] > 0.12 * flat[:, 1].max())
    order = upper[np.argsort(np.arctan2(flat[upper, 1], flat[upper, 0]))]
    if shape.one_lens:
        return []
    if shape.rim == "none":  # the polished edge of the glass
        edge = tube(path, thickness * 0.45, None, 5, closed=True)
        return [_part(glasses, material, edge, mix(glasses.lens_colour, (0.75, 0.78, 0.8), 0.6))]
    if shape.rim == "top":
        # Below, a thread holds the lens.
        thread = tube(path, thickness * 0.35, None, 5, closed=True)
        return [
            _part(glasses, material, tube(path[order], thickness, thickness * 1.2), glasses.colour),
            _part(glasses, material, thread, scaled(glasses.colour, 0.7)),
        ]
    bar = thickness * (1.5 + 1.3 * np.clip(flat[order, 0] / flat[:, 0].max() + 0.4, 0, 1))
    return [
        _part(glasses, material, tube(path, thickness * 0.7, None, 6, closed=True), glasses.second_colour),
        _part(glasses, material, tube(path[order], bar, thickness * 1.9), glasses.colour),
    ]


def _bridge(
    shape: LensShape, front: Front, flat: Array, thickness: float, colour: Colour, head: Head
) -> Mesh:
    """One or two arches from lens to lens over the nose."""
    heights = (0.09, 0.42) if shape.double_bridge else (0.28,)
    arches = []
    for share in heights:
        y = share * flat[:, 1].max()
        # Where the rim passes this height on the nose's side.
        inner = flat[flat[:, 0] < 0]
        edge = front.centre_x + float(inner[np.argmin(np.abs(inner[:, 1] - y)), 0])
        across = np.linspace(-1, 1, 11)
        x = across * edge
        arch = front.centre_y + y + 0.035 * (1 - across**2)
        over = head.front_z(np.zeros(1), np.array([front.centre_y + y + 0.03]))[0] + thickness + 0.012
        rise = max(0.0, float(over - front.at(np.zeros(1), np.array(front.centre_y + y))[0]))
        z = front.at(x, np.full_like(x, front.centre_y + y)) + rise * (1 - across**2) ** 0.5
        path = np.stack([x, arch, z], -1)
        arches.append(tube(path, thickness * 0.85, thickness * 0.85, 7, up=(0.0, 1.0, 0.0)))
    return merged([mesh(Label.GLASSES, shape.material, Binding.HEAD, v, t, colour) for v, t in arches])


def _temple(
    glasses: Glasses, shape: LensShape, front: Front, flat: Array, thickness: float, head: Head, side: float
) -> Mesh:
    """From the hinge along the temple to rest on the ear, hooked behind it."""
    hinge = front.place(flat[np.argmax(flat[:, 0] + 0.25 * flat[:, 1])], 1.0)
    ear_x, ear_y, ear_z = (float(v) for v in head.ear)
    corner = hinge + np.array([0.03, 0.0, -0.03])
    bend = np.array([ear_x + 0.015, ear_y + 0.15 * head.ear_size, ear_z + 0.02])
    behind, tip = np.array([0.0, -0.06, -0.10]), np.array([-0.015, -0.24, -0.17])
    corners = [hinge, corner, corner + (bend - corner) * 0.5, bend, bend + behind, bend + tip]
    path = _outside(smooth_path(np.stack(corners), 22), head, 0.022)
    path[:, 0] *= side
    # Acetate temples are boards: tall and thin.
    tall = (
        thickness * (1.45 if shape.material == Material.PLASTIC else 0.8) * np.linspace(1.25, 0.8, len(path))
    )
    colour = glasses.second_colour if shape.rim in ("browline", "full") else glasses.colour
    return _part(glasses, shape.material, tube(path, thickness * 0.75, tall, 6, up=(0.0, 1.0, 0.0)), colour)


def _strap(glasses: Glasses, front: Front, flat: Array, head: Head, side: float) -> Mesh:
    """Half of the strap that holds goggles, around the back of the head."""
    hinge = front.place(np.array([float(flat[:, 0].max()), 0.0]), 1.0)
    lon = np.linspace(math.atan2(hinge[0], hinge[2]) + 0.05, math.pi, 22)
    lat = math.atan2(hinge[1] - CENTRE_Y, math.hypot(hinge[0], hinge[2])) + 0.16 * np.linspace(0, 1, 22)
    path = np.concatenate([hinge[None], head.point(lon, lat, head.radius(lon, lat) + 0.03)])
    path[:, 0] *= side
    ribbon = tube(path, 0.015, 0.055, 6, up=(0.0, 1.0, 0.0))
    return _part(glasses, Material.METAL, ribbon, glasses.second_colour)


def _outside(path: Array, head: Head, clearance: float) -> Array:
    """Moves points of a path on the image's right sideways until they are clear of the head."""
    moved = path.astype(np.float64)
    for _ in range(4):
        lon, lat = head.angles(moved)
        distance = np.hypot(np.hypot(moved[:, 0], moved[:, 2]), moved[:, 1] - CENTRE_Y)
        needed = head.radius(lon, lat) + clearance
        moved[:, 0] *= np.maximum(1.0, needed / np.maximum(distance, 1e-6))
    return moved


def _lens(glasses: Glasses, sheet: Array) -> list[Mesh]:
    """A lens from a grid whose rows go up; with a gradient, bands of falling opacity."""
    rows = len(sheet) - 1
    spans = [(0, rows)] if glasses.gradient < 0.02 else [(2 * k, 2 * k + 2) for k in range(BANDS)]
    bands = []
    for low, high in spans:
        height = (low + high) / 2 / rows if len(spans) > 1 else 1.0
        opacity = glasses.lens_opacity * (1 - 0.85 * glasses.gradient * (1 - height))
        piece = sheet[low : high + 1]
        bands.append(
            mesh(
                Label.GLASSES,
                Material.LENS,
                Binding.HEAD,
                piece,
                grid_triangles(*piece.shape[:2]),
                glasses.lens_colour,
                opacity=float(np.clip(opacity, 0.03, 0.95)),
            )
        )
    return bands


def _rows(edge: Array, count: int, columns: int = 9) -> Array:
    """A grid (count, columns, 3) that fills an outline from its lowest to its highest point."""
    low, high = int(np.argmin(edge[:, 1])), int(np.argmax(edge[:, 1]))
    rolled = np.roll(edge, -low, 0)
    top = (high - low) % len(edge)
    first, second = rolled[: top + 1], np.concatenate([rolled[:1], rolled[top:][::-1]])
    heights = np.linspace(edge[low, 1], edge[high, 1], count)
    sides = []
    for chain in (first, second):
        y = np.maximum.accumulate(chain[:, 1]) + np.arange(len(chain)) * 1e-7
        sides.append(
            np.stack([np.interp(heights, y, chain[:, 0]), heights, np.interp(heights, y, chain[:, 2])], -1)
        )
    share = np.linspace(0, 1, columns)[None, :, None]
    return sides[0][:, None] * (1 - share) + sides[1][:, None] * share


def _shield(front: Front, flat: Array, count: int) -> Array:
    """The one lens of a shield as a grid: both outer halves joined over the nose."""
    upper, lower = (
        flat[(flat[:, 0] > -0.03) & (flat[:, 1] >= 0)],
        flat[(flat[:, 0] > -0.03) & (flat[:, 1] <= 0)],
    )
    upper, lower = upper[np.argsort(upper[:, 0])], lower[np.argsort(lower[:, 0])]
    away = np.linspace(0, front.centre_x + float(flat[:, 0].max()), 15)
    outwards = np.maximum(away - front.centre_x, 0.0)
    notch = 0.15 + 0.85 * np.clip(away / front.centre_x, 0, 1) ** 2
    top = np.interp(outwards, upper[:, 0], upper[:, 1])
    bottom = np.interp(outwards, lower[:, 0], lower[:, 1]) * notch
    share = np.linspace(0, 1, count)[:, None]
    x = np.concatenate([-away[:0:-1], away])
    y = front.centre_y + bottom + (top - bottom) * share
    y = np.concatenate([y[:, :0:-1], y], 1)
    x = np.broadcast_to(x, y.shape)
    return np.stack([x, y, front.at(x, y)], -1)


def _shield_bar(front: Front, flat: Array, thickness: float, colour: Colour) -> Mesh:
    outer = flat[(flat[:, 0] >= -0.02) & (flat[:, 1] > 0.3 * flat[:, 1].max())]
    outer = outer[np.argsort(np.arctan2(outer[:, 1], outer[:, 0]))]
    path = np.concatenate([front.place(outer, 1.0), front.place(outer, -1.0)[::-1]])
    vertices, triangles = tube(smooth_path(path, 40), thickness, thickness * 1.2)
    return mesh(Label.GLASSES, Material.PLASTIC, Binding.HEAD, vertices, triangles, colour)
