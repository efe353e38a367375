"""What more than one picture of the portrait and of the attribute brings.

    uv run python benchmarks/views.py OUT --limit 24
    uv run python benchmarks/views.py OUT --limit 24 --other-light

OUT is a folder for the cases of `single` and for further pictures of their people, in other poses, which are
not rendered twice. All rows are scored on the same frames. A sheet beside these pictures has a row for each
case: portrait, attribute, truth, and what is made of one picture of each and of four.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Annotated

import numpy as np
import typer
from PIL import Image
from strength import METRICS, tabulate

from durian.cli.progress import progress_bars
from durian.evaluation.case_files import Picture
from durian.evaluation.cases import case_trials, worn_mask
from durian.evaluation.trial import Frames, Trial
from durian.pipeline import DurianPipeline
from durian.portrait.inputs import Reference
from durian.portrait.portrait_mask import portrait_mask
from durian.synth.benchmark import recipe, write_benchmark
from durian.synth.model import build
from durian.synth.performance import sample_performance
from durian.synth.person import Person
from durian.synth.render import render
from durian.synth.scene import sample_light
from durian.work import available_cores, run_jobs

SPLIT, MOST = "single", 3
ROWS = {
    "one of each": (0, 0),
    "two of the portrait": (1, 0),
    "four of the portrait": (MOST, 0),
    "two of the attribute": (0, 1),
    "four of the attribute": (0, MOST),
    "two of each": (1, 1),
    "four of each": (MOST, MOST),
}
"""By name, how many further pictures of portrait and attribute there are."""
_SHEET = ("one of each", "four of each")
SHOWN = {"psnr": "PSNR", "psnr_attribute": "attribute", "psnr_face": "face", "psnr_rest": "rest"}


def render_views(path: Path, index: int, size: int, other_light: bool) -> None:
    """Further pictures of the people of a case, unless they are there."""
    if path.is_file():
        return
    case, rng = recipe(SPLIT, index), np.random.default_rng([index, 4242])
    pictures: dict[str, np.ndarray] = {}
    for role, person in (("portrait", case.portrait), ("attribute", case.donors[0].person)):
        for number in range(MOST):
            state = sample_performance(rng, 1, 15.0, static=True).frames[0]
            lit = relit(person, rng) if other_light else person
            seen = render(build(lit), state, size, 3)
            parts = {"image": seen.rgb, "labels": seen.labels, "landmarks": seen.landmarks.astype(np.float32)}
            pictures |= {f"{role}_{number}_{name}": part for name, part in parts.items()}
    temporary = path.with_suffix(".new.npz")
    np.savez_compressed(temporary, allow_pickle=False, **pictures)
    temporary.replace(path)


def relit(person: Person, rng: np.random.Generator) -> Person:
    """The same in some other light."""
    return replace(person, scene=replace(person.scene, light=sample_light(rng)))


def views(path: Path, role: str, count: int, attribute: str) -> tuple[Reference, ...]:
    """Pictures with the attribute's mask; at most so many."""
    with np.load(path) as stored:
        pictures = [
            Picture(*(stored[f"{role}_{number}_{name}"] for name in ("image", "labels", "landmarks")))
            for number in range(count)
        ]
    return tuple(Reference(each.image, worn_mask(each, attribute), each.landmarks) for each in pictures)


def animate(pipeline: DurianPipeline, folder: Path, count: tuple[int, int], trial: Trial) -> Frames:
    """A trial with so many further pictures of portrait and attribute."""
    inputs, (attribute,) = trial.request(pipeline.size).inputs, trial.attributes
    path = folder / f"{trial.id.rpartition('/')[2]}.npz"
    worn = replace(inputs.attributes[attribute], views=views(path, "attribute", count[1], attribute))
    people = [
        replace(each, mask=portrait_mask(each.mask, each.landmarks, [worn]))
        for each in views(path, "portrait", count[0], attribute)
    ]
    portrait = replace(inputs.portrait, views=tuple(people))
    return pipeline.animate(replace(inputs, portrait=portrait, attributes={attribute: worn}))


def main(
    out: Annotated[Path, typer.Argument(help="Folder of the cases.")],
    checkpoint: Annotated[str, typer.Option(help="As for `durian animate`.")] = "mini",
    limit: Annotated[int, typer.Option(min=1, max=80, help="Cases.")] = 24,
    other_light: Annotated[bool, typer.Option("--other-light", help="Of every further picture.")] = False,
    detail: Annotated[bool, typer.Option(help="Results at twice DNet's size.")] = True,
) -> None:
    """Render what is not there, and print mean scores."""
    pipeline = DurianPipeline.from_pretrained(checkpoint, detail=detail)
    folder = out / ("views-relit" if other_light else "views")
    folder.mkdir(parents=True, exist_ok=True)
    with progress_bars() as report:
        told = partial(report, "Rendering cases")
        write_benchmark(
            out, [SPLIT], limit=limit, size=pipeline.size, workers=available_cores(), progress=told
        )
        refs = case_trials(out, splits=[SPLIT], limit=limit)
        jobs = [
            (folder / f"{ref.id.rpartition('/')[2]}.npz", index, pipeline.size, other_light)
            for index, ref in enumerate(refs)
        ]
        for done, _ in enumerate(run_jobs(render_views, jobs, available_cores()), start=1):
            report("Rendering pictures", done, len(jobs))
    seconds: dict[str, list[float]] = {name: [] for name in ROWS}
    shown: dict[str, list[np.ndarray]] = {}

    def timed(name: str, trial: Trial) -> Frames:
        begin = perf_counter()
        frames = animate(pipeline, folder, ROWS[name], trial)
        seconds[name].append((perf_counter() - begin) / len(frames))
        if name in _SHEET:
            assert trial.targets is not None
            middle = len(frames) // 2
            pictures = shown.setdefault(trial.id, [])
            if not pictures:
                donors = [each.image for each in trial.donors.values()]
                pictures += [trial.portrait.image, *donors, trial.targets[middle]]
            pictures.append(frames[middle])
        return frames

    ways = {name: partial(timed, name) for name in ROWS}
    tabulate("pictures", ways, refs, SHOWN | {key: METRICS[key] for key in ("detail", "flicker")})
    sheet = np.concatenate([np.concatenate(pictures, 1) for pictures in shown.values()])
    Image.fromarray(sheet).save(folder / "sheet.png")
    for name, each in seconds.items():
        print(f"{name}: {median(each):.3f} s a frame, of which clips have {len(refs[0].load().keypoints)}")


if __name__ == "__main__":
    typer.run(main)
