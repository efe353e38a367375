"""The key light's shadow and how surfaces and hair answer light."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32
from numba import njit

from durian.synth.fields import INLINE, JIT
from durian.synth.occlusion import EXTENT, MIDDLE, basis_of
from durian.synth.scene import Light


class LightArrays(NamedTuple):
    """A `Light` as numba loops take it; `basis`, `scale`, `centre` and `spread` belong to the shadow map."""

    direction: Float[np.ndarray, " 3"]
    colour: Float[np.ndarray, " 3"]
    sky: Float[np.ndarray, " 3"]
    ground: Float[np.ndarray, " 3"]
    fill: float
    rim: Float[np.ndarray, " 3"]
    rim_direction: Float[np.ndarray, " 3"]
    basis: Float[np.ndarray, "3 3"]
    middle: Float[np.ndarray, " 3"]
    scale: float
    centre: float
    spread: float
    shadow: Float32[np.ndarray, "r r"]


def light_arrays(light: Light, resolution: int) -> LightArrays:
    """A light with an empty shadow map of `resolution` cells a side."""
    direction = np.array(light.direction, np.float64)
    return LightArrays(
        direction=direction,
        colour=np.array(light.colour),
        sky=np.array(light.sky),
        ground=np.array(light.ground),
        fill=float(light.fill),
        rim=np.array(light.rim),
        rim_direction=np.array(light.rim_direction),
        basis=basis_of(direction),
        middle=np.array(MIDDLE),
        scale=resolution / EXTENT,
        centre=resolution / 2,
        spread=resolution / 160 * (0.9 + 2.6 * (1 - light.hardness)),
        shadow=np.zeros((resolution, resolution), np.float32),
    )


@njit(**JIT)
def lit_share(x, y, z, light, bias, fade):
    """How much of the key light reaches a point: nine soft, interpolated looks at the shadow map."""
    dx, dy, dz = x - light.middle[0], y - light.middle[1], z - light.middle[2]
    basis = light.basis
    sx = light.centre + light.scale * (basis[0, 0] * dx + basis[0, 1] * dy + basis[0, 2] * dz) - 0.5
    sy = light.centre - light.scale * (basis[1, 0] * dx + basis[1, 1] * dy + basis[1, 2] * dz) - 0.5
    sz = basis[2, 0] * dx + basis[2, 1] * dy + basis[2, 2] * dz + 10.0 + bias
    size = light.shadow.shape[0]
    inverse = 1.0 / fade
    total = 0.0
    for j in range(-1, 2):
        for i in range(-1, 2):
            px, py = sx + i * light.spread, sy + j * light.spread
            ix, iy = int(px), int(py)
            if ix < 0 or iy < 0 or ix >= size - 1 or iy >= size - 1:
                total += 1.0
                continue
            fx, fy = px - ix, py - iy
            a = min(1.0, max(0.0, (light.shadow[iy, ix] - sz) * inverse))
            b = min(1.0, max(0.0, (light.shadow[iy, ix + 1] - sz) * inverse))
            c = min(1.0, max(0.0, (light.shadow[iy + 1, ix] - sz) * inverse))
            d = min(1.0, max(0.0, (light.shadow[iy + 1, ix + 1] - sz) * inverse))
            total += 1.0 - ((a * (1 - fx) + b * fx) * (1 - fy) + (c * (1 - fx) + d * fx) * fy)
    return total / 9.0


@njit(**INLINE)
def _dot(ax, ay, az, b):
    return ax * b[0] + ay * b[1] + az * b[2]


@njit(**INLINE)
def _bounced(ao, albedo):
    """Light that finds its way into a hollow over several bounces; bright hollows are lit by themselves."""
    return ao / (1.0 - min(albedo, 0.95) * 0.85 * (1.0 - ao))


@njit(**JIT)
def light_surface(albedo, n, to_eye, ao, lit, wrap, scatter, gloss, shine, light):
    """Light from a surface: albedo, unit normal and direction to the eye, each a triple.

    `wrap` softens the terminator, `scatter` (0 or 1) reddens it as skin does, `gloss` is the strength
    and `shine` the exponent of the highlight.
    """
    nx, ny, nz = n
    facing = _dot(nx, ny, nz, light.direction)
    seen = max(0.0, nx * to_eye[0] + ny * to_eye[1] + nz * to_eye[2])
    diffuse = max(0.0, (facing + wrap) / (1.0 + wrap)) * lit
    bleed = scatter * max(0.0, max(0.0, (facing + 0.5) / 1.5) * (0.3 + 0.7 * lit) - diffuse)
    up = 0.5 + 0.5 * ny
    fill = light.fill * max(0.0, 0.1 * ny + 0.9 * nz - 0.3 * facing)
    hx, hy, hz = (
        light.direction[0] + to_eye[0],
        light.direction[1] + to_eye[1],
        light.direction[2] + to_eye[2],
    )
    scale = 1.0 / math.sqrt(hx * hx + hy * hy + hz * hz + 1e-9)
    half = max(0.0, (nx * hx + ny * hy + nz * hz) * scale)
    glancing = (1.0 - seen) ** 4
    highlight = gloss * (half**shine * lit * ao * 0.8 + 0.3 * half ** (shine * 0.25) * lit * ao)
    sheen = gloss * 0.35 * glancing * ao * (0.4 + 0.6 * up)
    edge = (1.0 - seen) ** 3 * max(0.0, _dot(nx, ny, nz, light.rim_direction) + 0.2) * ao
    direct = 0.65 + 0.35 * ao
    ao = 0.15 + 0.85 * ao
    tint = (0.30, 0.09, 0.05)
    r = _channel(albedo[0], 0, diffuse, bleed * tint[0], up, fill, ao, direct, highlight, sheen, edge, light)
    g = _channel(albedo[1], 1, diffuse, bleed * tint[1], up, fill, ao, direct, highlight, sheen, edge, light)
    b = _channel(albedo[2], 2, diffuse, bleed * tint[2], up, fill, ao, direct, highlight, sheen, edge, light)
    return r, g, b


@njit(**JIT)
def _channel(albedo, c, diffuse, bleed, up, fill, ao, direct, highlight, sheen, edge, light):
    ambient = light.ground[c] + (light.sky[c] - light.ground[c]) * up + fill
    received = (diffuse + bleed) * light.colour[c] * direct + ambient * _bounced(ao, albedo)
    return (
        albedo * received
        + highlight * light.colour[c]
        + sheen * light.sky[c]
        + edge * light.rim[c] * (0.12 + albedo)
    )


@njit(**JIT)
def light_hair(albedo, tangent, volume, to_eye, ao, lit, light):
    """Light from a strand (after Kajiya and Kay): `volume` is the normal of the whole head of hair."""
    tx, ty, tz = tangent
    wx, wy, wz = volume
    toward = _dot(tx, ty, tz, light.direction)
    eye = tx * to_eye[0] + ty * to_eye[1] + tz * to_eye[2]
    sin_light, sin_eye = math.sqrt(max(0.0, 1 - toward * toward)), math.sqrt(max(0.0, 1 - eye * eye))
    side = max(0.0, 0.35 + 0.65 * _dot(wx, wy, wz, light.direction))
    shade = 0.25 + 0.75 * lit
    diffuse = side * (0.35 + 0.65 * sin_light) * shade * (0.45 + 0.55 * ao)
    narrow = max(0.0, sin_light * sin_eye - toward * eye) ** 28 * 0.30 * lit * side * ao
    broad = max(0.0, sin_light * sin_eye - (toward + 0.12) * eye) ** 9 * 0.26 * lit * side * ao
    up = 0.5 + 0.5 * wy
    seen = abs(wx * to_eye[0] + wy * to_eye[1] + wz * to_eye[2])
    edge = max(0.0, 1 - seen) ** 2.5 * max(0.0, _dot(wx, wy, wz, light.rim_direction)) * ao
    fill = light.fill * max(0.0, wz) * 0.6
    r = _hair_channel(albedo[0], 0, diffuse, narrow, broad, up, fill, edge, ao, light)
    g = _hair_channel(albedo[1], 1, diffuse, narrow, broad, up, fill, edge, ao, light)
    b = _hair_channel(albedo[2], 2, diffuse, narrow, broad, up, fill, edge, ao, light)
    return r, g, b


@njit(**JIT)
def _hair_channel(albedo, c, diffuse, narrow, broad, up, fill, edge, ao, light):
    ambient = (light.ground[c] + (light.sky[c] - light.ground[c]) * up + fill) * (0.2 + 0.8 * ao)
    body = albedo * ((diffuse + broad) * light.colour[c] + ambient)
    return (
        body
        + narrow * light.colour[c] * (0.2 + 0.8 * math.sqrt(albedo))
        + edge * light.rim[c] * (albedo + 0.1)
    )


@njit(**JIT)
def tone(x):
    """A filmic curve from scene light to display light in [0, 1] (fit by Narkowicz, 2015)."""
    x *= 0.80
    return min(1.0, max(0.0, (x * (2.51 * x + 0.03)) / (x * (2.43 * x + 0.59) + 0.14)))
