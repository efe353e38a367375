"""What length costs: memory of long videos, flicker at the windows' seams, drift of attributes.

    uv run python benchmarks/length.py memory --frames 100 --frames 3000
    uv run python benchmarks/length.py seams cases/long --limit 2

`memory` makes one long video, writes it as an mp4 as `durian animate` does, and prints the most memory that
its process has held after so many frames (ru_maxrss); by default with a thin random network of `mini`'s
kind, since what is kept of a frame does not depend on the network's width. `seams` measures on cases with
exact frames how much neighbouring frames differ along the true motion, at the seams of windows and elsewhere,
and how near the attribute is to the truth at the begin and at the end.
"""

from __future__ import annotations

import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from durian.evaluation.cases import CaseOptions, load_case
from durian.evaluation.temporal import Motion
from durian.models.presets import MINI
from durian.pipeline import DurianPipeline, Windows
from durian.pipeline.durian import LIVE
from durian.portrait.geometry import face_template
from durian.portrait.inputs import Reference
from durian.video import write_video

app = typer.Typer(add_completion=False)
THIN = MINI.changed(
    {
        "unet": {
            "block_out_channels": (16, 16, 16),
            "num_attention_heads": (1, 1, 1),
            "norm_num_groups": 4,
            "cross_attention_dim": 16,
        },
        "keypoint_guider": {"out_channels": 16, "block_out_channels": (8, 8)},
        "attribute_encoder": {"cross_attention_dim": 16},
        "identity_encoder": {"cross_attention_dim": 16},
        "denoising_unet": {"motion_num_attention_heads": 1, "copy_heads": 1},
    }
)
WINDOWS = {
    "16 frames, 4 faded": Windows(),
    "16 frames, hard seams": Windows(16, 16, 0),
    "live: 8 frames, 4 of them new": LIVE,
}


def thin_pipeline() -> DurianPipeline:
    """A random network of `mini`'s kind with 16 channels."""
    torch.manual_seed(0)
    scheduler = THIN.scheduler_class(**THIN.scheduler)
    return DurianPipeline(THIN.build(temporal=True), scheduler, THIN.size, THIN.sampling_steps)


@app.command()
def memory(
    frames: Annotated[list[int], typer.Option()] = [100, 3000],  # noqa: B006
    checkpoint: Annotated[str | None, typer.Option(help="In place of the thin network.")] = None,
    steps: int = 1,
) -> None:
    """Make one long video and print the peak memory that the process has held after so many frames."""
    torch.set_num_threads(1)
    pipeline = DurianPipeline.from_pretrained(checkpoint, "cpu") if checkpoint else thin_pipeline()
    size = pipeline.size
    landmarks = (face_template() * size / 4 + np.array([size / 2, size / 2, 0])).astype(np.float32)
    mask = np.zeros((size, size), np.float32)
    mask[: size // 3] = 1
    reference = Reference(np.full((size, size, 3), 127, np.uint8), mask, landmarks)

    def keypoints() -> Iterator[np.ndarray]:
        for index in range(max(frames)):
            yield landmarks + np.array([3 * np.sin(index / 9), 0, 0], np.float32)

    def watched() -> Iterator[np.ndarray]:
        made = pipeline.animate_iter(reference, {"hair": reference}, keypoints(), num_inference_steps=steps)
        for count, frame in enumerate(made, 1):
            yield frame
            if count in frames:
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                print(f"{count} frames: {peak:.1f} MiB", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        write_video(Path(folder) / "long.mp4", watched(), 25.0)


@app.command()
def seams(
    cases: Path,
    checkpoint: str = "mini",
    limit: int = 4,
    frames: Annotated[int, typer.Option(help="Of each case, at most.")] = 300,
    steps: int | None = None,
) -> None:
    """Print flicker at seams and elsewhere, and the attribute's PSNR at the begin and at the end."""
    torch.set_num_threads(1)
    # Windows and seams are DNet's; detail is added to each frame by itself.
    pipeline = DurianPipeline.from_pretrained(checkpoint, "cpu", detail=False)
    columns = ("windows", "flicker at seams", "elsewhere", "ratio", "attribute PSNR, first", "last quarter")
    table = Table(*columns, title=f"{checkpoint}, change along the true motion ÷ that of the truth")
    rows: dict[str, list[tuple[float, ...]]] = {name: [] for name in WINDOWS}
    for folder in sorted(path for path in cases.iterdir() if path.is_dir())[:limit]:
        trial = load_case(folder, "long", 0, CaseOptions())
        assert trial.targets is not None
        inputs = trial.request(pipeline.size).inputs
        targets = trial.targets[:frames]
        region = trial.regions["attribute"][:frames]
        motion = Motion.of(targets)
        truth = _changes(motion, targets)
        for name, windows in WINDOWS.items():
            made = pipeline.animate_iter(
                inputs.portrait,
                inputs.attributes,
                inputs.keypoints[:frames],
                windows=windows,
                num_inference_steps=steps,
            )
            result = np.stack(list(made))
            change = _changes(motion, result)
            seam = np.isin(np.arange(1, len(targets)), list(_seams(windows, len(targets))))
            at, off = (change[which].mean() / truth[which].mean() for which in (seam, ~seam))
            quarter = len(targets) // 4
            first, last = (
                _psnr(result[part], targets[part], region[part])
                for part in (slice(0, quarter), slice(-quarter, None))
            )
            rows[name].append((float(at), float(off), float(at / off), first, last))
    for name, values in rows.items():
        table.add_row(name, *(f"{value:.2f}" for value in np.mean(values, 0)))
    Console(width=140).print(table)


def _seams(windows: Windows, frames: int) -> Iterator[int]:
    """Frames that differ from the one before them by more than a window's own motion, in a single step."""
    start = windows.stride if windows.grows else windows.length
    for border in range(start, frames, windows.stride):
        yield from range(border - windows.fade, border + 1)


def _changes(motion: Motion, frames: np.ndarray) -> np.ndarray:
    return np.array([change[where].mean() for change, where in motion.changes(frames)])


def _psnr(frames: np.ndarray, targets: np.ndarray, where: np.ndarray) -> float:
    error = ((frames.astype(np.float32) - targets) / 255)[where]
    return float(-10 * np.log10((error**2).mean()))


if __name__ == "__main__":
    app()
