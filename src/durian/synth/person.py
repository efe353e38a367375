"""A whole portrait as a value: who, wearing what, in which light."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from durian.synth.attributes import Attributes, Split, sample_attributes
from durian.synth.identity import Identity, sample_identity
from durian.synth.scene import Clothes, Scene, sample_clothes, sample_scene


@dataclass(frozen=True)
class Person:
    """All that a model is built from; any of its parts may be exchanged with another person's."""

    identity: Identity = field(default_factory=Identity)
    attributes: Attributes = field(default_factory=Attributes)
    clothes: Clothes = field(default_factory=Clothes)
    scene: Scene = field(default_factory=Scene)


def sample_person(rng: np.random.Generator, split: Split = "train") -> Person:
    """A random person; equal generators give equal people."""
    identity = sample_identity(rng)
    attributes = sample_attributes(rng, identity.masculinity, identity.age, split)
    return Person(identity, attributes, sample_clothes(rng), sample_scene(rng))
