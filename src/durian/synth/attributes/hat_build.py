"""Building hats: meshes from their parameters, fitted to a head and the hair below."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from durian.labels import Label
from durian.synth.attributes.colours import Colour, mix, scaled
from durian.synth.attributes.free_hat import build_free_form
from durian.synth.attributes.hat import Hat
from durian.synth.attributes.hat_forms import (
    Fit,
    crown_height,
    longitudes,
    rim_height,
    shell,
    turned,
    visor,
)
from durian.synth.attributes.meshes import grid, mesh, sphere
from durian.synth.attributes.styles import FREE_FORM
from durian.synth.parts import AttributeParts, Binding, Material, Mesh

if TYPE_CHECKING:
    from durian.synth.head import Head

Array = np.ndarray
HALF_TURN = math.pi / 2 - 0.004


def build_hat(hat: Hat, head: Head, padding: float) -> AttributeParts:
    """The meshes of a hat that stands off the skull by `padding` for the hair below."""
    pitch, roll = -0.10 * hat.pitch, -0.10 * hat.roll
    cp, sp, cr, sr = math.cos(pitch), math.sin(pitch), math.cos(roll), math.sin(roll)
    tilt = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    return AttributeParts(meshes=tuple(_FORMS[hat.style](hat, Fit(head, padding, tilt))))


def _surface(hat: Hat, material: Material, points: Array, uv: Array, colour: Colour | Array) -> Mesh:
    return grid(Label.HAT, material, Binding.HEAD, points, colour, uv)


def _striped(hat: Hat, rows: int, columns: int, share: Array) -> Array:
    """The crown's colours (rows, columns, 3) with stripes of the second colour where `share` says."""
    base = np.broadcast_to(np.asarray(hat.colour), (rows, columns, 3))
    amount = np.broadcast_to(share, (rows, columns))[..., None] * hat.stripes
    return base + (np.asarray(hat.second_colour) - base) * amount


def _beanie(hat: Hat, fit: Fit, pom: bool = False) -> list[Mesh]:
    lon, rows = longitudes(), 30
    share = np.linspace(0, 1, rows)[:, None]
    low = rim_height(fit.forehead - 0.03, -0.10, lon)
    # Slouches off the skull towards the top and gathers there.
    puff = fit.padding + 0.02 + 0.16 * hat.height * share**2 * (1 - 0.55 * share**6)
    points, uv = shell(fit, low, HALF_TURN, np.broadcast_to(puff, (rows, len(lon))), rows, lon)
    rings = (np.sin(share * 26.0) > 0.0).astype(float)
    crown = _surface(hat, Material.KNIT, fit.settle(points), uv, _striped(hat, rows, len(lon), rings))
    swell = np.sin(np.linspace(0, math.pi, 8))[:, None] ** 0.5
    cuff_height = np.broadcast_to(fit.padding + 0.01 + 0.055 * swell, (8, len(lon)))
    top = np.arctan2(low - 0.28, 0.82) + 0.27
    cuff, cuff_uv = shell(fit, low - 0.02, top, cuff_height, 8, lon)
    cuff_colour = scaled(hat.second_colour if pom else hat.colour, 1.0 if pom else 0.8)
    parts = [crown, _surface(hat, Material.KNIT, fit.settle(cuff), cuff_uv, cuff_colour)]
    if pom:
        rng = np.random.default_rng(hat.seed)
        lumps = 0.21 * (1 + rng.uniform(-0.16, 0.16, (13, 21)))
        lumps[:, -1] = lumps[:, 0]
        centre = points[-1].mean(0) + np.array([0.0, 0.15, 0.0])
        centre = (centre - (0.0, 0.28, -0.12)) @ fit.tilt.T + (0.0, 0.28, -0.12)
        vertices, triangles = sphere(centre, lumps, 13, 20)
        shade = rng.uniform(0.75, 1.2, (len(vertices), 1)) * np.asarray(hat.second_colour)
        uv_pom = vertices[:, :2]
        parts.append(
            mesh(Label.HAT, Material.KNIT, Binding.HEAD, vertices, triangles, np.clip(shade, 0, 1), uv_pom)
        )
    return parts


def _pom_beanie(hat: Hat, fit: Fit) -> list[Mesh]:
    return _beanie(hat, fit, pom=True)


def _cap(hat: Hat, fit: Fit) -> list[Mesh]:
    lon, rows = longitudes(), 24
    share = np.linspace(0, 1, rows)[:, None]
    front = np.clip(np.cos(lon), 0, 1)[None]
    low = rim_height(fit.forehead + 0.04, 0.10, lon)
    # The stiff front panels stand up straight above the visor.
    stand = fit.padding + 0.02 + 0.10 * hat.height * np.sin(share * math.pi) ** 0.8 * (0.4 + 0.6 * front**2)
    points, uv = shell(fit, low, HALF_TURN, stand, rows, lon)
    points = fit.settle(points)
    seams = np.exp(-((np.sin(lon * 3.0) / 0.10) ** 2))[None] * 0.3
    panel = (np.abs(lon) < math.pi / 3).astype(float)[None] * hat.stripes
    colours = np.asarray(hat.colour) * (1 - seams[..., None])
    colours = colours + (np.asarray(hat.second_colour) - colours) * panel[..., None]
    colours = np.broadcast_to(colours, points.shape)
    peak, peak_uv = visor(points[0], lon, 0.62 * hat.brim, 0.10)
    button, triangles = sphere(points[-1].mean(0), 0.045, 7, 10)
    return [
        _surface(hat, Material.FELT, points, uv, np.ascontiguousarray(colours)),
        _surface(hat, Material.FELT, peak, peak_uv, hat.second_colour),
        mesh(Label.HAT, Material.FELT, Binding.HEAD, button, triangles, hat.second_colour),
    ]


def _flat_cap(hat: Hat, fit: Fit) -> list[Mesh]:
    lon, rows = longitudes(), 24
    share = np.linspace(0, 1, rows)[:, None]
    front = np.clip(np.cos(lon), 0, 1)[None]
    low = rim_height(fit.forehead + 0.02, 0.16, lon)
    belly = np.sin(np.clip(share * 1.6, 0, 1) * math.pi / 2) * (1 - share**3)
    height = fit.padding + 0.02 + (0.09 + 0.26 * front**1.5) * belly * hat.height
    points, uv = shell(fit, low, HALF_TURN, height, rows, lon)
    points = fit.settle(points)
    checks = 0.5 * (np.sin(lon * 18)[None] > 0.2) + 0.5 * (np.sin(share * 30) > 0.2)
    peak, peak_uv = visor(points[0], lon, 0.34 * hat.brim, 0.10, 0.95)
    return [
        _surface(hat, Material.FELT, points, uv, _striped(hat, rows, len(lon), checks)),
        _surface(hat, Material.FELT, peak, peak_uv, scaled(hat.colour, 0.8)),
    ]


def _brimmed(
    hat: Hat,
    fit: Fit,
    material: Material,
    profile: list[tuple[float, float]],
    band: tuple[float, float],
    bend: Callable[[Array, Array, Array], Array],
) -> list[Mesh]:
    """A turned hat.

    `band` is its span of the profile in the second colour; `bend` gives what is added to every y.
    """
    lon = longitudes()
    points, uv, at = turned(fit, profile, lon)
    points[..., 1] += bend(points, lon[None], at[:, None])
    banded = ((at > band[0]) & (at < band[1]))[:, None, None]
    colours = np.where(banded, np.asarray(hat.second_colour), np.asarray(hat.colour))
    colours = np.broadcast_to(colours, points.shape)
    settled = fit.settle(points, np.where(at < 2.0, -1.0, 0.02).repeat(len(lon)))
    return [_surface(hat, material, settled, uv, np.ascontiguousarray(colours))]


def _fedora(hat: Hat, fit: Fit) -> list[Mesh]:
    top = crown_height(fit, 0.80 * hat.height)
    wide = 1.0 + 0.46 * hat.brim
    profile = [
        (wide, 0.0), (wide - 0.03, -0.025), (1.03, 0.0), (1.0, 0.03), (0.98, 0.19), (0.96, 0.21),
        (0.86, top * 0.80), (0.72, top), (0.48, top + 0.01), (0.25, top - 0.06), (0.01, top - 0.08),
    ]  # fmt: skip

    def bend(points: Array, lon: Array, at: Array) -> Array:
        brim = np.clip(2 - at, 0, 2) / 2
        pinch = np.exp(-((points[..., 0] / 0.17) ** 2)) * np.clip(at - 6.2, 0, 1) * 0.15
        front = np.clip(np.cos(lon), 0, 1)
        slope = 0.07 * np.clip(at - 5.5, 0, 1) * front**2
        snap = 0.13 * np.sin(lon) ** 2 - 0.15 * front**2 + 0.10 * np.clip(-np.cos(lon), 0, 1)
        return brim * snap - pinch + slope

    return _brimmed(hat, fit, Material.FELT, profile, (3.0, 4.5), bend)


def _bowler(hat: Hat, fit: Fit) -> list[Mesh]:
    top = crown_height(fit, 0.72 * hat.height)
    wide = 1.0 + 0.27 * hat.brim
    angle = np.linspace(0.25, math.pi / 2, 8)
    dome = [(float(math.cos(a) ** 0.75), float(0.12 + (top - 0.12) * math.sin(a) ** 1.1)) for a in angle]
    profile = [(wide, 0.07), (wide - 0.02, 0.02), (1.04, 0.0), (1.0, 0.02), (0.995, 0.13), *dome]
    profile[-1] = (0.01, profile[-1][1])
    return _brimmed(
        hat, fit, Material.FELT, profile, (2.9, 4.1),
        lambda p, lon, at: np.clip(2 - at, 0, 2) / 2 * (0.16 * np.sin(lon) ** 2 - 0.05),
    )  # fmt: skip


def _top_hat(hat: Hat, fit: Fit) -> list[Mesh]:
    top = crown_height(fit, 1.0 * hat.height)
    wide = 1.0 + 0.34 * hat.brim
    profile = [
        (wide, 0.03), (wide - 0.02, -0.01), (1.03, 0.0), (1.0, 0.02), (0.985, 0.22), (0.98, 0.24),
        (0.96, top * 0.6), (1.02, top), (1.0, top + 0.01), (0.01, top + 0.01),
    ]  # fmt: skip
    return _brimmed(
        hat, fit, Material.FELT, profile, (3.0, 4.5),
        lambda p, lon, at: np.clip(2 - at, 0, 2) / 2 * 0.14 * np.sin(lon) ** 2,
    )  # fmt: skip


def _cowboy(hat: Hat, fit: Fit) -> list[Mesh]:
    top = crown_height(fit, 0.86 * hat.height)
    wide = 1.0 + 0.72 * hat.brim
    profile = [
        (wide, 0.0), (wide - 0.02, -0.025), (1.04, 0.0), (1.0, 0.03), (0.99, 0.14), (0.98, 0.16),
        (0.90, top * 0.80), (0.84, top * 0.97), (0.70, top), (0.40, top - 0.03), (0.01, top - 0.04),
    ]  # fmt: skip

    def bend(points: Array, lon: Array, at: Array) -> Array:
        brim = (np.clip(2 - at, 0, 2) / 2) ** 1.4
        crease = np.exp(-((points[..., 0] / 0.20) ** 2)) * np.clip(at - 6.6, 0, 1) * 0.20
        front = np.clip(np.cos(lon), 0, 1)
        return brim * (0.46 * np.sin(lon) ** 4 - 0.16 * np.cos(lon) ** 2) - crease - 0.05 * front * (at > 6)

    return _brimmed(hat, fit, Material.LEATHER, profile, (3.0, 4.5), bend)


def _sun_hat(hat: Hat, fit: Fit) -> list[Mesh]:
    top = crown_height(fit, 0.66 * hat.height)
    wide = 1.0 + 0.95 * hat.brim
    angle = np.linspace(0.35, math.pi / 2, 7)
    dome = [(float(math.cos(a) ** 0.8), float(0.18 + (top - 0.18) * math.sin(a) ** 1.2)) for a in angle]
    profile = [(wide, 0.0), (wide - 0.02, -0.02), (1.05, 0.0), (1.0, 0.02), (0.995, 0.19), *dome]
    profile[-1] = (0.01, profile[-1][1])
    wave = np.random.default_rng(hat.seed).uniform(0, 6.28, 2)

    def bend(points: Array, lon: Array, at: Array) -> Array:
        brim = (np.clip(2 - at, 0, 2) / 2) ** 1.5
        ripple = 0.05 * np.sin(3 * lon + wave[0]) + 0.03 * np.sin(5 * lon + wave[1])
        return brim * (ripple - 0.20 * np.sin(lon) ** 2 + 0.10 * np.cos(lon))

    return _brimmed(hat, fit, Material.STRAW, profile, (2.9, 4.1), bend)


def _bucket(hat: Hat, fit: Fit) -> list[Mesh]:
    top = crown_height(fit, 0.62 * hat.height)
    wide = 1.03 + 0.30 * hat.brim
    drop = -0.16 * hat.brim
    profile = [
        (wide, drop), (wide - 0.02, drop - 0.015), (1.04, 0.06), (1.02, 0.09), (0.99, 0.25),
        (0.93, top * 0.86), (0.88, top * 0.98), (0.80, top), (0.45, top + 0.02), (0.01, top + 0.02),
    ]  # fmt: skip
    meshes = _brimmed(
        hat, fit, Material.FELT, profile, (3.0, 3.9) if hat.stripes > 0 else (0.0, 0.0),
        lambda p, lon, at: np.zeros_like(p[..., 0]),
    )  # fmt: skip
    return meshes


def _beret(hat: Hat, fit: Fit) -> list[Mesh]:
    lon, rows = longitudes(), 26
    share = np.linspace(0, 1, rows)[:, None]
    low = rim_height(fit.forehead + 0.05, 0.14, lon)
    # A disc that hangs over towards one side.
    lean = math.tanh(5 * hat.roll)
    over = 0.5 + 0.5 * np.cos(lon - lean * 1.25)[None]
    belly = np.sin(np.clip(share * 1.9, 0, 1) * math.pi / 2) * (1 - share**4)
    height = fit.padding + 0.015 + (0.10 + 0.36 * over * hat.brim) * belly * (share > 0.04)
    points, uv = shell(fit, low, HALF_TURN, height, rows, lon)
    points[..., 1] -= 0.16 * over * np.sin(np.clip(share * 1.25, 0, 1) * math.pi) * (share > 0.1)
    points = fit.settle(points)
    rim = (share < 0.06).astype(float) * np.ones_like(lon)[None]
    colours = np.asarray(hat.colour) * (1 - 0.45 * rim[..., None])
    stalk, triangles = sphere(points[-1].mean(0) + np.array([0.0, 0.02, 0.0]), 0.035, 7, 8)
    return [
        _surface(hat, Material.FELT, points, uv, colours),
        mesh(Label.HAT, Material.FELT, Binding.HEAD, stalk, triangles, scaled(hat.colour, 0.7)),
    ]


def _turban(hat: Hat, fit: Fit) -> list[Mesh]:
    lon, rows = longitudes(97), 36
    share = np.linspace(0, 1, rows)[:, None]
    low = rim_height(fit.forehead + 0.02, 0.02, lon)
    # Folds climb from both sides to a crossing at the forehead.
    climb = share * 4.2 - 1.1 * np.cos(lon)[None] * (1 - share)
    fold = np.abs(np.sin(climb * math.pi))
    body = fit.padding + 0.06 + 0.20 * hat.height * np.sin(np.clip(share * 1.1, 0, 1) * math.pi) ** 0.7
    height = body + 0.055 * fold * (1 - share**4)
    points, uv = shell(fit, low, HALF_TURN, height, rows, lon)
    alternate = (np.floor(climb) % 2 == 0).astype(float)
    colours = _striped(hat, rows, len(lon), alternate) * (0.72 + 0.28 * fold[..., None] ** 0.5)
    knot_centre = points[6, len(lon) // 2] + np.array([0.0, 0.05, 0.0])
    knot_centre = (knot_centre - (0.0, 0.28, -0.12)) @ fit.tilt.T + (0.0, 0.28, -0.12)
    knot, triangles = sphere(np.zeros(3), 1.0, 9, 14)
    knot = knot_centre + knot * np.array([0.13, 0.17, 0.08])
    return [
        _surface(hat, Material.FELT, fit.settle(points), uv, colours),
        mesh(
            Label.HAT, Material.FELT, Binding.HEAD, knot, triangles, mix(hat.colour, hat.second_colour, 0.6)
        ),
    ]


def _headband(hat: Hat, fit: Fit) -> list[Mesh]:
    lon, rows = longitudes(), 8
    low = rim_height(fit.forehead - 0.01, 0.02, lon)
    bulge = np.sin(np.linspace(0, math.pi, rows))[:, None] ** 0.5
    height = np.broadcast_to(0.02 + 0.35 * fit.padding + 0.03 * bulge, (rows, len(lon)))
    top = np.arctan2(low - 0.28, 0.82) + 0.13 + 0.09 * hat.height
    points, uv = shell(fit, low, top, height, rows, lon)
    middle = (np.abs(np.linspace(-1, 1, rows)) < 0.35).astype(float)[:, None]
    return [
        _surface(hat, Material.KNIT, fit.settle(points, 0.012), uv, _striped(hat, rows, len(lon), middle))
    ]


_FORMS: dict[str, Callable[[Hat, Fit], list[Mesh]]] = {
    "beanie": _beanie,
    "pom-beanie": _pom_beanie,
    "baseball-cap": _cap,
    "fedora": _fedora,
    "bowler": _bowler,
    "bucket-hat": _bucket,
    "cowboy-hat": _cowboy,
    "sun-hat": _sun_hat,
    "beret": _beret,
    "top-hat": _top_hat,
    "turban": _turban,
    "headband": _headband,
    "flat-cap": _flat_cap,
    FREE_FORM: build_free_form,
}
