"""The demonstration on the samples of the package: one attribute, two, and one that becomes another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from durian.errors import DurianError
from durian.pipeline import DurianPipeline
from durian.portrait.blend import shares
from durian.portrait.prepare import driver_motion, motion_on_portrait, prepare_references
from durian.sheet import SheetRow, draw_sheet, save_sheet
from durian.video import VideoReader, check_writable, read_image, read_mask, write_video

SAMPLES = Path(__file__).parent / "samples"


class Report(Protocol):
    """Told how far each stage of a long work is."""

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """`total` is None where it cannot be known."""
        ...


@dataclass(frozen=True)
class DemoResult:
    """The files that the demonstration wrote."""

    hair: Path
    hair_and_glasses: Path
    hair_to_hair: Path
    sheet: Path


@dataclass(frozen=True)
class _Scene:
    """What one video shows; `to` has the samples that attributes become."""

    label: str
    attributes: Sequence[str]
    to: Mapping[str, str] = field(default_factory=dict)


_SCENES = (
    _Scene("hair", ["hair"]),
    _Scene("hair + glasses", ["hair", "glasses"]),
    _Scene("hair to hair", ["hair"], {"hair": "glasses"}),  # of whoever wears the glasses
)


def run_demo(
    output: Path,
    *,
    checkpoint: str = "mini",
    num_inference_steps: int | None = None,
    cache_interval: int = 1,
    frame_limit: int | None = None,
    device: str | None = None,
    report: Report | None = None,
) -> DemoResult:
    """Transfer one attribute, compose two, and blend one into another, on a portrait that somebody drives.

    Args:
        output: folder of the results; made if it is not there. Files of an earlier run are replaced.
        checkpoint: as in `DurianPipeline.from_pretrained`.
        num_inference_steps: None takes the checkpoint's own.
        cache_interval: as in `AnimationOptions`.
        frame_limit: use only the first frames of the driving sample.
        device: as in `DurianPipeline.from_pretrained`.
        report: told of the progress.

    Raises:
        DurianError: the folder cannot be made or written to.
    """
    result = DemoResult(
        output / "hair.mp4",
        output / "hair_and_glasses.mp4",
        output / "hair_to_hair.mp4",
        output / "sheet.png",
    )
    if output.exists() and not output.is_dir():
        raise DurianError(f"{output}: is a file: give the name of a folder")
    check_writable(result.sheet if output.exists() else output)

    pipeline = DurianPipeline.from_pretrained(checkpoint, device=device)
    portrait = read_image(SAMPLES / "portrait.png")
    donors = {name: read_image(SAMPLES / f"{name}.png") for name in ("hair", "glasses")}
    masks = {name: read_mask(SAMPLES / f"{name}_mask.png") for name in donors}
    own_hair = read_mask(SAMPLES / "portrait_mask.png")
    with VideoReader(SAMPLES / "driving.mp4", limit=frame_limit) as video:
        driving, fps = list(video), video.fps
    told = partial(report, "Preparing", total=len(driving)) if report else None
    motion = driver_motion(driving, fps=fps, progress=told)

    rows = []
    for scene in _SCENES:
        attributes = {name: donors[name] for name in scene.attributes}
        ends = {name: donors[sample] for name, sample in scene.to.items()}
        references = prepare_references(
            portrait,
            attributes,
            size=pipeline.size,
            attribute_masks={name: masks[name] for name in attributes},
            portrait_mask=own_hair,
            to=ends,
        )
        keypoints = motion_on_portrait(motion, references.portrait.landmarks)
        frames = pipeline.animate(
            references.animated(keypoints, fps),
            num_inference_steps=num_inference_steps,
            cache_interval=cache_interval,
            interpolate_to=references.others,
            portrait_to=references.portrait_to,
            interpolation=shares((0, 1), len(keypoints)),
            progress=partial(report, f"Denoising {scene.label}") if report else None,
        )
        pictures = {"portrait": portrait, **attributes, **{f"then {name}": end for name, end in ends.items()}}
        rows.append(SheetRow(pictures, driving, list(frames)))

    # Written only now, so that a run that fails leaves nothing behind.
    output.mkdir(exist_ok=True)
    files = result.hair, result.hair_and_glasses, result.hair_to_hair
    for path, row in zip(files, rows, strict=True):
        write_video(path, row.frames, fps)
    save_sheet(result.sheet, draw_sheet(rows, tile=224))
    return result
