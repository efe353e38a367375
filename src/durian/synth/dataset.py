"""Clips of synthetic people in webdataset shards, as `durian.data.clips` reads them.

Clip number n of a seed is the same whatever the number of clips, shards or workers, so a set can be cut
off, continued and extended. A shard is written beside its place and renamed when it is complete: what is
there is whole, and what a killed run had not finished is made by the next.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from durian.errors import DurianError
from durian.labels import Label, pixel_classes
from durian.synth.attributes.collection import sample_free_form
from durian.synth.dynamics import lagging_poses
from durian.synth.encoding import encode_image, members, npy, surface_members
from durian.synth.model import Model, build
from durian.synth.others import before_members, donor_members
from durian.synth.performance import Performance, sample_performance
from durian.synth.person import Person, sample_person
from durian.synth.recipes import wear
from durian.synth.render import Rendered, render
from durian.synth.scene import sample_light
from durian.synth.sequence import render_performance
from durian.synth.serialise import to_json
from durian.work import run_jobs

CLIPS, CASES = 1, 2
"""Domains of seeds: no clip has the random numbers of a benchmark case, whatever its seed."""

SHARD = 25  # clips; a killed run loses what one worker had of one
_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class ClipSettings:
    """What decides the contents of a set of clips, but for how many there are.

    `relit` of a clip's frames, drawn at random, are rendered again, each in another light. The frames are
    shared out among `takes`, performances of their own, as evenly as they go. With `surface` every frame
    has a picture of the places that it shows (`durian.surface`). With `unshaded` every frame of people in
    hats comes once more, as if the hat cast no shadow. `free_hats` is the share of people who get a hat of no
    style (`sample_free_hat`) in place of what they wear on their heads, `free_forms` the share of hair,
    glasses and beards that have no style either. `donors` pictures are of other people who wear something of
    the clip's person, and `before` of that person with something else in its place (`durian.synth.others`).
    """

    frames: int = 16
    size: int = 128
    seed: int = 0
    samples: int = 3
    relit: int = 0
    takes: int = 1
    surface: bool = False
    unshaded: bool = False
    free_hats: float = 0.0
    free_forms: float = 0.0
    donors: int = 0
    before: int = 0


def clip_recipe(settings: ClipSettings, index: int) -> tuple[Person, tuple[Performance, ...]]:
    """Person and takes of clip number `index`: attributes have training styles only."""
    rng = np.random.default_rng([CLIPS, settings.seed, index])
    person = sample_person(rng, split="train")
    lengths = [len(part) for part in np.array_split(np.arange(settings.frames), settings.takes)]
    takes = tuple(sample_performance(rng, length) for length in lengths)
    body = person.identity.masculinity, person.identity.age
    own = np.random.default_rng([CLIPS, settings.seed, index, 2])  # all else is as without such hats
    if own.random() < settings.free_hats:
        person = wear(person, hat=sample_free_form(own, "hat", *body))
    own = np.random.default_rng([CLIPS, settings.seed, index, 3])
    for kind in ("hair", "glasses", "beard"):
        if own.random() < settings.free_forms and getattr(person.attributes, kind) is not None:
            person = wear(person, **{kind: sample_free_form(own, kind, *body)})
    return person, takes


def write_clips(
    folder: Path,
    clips: int,
    settings: ClipSettings,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Render clips into shards of `SHARD`, going on from what the folder holds.

    Args:
        folder: of the shards; made if it is not there.
        clips: how many in all.
        settings: of each clip.
        workers: processes.
        progress: called with clips done and clips in all.

    Returns:
        The shards, `clips-00000.tar` …

    Raises:
        DurianError: more takes than frames, or the folder cannot be written to, or holds clips of other
            settings.
    """
    if settings.takes > settings.frames:
        raise DurianError(
            f"{settings.takes} takes have no {settings.frames} frames between them: ask for fewer"
        )
    _claim(folder, settings)
    jobs, paths, done = [], [], 0
    for first in range(0, clips, SHARD):
        last = min(first + SHARD, clips)
        path = folder / f"clips-{first // SHARD:05d}.tar"
        paths.append(path)
        if _count(path) >= last - first:
            done += last - first
        else:
            jobs.append((path, settings, first, last))
    total, finished = clips, done
    if progress is not None:
        progress(finished, total)
    for count in run_jobs(_write_shard, jobs, workers):
        finished += count
        if progress is not None:
            progress(finished, total)
    return paths


def _claim(folder: Path, settings: ClipSettings) -> None:
    manifest = folder / _MANIFEST
    try:
        if manifest.is_file():
            found = json.loads(manifest.read_text("utf-8"))
            older = asdict(ClipSettings())  # of folders that know less
            if {**older, **found} != asdict(settings):
                raise DurianError(
                    f"{folder} holds clips of other settings ({found}): choose another folder or these"
                )
            return
        folder.mkdir(parents=True, exist_ok=True)
        temporary = manifest.with_name(f".{_MANIFEST}.new")
        temporary.write_text(json.dumps(asdict(settings)) + "\n", "utf-8")
        os.replace(temporary, manifest)
    except (OSError, ValueError) as error:
        raise DurianError(f"cannot write clips into {folder}: {error}") from error


def _count(shard: Path) -> int:
    """Clips in a shard; 0 if it is not there."""
    try:
        with tarfile.open(shard) as tar:
            return sum(name.endswith(".landmarks.npy") for name in tar.getnames())
    except (OSError, tarfile.TarError):
        return 0


def _write_shard(path: Path, settings: ClipSettings, first: int, last: int) -> int:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with tarfile.open(temporary, "w") as tar:
            for index in range(first, last):
                for name, data in encode_clip(settings, index).items():
                    info = tarfile.TarInfo(f"{index:06d}.{name}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
        os.replace(temporary, path)
    except OSError as error:
        raise DurianError(f"cannot write {path}: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return last - first


def encode_clip(settings: ClipSettings, index: int) -> dict[str, bytes]:
    """The members of a clip: frames, label images, landmarks, and the recipe as JSON."""
    person, takes = clip_recipe(settings, index)
    model = build(person)
    rendered = [
        frame for take in takes for frame in render_performance(model, take, settings.size, settings.samples)
    ]
    files = members(rendered, "frame", "label", "landmarks.npy")
    if settings.surface:
        files |= surface_members(rendered, "surface")
    if settings.unshaded and person.attributes.hat is not None:
        files |= unshaded_members(settings, person, takes, rendered)
    if settings.relit:
        files |= relit_members(settings, index, model, takes)
    files |= other_members(settings, index, person, takes)
    files["person.json"] = to_json(person).encode()
    if len(takes) == 1:
        files["performance.json"] = to_json(takes[0]).encode()
    else:
        files["take.npy"] = npy(np.repeat(np.arange(len(takes)), [len(take.frames) for take in takes]))
        for number, take in enumerate(takes):
            files[f"performance{number:02d}.json"] = to_json(take).encode()
    return files


def other_members(
    settings: ClipSettings, index: int, person: Person, takes: tuple[Performance, ...]
) -> dict[str, bytes]:
    """Others in what the person wears, and the person as before. Their random numbers are their own."""
    size, samples = settings.size, settings.samples
    donors, before = (np.random.default_rng([CLIPS, settings.seed, index, number]) for number in (4, 5))
    return {
        **donor_members(donors, person, settings.donors, size, samples),
        **before_members(before, person, takes, settings.before, size, samples),
    }


def unshaded_members(
    settings: ClipSettings, person: Person, takes: tuple[Performance, ...], rendered: list[Rendered]
) -> dict[str, bytes]:
    """Frames of a person in a hat as if it cast no shadow: the same person without the hat, wherever both
    show the same. Hair does not, since a hat presses it: it stays as it was."""
    bare = build(replace(person, attributes=replace(person.attributes, hat=None)))
    files: dict[str, bytes] = {}
    for take in takes:
        for lit in render_performance(bare, take, settings.size, settings.samples):
            frame = rendered[len(files)]
            same = (frame.labels == lit.labels) & (frame.visible["hat"] == 0)
            same &= pixel_classes(frame.labels) != Label.HAIR
            picture = np.where(same[..., None], lit.rgb, frame.rgb)
            files[f"unshaded{len(files):02d}.webp"] = encode_image(picture, quality=93)
    return files


def relit_members(
    settings: ClipSettings, index: int, model: Model, takes: tuple[Performance, ...]
) -> dict[str, bytes]:
    """Frames of a clip in other lights. Their random numbers are their own: the clip is as without them."""
    rng = np.random.default_rng([CLIPS, settings.seed, index, 1])
    states = [state for take in takes for state in take.frames]
    lags = [lag for take in takes for lag in lagging_poses(take)]
    rendered = []
    for i in np.sort(rng.choice(len(lags), settings.relit, replace=len(lags) < settings.relit)):
        scene = replace(model.person.scene, light=sample_light(rng))
        lit = replace(model, person=replace(model.person, scene=scene))
        rendered.append(render(lit, states[i], settings.size, settings.samples, lags[i]))
    files = members(rendered, "relit", "relitlabel", "relit.npy")
    return files | surface_members(rendered, "relitsurface") if settings.surface else files
