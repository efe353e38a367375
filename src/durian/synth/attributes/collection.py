"""All the attributes that one person wears."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from durian.synth.attributes.beard import Beard, sample_beard, sample_free_beard
from durian.synth.attributes.colours import scaled
from durian.synth.attributes.earrings import Earrings, sample_earrings
from durian.synth.attributes.glasses import Glasses, sample_free_glasses, sample_glasses
from durian.synth.attributes.hair import Hair, sample_free_hair, sample_hair
from durian.synth.attributes.hat import Hat, sample_free_hat, sample_hat
from durian.synth.attributes.paint import Paint, sample_paint
from durian.synth.attributes.scarf import Scarf, sample_scarf
from durian.synth.attributes.styles import Split


@dataclass(frozen=True)
class Attributes:
    """What a person wears; `None` is without. Any attribute may move to another person unchanged."""

    hair: Hair | None = None
    beard: Beard | None = None
    glasses: Glasses | None = None
    hat: Hat | None = None
    earrings: Earrings | None = None
    paint: Paint | None = None
    scarf: Scarf | None = None


def sample_attributes(
    rng: np.random.Generator, masculinity: float, age: float, split: Split = "train"
) -> Attributes:
    """Draws the attributes of a person; `masculinity` in [-1, 1] and `age` in [0, 1] shift the odds.

    With the split "test" every attribute that is there has a held-out style.
    """
    share = 0.5 + 0.5 * float(np.clip(masculinity, -1.0, 1.0))
    wears = {
        "hair": 0.97,
        "beard": 0.62 * max(0.0, 2 * share - 0.8) / 1.2,
        "glasses": 0.42,
        "hat": 0.26,
        "earrings": 0.45 * (1 - share) + 0.06,
        "paint": 0.06,
        "scarf": 0.12,
    }
    worn = {kind: bool(rng.random() < chance) for kind, chance in wears.items()}
    hair = sample_hair(rng, masculinity, age, split) if worn["hair"] else None
    beard = sample_beard(rng, masculinity, age, split) if worn["beard"] else None
    if hair is not None and beard is not None and rng.random() < 0.6:
        beard = replace(beard, colour=scaled(hair.colour, 0.85), grey=hair.grey)  # from then on its own
    return Attributes(
        hair=hair,
        beard=beard,
        glasses=sample_glasses(rng, masculinity, age, split) if worn["glasses"] else None,
        hat=sample_hat(rng, masculinity, age, split) if worn["hat"] else None,
        earrings=sample_earrings(rng, masculinity, age, split) if worn["earrings"] else None,
        paint=sample_paint(rng, masculinity, age, split) if worn["paint"] else None,
        scarf=sample_scarf(rng, masculinity, age, split) if worn["scarf"] else None,
    )


def sample_free_form(
    rng: np.random.Generator, kind: str, masculinity: float, age: float
) -> Hair | Glasses | Beard | Hat:
    """Draws "hair", "glasses", a "beard" or a "hat" of no style, so that a network meets more than the dozens
    of forms that have one."""
    if kind == "hat":
        return sample_free_hat(rng)
    samplers = {"hair": sample_free_hair, "glasses": sample_free_glasses, "beard": sample_free_beard}
    return samplers[kind](rng, masculinity, age)
