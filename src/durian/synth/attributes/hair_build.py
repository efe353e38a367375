"""Building hair: strands and painted scalp from its parameters, fitted to a head and below a hat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from durian.labels import Label
from durian.synth.attributes import growth
from durian.synth.attributes.braided import Braided, braid_hair
from durian.synth.attributes.ceiling import Ceiling
from durian.synth.attributes.colours import scaled, strand_colours
from durian.synth.attributes.free_hair import look_of
from durian.synth.attributes.gathered import Gathering, gather_hair
from durian.synth.attributes.grooming import Recipe, groom, style_region
from durian.synth.attributes.hair import Hair
from durian.synth.attributes.scalp import (
    Roots,
    grow_roots,
    hairline,
    painted,
    smoothstep,
    speckle,
    texture_grid,
)
from durian.synth.parts import AttributeParts, Binding, Material, Painted, Strands

if TYPE_CHECKING:
    from durian.synth.head import Head

Array = np.ndarray
LOWEST = 0.006
"""How far above the coarse skull every part of a strand stays."""


def build_hair(hair: Hair, head: Head, ceiling: Ceiling) -> AttributeParts:
    """Strands and painted scalp; under the ceiling hair is pressed, and what is all hidden is left out."""
    rng = np.random.default_rng(hair.seed + 1)
    look = look_of(hair)
    if isinstance(look, Gathering):
        strands = _gathered(look, hair, head, ceiling, rng)
    elif isinstance(look, Braided):
        strands = _braided(look, hair, head, ceiling, rng)
    else:
        strands = _combed(look, hair, head, ceiling, rng)
    kept = tuple(part for part in (_visible(part, ceiling) for part in strands) if len(part.width))
    return AttributeParts(strands=kept, painted=(_scalp(hair, head),))


def padding(hair: Hair | None) -> float:
    """How far a hat stands off the skull because of the hair below, in head-space units."""
    if hair is None or hair.style in ("shaved", "buzz-cut", "receding", "fringe-of-hair", "cornrows"):
        return 0.045
    look = look_of(hair)
    return 0.10 if isinstance(look, Recipe) and look.comb in ("up", "out") else 0.075


def _combed(
    recipe: Recipe, hair: Hair, head: Head, ceiling: Ceiling, rng: np.random.Generator
) -> list[Strands]:
    if recipe.strands == 0:
        return []
    roots = style_region(
        grow_roots(head, recipe.strands, hair.seed, hair.recession + recipe.recession), recipe
    )
    if not len(roots):
        return []
    comb = groom(roots, recipe, hair, head)
    steps = min(growth.STEPS, 3 * recipe.points)
    path = np.empty((len(roots), steps + 1, 3), np.float32)
    last = growth.grow(
        roots.positions, comb.velocity, comb.length, comb.cut, comb.layer, comb.force, comb.clear,
        ceiling.collar, head.shape, ceiling.radius, path,
    )  # fmt: skip
    points = growth.divide(path, last, recipe.points)
    leaders = _leaders(roots, recipe.clumps, rng)
    clump_draws = rng.random(len(roots))
    amount = recipe.clump * (1 - 0.35 * hair.messiness * roots.draws[:, 11])
    growth.gather(points, leaders, amount, 0.4)
    # Added curl turns straight hair wavy: slowly turning, while curly styles keep their own turns.
    amplitude = max(
        0.0, recipe.curl * (1 + hair.curl) + 0.045 * max(0.0, hair.curl - 0.15) * (recipe.points > 7)
    )
    if amplitude > 0:
        curled = np.empty_like(points)
        phase = 6.28 * clump_draws[leaders] + 0.5 * roots.noise(3)
        turns = (recipe.turns * hair.frequency) * (0.85 + 0.3 * clump_draws[leaders])
        onset = 0.15 if recipe.curl > 0.03 else 0.5
        size = amplitude * (0.75 + 0.5 * roots.draws[:, 10])
        growth.curl(points, size, turns, phase, onset, curled)
        points = curled
    growth.confine(points, LOWEST, head.shape, ceiling.radius)
    colours = _colours(hair, clump_draws[leaders], roots.draws[:, 3:6])
    softness = recipe.softness * np.clip((points[:, 0, 1] - points[:, -1, 1] - 0.2) / 1.6, 0, 1)
    # A hat presses hair forwards that would else have swung aside.
    keep = ~_crosses_face(points, comb.clear * (1.35 if ceiling.covered.any() else 1.0))
    width = recipe.width * _widths(roots)
    return [_strands(points[keep], width[keep], colours[keep], softness[keep])]


def _crosses_face(points: Array, clear: Array) -> Array:
    """Which strands fall over the face although they should leave it free: strays and pressed hair."""
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    over = (np.abs(x) < 0.62 * clear[:, None]) & (z > 0.35)
    before = z > 0.74  # hangs free in front of the cheeks, as from a visor
    return ((over | before) & (y < 0.44) & (y > -1.0)).any(1) & (clear > 0)


def _gathered(
    gathering: Gathering, hair: Hair, head: Head, ceiling: Ceiling, rng: np.random.Generator
) -> list[Strands]:
    roots = grow_roots(head, 2300, hair.seed, hair.recession)
    gathered = gather_hair(gathering, roots, hair, head, ceiling, rng)
    leaders = _leaders(roots, 150, rng)
    clump = rng.random(len(roots))[leaders]
    growth.gather(gathered.scalp, leaders, np.full(len(roots), 0.3), 0.3)
    growth.confine(gathered.scalp, LOWEST, head.shape, ceiling.radius)
    scalp = _strands(
        gathered.scalp, 0.032 * _widths(roots), _colours(hair, clump, roots.draws[:, 3:6]), 0.0, taper=0.3
    )
    count = len(gathered.bundle)
    single = rng.random((count, 3))
    width = 0.034 * (0.75 + 0.5 * rng.random(count))
    bundle = _strands(
        gathered.bundle, width, _colours(hair, gathered.tied_by, single), gathered.softness, taper=0.5
    )
    return [scalp, bundle]


def _braided(
    braided: Braided, hair: Hair, head: Head, ceiling: Ceiling, rng: np.random.Generator
) -> list[Strands]:
    roots = grow_roots(head, braided.guides, hair.seed, hair.recession)
    points, rope = braid_hair(braided, roots, hair, head, ceiling, rng)
    growth.confine(points, LOWEST, head.shape, ceiling.radius)
    count = len(points)
    # Neighbours within a rope differ in brightness, so that its twist shows.
    clump = np.mod(rng.random(int(rope.max()) + 1)[rope] * 0.55 + 0.4 * (np.arange(count) % 2), 1.0)
    width = braided.width * (0.85 + 0.3 * rng.random(count))
    softness = 0.5 if braided.length else 0.0
    return [_strands(points, width, _colours(hair, clump, rng.random((count, 3))), softness, taper=0.15)]


def _leaders(roots: Roots, clumps: int, rng: np.random.Generator) -> Array:
    """For every root the index of the strand that leads its clump."""
    centres = rng.permutation(len(roots))[: max(1, min(clumps, len(roots)))]
    return centres[growth.nearest(roots.positions, roots.positions[centres])]


def _widths(roots: Roots) -> Array:
    return 0.72 + 0.56 * roots.draws[:, 9]


def _colours(hair: Hair, clump: Array, single: Array) -> Array:
    return strand_colours(hair.colour, hair.grey, hair.streak_colour, hair.streak_share, clump, single)


def _strands(
    points: Array, width: Array, colours: Array, softness: float | Array, taper: float = 0.7
) -> Strands:
    return Strands(
        Label.HAIR,
        Material.HAIR_STRAND,
        Binding.HEAD,
        np.ascontiguousarray(points, np.float32),
        np.asarray(width, np.float32),
        colours,
        taper,
        np.broadcast_to(np.asarray(softness, np.float32), width.shape).astype(np.float32),
    )


def _visible(part: Strands, ceiling: Ceiling) -> Strands:
    """Without the strands that lie all under the hat."""
    if not ceiling.covered.any():
        return part
    keep = ~ceiling.covers(part.points).all(1)
    return Strands(
        part.label, part.material, part.binding, part.points[keep], part.width[keep], part.colours[keep],
        part.taper, part.softness[keep],
    )  # fmt: skip


def _scalp(hair: Hair, head: Head) -> Painted:
    """The scalp beneath the strands, darker than they are, and all there is to shaved hair."""
    look = look_of(hair)
    recipe = look if isinstance(look, Recipe) else Recipe("down")
    lon, lat = texture_grid()
    recession = hair.recession + recipe.recession
    margin = lat - hairline(head, lon[:1], recession)
    noise = speckle(hair.seed, 2)
    inside = smoothstep(-0.04, 0.10, margin + 0.07 * (noise - 0.5))
    alpha = inside * recipe.scalp
    if isinstance(look, Braided) and not look.length:  # skin shows between the rows
        alpha = inside * 0.62
    top = np.clip((lat - 0.35) / 0.5, 0, 1)
    shaved = recipe.scalp if recipe.sides_scalp is None else recipe.sides_scalp

    def mixed(share: Array) -> Array:
        return shaved + (recipe.scalp - shaved) * share

    if recipe.strip is not None:
        across = np.abs(np.sin(lon) * np.cos(lat)) * 1.15
        alpha = inside * mixed(1 - smoothstep(recipe.strip - 0.03, recipe.strip + 0.05, across))
    elif recipe.sides_scalp is not None:
        alpha = inside * (
            recipe.sides_scalp + (recipe.scalp - recipe.sides_scalp) * smoothstep(0.1, 0.5, top)
        )
    if recipe.bald_top:
        away = np.abs(lon)
        limit = np.where(away > 1.2, 0.52 + 0.10 * (away - 1.2), -9.0)
        alpha = alpha * (1 - smoothstep(limit - 0.12, limit + 0.02, lat))
    return painted(Label.HAIR, scaled(hair.colour, 0.5), alpha, 0.85 + 0.3 * noise)
