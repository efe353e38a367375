"""Look at, train and measure the masks that are found without a face parser, `durian.portrait.masks`.

    python benchmarks/masks.py sheet OUT.png FILES…
    python benchmarks/masks.py render FOLDER [PEOPLE]
    python benchmarks/masks.py train FOLDER OUT.safetensors [STEPS]
    python benchmarks/masks.py measure [PEOPLE]

`sheet` draws the masks of photos and of a frame of videos, one row each. `render` makes synthetic people for
`train`, going on from what FOLDER holds. `measure` compares with the exact masks of people whom training has
not: IoU of those who wear an attribute, and how often it is seen on those who do not. An attribute in turns
has a style that training never shows; these are a table of their own.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import cv2
import numpy as np
from mask_people import console, render_people, test_frame
from rich.progress import track
from rich.table import Table

from durian.evaluation.statistics import Interval, interval
from durian.portrait.attributes import ATTRIBUTES
from durian.portrait.crop import FaceCrop
from durian.portrait.landmarks import MediaPipeLandmarks
from durian.portrait.masks import FallbackMasker
from durian.video import VideoReader, read_image

SIZE = 256
PEOPLE, STEPS = 1100, 1250  # to train on, and for how long
_LEAST = 0.003  # of the picture must show an attribute for it to be worn
_COLOUR = np.array([255, 0, 160])


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


def measure(people: int = 120) -> None:
    """Exact landmarks are given, so that only masks are measured."""
    scores: dict[str, list[float]] = {name: [] for name in ATTRIBUTES}
    alarms: dict[str, list[float]] = {name: [] for name in ATTRIBUTES}
    unseen: dict[str, list[float]] = {name: [] for name in ATTRIBUTES}
    seconds: list[float] = []
    with FallbackMasker() as find:
        for index in track(range(people), "masks", console=console):
            frame = test_frame(index, SIZE)
            before = time.process_time()
            masks = find.find(frame.rgb, frame.landmarks, ATTRIBUTES)
            seconds.append(time.process_time() - before)
            for kind, name in enumerate(ATTRIBUTES):
                truth = frame.visible.get(name, np.zeros((SIZE, SIZE))) > 0.5
                found = masks[name] > 0.5
                if name in frame.visible and truth.mean() > _LEAST:
                    scores[name].append(float((truth & found).sum() / (truth | found).sum()))
                    if index % len(ATTRIBUTES) == kind:
                        unseen[name].append(scores[name][-1])
                elif name not in frame.visible:
                    alarms[name].append(float(found.mean() > _LEAST))
    out = Table(
        "", "wear it", "mean IoU", "found at all", "in unseen styles", "do not wear it", "seen on them"
    )
    for name in ATTRIBUTES:
        found = np.mean(np.array(scores[name]) > 0.05)
        out.add_row(
            name,
            str(len(scores[name])),
            _cell(interval(scores[name])),
            f"{found:.0%}",
            f"{_cell(interval(unseen[name]))} ({len(unseen[name])})",
            str(len(alarms[name])),
            f"{np.mean(alarms[name]):.0%}",
        )
    console.print(out)
    console.print(f"{np.median(seconds):.2f} s of processor time for all masks of {SIZE}×{SIZE} pixels")


def _cell(value: Interval) -> str:
    return f"{value.mean:.2f} [{value.low:.2f}, {value.high:.2f}]" if value.low is not None else "–"


if __name__ == "__main__":
    command, rest = sys.argv[1], sys.argv[2:]
    if command == "sheet":
        sheet(Path(rest[0]), [Path(name) for name in rest[1:]])
    elif command == "render":
        render_people(Path(rest[0]), int(rest[1]) if rest[1:] else PEOPLE)
    elif command == "train":
        from mask_training import draw_examples, train

        train(draw_examples(Path(rest[0])), Path(rest[1]), int(rest[2]) if rest[2:] else STEPS)
    elif command == "measure":
        measure(*map(int, rest))
