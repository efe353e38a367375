"""Hats of no style: a brim and a crown turned about the head, both drawn at random and bent."""

from __future__ import annotations

import math

import numpy as np

from durian.labels import Label
from durian.synth.attributes.hat import Hat
from durian.synth.attributes.hat_forms import Fit, crown_height, longitudes, turned
from durian.synth.attributes.meshes import grid
from durian.synth.parts import Binding, Material, Mesh

Array = np.ndarray
_MATERIALS = (Material.FELT, Material.LEATHER, Material.STRAW, Material.KNIT)
_RIM = 3
"""Corners of the profile that belong to the brim; the next one is on the head."""


def build_free_form(hat: Hat, fit: Fit) -> list[Mesh]:
    """The mesh of a hat whose form comes from its seed, `height` and `brim`."""
    rng = np.random.default_rng(hat.seed)
    width = 0.0 if rng.random() < 0.2 else rng.uniform(0.12, 0.95) * hat.brim
    profile = _profile(rng, fit, width, hat.height)
    lon = longitudes()
    points, uv, at = turned(fit, profile, lon)
    along_brim = np.clip((_RIM - 1 - at) / (_RIM - 1), 0, 1)[:, None]
    points[..., 1] += along_brim ** rng.uniform(1, 2) * _waves(rng, lon, width)
    crown = np.clip(at - _RIM, 0, 1)[:, None]
    points[..., ::2] *= 1 + (crown * _folds(rng, lon, at))[..., None]
    points[..., 1] -= _dent(rng, points, at)
    settled = fit.settle(points, np.where(at < _RIM - 1, -1.0, 0.02).repeat(len(lon)))
    material = _MATERIALS[rng.integers(len(_MATERIALS))]
    return [grid(Label.HAT, material, Binding.HEAD, settled, _colours(rng, hat, lon, at), uv)]


def _profile(rng: np.random.Generator, fit: Fit, width: float, height: float) -> list[tuple[float, float]]:
    """From the brim's edge to the top, as `turned` takes it: a brim that rises or droops, a wall that leans
    in or out, and a top that is flat, round or sunken."""
    top = crown_height(fit, rng.uniform(0.5, 1.05) * height)
    slope = rng.uniform(-0.25, 0.2) * width
    wall, shoulder = rng.uniform(0.92, 1.12), rng.uniform(0.6, 1.1)
    roundness, sunken = rng.uniform(0.3, 1.0), rng.uniform(-0.02, 0.12)
    band = rng.uniform(0.12, 0.3)
    return [
        (1.03 + width, slope),
        (1.01 + width, slope - 0.02),
        (1.03, 0.0),
        (1.0, 0.03),
        ((1 + wall) / 2, band),
        (wall, (band + top * 0.8) / 2),
        (shoulder, top * rng.uniform(0.78, 0.97)),
        (shoulder * roundness, top),
        (shoulder * roundness / 2, top - sunken / 2),
        (0.01, top - sunken),
    ]


def _waves(rng: np.random.Generator, lon: Array, width: float) -> Array:
    """How far the brim's edge rises at each longitude: turned up or down in front, behind, at the sides."""
    amplitudes = width * np.array([0.15, 0.25, 0.12, 0.06, 0.03])
    count = np.arange(1, len(amplitudes) + 1)[:, None]
    # Hats are alike on both sides, nearly.
    even, odd = rng.normal(size=len(amplitudes)), 0.25 * rng.normal(size=len(amplitudes))
    return (amplitudes * np.clip(even, -2, 2)) @ np.cos(count * lon) + (
        amplitudes * np.clip(odd, -2, 2)
    ) @ np.sin(count * lon)


def _folds(rng: np.random.Generator, lon: Array, at: Array) -> Array:
    """By what share the crown is wider than its profile: upright folds, slanted ones, rolls, or nothing."""
    depth = rng.uniform(0.01, 0.05) * (rng.random() < 0.4)
    count, slant = rng.integers(2, 9), rng.uniform(0, 3) * (rng.random() < 0.5)
    rolls = rng.uniform(0.01, 0.04) * (rng.random() < 0.25)
    phase = rng.uniform(0, 2 * math.pi, 2)
    folds = depth * np.sin(count * lon[None] + slant * at[:, None] + phase[0])
    return folds + rolls * np.sin(rng.uniform(3, 7) * at[:, None] + phase[1])


def _dent(rng: np.random.Generator, points: Array, at: Array) -> Array:
    """How far the top is pressed in, along a line in any direction."""
    depth = rng.uniform(0.04, 0.16) * (rng.random() < 0.35)
    angle, half_width = rng.uniform(0, math.pi), rng.uniform(0.12, 0.25)
    across = points[..., 0] * math.cos(angle) + points[..., 2] * math.sin(angle)
    return depth * np.exp(-((across / half_width) ** 2)) * np.clip(at - 6.2, 0, 1)[:, None]


def _colours(rng: np.random.Generator, hat: Hat, lon: Array, at: Array) -> Array:
    """A band, a brim of another colour, or stripes up or around."""
    share = np.zeros((len(at), len(lon)))
    if rng.random() < 0.6:
        share[(at > _RIM) & (at < rng.uniform(3.6, 4.8))] = 1
    if rng.random() < 0.2:
        share[at < _RIM - 0.5] = 1
    up, count = rng.random() < 0.5, rng.integers(3, 11)
    wave = np.sin(count * lon)[None] if up else np.sin(1.5 * count * at)[:, None]
    share = np.maximum(share, hat.stripes * (wave > rng.uniform(-0.3, 0.6)))[..., None]
    return np.asarray(hat.colour) * (1 - share) + np.asarray(hat.second_colour) * share
