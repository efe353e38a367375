"""The demonstration: hair, then hair and eyeglasses, on the samples that come with the package."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from durian.errors import DurianError
from durian.pipeline import DurianPipeline
from durian.portrait.prepare import prepare
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
    sheet: Path


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
    """Transfer one attribute, then compose two, onto a portrait of a third person driven by a fourth.

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
    result = DemoResult(output / "hair.mp4", output / "hair_and_glasses.mp4", output / "sheet.png")
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

    rows = []
    for names in (("hair",), ("hair", "glasses")):
        label = " + ".join(names)
        attributes = {name: donors[name] for name in names}
        inputs = prepare(
            portrait,
            attributes,
            driving,
            size=pipeline.size,
            fps=fps,
            attribute_masks={name: masks[name] for name in names},
            portrait_mask=own_hair,
            progress=partial(report, f"Preparing {label}", total=len(driving)) if report else None,
        )
        frames = pipeline.animate(
            inputs,
            num_inference_steps=num_inference_steps,
            cache_interval=cache_interval,
            progress=partial(report, f"Denoising {label}") if report else None,
        )
        rows.append(SheetRow({"portrait": portrait, **attributes}, driving, list(frames)))

    # Written only now, so that a run that fails leaves nothing behind.
    output.mkdir(exist_ok=True)
    for path, row in zip((result.hair, result.hair_and_glasses), rows, strict=True):
        write_video(path, row.frames, fps)
    save_sheet(result.sheet, draw_sheet(rows, tile=224))
    return result
