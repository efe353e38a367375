"""What surrounds a person: light, background, camera; and what the person wears below the neck.

Directions are unit vectors in head space of a head that looks at the camera, colours linear RGB.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Triple = tuple[float, float, float]

LIGHT_KINDS = ("soft", "hard", "studio", "coloured", "dark")
BACKGROUND_KINDS = ("gradient", "bokeh", "curtain", "wall", "room", "garden")
CLOTHES_KINDS = ("crew", "turtleneck", "v_neck", "shirt")
CLOTHES_PATTERNS = ("plain", "stripes", "checks", "dots", "blotches")


@dataclass(frozen=True)
class Light:
    """One key light with a shadow, light from everywhere, a fill from the front and a rim from behind.

    `hardness` in [0, 1] narrows the edge of the shadow. `sky` and `ground` are what surfaces that face up
    and down receive. `fill` is the strength of a shadowless light at the camera.
    """

    kind: str = "soft"
    direction: Triple = (-0.42, 0.46, 0.78)
    colour: Triple = (1.25, 1.2, 1.12)
    hardness: float = 0.3
    sky: Triple = (0.46, 0.49, 0.55)
    ground: Triple = (0.26, 0.23, 0.21)
    fill: float = 0.25
    rim: Triple = (0.6, 0.65, 0.75)
    rim_direction: Triple = (0.85, 0.35, -0.38)


@dataclass(frozen=True)
class Background:
    """`seed` draws what the kind leaves open (places of blurred lights, say)."""

    kind: str = "gradient"
    top: Triple = (0.35, 0.42, 0.5)
    bottom: Triple = (0.2, 0.2, 0.24)
    accent: Triple = (0.6, 0.5, 0.4)
    seed: int = 0


@dataclass(frozen=True)
class Camera:
    """Looks along -z from (0, height, distance); `focal` is the image's half side per slope."""

    height: float = -0.13
    distance: float = 8.0
    focal: float = 4.75


@dataclass(frozen=True)
class Scene:
    """Everything but the person."""

    light: Light = Light()
    background: Background = Background()
    camera: Camera = Camera()


@dataclass(frozen=True)
class Clothes:
    """`scale` is the pattern's waves per head-space unit; `trim` colours collar and hem."""

    kind: str = "crew"
    pattern: str = "plain"
    colour: Triple = (0.2, 0.25, 0.4)
    second: Triple = (0.5, 0.5, 0.5)
    trim: Triple = (0.1, 0.1, 0.15)
    scale: float = 14.0


def sample_light(rng: np.random.Generator, kind: str | None = None) -> Light:
    """A random light; `kind` of `LIGHT_KINDS` fixes its character."""
    kind = kind or str(rng.choice(LIGHT_KINDS, p=(0.34, 0.22, 0.24, 0.12, 0.08)))
    side = float(rng.choice((-1, 1)))
    direction = _unit((side * rng.uniform(0.2, 0.95), rng.uniform(0.3, 0.85), 1.0))
    warm = float(rng.uniform(-0.10, 0.12))
    colour = np.array([1 + warm, 1.0, 1 - warm])
    sky, ground = np.array([0.40, 0.43, 0.49]), np.array([0.26, 0.235, 0.22])
    rim_direction = _unit((-side * 0.9, rng.uniform(0.2, 0.5), -rng.uniform(0.3, 0.5)))
    rim = rng.uniform(0.7, 1.0, 3) * rng.uniform(0.2, 0.9)
    strength, hardness, ambient, fill = {
        "soft": (rng.uniform(0.95, 1.15), rng.uniform(0.0, 0.35), 1.12, 0.34),
        "hard": (rng.uniform(1.45, 1.75), rng.uniform(0.8, 1.0), 0.76, 0.18),
        "studio": (rng.uniform(1.2, 1.4), rng.uniform(0.3, 0.6), 0.84, 0.32),
        "coloured": (rng.uniform(1.1, 1.4), rng.uniform(0.3, 0.8), 0.80, 0.28),
        "dark": (rng.uniform(0.75, 0.95), rng.uniform(0.4, 0.9), 0.46, 0.14),
    }[kind]
    if kind == "studio":
        direction = _unit((side * rng.uniform(0.45, 0.7), rng.uniform(0.45, 0.65), 1.0))
        rim = np.array([1.0, 0.96, 0.92]) * rng.uniform(0.9, 1.4)
    if kind == "coloured":
        colour = colour * _tint(rng, 0.28)
        sky, ground = sky * _tint(rng, 0.35), ground * _tint(rng, 0.3)
        rim = _tint(rng, 0.7) * rng.uniform(0.8, 1.5)
    return Light(
        kind=kind,
        direction=direction,
        colour=_triple(colour * strength),
        hardness=float(hardness),
        sky=_triple(sky * ambient),
        ground=_triple(ground * ambient),
        fill=float(fill),
        rim=_triple(rim),
        rim_direction=rim_direction,
    )


def sample_background(rng: np.random.Generator, kind: str | None = None) -> Background:
    """A random background; `kind` of `BACKGROUND_KINDS` fixes what it shows."""
    kind = kind or str(rng.choice(BACKGROUND_KINDS))
    return Background(
        kind=kind,
        top=_triple(_muted(rng.uniform(0.05, 0.72, 3), 0.5)),
        bottom=_triple(_muted(rng.uniform(0.03, 0.45, 3), 0.5)),
        accent=_triple(_muted(rng.uniform(0.05, 0.8, 3), 0.75)),
        seed=int(rng.integers(1 << 30)),
    )


def sample_scene(rng: np.random.Generator, light: str | None = None, background: str | None = None) -> Scene:
    """A random light and background before the usual camera."""
    return Scene(light=sample_light(rng, light), background=sample_background(rng, background))


def sample_clothes(rng: np.random.Generator) -> Clothes:
    """Random clothes in colours that are not too loud."""
    first, second, trim = (_triple(_muted(rng.uniform(0.015, 0.6, 3) ** 1.2, 0.6)) for _ in range(3))
    return Clothes(
        kind=str(rng.choice(CLOTHES_KINDS, p=(0.4, 0.2, 0.2, 0.2))),
        pattern=str(rng.choice(CLOTHES_PATTERNS, p=(0.4, 0.2, 0.15, 0.12, 0.13))),
        colour=first,
        second=second,
        trim=trim,
        scale=float(rng.uniform(10, 18)),
    )


def _muted(colour: np.ndarray, saturation: float) -> np.ndarray:
    return colour * saturation + colour.mean() * (1 - saturation)


def _tint(rng: np.random.Generator, amount: float) -> np.ndarray:
    tint = np.exp(amount * np.clip(rng.normal(size=3), -1.5, 1.5))
    return tint / tint.mean()


def _unit(vector: tuple[float, float, float]) -> Triple:
    return _triple(np.array(vector) / np.linalg.norm(vector))


def _triple(values: np.ndarray) -> Triple:
    a, b, c = (float(v) for v in values)
    return a, b, c
