"""The cross-identity benchmark: a person, someone else's attribute, a motion, and the true frames.

Beside the scores it measures *reference dependence*: what a model loses when a condition is taken away or
swapped. A model that pastes well and never looks at its attribute tokens or at the keypoint image has good
scores and no dependence.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from durian.errors import DurianError
from durian.evaluation.baselines import copy_portrait, warp_paste
from durian.evaluation.cases import Case, load_cases, read_attribute, resize
from durian.evaluation.metrics import Frames, mean, mean_scores, score
from durian.portrait.attributes import ATTRIBUTES
from durian.portrait.inputs import AnimationInputs
from durian.portrait.keypoints import draw_keypoints

BASELINES: dict[str, Callable[[AnimationInputs], Frames]] = {
    "copy_portrait": copy_portrait,
    "warp_paste": warp_paste,
}

# What is taken from the model, and the metric whose loss says whether that was in use.
DEPENDENCE = {
    "attribute_removed": "psnr_attribute",
    "attribute_swapped": "psnr_attribute",
    "keypoints_swapped": "psnr",
    "keypoints_and_positions_swapped": "psnr",
}

_PACKAGES = ("durian", "torch", "diffusers", "torchmetrics", "numpy")
_TILE = 160  # side of a picture in the contact sheet, in pixels


class Animator(Protocol):
    """What is evaluated: `durian.pipeline.DurianPipeline`, or anything that animates like it."""

    @property
    def size(self) -> int:
        """Side of its images in pixels."""
        ...

    def animate(
        self,
        inputs: AnimationInputs,
        *,
        num_inference_steps: int | None = None,
        seed: int = 0,
        drop_attribute_tokens: bool = False,
        keypoint_images: UInt8[np.ndarray, "F H W 3"] | None = None,
    ) -> Frames:
        """The animation of `inputs`, one frame for each row of `inputs.keypoints`."""
        ...


def evaluate_cross(
    cases: str | Path,
    pipeline: Animator | None,
    *,
    limit: int | None = None,
    num_inference_steps: int | None = None,
    seed: int = 0,
    dependence: bool = True,
    checkpoint: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Score a model and the baselines on benchmark cases.

    The model works at its own resolution; its frames are brought to the case's before they are scored,
    and the baselines work at the case's. Case number n is sampled with `seed + n`, in every ablation too.

    Args:
        cases: folder of case folders.
        pipeline: the model; None scores the baselines alone (no `model`, no `dependence`).
        limit: score the first cases only. Swaps may take their partner from the others.
        num_inference_steps: denoising steps; None is the model's default.
        dependence: also measure reference dependence, at four more animations a case.
        checkpoint: what the model is called in the report.
        progress: called with (cases done, cases in all).

    Returns:
        A report that `write_json` can write:

        - `model`, `copy_portrait`, `warp_paste`: mean scores, `overall` and by attribute.
        - `dependence`: mean loss in dB. `attribute_removed`, `attribute_swapped`: of `psnr_attribute`,
          without the attribute's attention tokens, and with another case's attribute reference of the same
          kind in its place (`M_port` stays). `keypoints_swapped`: of `psnr`, with only the keypoint images
          drawn from another case's motion; `keypoints_and_positions_swapped`: with that motion
          altogether. None where no other case could be had.
        - `settings`, `cases` (scores and losses of each) and `skipped` (id and reason of every case that
          could not be read; none of them counts in a mean).

    Raises:
        DurianError: no case could be read.
    """
    folders = load_cases(cases)
    chosen = load_cases(cases, limit)
    done: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    for index, folder in enumerate(chosen):
        try:
            case = Case.load(folder)
        except DurianError as error:
            skipped.append({"id": folder.name, "reason": str(error)})
        else:
            entry: dict[str, Any] = {
                "id": case.id,
                "attribute": case.attribute,
                "frames": len(case.targets),
                "seed": seed + index,
                "scores": {},
            }
            inputs = case.inputs(case.size)
            for name, baseline in BASELINES.items():
                entry["scores"][name] = _score(case, baseline(inputs))
            if pipeline is not None:
                options: dict[str, Any] = {"num_inference_steps": num_inference_steps, "seed": seed + index}
                inputs = case.inputs(pipeline.size)
                entry["scores"]["model"] = _score(case, pipeline.animate(inputs, **options))
                if dependence:
                    entry["dependence"] = {
                        name: _loss(entry["scores"]["model"], _score(case, frames), DEPENDENCE[name])
                        for name, frames in _ablations(case, inputs, pipeline, folders, index, options)
                    }
            done.append(entry)
        if progress is not None:
            progress(index + 1, len(chosen))
    if not done:
        raise DurianError(f"none of the {len(chosen)} cases in {cases} can be read: {skipped[0]['reason']}")

    groups = {"overall": done} | {
        name: group
        for name in ATTRIBUTES
        if (group := [entry for entry in done if entry["attribute"] == name])
    }
    report: dict[str, Any] = {
        method: {
            name: mean_scores(entry["scores"][method] for entry in group) for name, group in groups.items()
        }
        for method in sorted(done[0]["scores"], key=[*BASELINES, "model"].index, reverse=True)
    }
    if pipeline is not None and dependence:
        report["dependence"] = {
            name: mean(entry["dependence"].get(name) for entry in done) for name in DEPENDENCE
        }
    report["settings"] = {
        "protocol": "cross",
        "checkpoint": checkpoint,
        "size": pipeline.size if pipeline is not None else None,
        "num_inference_steps": num_inference_steps,
        "seed": seed,
        "cases": str(cases),
        "count": {name: len(group) for name, group in groups.items()},
        "versions": {name: version(name) for name in _PACKAGES},
    }
    report["cases"] = done
    report["skipped"] = skipped
    return report


def write_json(path: str | Path, report: dict[str, Any]) -> None:
    """Write a report; the file appears complete or not at all."""
    text = json.dumps(report, indent=2, allow_nan=False) + "\n"
    with _replacing(Path(path)) as temporary:
        temporary.write_text(text, "utf-8")


def save_sheet(
    path: str | Path, cases: str | Path, report: dict[str, Any], pipeline: Animator | None = None
) -> None:
    """Draw the worst, the median and the best case of a report as a PNG.

    Three lines a case: the masked portrait and the true frames; the masked attribute and the model's frames
    (without a model, none); the scores and the frames of `warp_paste`. Order is by the model's PSNR, or
    without a model by `warp_paste`'s. The model's frames are sampled again, with the report's settings.

    Args:
        cases: the folder that `report` was made from.
        report: what `evaluate_cross` returned.
        pipeline: the model that it was made with.
    """
    judged = "model" if pipeline is not None and "model" in report else "warp_paste"
    ranked = sorted(report["cases"], key=lambda entry: entry["scores"][judged]["psnr"])
    picked = {0: "worst", len(ranked) // 2: "median", len(ranked) - 1: "best"}
    blocks = []
    for rank, title in sorted(picked.items()):
        entry = ranked[rank]
        case = Case.load(Path(cases) / entry["id"])
        size = pipeline.size if pipeline is not None else case.size
        inputs = case.inputs(size)
        attribute = inputs.attributes[case.attribute]
        text = [title, entry["id"]]
        text += [f"{name} {scores['psnr']:.2f} dB" for name, scores in entry["scores"].items()]
        lines = [[_masked(inputs.portrait.image, 1 - inputs.portrait.mask), *case.targets]]
        if pipeline is not None:
            frames = pipeline.animate(
                inputs,
                num_inference_steps=report["settings"]["num_inference_steps"],
                seed=entry["seed"],
            )
            lines.append([_masked(attribute.image, attribute.mask), *frames])
        else:
            lines.append([_masked(attribute.image, attribute.mask)])
        lines.append([_caption(text), *warp_paste(case.inputs(case.size))])
        blocks += lines
    columns = max(map(len, blocks))
    sheet = np.zeros((len(blocks) * _TILE, columns * _TILE, 3), np.uint8)
    for row, line in enumerate(blocks):
        for column, picture in enumerate(line):
            sheet[row * _TILE : (row + 1) * _TILE, column * _TILE : (column + 1) * _TILE] = resize(
                picture, _TILE
            )
    with _replacing(Path(path)) as temporary:
        Image.fromarray(sheet).save(temporary, format="PNG")


def _ablations(
    case: Case,
    inputs: AnimationInputs,
    pipeline: Animator,
    folders: list[Path],
    index: int,
    options: dict[str, Any],
) -> Iterator[tuple[str, Frames]]:
    """The model's frames under each of `DEPENDENCE` that can be made for this case."""
    yield "attribute_removed", pipeline.animate(inputs, drop_attribute_tokens=True, **options)

    donor = _next_case(folders, index, case.attribute)
    if donor is not None:
        swapped = replace(inputs, attributes={case.attribute: donor.donor_reference(pipeline.size)})
        yield "attribute_swapped", pipeline.animate(swapped, **options)

    driver = _next_case(folders, index)
    if driver is not None:
        motion = np.stack(list(islice(cycle(driver.driving_at(pipeline.size)), len(inputs.keypoints))))
        images = np.stack([draw_keypoints(landmarks, pipeline.size) for landmarks in motion])
        yield "keypoints_swapped", pipeline.animate(inputs, keypoint_images=images, **options)
        moved = replace(inputs, keypoints=motion)
        yield "keypoints_and_positions_swapped", pipeline.animate(moved, **options)


def _next_case(folders: list[Path], index: int, attribute: str | None = None) -> Case | None:
    """The first readable case after number `index`, going round; of the given attribute if one is given."""
    for folder in [*folders[index + 1 :], *folders[:index]]:
        try:
            if attribute is None or read_attribute(folder) == attribute:
                return Case.load(folder)
        except DurianError:  # reported as skipped when its own turn comes
            continue
    return None


def _score(case: Case, frames: Frames) -> dict[str, float | None]:
    at_case_size = np.stack([resize(frame, case.size) for frame in frames])
    return score(at_case_size, case.targets, case.target_region)


def _loss(full: dict[str, float | None], ablated: dict[str, float | None], metric: str) -> float | None:
    before, after = full[metric], ablated[metric]
    return before - after if before is not None and after is not None else None


def _masked(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.round(image * mask[..., None]).astype(np.uint8)


def _caption(lines: list[str]) -> UInt8[np.ndarray, "H W 3"]:
    tile = np.zeros((_TILE, _TILE, 3), np.uint8)
    for row, line in enumerate(lines):
        origin = (6, 20 + 18 * row)
        cv2.putText(tile, line, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.38, (255, 255, 255), 1, cv2.LINE_AA)
    return tile


@contextmanager
def _replacing(path: Path) -> Generator[Path]:
    """A temporary file beside `path` that takes its place if the block succeeds and vanishes if not."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise DurianError(f"{path} cannot be written: {error}") from error
