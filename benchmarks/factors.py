"""What makes a case hard: the benchmark's own cases, rendered again with one thing about them made easy.

    uv run python benchmarks/factors.py mini OUT --limit 24

OUT is a folder for the cases, which are not rendered twice. Portrait, donor and motion are those of `single`,
but for what a row's name says. The truth is the same in all rows but the last, and so are the regions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from durian.cli.progress import progress_bars
from durian.evaluation.cases import case_trials
from durian.evaluation.metrics import pixel_scores
from durian.pipeline import DurianPipeline
from durian.synth.benchmark import recipe, write_recipe
from durian.synth.person import Person
from durian.synth.recipes import SAMPLERS, Recipe, wear
from durian.work import available_cores, run_jobs

SPLIT = "single"
METRICS = {"psnr": "PSNR", "psnr_attribute": "attribute", "psnr_face": "face", "psnr_rest": "rest"}


def with_donor(case: Recipe, change: Callable[[Person, Person], Person]) -> Recipe:
    """The case with another donor, made of the donor and the person of the answer."""
    (donor,) = case.donors
    return replace(case, donors=(replace(donor, person=change(donor.person, case.answers[0])),))


def relit(donor: Person, answer: Person) -> Person:
    """The donor in the portrait's light."""
    return replace(donor, scene=replace(donor.scene, light=answer.scene.light))


def same_skull(donor: Person, answer: Person) -> Person:
    """The donor with the portrait's skull and hairline."""
    return replace(donor, identity=replace(donor.identity, skull=answer.identity.skull))


def near(case: Recipe) -> Recipe:
    """Portrait and donor in the pose of one of the frames."""
    state = case.performance.frames[len(case.performance.frames) // 2 - 1]
    (donor,) = case.donors
    return replace(case, portrait_state=state, donors=(replace(donor, state=state),))


def known_style(case: Recipe) -> Recipe:
    """Donor and answer wear something of a style that training clips show."""
    (donor,) = case.donors
    rng = np.random.default_rng(list(case.name.encode()))
    identity = donor.person.identity
    worn = {donor.kind: SAMPLERS[donor.kind](rng, identity.masculinity, identity.age, "train")}
    easy = with_donor(case, lambda person, _: wear(person, **worn))
    return replace(easy, answers=tuple(wear(person, **worn) for person in case.answers))


FACTORS: dict[str, Callable[[Recipe], Recipe]] = {
    "as it is": lambda case: case,
    "donor in the portrait's light": lambda case: with_donor(case, relit),
    "donor with the portrait's skull": lambda case: with_donor(case, same_skull),
    "donor with the portrait's head and skin": lambda case: with_donor(
        case, lambda donor, answer: replace(donor, identity=answer.identity)
    ),
    "donor is the answer's person": lambda case: with_donor(case, lambda _, answer: answer),
    "portrait wears the attribute": lambda case: replace(case, portrait=case.answers[0]),
    "both: self-transfer": lambda case: with_donor(
        replace(case, portrait=case.answers[0]), lambda _, answer: answer
    ),
    "both pictures in the pose of a frame": near,
    "attribute of a style of training": known_style,
}


def render(out: Path, number: int, index: int, size: int) -> None:
    """One case of a factor."""
    case = list(FACTORS.values())[number](recipe(SPLIT, index))
    write_recipe(out / f"{number}" / SPLIT, SPLIT, index, case, size, samples=3)


def main(
    checkpoint: Annotated[str, typer.Argument(help="As for `durian animate`.")],
    out: Annotated[Path, typer.Argument(help="Folder of the cases.")],
    limit: Annotated[int, typer.Option(min=1, max=80, help="Cases of each.")] = 24,
    size: int = 128,
) -> None:
    """Render what is not there, and print the mean scores of DNet's own pictures."""
    pipeline = DurianPipeline.from_pretrained(checkpoint, detail=False)
    jobs = [(out, number, index, size) for number in range(len(FACTORS)) for index in range(limit)]
    table = Table("", *METRICS.values(), title=f"{limit} cases, dB")
    with progress_bars() as report:
        for done, _ in enumerate(run_jobs(render, jobs, available_cores()), start=1):
            report("Rendering cases", done, len(jobs))
        done = 0
        for number, name in enumerate(FACTORS):
            scores: dict[str, list[float]] = defaultdict(list)
            for ref in case_trials(out / f"{number}", splits=[SPLIT])[:limit]:
                trial = ref.load()
                made = pixel_scores(pipeline.animate(trial.request(pipeline.size).inputs), trial)
                for metric in METRICS:
                    if (value := made[metric]) is not None:
                        scores[metric].append(value)
                done += 1
                report("Making frames", done, len(jobs))
            table.add_row(name, *(f"{np.mean(scores[metric]):.2f}" for metric in METRICS))
    Console(width=110).print(table)


if __name__ == "__main__":
    typer.run(main)
