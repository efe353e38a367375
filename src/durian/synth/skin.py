"""The skin of the head as a texture over the head's grid: colour, gloss, and who painted what on it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from numba import njit

from durian.labels import Label
from durian.synth.body import brow_curve
from durian.synth.fields import INLINE, JIT
from durian.synth.head import Head
from durian.synth.parts import Painted

FINENESS = 2  # texels a grid cell
NO_OWNER = 255


@dataclass(frozen=True)
class SkinTexture:
    """Texel (FINENESS * i, FINENESS * j) lies on grid vertex (i, j).

    Attributes:
        colour: linear RGB, then gloss in [0, 1].
        label: class of the skin there: SKIN, or what was painted.
        owner: index of the attribute that painted it, `NO_OWNER` for bare skin.
        painters: bit k is set where attribute k painted, hidden under other paint or not.
    """

    colour: Float32[np.ndarray, "h w 4"]
    label: UInt8[np.ndarray, "h w"]
    owner: UInt8[np.ndarray, "h w"]
    painters: UInt8[np.ndarray, "h w"]


def bake_skin(head: Head, painted: list[tuple[int, Painted]]) -> SkinTexture:
    """Draw a head's skin, then what attributes paint on it, in their order: (attribute index, paint)."""
    canvas = _Canvas(head)
    canvas.face()
    shape = canvas.colour.shape[:2]
    label = np.full(shape, Label.SKIN, np.uint8)
    owner = np.full(shape, NO_OWNER, np.uint8)
    painters = np.zeros(shape, np.uint8)
    for index, paint in painted:
        layer = canvas.project(paint.texture)
        _blend(canvas.colour, layer)
        covered = layer[..., 3] >= 0.5
        label[covered], owner[covered] = paint.label, index
        painters[covered] |= np.uint8(1 << index)
    return SkinTexture(canvas.colour, label, owner, painters)


class _Canvas:
    """The texture while it is drawn; every feature touches only its own window of texels."""

    def __init__(self, head: Head) -> None:
        self.head = head
        grid = head.grid
        rows, columns = grid.shape
        points = head.point(grid.lons[None], grid.lats[:, None], grid.radius)
        noise = _mottle(points.reshape(-1, 3)).reshape(rows, columns, 2)
        self.lons = _finer(grid.lons).astype(np.float32)
        self.lats = _finer(grid.lats).astype(np.float32)
        self.points = _finer_image(points)
        self.away = np.abs(self.points[..., 0])
        self.up = np.ascontiguousarray(self.points[..., 1])
        self.noise = _finer_image(noise)
        tone = np.array(head.identity.skin.tone, np.float32)
        self.colour = np.empty((len(self.lats), len(self.lons), 4), np.float32)
        _ground(self.noise, tone, self.colour)

    def window(self, lon: tuple[float, float], lat: tuple[float, float]) -> tuple[slice, slice]:
        """Texels between two longitudes and two latitudes."""
        j = np.searchsorted(self.lons, lon)
        i = np.searchsorted(self.lats, lat)
        return slice(int(i[0]), int(i[1])), slice(int(j[0]), int(j[1]))

    def darken(self, part: tuple[slice, slice], strength: np.ndarray, by: tuple[float, ...]) -> None:
        """Multiply colours by 1 - strength * by."""
        target = self.colour[part]
        strength = strength.astype(np.float32)
        for channel, amount in enumerate(by):
            target[..., channel] *= 1 - strength * np.float32(amount)

    def cover(self, part: tuple[slice, slice], strength: np.ndarray, colour: np.ndarray) -> None:
        """Blend colours towards one."""
        target = self.colour[part]
        strength = strength.astype(np.float32)
        for channel in range(3):
            target[..., channel] += (np.float32(colour[channel]) - target[..., channel]) * strength

    def coordinates(self, part: tuple[slice, slice]) -> tuple[np.ndarray, np.ndarray]:
        """|x| and y of the window's texels."""
        return self.away[part], self.up[part]

    def face(self) -> None:
        self._flush()
        self._about_eyes()
        self._nostrils()
        self._wrinkles()
        self._freckles()
        self._brows()
        self._lips()

    def _flush(self) -> None:
        """Blood: cheeks, tip of the nose, chin; cooler and darker towards a man's beard."""
        identity = self.head.identity
        part = self.window((-1.2, 1.2), (-1.2, 0.5))
        ax, y = self.coordinates(part)
        nose_y = self.head.identity.nose.height
        red = identity.skin.blush * np.exp(-(((ax - 0.42) / 0.17) ** 2) - ((y + 0.26) / 0.14) ** 2)
        red += 0.45 * np.exp(-((ax / 0.12) ** 2) - ((y - nose_y) / 0.1) ** 2)
        red += 0.15 * np.exp(-((ax / 0.2) ** 2) - ((y + 0.93) / 0.1) ** 2)
        self.darken(part, red, (-0.04, 0.30, 0.26))
        if identity.masculinity > 0:
            part = self.window((-1.2, 1.2), (-1.2, -0.2))
            lon, lat = self.lons[part[1]][None], self.lats[part[0]][:, None]
            shadow = 0.10 * identity.masculinity * self.head.beard(lon, lat, "full")
            self.darken(part, shadow, (1.0, 0.85, 0.7))

    def _about_eyes(self) -> None:
        head = self.head
        part = self.window((-0.9, 0.9), (-0.3, 0.5))
        ax, y = self.coordinates(part)
        bags = np.exp(-(((ax - head.eye_x) / 0.18) ** 2) - ((y - head.eye_y + 0.17) / 0.05) ** 2)
        socket = np.exp(-(((ax - head.eye_x + 0.12) / 0.1) ** 2) - ((y - head.eye_y - 0.03) / 0.12) ** 2)
        strength = bags * (0.08 + 0.26 * head.identity.age) + 0.10 * socket
        self.darken(part, strength, (0.9, 1.15, 1.0))

    def _nostrils(self) -> None:
        nose = self.head.identity.nose
        part = self.window((-0.3, 0.3), (-0.6, 0.0))
        ax, y = self.coordinates(part)
        d = ((ax - 0.055) / 0.038) ** 2 + ((y - nose.height + 0.082) / 0.026) ** 2
        self.darken(part, 0.75 * np.exp(-d * d * 0.6), (0.82, 0.96, 0.96))

    def _wrinkles(self) -> None:
        age = self.head.identity.age
        if age <= 0.05:
            return
        part = self.window((-1.0, 1.0), (-0.9, 0.9))
        ax, y = self.coordinates(part)
        x = self.points[part][..., 0]
        wave = np.sin(y * 38 + 0.9 * np.cos(x * 3.0)) / 0.25
        forehead = np.exp(-(wave**2)) * _step(0.38, 0.48, y) * (1 - _step(0.65, 0.8, y))
        forehead *= 1 - _step(0.3, 0.5, ax)
        fold = (ax - 0.21 - 0.30 * (-0.30 - y)) / 0.022
        cheek = np.exp(-(fold**2)) * _step(-0.66, -0.55, y) * (1 - _step(-0.38, -0.28, y))
        eyes = self.head.identity.eyes
        out, up = ax - eyes.x - eyes.width, y - eyes.y - 0.02
        crow = np.exp(-((np.sin(np.arctan2(up, out + 0.05) * 9) / 0.35) ** 2))
        crow *= np.exp(-(((out - 0.07) / 0.05) ** 2) - (up / 0.09) ** 2)
        self.darken(part, age * (0.20 * forehead + 0.34 * cheek + 0.22 * crow), (0.8, 1.0, 1.0))

    def _freckles(self) -> None:
        strength = self.head.identity.skin.freckles
        if strength <= 0:
            return
        part = self.window((-0.9, 0.9), (-0.6, 0.3))
        ax, y = self.coordinates(part)
        points = np.ascontiguousarray(self.points[part].reshape(-1, 3)) * np.float32(26) + np.float32(5)
        spots = _step(0.68, 0.8, _noise_of(points).reshape(ax.shape))
        where = np.exp(-(((y + 0.2) / 0.2) ** 2) - ((ax - 0.25) / 0.3) ** 2)
        self.darken(part, strength * spots * where, (0.30, 0.45, 0.52))

    def _brows(self) -> None:
        """A soft shade beneath the hairs of the brows."""
        identity = self.head.identity
        part = self.window((-0.9, 0.9), (0.2, 0.8))
        ax, y = self.coordinates(part)
        along = (ax - self.head.eye_x - 0.01) / 0.21
        off = np.abs(y - brow_curve(identity, along))
        thickness = identity.brows.thickness * (1.05 - 0.45 * (along + 1) * 0.5)
        strength = (1 - _step(0.4, 1.1, off / np.maximum(thickness, 1e-3))) * (
            1 - _step(0.8, 1.05, np.abs(along))
        )
        self.cover(part, 0.7 * strength, np.array(identity.brows.colour) * 0.8)

    def _lips(self) -> None:
        head, lips = self.head, self.head.identity.lips
        lat = head.mouth_lat
        part = self.window((-0.45, 0.45), (lat - 0.4, lat + 0.4))
        lon = self.lons[part[1]][None]
        rows = np.arange(len(self.lats))[part[0]][:, None]
        above = self.lats[part[0]][:, None] - lat
        # The texels between the two rows of the mouth belong half to either lip.
        upper = rows > FINENESS * (head.grid.mouth + 0.5)
        across = np.abs(lon) / head.mouth_lon
        inside = np.clip(1 - across**2, 0, 1)
        bow = 1 - 0.22 * np.exp(-((across / 0.14) ** 2))
        reach = np.where(upper, lips.upper * inside**0.8 * bow, lips.lower * inside**0.6) + 0.004
        edge = 0.90 if self.head.identity.skin.lipstick > 0.2 else 0.78
        strength = (1 - _step(edge, 1.12, np.abs(above) / reach)) * (1 - _step(0.95, 1.06, across))
        shade = (1 - 0.35 * np.exp(-((above / 0.016) ** 2))) * np.where(upper, 0.86, 1.0)
        shade = shade * (1 + 0.10 * self.noise[part][..., 1])
        target = self.colour[(*part, slice(3))]
        lip = np.array(lips.colour, np.float32) * shade[..., None]
        target += (lip - target) * strength[..., None]
        gloss = 0.35 + 0.3 * self.head.identity.skin.lipstick
        self.colour[(*part, 3)] += (gloss - self.colour[(*part, 3)]) * strength
        line = 0.45 * np.exp(-((above / 0.013) ** 2)) * (1 - _step(1.0, 1.10, across))
        self.darken(part, line, (0.8, 1.0, 1.0))

    def project(self, texture: Float32[np.ndarray, "h w 4"]) -> np.ndarray:
        """What a longitude-latitude texture shows at every texel."""
        height, width = texture.shape[:2]
        wrapped = np.concatenate([texture[:, -1:], texture, texture[:, :1]], 1)
        x = ((self.lons + np.pi) / (2 * np.pi) * width - 0.5 + 1).astype(np.float32)
        y = ((self.lats + np.pi / 2) / np.pi * height - 0.5).astype(np.float32)
        map_x, map_y = np.meshgrid(x, y)
        return cv2.remap(
            np.ascontiguousarray(wrapped, np.float32),
            map_x,
            map_y,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )


def _finer(values: np.ndarray) -> np.ndarray:
    count = (len(values) - 1) * FINENESS + 1
    return np.interp(np.arange(count) / FINENESS, np.arange(len(values)), values)


def _finer_image(image: np.ndarray) -> np.ndarray:
    """Twice as fine (`FINENESS`), linear between."""
    rows, columns, channels = image.shape
    out = np.empty((2 * rows - 1, 2 * columns - 1, channels), np.float32)
    out[::2, ::2] = image
    out[::2, 1::2] = (image[:, :-1] + image[:, 1:]) * np.float32(0.5)
    out[1::2] = (out[:-1:2] + out[2::2]) * np.float32(0.5)
    return out


def _step(low: float, high: float, x: np.ndarray) -> np.ndarray:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


@njit(**JIT)
def _ground(noise, tone, colour):
    """Mottled skin of one tone with even gloss."""
    for i in range(colour.shape[0]):
        for j in range(colour.shape[1]):
            mottle = noise[i, j, 0]
            colour[i, j, 0] = tone[0] * (1 + np.float32(0.07) * mottle)
            colour[i, j, 1] = tone[1] * (1 + np.float32(0.10) * mottle)
            colour[i, j, 2] = tone[2] * (1 + np.float32(0.12) * mottle)
            colour[i, j, 3] = 0.25


@njit(**JIT)
def _blend(colour, layer):
    """Paint a layer over colours; paint is less glossy than skin."""
    for i in range(colour.shape[0]):
        for j in range(colour.shape[1]):
            alpha = layer[i, j, 3]
            if alpha > 0:
                for c in range(3):
                    colour[i, j, c] += (layer[i, j, c] - colour[i, j, c]) * alpha
                colour[i, j, 3] *= 1 - 0.7 * alpha


@njit(**INLINE)
def _hash(i, j, k):
    n = (i * 374761393 + j * 668265263 + k * 2147483647) & 0xFFFFFFFF
    n = ((n ^ (n >> 13)) * 1274126177) & 0xFFFFFFFF
    return ((n ^ (n >> 16)) & 0xFFFF) * (1.0 / 65535.0)


@njit(**JIT)
def value_noise(x, y, z):
    """Smooth noise in [0, 1] with one value per unit cell."""
    i, j, k = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
    fx, fy, fz = x - i, y - j, z - k
    fx, fy, fz = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy), fz * fz * (3 - 2 * fz)
    low = _hash_row(i, j, k, fx) * (1 - fy) + _hash_row(i, j + 1, k, fx) * fy
    high = _hash_row(i, j, k + 1, fx) * (1 - fy) + _hash_row(i, j + 1, k + 1, fx) * fy
    return low * (1 - fz) + high * fz


@njit(**INLINE)
def _hash_row(i, j, k, share):
    """Between the values of two neighbouring cells."""
    return _hash(i, j, k) * (1 - share) + _hash(i + 1, j, k) * share


@njit(**JIT)
def _noise_of(points):
    out = np.empty(points.shape[0], np.float32)
    for i in range(points.shape[0]):
        out[i] = value_noise(points[i, 0], points[i, 1], points[i, 2])
    return out


@njit(**JIT)
def _mottle(points):
    """Two fields of noise about 0: uneven skin, and finer grain."""
    out = np.empty((points.shape[0], 2), np.float32)
    for i in range(points.shape[0]):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        coarse, fine = value_noise(x * 9, y * 9, z * 9), value_noise(x * 23, y * 23, z * 23)
        out[i, 0] = coarse * 0.5 + fine * 0.3 - 0.4
        out[i, 1] = fine - 0.5
    return out
