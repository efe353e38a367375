"""How well clear lenses are told from sunglasses, and what is seen through them is found.

    uv run python benchmarks/lenses.py [--people 300] [--size 256]

Of synthetic people in glasses, of styles that training shows and of others in turn, with exact masks and
landmarks.
"""

from __future__ import annotations

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from durian.labels import attribute_region, lens_region
from durian.portrait.lenses import attribute_alone
from durian.synth.attributes import sample_glasses
from durian.synth.model import build
from durian.synth.performance import sample_performance
from durian.synth.person import sample_person
from durian.synth.recipes import wear
from durian.synth.render import render

LENSES = 7  # domain of seeds beside those of `durian.synth.dataset` and of benchmarks/mask_people.py
_KINDS = {"clear": (0.0, 0.2), "tinted": (0.2, 0.6), "sunglasses": (0.6, 1.0)}
"""By opacity; tinted ones are right either way."""

console = Console(width=110)


def main(people: int = 300, size: int = 256) -> None:
    """Print a row for each kind of lens."""
    found: dict[str, list[tuple[bool, float]]] = {kind: [] for kind in _KINDS}
    for index in track(range(people), "people", console=console):
        rng = np.random.default_rng([LENSES, index])
        person = sample_person(rng, "train")
        nature = person.identity
        glasses = sample_glasses(rng, nature.masculinity, nature.age, "train" if index % 2 else "test")
        frame = render(
            build(wear(person, glasses=glasses)),
            sample_performance(rng, 1, static=True).frames[0],
            size,
            2,
        )
        mask = attribute_region(frame.labels, "glasses").astype(np.float32)
        lenses = lens_region(frame.labels)
        if not lenses.any():
            continue
        seen = (mask - attribute_alone("glasses", mask, frame.rgb, frame.landmarks)) > 0.5
        kind = next(name for name, (low, high) in _KINDS.items() if low <= glasses.lens_opacity < high)
        found[kind].append((bool(seen.any()), float((seen & lenses).sum() / (seen | lenses).sum())))
    table = Table("lenses", "people", "seen through", "IoU of what is seen with the lenses")
    for kind, each in found.items():
        if not each:
            continue
        taken, overlap = np.array(each, float).T
        overlap = overlap[taken > 0]
        middle = f"{np.median(overlap):.2f}" if kind == "clear" and len(overlap) else "–"
        table.add_row(kind, str(len(each)), f"{taken.mean():.0%}", middle)
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
