"""The worst, the median and the best case of a report in one picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from durian.evaluation.report.schema import CaseScores, Report
from durian.sheet import save_sheet
from durian.video import VideoReader, read_image

_TILE, _NAMES, _COLUMNS, _BAR = 128, 150, 8, 24  # pixels, but for the columns, which are frames
_PAPER, _INK = (32, 34, 38), (230, 230, 230)

SHEET_FILE = "sheet.png"


def write_sheet(folder: str | Path, report: Report) -> Path | None:
    """Draw worst, median and best case by the first competing method into `folder`/sheet.png.

    A block a case: what went in, then a line of frames for the truth and for each competing method. Order
    is by PSNR, or where there is no truth by the landmarks' error.

    Returns:
        None where no case has media and such a score.
    """
    folder = Path(folder)
    judge = next(iter(report.contestants()), None)
    ranked: list[CaseScores] = []
    for metric, sign in (("psnr", 1), ("landmark_error", -1)):
        values = {
            case.id: sign * value
            for case in report.cases
            if case.media and (value := case.scores.get(judge or "", {}).get(metric)) is not None
        }
        if values:
            ranked = sorted(
                (case for case in report.cases if case.id in values), key=lambda case: values[case.id]
            )
            break
    if not ranked:
        return None
    picked = {0: "worst", len(ranked) // 2: "median", len(ranked) - 1: "best"}
    blocks = [
        block
        for rank, title in sorted(picked.items())
        for block in _draw_case(folder, report, ranked[rank], f"{title}: {ranked[rank].id}")
    ]
    width = max(block.shape[1] for block in blocks)
    blocks = [np.pad(block, ((0, 4), (0, width - block.shape[1]), (0, 0))) for block in blocks]
    save_sheet(folder / SHEET_FILE, np.concatenate(blocks))
    return folder / SHEET_FILE


def _draw_case(
    folder: Path, report: Report, case: CaseScores, title: str
) -> list[UInt8[np.ndarray, "H W 3"]]:
    lines = []
    if "inputs" in case.media:
        strip = read_image(folder / case.media["inputs"])
        height = _TILE + _BAR
        strip = cv2.resize(
            strip, (round(strip.shape[1] * height / len(strip)), height), interpolation=cv2.INTER_AREA
        )
        lines.append(np.concatenate([_words(title.split(": "), height), strip], 1))
    for name in ("truth", *report.contestants()):
        if name not in case.media:
            continue
        scores = case.scores.get(name, {})
        shown = [
            f"{scores[metric]:.2f} {label}"
            for metric, label in (("psnr", "dB"), ("psnr_attribute", "dB, attribute"))
            if scores.get(metric) is not None
        ]
        heading = report.methods[name].title if name in report.methods else name
        lines.append(
            np.concatenate([_words([heading, *shown], _TILE), *_frames(folder / case.media[name])], 1)
        )
    return lines


def _frames(path: Path) -> list[UInt8[np.ndarray, "T T 3"]]:
    if path.suffix == ".webp":
        frames = [read_image(path)]
    else:
        with VideoReader(path) as video:
            frames = list(video)
    moments = np.linspace(0, len(frames) - 1, min(_COLUMNS, len(frames))).round().astype(int)
    return [cv2.resize(frames[moment], (_TILE, _TILE), interpolation=cv2.INTER_AREA) for moment in moments]


def _words(lines: list[str], height: int) -> UInt8[np.ndarray, "H W 3"]:
    tile = Image.new("RGB", (_NAMES, height), _PAPER)
    font = ImageFont.load_default(13)
    for row, line in enumerate(lines):
        ImageDraw.Draw(tile).text((6, 8 + 20 * row), line, fill=_INK, font=font)
    return np.asarray(tile)
