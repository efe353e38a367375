"""What each case of the benchmark is: whose portrait, which donors, which motion.

Real videos never show a person in the same pose with somebody else's hair. Here the answer is exact: the
portrait's person is rendered with the donors' attributes, in the portrait's scene.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from durian.synth.attributes import (
    Split,
    interpolate,
    sample_beard,
    sample_glasses,
    sample_hair,
    sample_hat,
)
from durian.synth.performance import FrameState, Performance, sample_performance
from durian.synth.person import Person, sample_person
from durian.synth.scene import LIGHT_KINDS, sample_light

KINDS = ("hair", "glasses", "beard", "hat")
"""The attributes that the benchmark transfers."""

FRINGES = ("fringe-long", "bob-fringe", "curtain-long", "shag", "pixie")
"""Hair styles that reach down to a pair of glasses."""

SAMPLERS = {"hair": sample_hair, "glasses": sample_glasses, "beard": sample_beard, "hat": sample_hat}
_FPS = 15.0


@dataclass(frozen=True)
class Donor:
    """Somebody who wears the attribute `kind`, in a pose of their own."""

    kind: str
    person: Person
    state: FrameState


@dataclass(frozen=True)
class Recipe:
    """One case.

    Attributes:
        name: of the case, unique in its split.
        portrait, portrait_state: the person to animate, as they are.
        donors: one for each attribute; for an interpolation two of one kind.
        answers: the portrait's person with the donors' attributes, one for each frame of `performance`
            (the same person throughout, but for an interpolation).
        performance: the motion.
        alphas: for an interpolation, the share of the second donor in each frame.
    """

    name: str
    portrait: Person
    portrait_state: FrameState
    donors: tuple[Donor, ...]
    answers: tuple[Person, ...]
    performance: Performance
    alphas: tuple[float, ...] | None = None


@dataclass(frozen=True)
class BenchmarkSplit:
    """A named part of the benchmark.

    Attributes:
        cases: how many.
        about: what it measures, in a line.
        make: case number n, from random numbers of its own.
    """

    cases: int
    about: str
    make: Callable[[np.random.Generator, int], Recipe]


def wear(person: Person, **attributes: Any) -> Person:
    """The person with some attributes changed; None takes one off."""
    return replace(person, attributes=replace(person.attributes, **attributes))


def as_donor(person: Person, kind: str, attribute: Any) -> Person:
    """The person wearing `attribute`, with no hat on hair: all of it shows."""
    return wear(person, **({"hat": None, kind: attribute} if kind == "hair" else {kind: attribute}))


def someone(rng: np.random.Generator, *kinds: str) -> Person:
    """A new person in training styles, who could wear `kinds`: beards are men's."""
    while True:
        person = sample_person(rng, split="train")
        if "beard" not in kinds or person.identity.masculinity > 0:
            return person


def _draw(rng: np.random.Generator, kind: str, person: Person, styles: tuple[str, ...] | None) -> Any:
    """An attribute as this person might wear it: of a style that training never shows, or of `styles`."""
    split: Split = "test" if styles is None else "all"
    while True:
        attribute = SAMPLERS[kind](rng, person.identity.masculinity, person.identity.age, split)
        if styles is None or attribute.style in styles:
            return attribute


def still_state(rng: np.random.Generator) -> FrameState:
    """A pose and a look for a picture."""
    return sample_performance(rng, 1, _FPS, static=True).frames[0]


def _transfer(
    rng: np.random.Generator,
    name: str,
    portrait: Person,
    donors: tuple[Donor, ...],
    frames: int = 8,
    state: FrameState | None = None,
) -> Recipe:
    worn = {donor.kind: getattr(donor.person.attributes, donor.kind) for donor in donors}
    performance = sample_performance(rng, frames, _FPS)
    return Recipe(
        name=name,
        portrait=portrait,
        portrait_state=state or still_state(rng),
        donors=donors,
        answers=(wear(portrait, **worn),) * frames,
        performance=performance,
    )


def _donor(rng: np.random.Generator, kind: str, styles: tuple[str, ...] | None = None) -> Donor:
    person = someone(rng, kind)
    person = as_donor(person, kind, _draw(rng, kind, person, styles))
    return Donor(kind, person, still_state(rng))


def _portrait(rng: np.random.Generator, *kinds: str) -> Person:
    person = someone(rng, *kinds)
    return wear(person, hat=None) if "hair" in kinds and "hat" not in kinds else person


def _single(rng: np.random.Generator, index: int) -> Recipe:
    kind = KINDS[index % len(KINDS)]
    return _transfer(rng, f"{index:03d}_{kind}", _portrait(rng, kind), (_donor(rng, kind),))


_SETS = (
    ("hair", "glasses"),
    ("hair", "glasses", "beard"),
    ("hair", "glasses", "beard", "hat"),
    ("glasses", "hat"),
    ("glasses", "beard", "hat"),
    ("hair", "glasses", "beard", "hat"),
)


def _multi(rng: np.random.Generator, index: int) -> Recipe:
    kinds = _SETS[index % len(_SETS)]
    donors = tuple(_donor(rng, kind) for kind in kinds)
    return _transfer(rng, f"{index:03d}_{len(kinds)}", _portrait(rng, *kinds), donors)


def _overlap(rng: np.random.Generator, index: int) -> Recipe:
    """A hat over new hair, or glasses under a new fringe."""
    if index % 2:
        hair, other = _donor(rng, "hair"), _donor(rng, "hat")
    else:
        hair, other = _donor(rng, "hair", FRINGES), _donor(rng, "glasses")
    name = f"{index:03d}_hair_{other.kind}"
    return _transfer(rng, name, _portrait(rng, "hair", other.kind), (hair, other))


def _pose(rng: np.random.Generator, index: int) -> Recipe:
    """Portrait and donor look 30 to 60 degrees apart."""
    kind = KINDS[index % len(KINDS)]
    gap = np.deg2rad(rng.uniform(30, 60)) * rng.choice((-1, 1))
    middle = rng.uniform(-0.2, 0.2)
    donor = _donor(rng, kind)
    donor = replace(donor, state=replace(donor.state, yaw=float(middle + gap / 2)))
    state = replace(still_state(rng), yaw=float(middle - gap / 2))
    return _transfer(rng, f"{index:03d}_{kind}", _portrait(rng, kind), (donor,), state=state)


def _light(rng: np.random.Generator, index: int) -> Recipe:
    """Portrait and donor stand in different kinds of light."""
    kind = KINDS[index % len(KINDS)]
    first, second = rng.permutation(LIGHT_KINDS)[:2]
    portrait, donor = _portrait(rng, kind), _donor(rng, kind)

    def lit(person: Person, light: str) -> Person:
        return replace(person, scene=replace(person.scene, light=sample_light(rng, str(light))))

    donor = replace(donor, person=lit(donor.person, second))
    return _transfer(rng, f"{index:03d}_{kind}_{first}_{second}", lit(portrait, first), (donor,))


def _long(rng: np.random.Generator, index: int) -> Recipe:
    kind = KINDS[index % len(KINDS)]
    return _transfer(rng, f"{index:03d}_{kind}", _portrait(rng, kind), (_donor(rng, kind),), frames=300)


def _interpolation(rng: np.random.Generator, index: int) -> Recipe:
    """Two donors of one style: along the way every number and colour of the attribute is blended."""
    kind = KINDS[index % len(KINDS)]
    first = _donor(rng, kind)
    a = getattr(first.person.attributes, kind)
    while True:
        second = _donor(rng, kind)
        b = getattr(second.person.attributes, kind)
        if b.style == a.style:
            break
    b = replace(b, seed=a.seed)  # so that the ends are the donors' own
    second = replace(second, person=wear(second.person, **{kind: b}))
    portrait = _portrait(rng, kind)
    recipe = _transfer(rng, f"{index:03d}_{kind}", portrait, (first, second), frames=9)
    alphas = tuple(float(alpha) for alpha in np.linspace(0, 1, 9))
    answers = tuple(wear(portrait, **{kind: interpolate(a, b, alpha)}) for alpha in alphas)
    return replace(recipe, answers=answers, alphas=alphas)


def _self(rng: np.random.Generator, index: int) -> Recipe:
    """The paper's self-transfer: portrait, donor and answer are one person in three poses."""
    kind = KINDS[index % len(KINDS)]
    donor = _donor(rng, kind)
    return _transfer(rng, f"{index:03d}_{kind}", donor.person, (donor,))


SPLITS = {
    "single": BenchmarkSplit(80, "one attribute of another person", _single),
    "multi": BenchmarkSplit(48, "2, 3 and 4 attributes of as many people", _multi),
    "overlap": BenchmarkSplit(24, "a hat over new hair, glasses under a new fringe", _overlap),
    "pose": BenchmarkSplit(32, "portrait and donor look 30 to 60 degrees apart", _pose),
    "light": BenchmarkSplit(32, "portrait and donor in different kinds of light", _light),
    "long": BenchmarkSplit(4, "300 frames", _long),
    "interpolation": BenchmarkSplit(16, "from one donor's attribute to another's", _interpolation),
    "self": BenchmarkSplit(32, "the person's own attribute, as in the paper's self-transfer", _self),
}
