"""How hair is combed: from a style's recipe and a hair's parameters to what every strand grows by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float

from durian.synth.attributes.hair import Hair
from durian.synth.attributes.scalp import Roots

if TYPE_CHECKING:
    from durian.synth.head import Head

Comb = Literal["forward", "across", "sweep", "back", "up", "out", "down"]
Fringe = Literal["none", "straight", "curtain", "swept"]


@dataclass(frozen=True)
class Recipe:
    """The usual look of a style; lengths in head-space units."""

    comb: Comb
    strands: int = 2400
    points: int = 9
    width: float = 0.032
    length: float = 0.3
    """On top; the whole strand where hair hangs without a cut."""
    sides: float | None = None
    """Length on the sides and the back; `None` is as on top."""
    cut: float | None = None
    """Height that hanging hair is cut at."""
    lift: float = 0.5
    quiff: float = 0.0
    """How much higher hair stands at the forehead."""
    gravity: float = 0.6
    flow: float = 0.0
    """How strongly the comb keeps bending hair its way."""
    low: float = 0.02
    """Least height of the layers above the scalp."""
    high: float = 0.10
    """Greatest height of the layers above the scalp."""
    clear: float = 0.0
    fringe: Fringe = "none"
    curl: float = 0.0
    """Radius of curls."""
    turns: float = 2.0
    """Turns of a curl per unit of length."""
    clump: float = 0.45
    clumps: int = 160
    scalp: float = 0.95
    """Alpha of the painted scalp."""
    sides_scalp: float | None = None
    """The same on the sides, where they are shaved."""
    recession: float = 0.0
    crown: float = 1.0
    """Exponent with which the length falls off from the top to the sides."""
    fringe_at: float = 0.33
    """Height of the fringe's end above the eyes."""
    strip: float | None = None
    """Half-width of the only strip where hair grows."""
    bald_top: bool = False
    softness: float = 0.0


RECIPES: dict[str, Recipe] = {
    "shaved": Recipe("down", strands=0, scalp=0.66),
    "buzz-cut": Recipe(
        "forward", strands=3400, points=4, width=0.024, length=0.075, sides=0.05, lift=1.4, gravity=0.0,
        low=0.0, high=0.0, clump=0.0, scalp=0.82,
    ),
    "crew-cut": Recipe(
        "forward", strands=3000, points=5, width=0.025, length=0.20, sides=0.075, lift=0.7, quiff=1.0,
        gravity=0.1, high=0.05, clump=0.1, clumps=500, scalp=0.92,
    ),
    "caesar": Recipe(
        "forward", strands=2800, points=8, length=0.28, sides=0.11, lift=0.35, gravity=0.5, high=0.06,
        fringe="straight", fringe_at=0.44, clump=0.55, clumps=150,
    ),
    "side-part": Recipe("across", length=0.66, sides=0.22, lift=0.5, quiff=0.35, gravity=0.8, high=0.13),
    "slick-back": Recipe(
        "back", length=0.9, sides=0.4, lift=0.22, gravity=0.5, flow=3.0, high=0.08, clump=0.6, clumps=130
    ),
    "quiff": Recipe(
        "back", length=0.72, sides=0.13, lift=0.35, quiff=2.8, gravity=0.4, flow=2.9, high=0.12, clump=0.5,
        clumps=110, crown=2.0,
    ),
    "pompadour": Recipe(
        "back", length=1.15, sides=0.34, lift=0.3, quiff=4.2, gravity=0.6, flow=3.6, low=0.05, high=0.24,
        clump=0.55, clumps=90, crown=1.6,
    ),
    "undercut": Recipe(
        "sweep", length=0.72, sides=0.05, lift=0.8, quiff=1.2, gravity=0.7, flow=1.4, high=0.18, clump=0.6,
        clumps=90, crown=4.0, sides_scalp=0.72,
    ),
    "receding": Recipe(
        "back", length=0.36, sides=0.18, lift=0.35, gravity=0.4, flow=2.0, high=0.07, recession=1.15,
        scalp=0.75,
    ),
    "fringe-of-hair": Recipe(
        "down", length=0.26, lift=0.6, gravity=0.7, high=0.09, bald_top=True, scalp=0.85
    ),
    "mohawk": Recipe(
        "up", strands=5200, points=7, length=0.52, lift=1.6, gravity=0.0, low=0.0, high=0.0, clump=0.7,
        clumps=46, strip=0.15, scalp=0.95, sides_scalp=0.64,
    ),
    "curly-short": Recipe(
        "out", strands=2000, points=13, width=0.034, length=0.62, lift=0.9, gravity=0.75, low=0.03, high=0.24,
        curl=0.05, turns=4.2, clump=0.9, clumps=230, clear=0.45,
    ),
    "coily-short": Recipe(
        "up", strands=2800, points=8, width=0.034, length=0.17, lift=1.5, gravity=0.0, low=0.0, high=0.0,
        curl=0.03, turns=9.0, clump=0.7, clumps=420,
    ),
    "afro": Recipe(
        "up", strands=2500, points=12, width=0.04, length=0.52, lift=1.6, gravity=0.0, low=0.0, high=0.0,
        curl=0.035, turns=7.0, clump=0.25, clumps=300,
    ),
    "straight-long": Recipe("down", points=13, cut=-1.85, clear=0.52, high=0.17, gravity=1.3, softness=0.8),
    "wavy-long": Recipe(
        "down", points=14, cut=-1.75, clear=0.52, low=0.04, high=0.25, gravity=1.3, curl=0.05, turns=1.5,
        clump=0.85, clumps=130, softness=0.8,
    ),
    "curly-long": Recipe(
        "down", strands=2000, points=14, width=0.036, cut=-1.45, clear=0.55, low=0.06, high=0.34, gravity=1.1,
        curl=0.065, turns=2.9, clump=0.92, clumps=170, softness=0.6, lift=0.7,
    ),
    "fringe-long": Recipe(
        "down", points=13, cut=-1.8, clear=0.52, high=0.16, gravity=1.3, fringe="straight", softness=0.8
    ),
    "curtain-long": Recipe(
        "down", points=13, cut=-1.7, clear=0.54, high=0.19, gravity=1.2, fringe="curtain", curl=0.02,
        turns=1.1, softness=0.8,
    ),
    "shag": Recipe(
        "down", points=12, cut=-1.15, clear=0.5, low=0.05, high=0.26, gravity=1.1, fringe="curtain",
        curl=0.04, turns=2.0, clump=0.85, clumps=110, softness=0.5, lift=0.6,
    ),
    "bob": Recipe(
        "down", points=11, cut=-0.72, clear=0.54, low=0.05, high=0.24, gravity=1.3, softness=0.4
    ),
    "bob-fringe": Recipe(
        "down", points=11, cut=-0.72, clear=0.54, low=0.05, high=0.22, gravity=1.3, fringe="straight",
        softness=0.4,
    ),
    "lob": Recipe(
        "down", points=12, cut=-1.22, clear=0.52, high=0.19, gravity=1.3, curl=0.02, turns=1.2, softness=0.5
    ),
    "pixie": Recipe(
        "across", length=0.48, sides=0.3, lift=0.45, gravity=0.9, low=0.03, high=0.15, fringe="swept",
        clump=0.7, clumps=120,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Groom:
    """What every strand grows by; see `growth.grow`."""

    velocity: Float[np.ndarray, "n 3"]
    length: Float[np.ndarray, " n"]
    cut: Float[np.ndarray, " n"]
    layer: Float[np.ndarray, " n"]
    force: Float[np.ndarray, "n 3"]
    clear: Float[np.ndarray, " n"]


def style_region(roots: Roots, recipe: Recipe) -> Roots:
    """The roots where the style lets hair grow."""
    if recipe.strip is not None:
        return roots.select(np.abs(roots.positions[:, 0]) < recipe.strip)
    if recipe.bald_top:
        away = np.abs(roots.longitude)
        limit = np.where(away > 1.2, 0.52 + 0.10 * (away - 1.2), -9.0) + (roots.draws[:, 3] - 0.5) * 0.12
        return roots.select(roots.latitude < limit)
    return roots


def groom(roots: Roots, recipe: Recipe, hair: Hair, head: Head) -> Groom:
    """Combs hair that lies over the scalp or hangs."""
    hanging = recipe.cut is not None
    side = np.tanh((roots.positions[:, 0] - 0.34 * hair.parting) / 0.05)
    top, front = roots.top, roots.front
    comb = _comb(roots, recipe.comb, side, hair)
    lift = (recipe.lift + recipe.quiff * front**1.5 * top) * (0.75 + 0.25 * hair.volume)
    layer = recipe.low + (recipe.high - recipe.low) * roots.draws[:, 4] * hair.volume
    if recipe.quiff > 2:
        layer = layer * (0.35 + 0.65 * top * (0.4 + 0.6 * front))
    if hanging:
        # At the parting hair lies flat.
        lift = lift * (
            0.35 + 0.65 * np.minimum(1.0, np.abs(roots.positions[:, 0] - 0.34 * hair.parting) / 0.35)
        )
        # Hair from above the ears passes over them.
        layer += 0.05 * np.exp(-(((np.abs(roots.longitude) - 1.6) / 0.45) ** 2))
    force = comb * recipe.flow + np.array([0.0, -3.0 * recipe.gravity, 0.0])
    clear = np.full(len(roots), recipe.clear)
    length, cut = _lengths(roots, recipe, hair, head)
    if recipe.fringe != "none":
        comb, length, cut, clear = _fringe(roots, recipe, hair, head, comb, length, cut, clear)
    stray = np.stack([roots.noise(5), roots.noise(6), roots.noise(7)], -1)
    velocity = roots.normals * (lift * (0.65 + 0.55 * roots.draws[:, 8]))[:, None] + _along(
        comb, roots.normals
    )
    velocity += stray * (0.04 + 0.28 * hair.messiness * (0.4 if hanging else 1.0))
    return Groom(velocity, length, cut, layer, force, clear)


def _along(direction: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Directions laid onto the scalp, at most unit length."""
    tangent = direction - normals * (normals * direction).sum(1, keepdims=True)
    return tangent / np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 0.3)


def _comb(roots: Roots, comb: Comb, side: np.ndarray, hair: Hair) -> np.ndarray:
    """The direction in which every root's hair is combed, before it is laid onto the scalp."""
    x, _, z = roots.positions.T
    top, zero = roots.top, np.zeros(len(roots))
    if comb == "forward":
        return np.stack([0.25 * hair.parting * top, -1.0 * (1 - top), 0.9 * top + 0.15], -1)
    if comb == "across":
        # Over the parting to one side; the shorter flank falls down on its own side.
        return np.stack([0.95 * side, -0.7 * (1 - top), 0.30 * top - 0.1 * (1 - top)], -1)
    if comb == "sweep":
        away = -np.tanh(hair.parting / 0.15)
        return np.stack([away * top, -0.9 * (1 - top), 0.35 * top], -1)
    if comb == "back":
        return np.stack([0.15 * x, 0.10 - 0.55 * (1 - top), zero - 1.0], -1)
    if comb == "up":
        return np.stack([zero, zero + 0.25, zero - 0.1], -1)
    if comb == "out":
        return np.stack([0.4 * x, -0.35 - zero, 0.35 * z], -1)
    return np.stack([0.9 * side, -0.25 - 0.35 * (1 - top), zero - 0.15], -1)


def _lengths(roots: Roots, recipe: Recipe, hair: Hair, head: Head) -> tuple[np.ndarray, np.ndarray]:
    """Length of every strand and the height it is cut at."""
    ragged = 1 - (0.12 + 0.35 * hair.layers) * roots.draws[:, 9]
    if recipe.cut is None:
        sides = recipe.length if recipe.sides is None else recipe.sides
        length = sides + (recipe.length - sides) * roots.top**recipe.crown
        return length * hair.length * ragged, np.full(len(roots), -9.0)
    end = 0.3 + (recipe.cut - 0.3) * hair.length
    layered = (0.05 + 0.45 * hair.layers) * (-end if recipe.softness else 0.4)
    if recipe.fringe == "curtain":
        layered += 0.25
    cut = end + layered * roots.draws[:, 9] ** 2 + 0.03 * roots.noise(10)
    across = 0.7 * np.clip(0.9 - np.abs(roots.positions[:, 0]), 0.0, 1.0)
    return np.maximum(roots.positions[:, 1] - cut, 0.1) + across + 0.25, cut


def _fringe(
    roots: Roots,
    recipe: Recipe,
    hair: Hair,
    head: Head,
    comb: np.ndarray,
    length: np.ndarray,
    cut: np.ndarray,
    clear: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Combs the roots above the forehead over it."""
    lon, z = roots.longitude, roots.positions[:, 2]
    above_brows = head.eye_y + recipe.fringe_at + 0.55 * (1 - hair.fringe)
    if recipe.fringe == "straight":
        mine = (np.abs(lon) < 0.85) & (roots.positions[:, 1] > 0.4) & (z > 0.12)
        direction = np.stack([0.30 * lon, -0.3 + 0 * lon, 1.0 + 0 * lon], -1)
        reach = np.hypot(z - 0.85, roots.positions[:, 1] - above_brows) + 0.25
        ends = above_brows + 0.05 * roots.noise(10) * (0.4 + hair.layers)
        face = 0.0
    elif recipe.fringe == "curtain":
        mine = (np.abs(lon) < 0.7) & (roots.positions[:, 1] > 0.45) & (z > 0.35)
        half = np.sign(roots.positions[:, 0] - 0.1 * hair.parting)
        direction = np.stack([0.75 * half, -0.3 + 0 * lon, 0.8 + 0 * lon], -1)
        reach = 0.75 + 0.35 * np.abs(lon)
        ends = head.eye_y - 0.15 - 0.35 * hair.fringe * np.clip(np.abs(lon), 0, 1) + 0.12 * roots.noise(10)
        face = 0.40
    else:
        mine = (np.abs(lon) < 0.9) & (roots.positions[:, 1] > 0.45) & (z > 0.2)
        away = -np.tanh(hair.parting / 0.1)
        direction = np.stack([0.75 * away + 0 * lon, -0.2 + 0 * lon, 0.7 + 0 * lon], -1)
        reach = 0.55 * hair.fringe + 0 * lon
        ends = above_brows - 0.05 + 0.08 * roots.noise(10)
        face = 0.0
    comb = np.where(mine[:, None], direction, comb)
    return comb, np.where(mine, reach, length), np.where(mine, ends, cut), np.where(mine, face, clear)
