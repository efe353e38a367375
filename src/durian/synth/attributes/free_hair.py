"""Hair of no style: how it is cut and combed, tied or braided is drawn at random."""

from __future__ import annotations

import math

import numpy as np

from durian.synth.attributes.braided import BRAIDED, Braided
from durian.synth.attributes.gathered import GATHERINGS, Gathering
from durian.synth.attributes.grooming import RECIPES, Comb, Fringe, Recipe
from durian.synth.attributes.hair import Hair
from durian.synth.attributes.styles import FREE_FORM

Look = Recipe | Gathering | Braided
_MIDDLE, _AXES = np.array([0.0, 0.15, -0.12]), np.array([0.82, 1.07, 0.86])
"""An ellipsoid near the skull of a usual head, on which hair is tied."""
_COMBS: dict[Comb, float] = {
    "forward": 0.17,
    "across": 0.2,
    "sweep": 0.13,
    "back": 0.22,
    "up": 0.13,
    "out": 0.15,
}


def look_of(hair: Hair) -> Look:
    """How hair of a style looks, or what the seed of hair without one says."""
    if hair.style == FREE_FORM:
        rng = np.random.default_rng([hair.seed, 2])
        draw = (_short, _hanging, _tied, _roped)[int(rng.choice(4, p=(0.37, 0.35, 0.16, 0.12)))]
        return draw(rng)
    for looks in (RECIPES, GATHERINGS, BRAIDED):
        if hair.style in looks:
            return looks[hair.style]
    raise KeyError(hair.style)


def _short(rng: np.random.Generator) -> Recipe:
    """Hair of one length on top and another on the sides, combed any way."""
    combs = list(_COMBS)
    comb = combs[int(rng.choice(len(combs), p=list(_COMBS.values())))]
    upright = comb == "up"
    length = float(np.exp(rng.uniform(math.log(0.13), math.log(0.7 if upright else 1.15))))
    sides = length * float(rng.uniform(0.12, 1.0))
    curled = rng.random() < 0.4
    high = 0.0 if upright else float(rng.uniform(0.04, 0.26))
    fringe = _fringe(rng, 0.45) if comb in ("forward", "across", "sweep") else "none"
    return Recipe(
        comb,
        strands=int(rng.integers(2000, 3200)),
        points=int(np.clip(5 + 9 * length, 5, 13)),
        width=float(rng.uniform(0.026, 0.037)),
        length=length,
        sides=sides,
        lift=float(rng.uniform(1.2, 1.7) if upright else rng.uniform(0.2, 1.1)),
        quiff=float(rng.uniform(0.3, 4.2)) if rng.random() < 0.5 and not upright else 0.0,
        gravity=float(rng.uniform(0.0, 0.3) if upright else rng.uniform(0.1, 0.9)),
        flow=float(rng.uniform(1.4, 3.8) if comb == "back" else rng.uniform(0, 1.6) * (comb == "sweep")),
        low=0.0 if upright else float(rng.uniform(0.0, 0.05)),
        high=high,
        clear=0.45 if comb == "out" else 0.0,
        fringe=fringe,
        fringe_at=float(rng.uniform(0.25, 0.5)),
        curl=float(rng.uniform(0.015, 0.06)) if curled else 0.0,
        turns=float(rng.uniform(2, 8)),
        clump=float(rng.uniform(0.1, 0.92)),
        clumps=int(rng.integers(60, 420)),
        crown=float(rng.uniform(0.8, 4.0)),
        sides_scalp=float(rng.uniform(0.6, 0.85)) if sides < 0.1 else None,
        strip=float(rng.uniform(0.14, 0.45)) if comb in ("up", "back") and rng.random() < 0.2 else None,
        recession=float(rng.uniform(0.3, 1.2)) if rng.random() < 0.12 else 0.0,
    )


def _hanging(rng: np.random.Generator) -> Recipe:
    """Hair that falls to any height between the ears and the chest."""
    cut = float(rng.uniform(-1.95, -0.45))
    curled = rng.random() < 0.6
    return Recipe(
        "down",
        strands=int(rng.integers(2000, 2600)),
        points=int(np.clip(9 - 3.2 * cut, 11, 14)),
        width=float(rng.uniform(0.030, 0.037)),
        cut=cut,
        clear=float(rng.uniform(0.49, 0.57)),
        low=float(rng.uniform(0.02, 0.07)),
        high=float(rng.uniform(0.12, 0.36)),
        gravity=float(rng.uniform(0.9, 1.4)),
        lift=float(rng.uniform(0.4, 0.8)),
        fringe=_fringe(rng, 0.6),
        fringe_at=float(rng.uniform(0.22, 0.48)),
        curl=float(rng.uniform(0.015, 0.07)) if curled else 0.0,
        turns=float(rng.uniform(1.0, 3.4)),
        clump=float(rng.uniform(0.4, 0.93)),
        clumps=int(rng.integers(90, 260)),
        softness=float(np.clip((-cut - 0.5) * 0.8, 0, 0.8)),
    )


def _fringe(rng: np.random.Generator, share: float) -> Fringe:
    if rng.random() >= share:
        return "none"
    fringes: tuple[Fringe, ...] = ("straight", "curtain", "swept")
    return fringes[int(rng.integers(3))]


def _tied(rng: np.random.Generator) -> Gathering:
    """One or two tails or braids, or a bun, anywhere above, behind or beside."""
    pair = rng.random() < 0.35
    kind = ("tail", "braid", "bun")[
        int(rng.choice(2 if pair else 3, p=(0.6, 0.4) if pair else (0.45, 0.2, 0.35)))
    ]
    behind = rng.uniform(0.6, 1.7) if pair else rng.uniform(0.2, 1.5) * (rng.random() < 0.4)
    up = rng.uniform(-0.4, 0.8) if pair else rng.uniform(-0.4, 1.5)
    outward = np.array([math.sin(behind) * math.cos(up), math.sin(up), -math.cos(behind) * math.cos(up)])
    direction = outward * rng.uniform(0.5, 1.2) + np.array(
        [0.0, rng.uniform(-0.4, 0.5), rng.uniform(-0.2, 0.3)]
    )
    point = _MIDDLE + _AXES * outward
    radius = {"tail": (0.05, 0.11), "braid": (0.08, 0.15), "bun": (0.15, 0.34)}[kind]
    return Gathering(
        kind,
        (float(point[0]), float(point[1]), float(point[2])),
        pair=pair,
        length=float(rng.uniform(0.5, 2.1)),
        direction=(float(direction[0]), float(direction[1]), float(direction[2])),
        radius=float(rng.uniform(*radius)),
        lowered=(0.70, -0.28, -0.25) if pair else Gathering.lowered,
    )


def _roped(rng: np.random.Generator) -> Braided:
    """Ropes, few and thick or many and thin, that hang or lie on the scalp."""
    if rng.random() < 0.3:
        rows = 2 * int(rng.integers(4, 11)) + 1
        return Braided(rows, 8, 0.5 / rows, 0.028, float(rng.uniform(4, 8)), 44, length=False)
    ropes = int(rng.integers(60, 170))
    radius = float(0.36 / math.sqrt(ropes) * rng.uniform(0.7, 1.2))
    return Braided(
        ropes,
        int(rng.integers(6, 9)),
        radius,
        1.25 * radius,
        float(rng.uniform(2, 6)),
        28,
        cut=float(rng.uniform(-1.8, -0.3)),
        lift=float(rng.uniform(0.3, 1.1)),
        loose=float(rng.uniform(0, 0.5)),
        high=float(rng.uniform(0.12, 0.34)),
    )
