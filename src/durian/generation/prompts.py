"""What the people of a mask bank are asked to wear: unlike shapes, since only masks are kept."""

from __future__ import annotations

import numpy as np

LOOKS = {
    "hair": (
        "very long straight hair", "long wavy hair over the shoulders", "big curly hair", "a large afro",
        "a short bob with a fringe", "shoulder-length hair", "a pixie cut", "a buzz cut", "a high bun",
        "two braids", "long dreadlocks", "a ponytail", "a mohawk", "a side part and short sides",
        "messy medium-length hair", "slicked-back hair", "box braids", "a top knot",
    ),
    "glasses": (
        "round wire glasses", "thick rectangular glasses", "large oversized glasses", "aviator sunglasses",
        "cat-eye glasses", "narrow rimless glasses", "square sunglasses", "ski goggles",
    ),
    "beard": (
        "a long full beard", "a short full beard", "a goatee", "a thick moustache", "a handlebar moustache",
        "light stubble", "a chin strap beard", "a long braided beard",
    ),
    "hat": (
        "a baseball cap", "a knitted beanie", "a wide-brimmed sun hat", "a fedora", "a cowboy hat",
        "a beret", "a bucket hat", "a top hat", "a flat cap", "a woollen hat with a bobble",
    ),
}  # fmt: skip
_PEOPLE = ("woman", "man")
_AGES = ("young", "middle-aged", "old")
_ORIGINS = ("East Asian", "South Asian", "Black", "white", "Latin American", "Middle Eastern")


def draw_prompt(rng: np.random.Generator, attribute: str) -> str:
    """A person with one look of the attribute; beards are on men."""
    person = "man" if attribute == "beard" else rng.choice(_PEOPLE)
    look = rng.choice(LOOKS[attribute])
    return (
        f"portrait photo of a {rng.choice(_AGES)} {rng.choice(_ORIGINS)} {person} with {look}, "
        "head and shoulders, plain background, soft light, sharp focus"
    )
