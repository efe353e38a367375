"""Who a person is: the shape of the head and the look of the skin, sampled from a seed.

Lengths are in head-space units (the skull is about 1.6 wide), colours linear RGB in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Skull:
    """Half-axes of the cranium, how far the forehead stands out, brow ridge and hairline.

    `hairline` is in radians of latitude, positive for a higher forehead.
    """

    width: float = 0.79
    height: float = 0.88
    depth: float = 0.98
    forehead: float = 0.0
    brow_ridge: float = 0.095
    hairline: float = 0.0


@dataclass(frozen=True)
class Jaw:
    """Jaw, chin, cheeks and neck; `fullness` is how round the lower face is, about -0.05 to 0.16."""

    width: float = 0.445
    height: float = -0.62
    chin_width: float = 0.12
    chin_height: float = -0.935
    chin_forward: float = 0.50
    cheek_size: float = 0.25
    cheek_height: float = -0.2
    fullness: float = 0.0
    neck_width: float = 0.40
    shoulders: float = 1.42


@dataclass(frozen=True)
class Nose:
    """`height` is the y of the tip, `bridge` the depth of its root, `up` how far the tip is turned up."""

    height: float = -0.27
    width: float = 0.066
    tip_radius: float = 0.096
    bridge: float = 0.72
    up: float = 0.0
    ala: float = 0.073


@dataclass(frozen=True)
class Eyes:
    """`x`, `y` and `radius` place the eyeballs; the lids' opening is `width` to either side.

    `upper` and `lower` are how far the lids open in shares of `width`; `tilt` is the slope of the eye's
    axis, positive with the outer corner up; `lash` is the width of the lash line in shares of `width`.
    """

    x: float = 0.30
    y: float = 0.02
    radius: float = 0.20
    width: float = 0.183
    upper: float = 0.68
    lower: float = 0.46
    tilt: float = 0.08
    lash: float = 0.12
    iris: Colour = (0.16, 0.06, 0.02)


@dataclass(frozen=True)
class Lips:
    """`width` is the longitude of the corners, `upper` and `lower` are heights in radians of latitude."""

    height: float = -0.62
    forward: float = 0.56
    width: float = 0.315
    upper: float = 0.062
    lower: float = 0.092
    colour: Colour = (0.55, 0.2, 0.17)


@dataclass(frozen=True)
class Brows:
    """`height` is the y of the brows, `thickness` half their height; their colour is their own."""

    height: float = 0.315
    arch: float = 0.03
    thickness: float = 0.03
    colour: Colour = (0.05, 0.03, 0.02)


@dataclass(frozen=True)
class Ears:
    """`size` scales the ears, `out` is the angle in radians at which they stand out."""

    size: float = 1.0
    out: float = 0.35


@dataclass(frozen=True)
class Skin:
    """`tone` is the base colour; the other values are strengths in [0, 1]."""

    tone: Colour = (0.72, 0.40, 0.27)
    blush: float = 0.3
    freckles: float = 0.0
    eyeshadow: float = 0.0
    eyeshadow_colour: Colour = (0.2, 0.1, 0.15)
    lipstick: float = 0.0


@dataclass(frozen=True)
class Identity:
    """A face and nothing that could be taken off.

    `masculinity` in [-1, 1] and `age` in [0, 1] (0 young, 1 old) have shaped the other values; age also
    sets how deep wrinkles are drawn.
    """

    skull: Skull = Skull()
    jaw: Jaw = Jaw()
    nose: Nose = Nose()
    eyes: Eyes = Eyes()
    lips: Lips = Lips()
    brows: Brows = Brows()
    ears: Ears = Ears()
    skin: Skin = Skin()
    masculinity: float = 0.0
    age: float = 0.2


def srgb(red: float, green: float, blue: float) -> Colour:
    """Linear RGB of an sRGB colour given in 0–255, with the plain 2.2 power."""
    return ((red / 255) ** 2.2, (green / 255) ** 2.2, (blue / 255) ** 2.2)


# From palest to darkest; people lie anywhere between two neighbours.
SKIN_TONES = (
    srgb(230, 174, 150),
    srgb(225, 164, 132),
    srgb(212, 147, 111),
    srgb(197, 133, 95),
    srgb(165, 105, 72),
    srgb(136, 85, 59),
    srgb(106, 67, 50),
)
IRISES = (
    srgb(112, 68, 34),
    srgb(74, 44, 26),
    srgb(90, 142, 196),
    srgb(98, 142, 84),
    srgb(130, 150, 164),
    srgb(150, 106, 58),
)
BROWS = (srgb(30, 25, 24), srgb(58, 40, 31), srgb(90, 62, 42), srgb(128, 84, 48), srgb(150, 148, 146))


def sample_identity(rng: np.random.Generator) -> Identity:
    """A random person; equal generators give equal people."""
    m = float(rng.uniform(-1, 1))
    age = max(0.0, float(rng.uniform(-0.5, 1.0)))

    def vary(scale: float) -> float:
        return float(np.clip(rng.normal(), -1.8, 1.8)) * scale

    tone_at = float(rng.uniform(0, len(SKIN_TONES) - 1))
    skin, lip = _sample_skin(rng, vary, m, tone_at)
    fullness = float(np.clip(vary(0.06), -0.05, 0.14))
    return Identity(
        skull=Skull(
            width=0.79 + vary(0.022),
            height=0.88 + vary(0.03),
            depth=0.98 + vary(0.03),
            forehead=vary(0.018),
            brow_ridge=0.092 + 0.014 * m + vary(0.009),
            hairline=vary(0.045) + 0.03 * max(0.0, m) * age,
        ),
        jaw=Jaw(
            width=0.445 + 0.05 * m + vary(0.038),
            height=-0.62 + vary(0.02),
            chin_width=0.115 + 0.045 * m + abs(vary(0.025)),
            chin_height=-0.935 - 0.04 * m + vary(0.04),
            chin_forward=0.515 + 0.025 * m + vary(0.02),
            cheek_size=0.25 + vary(0.02),
            cheek_height=-0.2 + vary(0.035),
            fullness=fullness,
            neck_width=0.385 + 0.05 * m + 0.2 * fullness,
            shoulders=1.42 + 0.14 * m + vary(0.03),
        ),
        nose=Nose(
            height=-0.27 - 0.015 * m + vary(0.035),
            width=0.064 + 0.012 * m + vary(0.014),
            tip_radius=0.094 + 0.011 * m + vary(0.013),
            bridge=0.715 + 0.015 * m + vary(0.02),
            up=-0.05 * m + vary(0.05),
            ala=0.072 + 0.008 * m + vary(0.011),
        ),
        eyes=Eyes(
            x=0.30 + vary(0.013),
            y=0.02 + vary(0.013),
            radius=0.200 - 0.008 * m + vary(0.010),
            width=0.185 - 0.004 * m + vary(0.007),
            upper=0.63 - 0.06 * m + vary(0.06),
            lower=0.45 + vary(0.035),
            tilt=0.08 - 0.06 * m + vary(0.07),
            lash=0.10 + 0.10 * max(0.0, -m),
            iris=_scaled(_pick_iris(rng, tone_at), float(rng.uniform(0.85, 1.25))),
        ),
        lips=Lips(
            height=-0.62 + vary(0.02),
            forward=0.555 + vary(0.014),
            width=0.315 + vary(0.024),
            upper=0.060 - 0.010 * m + vary(0.010) + 0.002 * tone_at,
            lower=0.092 - 0.012 * m + vary(0.011) + 0.002 * tone_at,
            colour=lip,
        ),
        brows=Brows(
            height=0.315 - 0.02 * m + vary(0.013),
            arch=0.033 - 0.027 * m + vary(0.013),
            thickness=0.029 + 0.012 * m + vary(0.005),
            colour=_pick_brow(rng, tone_at, age),
        ),
        ears=Ears(size=1 + vary(0.09), out=0.35 + vary(0.10)),
        skin=skin,
        masculinity=m,
        age=age,
    )


def _sample_skin(rng: np.random.Generator, vary, m: float, tone_at: float) -> tuple[Skin, Colour]:
    low = min(int(tone_at), len(SKIN_TONES) - 2)
    share = tone_at - low
    base = np.array(SKIN_TONES[low]) * (1 - share) + np.array(SKIN_TONES[low + 1]) * share
    tone = base * rng.uniform(0.94, 1.04) * np.array([1, 1 + vary(0.02), 1 + vary(0.04)])
    make_up = max(0.0, -m) * float(rng.uniform(0, 1)) * float(rng.random() < 0.6)
    natural = tone * np.array([0.82, 0.50, 0.50]) * rng.uniform(0.95, 1.05)
    painted = np.array([(0.50, 0.06, 0.09), (0.45, 0.10, 0.12), (0.33, 0.04, 0.09)][rng.integers(3)])
    lip = natural * (1 - 0.6 * make_up) + painted * 0.6 * make_up
    skin = Skin(
        tone=_colour(tone),
        blush=float(np.clip(rng.uniform(0.12, 0.5) - 0.06 * m, 0.05, 1)),
        freckles=float(rng.uniform(0.3, 1)) if tone_at < 2.5 and rng.random() < 0.35 else 0.0,
        eyeshadow=0.6 * make_up,
        eyeshadow_colour=_colour(tone * rng.uniform(0.08, 0.55, 3)),
        lipstick=make_up,
    )
    return skin, _colour(lip)


def _pick_iris(rng: np.random.Generator, tone_at: float) -> Colour:
    """Any colour for pale people, mostly brown for dark ones."""
    dark = tone_at / (len(SKIN_TONES) - 1)
    weights = np.array([1.0, 1.0, 1 - 0.85 * dark, 1 - 0.7 * dark, 1 - 0.85 * dark, 1 - 0.5 * dark])
    return IRISES[rng.choice(len(IRISES), p=weights / weights.sum())]


def _pick_brow(rng: np.random.Generator, tone_at: float, age: float) -> Colour:
    dark = tone_at / (len(SKIN_TONES) - 1)
    weights = np.array([0.5 + 2 * dark, 1.0, 1 - 0.9 * dark, 0.8 - 0.78 * dark, 1.2 * max(0.0, age - 0.5)])
    return BROWS[rng.choice(len(BROWS), p=weights / weights.sum())]


def _scaled(colour: Colour, factor: float) -> Colour:
    return _colour(np.array(colour) * factor)


def _colour(values: np.ndarray) -> Colour:
    red, green, blue = (float(v) for v in np.clip(values, 0, 1))
    return red, green, blue
