"""Pictures that no ordinary video has: what a clip's person wears on somebody else, and its person as they
were before they wore it.

Self-reconstruction has portrait, attribute and answer from one person. Here they are as in use, and as in the
benchmark's cases: the donor is somebody else, the portrait wears something else, and the answer is exact.
"""

from __future__ import annotations

import json

import numpy as np

from durian.synth.attributes import sample_attributes
from durian.synth.dynamics import lagging_poses
from durian.synth.encoding import members
from durian.synth.model import build
from durian.synth.performance import Performance
from durian.synth.person import Person
from durian.synth.recipes import KINDS, as_donor, someone, still_state, wear
from durian.synth.render import render


def donor_members(
    rng: np.random.Generator, person: Person, count: int, size: int, samples: int
) -> dict[str, bytes]:
    """`count` other people, each in something that `person` wears; `donor.json` says in what."""
    kinds = _kinds(rng, person, count)
    rendered = []
    for kind in kinds:
        donor = as_donor(someone(rng, kind), kind, getattr(person.attributes, kind))
        rendered.append(render(build(donor), still_state(rng), size, samples))
    return _members(rendered, "donor", {"kinds": kinds})


def before_members(
    rng: np.random.Generator,
    person: Person,
    takes: tuple[Performance, ...],
    count: int,
    size: int,
    samples: int,
) -> dict[str, bytes]:
    """`person` in `count` of the takes' frames, with something else in place of one attribute, or without
    it; `before.json` says of which attribute and in which frame."""
    states = [state for take in takes for state in take.frames]
    lags = [lag for take in takes for lag in lagging_poses(take)]
    kinds = _kinds(rng, person, count)
    frames = [int(each) for each in rng.integers(len(states), size=len(kinds))]
    rendered = []
    for kind, frame in zip(kinds, frames, strict=True):
        other = sample_attributes(rng, person.identity.masculinity, person.identity.age)
        before = build(wear(person, **{kind: getattr(other, kind)}))
        rendered.append(render(before, states[frame], size, samples, lags[frame]))
    return _members(rendered, "before", {"kinds": kinds, "frames": frames})


def _kinds(rng: np.random.Generator, person: Person, count: int) -> list[str]:
    """What of the person's goes to others, in turn; no hair of which a hat shows but a strip."""
    worn = [kind for kind in KINDS if getattr(person.attributes, kind) is not None]
    if "hat" in worn and "hair" in worn:
        worn.remove("hair")
    return [str(kind) for kind in np.resize(rng.permutation(worn), count)] if worn else []


def _members(rendered: list, name: str, about: dict[str, list]) -> dict[str, bytes]:
    if not rendered:
        return {}
    files = members(rendered, name, f"{name}label", f"{name}.npy")
    return files | {f"{name}.json": json.dumps(about).encode()}
