"""Building beards: strands that follow the jaw, and the shade painted beneath them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from durian.labels import Label
from durian.synth.attributes.beard import Beard
from durian.synth.attributes.colours import scaled, strand_colours
from durian.synth.attributes.scalp import painted, smoothstep, speckle, texture_grid
from durian.synth.attributes.styles import FREE_FORM
from durian.synth.fields import CENTRE_Y
from durian.synth.parts import AttributeParts, Binding, Material, Strands

if TYPE_CHECKING:
    from durian.synth.head import Head

Array = np.ndarray
CANDIDATES = 7600
ABOVE_LIP = 1500
"""Candidates among them that all start above the upper lip, where hair is dense."""
POINTS = 6


@dataclass(frozen=True)
class Cut:
    """A style of beard; lengths in head-space units."""

    length: float
    """On the chin and the cheeks."""
    moustache: float = 0.11
    """Length of the moustache."""
    point: float = 0.0
    """How far long hair draws together to a point below the chin."""
    cheeks: float = 1.0
    """Length on the cheeks as a share of that on the chin."""
    painted: float = 0.75
    width: float = 0.024
    curl_up: float = 0.0
    """How far the moustache's ends turn up."""
    wide: float = 1.0
    """How far the moustache's strands run sideways."""


CUTS: dict[str, Cut] = {
    "stubble": Cut(0.026, moustache=0.026, painted=0.72, width=0.010),
    "full-short": Cut(0.11, cheeks=0.75),
    "full-long": Cut(0.52, moustache=0.12, cheeks=0.32, point=0.5),
    "goatee": Cut(0.16, point=0.25),
    "van-dyke": Cut(0.26, moustache=0.13, point=0.8, curl_up=0.35),
    "moustache": Cut(0.11, moustache=0.125),
    "handlebar": Cut(0.1, moustache=0.17, curl_up=1.1, wide=1.8),
    "walrus": Cut(0.1, moustache=0.22, width=0.028, wide=0.8),
    "chin-strap": Cut(0.07, painted=0.8),
    "chin-curtain": Cut(0.30, cheeks=0.5, point=0.15),
    "mutton-chops": Cut(0.14, cheeks=1.0, width=0.026),
    "soul-patch": Cut(0.12, point=0.4, painted=0.6),
}


def build_beard(beard: Beard, head: Head) -> AttributeParts:
    """Strands and painted shade; both follow the expression."""
    cut = _cut(beard)
    strands = _strands(beard, cut, head)
    lon, lat = texture_grid()
    noise = speckle(beard.seed)
    alpha = np.zeros(lon.shape, np.float32)
    face = (np.abs(lon[0]) < 1.7).nonzero()[0]
    rows = slice(0, int((lat[:, 0] < 0.5).sum()))
    columns = slice(int(face[0]), int(face[-1]) + 1)
    region = _region(beard, lon[rows, columns], lat[rows, columns], head)
    alpha[rows, columns] = region * cut.painted * (0.6 + 0.4 * beard.density)
    shade = painted(Label.BEARD, scaled(beard.colour, 0.55), alpha * (0.9 + 0.2 * noise))
    return AttributeParts(strands=(strands,) if len(strands.width) else (), painted=(shade,))


def _cut(beard: Beard) -> Cut:
    """That of the style, or of none: one that the seed draws."""
    if beard.style != FREE_FORM:
        return CUTS[beard.style]
    rng = np.random.default_rng([beard.seed, 2])
    length = float(np.exp(rng.uniform(math.log(0.025), math.log(0.55))))
    return Cut(
        length,
        moustache=float(np.clip(length, 0.025, 0.12) * rng.uniform(0.8, 1.7)),
        point=float(rng.uniform(0, 0.8)) if length > 0.1 else 0.0,
        cheeks=float(rng.uniform(0.3, 1.0)),
        painted=float(rng.uniform(0.6, 0.8)),
        width=float(np.clip(length / 4, 0.010, 0.027)),
        curl_up=float(rng.uniform(0, 1.1)) if rng.random() < 0.3 else 0.0,
        wide=float(rng.uniform(0.8, 1.7)),
    )


def _free_region(seed: int, lon: Array, lat: Array, head: Head) -> Array:
    """A moustache, a tuft on the chin, a band along the jaw, or several of them, each of any width."""
    rng = np.random.default_rng([seed, 3])
    away = np.abs(lon)
    across, above = away / head.mouth_lon, lat - head.mouth_lat
    moustache = head.beard(lon, lat, "moustache")
    width = rng.uniform(0.5, 1.2)
    upper = moustache * (1 - smoothstep(width - 0.15, width + 0.05, across))
    width, lip = rng.uniform(0.3, 1.3), rng.random() < 0.5
    tuft = smoothstep(-0.36, -0.28, above) * (1 - smoothstep(0.25, 0.42, across)) * lip
    chin = head.beard(lon, lat, "chin") * (1 - smoothstep(width - 0.15, width + 0.1, across))
    jaw = -1.0 + 0.92 * np.clip(away / 1.35, 0, 1.1) ** 1.6  # the edge from the chin up to the ear
    height, inner, outer = rng.uniform(0.12, 0.7), rng.uniform(-0.6, 0.7), rng.uniform(0.9, 1.6)
    band = (
        head.beard(lon, lat, "full")
        * (1 - moustache)
        * (1 - smoothstep(height - 0.06, height + 0.06, lat - jaw))
    )
    band = (
        band * smoothstep(inner - 0.1, inner + 0.1, away) * (1 - smoothstep(outer - 0.1, outer + 0.1, away))
    )
    has = rng.random(3) < (0.65, 0.55, 0.6)
    has[2] |= not has.any()
    return np.maximum(np.maximum(upper * has[0], np.maximum(chin, tuft) * has[1]), band * has[2])


def _region(beard: Beard, lon: Array, lat: Array, head: Head) -> Array:
    """Where the style grows, in [0, 1]."""
    style = beard.style
    if style == FREE_FORM:
        return _free_region(beard.seed, lon, lat, head)
    away = np.abs(lon)
    across, above = away / head.mouth_lon, lat - head.mouth_lat
    if style in ("full-short", "full-long", "stubble"):
        return head.beard(lon, lat, "full")
    if style in ("goatee", "moustache"):
        return head.beard(lon, lat, style)
    if style in ("handlebar", "walrus"):
        return head.beard(lon, lat, "moustache")
    if style == "van-dyke":
        chin = head.beard(lon, lat, "chin") * (1 - smoothstep(0.55, 0.85, across))
        return np.maximum(chin, head.beard(lon, lat, "moustache"))
    if style == "soul-patch":
        tuft = (1 - smoothstep(0.25, 0.42, across)) * smoothstep(-0.36, -0.28, above)
        return tuft * (1 - smoothstep(-0.17, -0.12, above))
    # The jaw's edge as a latitude, from the chin up to the ear.
    share = np.clip(away / 1.35, 0, 1.1)
    jaw = -1.0 + 0.92 * share**1.6
    full = head.beard(lon, lat, "full") * (1 - head.beard(lon, lat, "moustache"))
    if style == "chin-strap":
        band = 1 - smoothstep(0.09, 0.14, np.abs(lat - jaw - 0.05))
        return band * (1 - smoothstep(1.4, 1.52, away))
    if style == "chin-curtain":
        return full * (1 - smoothstep(0.20, 0.32, lat - jaw)) * smoothstep(-1.35, -1.2, lat)
    return full * smoothstep(0.55, 0.72, away) * (1 - smoothstep(0.50, 0.62, lat - jaw))


def _strands(beard: Beard, cut: Cut, head: Head) -> Strands:
    rng = np.random.default_rng(beard.seed)
    draws = rng.random((CANDIDATES, 10))
    lon = (draws[:, 0] * 2 - 1) * 1.55
    lat = -1.35 + draws[:, 1] * 1.6
    lon[:ABOVE_LIP] *= 0.45 / 1.55
    lat[:ABOVE_LIP] = head.mouth_lat + draws[:ABOVE_LIP, 1] * 0.26
    grown = _region(beard, lon, lat, head)
    # Fewer candidates where the parallels are shorter keeps the strands even.
    keep = (draws[:, 2] < grown * np.cos(lat)) & (draws[:, 3] < beard.density) & (grown > 0.3)
    lon, lat, draws = lon[keep], lat[keep], draws[keep]
    roots = head.surface(lon, lat).astype(np.float64)
    outward = roots - np.array([0.0, CENTRE_Y, 0.0])
    outward /= np.linalg.norm(outward, axis=1, keepdims=True) + 1e-9
    above = lat - head.mouth_lat
    moustache = (above > 0.0) & (np.abs(lon) < head.mouth_lon * 1.3)
    direction = outward * 0.4 + np.array([0.0, -0.85, 0.1])
    direction[:, 0] -= cut.point * 0.9 * roots[:, 0]
    side = np.tanh(lon / 0.05)
    combed = outward * 0.18 + np.stack([0.75 * side, np.full(len(lon), -0.42), np.zeros(len(lon))], -1)
    combed[:, 1] += 0.25 * cut.curl_up
    if beard.style == "walrus":
        combed = outward * 0.5 + np.stack([0.35 * side, np.full(len(lon), -0.8), np.zeros(len(lon))], -1)
    direction = np.where(moustache[:, None], combed, direction)
    stray = 0.2 + 0.7 * beard.messiness
    direction += (draws[:, 4:7] - 0.5) * (stray * np.where(moustache, 0.45, 1.0))[:, None]
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    cheek = smoothstep(0.25, 0.9, np.abs(lon))
    length = cut.length * (1 + (cut.cheeks - 1) * cheek)
    ends = 1 + (cut.wide - 1) * np.clip(np.abs(lon) / head.mouth_lon, 0, 1)
    length = np.where(moustache, cut.moustache * ends, length) * beard.length * (0.72 + 0.45 * draws[:, 7])
    share = np.linspace(0, 1, POINTS)[None, :, None]
    along = length[:, None, None] * share
    points = roots[:, None] + direction[:, None] * along
    sag = np.where(moustache, -0.15, -0.35)[:, None, None] * share * along
    points[..., 1] += sag[..., 0]
    curl_up = np.where(moustache & (np.abs(lon) > 0.45 * head.mouth_lon), 0.9 * cut.curl_up, 0.0)
    points[..., 1] += (curl_up[:, None, None] * share**2 * along)[..., 0]
    wave = 0.02 * beard.curl * np.minimum(1.0, length / 0.2)
    phase = 2 * math.pi * draws[:, 8]
    swing = np.sin(phase[:, None] + 28 * along[..., 0]) * wave[:, None] * share[..., 0]
    points[..., 0] += swing
    points[..., 2] += swing * np.cos(phase)[:, None]
    points = _off_face(points, head)
    clump = np.mod(np.floor(lon * 9) * 0.37 + np.floor(lat * 9) * 0.61, 1.0)
    colours = strand_colours(beard.colour, beard.grey, beard.colour, 0.0, clump, draws[:, [4, 8, 9]])
    width = cut.width * (0.75 + 0.5 * draws[:, 9])
    return Strands(
        Label.BEARD,
        Material.BEARD_STRAND,
        Binding.FACE,
        points.astype(np.float32),
        width.astype(np.float32),
        colours,
        0.7,
        np.zeros(len(width), np.float32),
    )


def _off_face(points: Array, head: Head) -> Array:
    """Lifts every point but the roots off the face."""
    lon, lat = head.angles(points)
    offset = points - np.array([0.0, CENTRE_Y, 0.0])
    distance = np.linalg.norm(offset, axis=-1)
    least = head.radius(lon, lat) + 0.012 * np.linspace(0, 1, points.shape[1])[None]
    # Hair that hangs below the jaw leaves the head's own surface behind.
    factor = np.where((distance < least) & (lat > -1.2), least / np.maximum(distance, 1e-6), 1.0)
    return np.array([0.0, CENTRE_Y, 0.0]) + offset * factor[..., None]
