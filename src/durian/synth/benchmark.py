"""The benchmark on disk: case folders that `durian evaluate` reads, hashed.

A case folder holds

- `portrait.webp`, `portrait.png`: the portrait and its labels;
- `attribute.webp`, `attribute.png`: the donor and its labels; of several donors `attribute_NAME`, and of an
  interpolation's second donor `attribute_b`;
- `aligned.png`: labels of the answer's person in the portrait's pose, the ideal aligned mask;
- `target_00` … `.webp`, `.png`: the answer, frames and labels;
- `landmarks.npz`: exact landmarks, float32 478×3 in pixels, keys as the files are called;
- `case.json`: `split`, `attribute` (the first), `attributes` (all), `alphas` of an interpolation, and the
  `recipe` from which it was rendered.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from durian.errors import DurianError
from durian.synth.dataset import CASES
from durian.synth.dynamics import lagging_poses
from durian.synth.encoding import encode_image, encode_labels
from durian.synth.model import build
from durian.synth.recipes import SPLITS, Recipe
from durian.synth.render import Rendered, render
from durian.synth.sequence import render_performance
from durian.work import run_jobs

VERSION = 1
"""Of the benchmark: a change of recipes or pictures is a new version, whose scores do not compare."""

_MANIFEST = "manifest.json"


def recipe(split: str, index: int) -> Recipe:
    """Case number `index` of a split; equal on every machine."""
    rng = np.random.default_rng([CASES, VERSION, list(SPLITS).index(split), index])
    return SPLITS[split].make(rng, index)


def write_benchmark(
    folder: Path,
    splits: Sequence[str] | None = None,
    *,
    limit: int | None = None,
    size: int = 128,
    samples: int = 3,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Render splits of the benchmark into `folder`/SPLIT/CASE, going on from what is there.

    Args:
        folder: made if it is not there.
        splits: names of `SPLITS`; None for all.
        limit: only the first cases of each split.
        size: side of the images in pixels.
        samples: a side, of supersampling.
        workers: processes.
        progress: called with cases done and cases in all.

    Returns:
        The manifest, as it is written to `folder`/manifest.json. `recipes` is the hash of what was to be
        rendered and `pixels` of what was: scores compare exactly where `pixels` agree, and to within
        rounding where `recipes` do (processors round differently).

    Raises:
        DurianError: an unknown split, or the folder cannot be written to or holds another benchmark.
    """
    chosen = list(splits) if splits else list(SPLITS)
    for name in chosen:
        if name not in SPLITS:
            raise DurianError(f"unknown split {name!r}: choose from {', '.join(SPLITS)}")
    settings = {"version": VERSION, "size": size, "samples": samples}
    _check_settings(folder, settings)
    cases = [
        (folder / split, split, index, size, samples)
        for split in chosen
        for index in range(min(limit or SPLITS[split].cases, SPLITS[split].cases))
    ]
    done = 0
    if progress is not None:
        progress(done, len(cases))
    hashes: dict[str, dict[str, tuple[str, str]]] = {split: {} for split in chosen}
    for split, name, recipe_hash, pixel_hash in run_jobs(write_case, cases, workers):
        hashes[split][name] = (recipe_hash, pixel_hash)
        done += 1
        if progress is not None:
            progress(done, len(cases))
    manifest = {
        **settings,
        "splits": {
            split: {
                "cases": len(entries),
                "recipes": _digest(entries[name][0] for name in sorted(entries)),
                "pixels": _digest(entries[name][1] for name in sorted(entries)),
            }
            for split, entries in hashes.items()
        },
    }
    _replace_text(folder / _MANIFEST, json.dumps(manifest, indent=1) + "\n")
    return manifest


def _check_settings(folder: Path, settings: dict[str, Any]) -> None:
    path = folder / _MANIFEST
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            found = json.loads(path.read_text("utf-8"))
            odd = {key: found.get(key) for key in settings if found.get(key) != settings[key]}
            if odd:
                raise DurianError(f"{folder} holds a benchmark with {odd}: choose another folder")
        else:
            _replace_text(path, json.dumps(settings) + "\n")
    except (OSError, ValueError) as error:
        raise DurianError(f"cannot write cases into {folder}: {error}") from error


def _replace_text(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text, "utf-8")
    os.replace(temporary, path)


def write_case(folder: Path, split: str, index: int, size: int, samples: int) -> tuple[str, str, str, str]:
    """Render one case unless it is there; return split, name, hash of the recipe and of the pictures."""
    return write_recipe(folder, split, index, recipe(split, index), size, samples)


def write_recipe(
    folder: Path, split: str, index: int, case: Recipe, size: int, samples: int
) -> tuple[str, str, str, str]:
    """The same of any recipe, which the benchmark need not have."""
    described = json.dumps(dataclasses.asdict(case), sort_keys=True)
    recipe_hash = hashlib.sha256(described.encode()).hexdigest()
    path = folder / case.name
    try:
        stored = json.loads((path / "case.json").read_text("utf-8"))
        if stored["recipe_hash"] == recipe_hash:
            return split, case.name, recipe_hash, stored["pixel_hash"]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not there, or of an interrupted or older run
    files, landmarks, pixel_hash = _render_case(case, size, samples)
    kinds = list(dict.fromkeys(donor.kind for donor in case.donors))
    content = {
        "split": split,
        "attribute": kinds[0],
        "attributes": kinds,
        "alphas": case.alphas,
        "seed": index,
        "recipe_hash": recipe_hash,
        "pixel_hash": pixel_hash,
        "recipe": json.loads(described),
    }
    temporary = folder / f".{case.name}.{os.getpid()}"
    try:
        temporary.mkdir(parents=True)
        for name, data in files.items():
            (temporary / name).write_bytes(data)
        np.savez_compressed(temporary / "landmarks.npz", allow_pickle=False, **landmarks)
        (temporary / "case.json").write_text(json.dumps(content) + "\n", "utf-8")
        shutil.rmtree(path, ignore_errors=True)
        os.replace(temporary, path)
    except OSError as error:
        raise DurianError(f"cannot write {path}: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return split, case.name, recipe_hash, pixel_hash


def _render_case(
    case: Recipe, size: int, samples: int
) -> tuple[dict[str, bytes], dict[str, np.ndarray], str]:
    pictures = {"portrait": render(build(case.portrait), case.portrait_state, size, samples)}
    for number, donor in enumerate(case.donors):
        pictures[_donor_name(case, number)] = render(build(donor.person), donor.state, size, samples)
    for number, frame in enumerate(_answers(case, size, samples)):
        pictures[f"target_{number:02d}"] = frame
    files: dict[str, bytes] = {}
    digest = hashlib.sha256()
    for name, picture in pictures.items():
        files[f"{name}.webp"] = encode_image(picture.rgb, quality=97)
        files[f"{name}.png"] = encode_labels(picture)
        digest.update(picture.rgb.tobytes() + picture.labels.tobytes())
    aligned = render(build(case.answers[0]), case.portrait_state, size, samples)
    files["aligned.png"] = encode_labels(aligned)
    landmarks = {name: picture.landmarks.astype(np.float32) for name, picture in pictures.items()}
    return files, landmarks, digest.hexdigest()


def _donor_name(case: Recipe, number: int) -> str:
    if case.alphas is not None:
        return "attribute" if number == 0 else "attribute_b"
    return "attribute" if len(case.donors) == 1 else f"attribute_{case.donors[number].kind}"


def _answers(case: Recipe, size: int, samples: int) -> Iterator[Rendered]:
    """Frames of the answer; of an interpolation each frame is of a person of its own."""
    if case.alphas is None:
        yield from render_performance(build(case.answers[0]), case.performance, size, samples)
        return
    moments = zip(case.answers, case.performance.frames, lagging_poses(case.performance), strict=True)
    for person, state, lag in moments:
        yield render(build(person), state, size, samples, lag)


def _digest(hashes: Any) -> str:
    return hashlib.sha256("".join(hashes).encode()).hexdigest()
