"""Look at and measure the masks that are found without a face parser, `durian.portrait.masks`.

    python benchmarks/masks.py sheet OUT.png FILES…
    python benchmarks/masks.py measure [PEOPLE]

`sheet` draws the masks of photos and of a frame of videos, one row each. `measure` compares with the exact
masks of synthetic people: IoU of those who wear an attribute, and how often it is seen on those who do not.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from durian.evaluation.statistics import interval
from durian.portrait.attributes import ATTRIBUTES
from durian.portrait.crop import FaceCrop
from durian.portrait.landmarks import MediaPipeLandmarks
from durian.portrait.masks import FallbackMasker
from durian.synth import FrameState, build, render, sample_performance, sample_person
from durian.video import VideoReader, read_image

MASKS = 5  # domain of seeds beside `durian.synth.dataset.CLIPS` and `CASES`
SIZE = 256
_LEAST = 0.003  # of the picture must show an attribute for it to be worn
_COLOUR = np.array([255, 0, 160])

console = Console(width=110)


def sheet(out: Path, files: list[Path]) -> None:
    """Each picture's crop, then the crop with each attribute's mask tinted."""
    rows = []
    with MediaPipeLandmarks() as detect, FallbackMasker() as find:
        for path in track(files, "masks", console=console):
            image = _picture(path)
            landmarks = detect(image)
            if landmarks is None:
                console.print(f"{path}: no face")
                continue
            crop = FaceCrop.from_landmarks(landmarks, 384, image.shape)
            shown, points = crop.apply(image), crop.points(landmarks)
            tiles = [shown, *(_tinted(shown, find(shown, points, name)) for name in ATTRIBUTES)]
            rows.append(np.hstack([cv2.resize(tile, (SIZE, SIZE)) for tile in tiles]))
    cv2.imwrite(str(out), np.vstack(rows)[..., ::-1])


def _picture(path: Path) -> np.ndarray:
    if path.suffix.lower() not in {".mp4", ".mov", ".webm"}:
        return read_image(path)
    with VideoReader(path, limit=20) as video:
        return list(video)[-1]


def _tinted(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    alpha = 0.6 * mask[..., None]
    return (image * (1 - alpha) + _COLOUR * alpha).astype(np.uint8)


def measure(people: int = 60) -> None:
    """Exact landmarks are given, so that only masks are measured."""
    scores: dict[str, list[float]] = {name: [] for name in ATTRIBUTES}
    alarms: dict[str, list[float]] = {name: [] for name in ATTRIBUTES}
    with FallbackMasker() as find:
        for index in track(range(people), "masks", console=console):
            rng = np.random.default_rng([MASKS, index])
            person = sample_person(rng, "all")
            state: FrameState = sample_performance(rng, 1, static=True).frames[0]
            frame = render(build(person), state, SIZE, 2)
            for name in ATTRIBUTES:
                truth = frame.visible.get(name, np.zeros((SIZE, SIZE))) > 0.5
                found = find(frame.rgb, frame.landmarks, name) > 0.5
                if name in frame.visible and truth.mean() > _LEAST:
                    scores[name].append(float((truth & found).sum() / (truth | found).sum()))
                elif name not in frame.visible:
                    alarms[name].append(float(found.mean() > _LEAST))
    out = Table("", "wear it", "mean IoU", "found at all", "do not wear it", "seen on them")
    for name in ATTRIBUTES:
        mean = interval(scores[name])
        cell = f"{mean.mean:.2f} [{mean.low:.2f}, {mean.high:.2f}]" if mean.low is not None else "–"
        found = np.mean(np.array(scores[name]) > 0.05)
        out.add_row(
            name,
            str(mean.count),
            cell,
            f"{found:.0%}",
            str(len(alarms[name])),
            f"{np.mean(alarms[name]):.0%}",
        )
    console.print(out)


if __name__ == "__main__":
    if sys.argv[1] == "sheet":
        sheet(Path(sys.argv[2]), [Path(name) for name in sys.argv[3:]])
    elif sys.argv[1] == "measure":
        measure(*map(int, sys.argv[2:3]))
