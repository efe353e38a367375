"""Measure the renderer of synthetic portraits: speed, steadiness, and agreement with MediaPipe.

    python benchmarks/synth.py [speed] [stability] [landmarks] [cores]

Times are processor time of one process; run it with one thread. Only `cores` is wall time, of as many
processes as there are cores: nothing else should run.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from durian.portrait.landmarks import MediaPipeLandmarks
from durian.synth.dynamics import lagging_poses
from durian.synth.model import build
from durian.synth.performance import FrameState, Performance, sample_performance
from durian.synth.person import sample_person
from durian.synth.render import render
from durian.work import available_cores, run_jobs

console = Console(width=100)


def table(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    out = Table(*columns, title=title, title_justify="left")
    for row in rows:
        out.add_row(*row)
    console.print(out)


def speed(people: int = 40, frames: int = 4) -> None:
    """Milliseconds of processor time for building a person and for rendering a frame."""
    persons = [sample_person(np.random.default_rng(1000 + k)) for k in range(people)]
    moves = [sample_performance(np.random.default_rng(k), frames, 5.0) for k in range(people)]
    render(build(persons[0]), FrameState(), 128, 3)  # compiled and warm
    begin = time.process_time()
    models = [build(person) for person in persons]
    built = (time.process_time() - begin) / people * 1e3
    rows = [("build a person", f"{built:.0f} ms", "")]
    for size, samples in ((128, 3), (256, 2), (512, 2)):
        times = []
        for model, move in zip(models, moves, strict=True):
            for state in move.frames:
                begin = time.process_time()
                render(model, state, size, samples)
                times.append(time.process_time() - begin)
        mean, slow = np.mean(times) * 1e3, np.percentile(times, 95) * 1e3
        rows.append(
            (
                f"{size} px, {samples}×{samples} samples",
                f"{mean:.1f} ms (95 %: {slow:.1f})",
                f"{1e3 / mean:.1f}",
            )
        )
    table(f"Speed, mean of {people} people, one core", ("what", "processor time", "frames/s"), rows)


def stability(people: int = 16, size: int = 128, samples: int = 3) -> None:
    """How still still things are, and how faithfully pictures follow motion of less than a pixel."""
    rows = []
    still, shifts = [], {(what, amount): [] for what in ("skin", "hair") for amount in (0.1, 0.25, 0.5)}
    for k in range(people):
        model = build(sample_person(np.random.default_rng(2000 + k)))
        blink = Performance(tuple(FrameState(blink_left=b, blink_right=b) for b in (0.0, 0.5, 1.0)))
        pictures = [
            render(model, s, size, samples, lag)
            for s, lag in zip(blink.frames, lagging_poses(blink), strict=True)
        ]
        eyes = cv2.dilate((np.isin(pictures[0].labels & 127, (2,))).astype(np.uint8), np.ones((13, 13)))
        change = np.abs(np.diff(np.stack([p.rgb.astype(float) for p in pictures]), axis=0))
        still.append(change[:, eyes == 0].max())
        for (what, amount), errors in shifts.items():
            errors.append(_shift_error(model, what, amount, size, samples))
    rows.append(("head still, eyes blink: largest change elsewhere", f"{np.max(still):.2f} of 255"))
    for (what, amount), errors in shifts.items():
        rows.append((f"{what} moved by {amount} px: mean error", f"{np.nanmean(errors):.2f} of 255"))
    rows.append(("for scale: picture against itself moved by 0.5 px", f"{_scale(size, samples):.2f} of 255"))
    table(f"Temporal stability, {people} people, {size} px", ("what", "value"), rows)


def _shift_error(model, what: str, amount: float, size: int, samples: int) -> float:
    """A person moved sideways by a part of a pixel, against the first picture shifted by resampling."""
    per_unit = model.person.scene.camera.focal * size / 2 / (model.person.scene.camera.distance - 0.5)
    first = render(model, FrameState(), size, samples)
    # The shoulders follow a shift less than the head; only what is rigid with the head is compared.
    moved = render(model, FrameState(x=amount / per_unit), size, samples)
    grid = np.mgrid[0:size, 0:size].astype(np.float32)
    ideal = cv2.remap(first.rgb, grid[1] - np.float32(amount), grid[0], cv2.INTER_CUBIC)
    head = (first.labels == (4 if what == "hair" else 1)) & (grid[0] < size * 0.7)
    head = cv2.erode(head.astype(np.uint8), np.ones((3, 3))) > 0
    error = np.abs(ideal.astype(float) - moved.rgb.astype(float))
    return float(error[head].mean()) if head.any() else float("nan")


def _scale(size: int, samples: int) -> float:
    model = build(sample_person(np.random.default_rng(2000)))
    first = render(model, FrameState(), size, samples).rgb
    grid = np.mgrid[0:size, 0:size].astype(np.float32)
    moved = cv2.remap(first, grid[1] - np.float32(0.5), grid[0], cv2.INTER_CUBIC)
    return float(np.abs(moved.astype(float) - first.astype(float)).mean())


def cores(people: int = 24) -> None:
    """Frames a second of one process and of one on every core."""
    rows, alone = [], 0.0
    for workers in (1, available_cores()):
        jobs = [(k, people) for k in range(workers)]
        spans = list(run_jobs(_render_people, jobs, workers))
        rate = sum(frames / (end - begin) for begin, end, frames in spans)
        alone = alone or rate
        rows.append((str(workers), f"{rate:.1f}", f"{rate / alone / workers:.0%}"))
    table("128 px, 3×3 samples, building included", ("processes", "frames/s", "of linear"), rows)


def _render_people(seed: int, people: int) -> tuple[float, float, int]:
    """When it began and ended, compiled and warm, and how many frames that were."""
    render(build(sample_person(np.random.default_rng(0))), FrameState(), 128, 3)
    begin, frames = time.monotonic(), 0
    for k in range(people):
        model = build(sample_person(np.random.default_rng((4000, seed, k))))
        for state in sample_performance(np.random.default_rng(k), 16).frames:
            render(model, state, 128, 3)
            frames += 1
    return begin, time.monotonic(), frames


def landmarks(people: int = 100, size: int = 256, samples: int = 2) -> None:
    """Whether MediaPipe finds the faces, and how far its landmarks are from the exact ones."""
    rows = []
    with MediaPipeLandmarks() as detect:
        for title, low, high in (
            ("|yaw| ≤ 15°", 0, 15),
            ("15°–30°", 15, 30),
            ("30°–45°", 30, 45),
            ("all", 0, 45),
        ):
            found, off, seen_off = 0, [], []
            for k in range(people):
                rng = np.random.default_rng((3000, k))
                model = build(sample_person(rng))
                state = sample_performance(rng, 1, static=True).frames[0]
                yaw = np.radians(rng.uniform(low, high)) * rng.choice((-1, 1))
                frame = render(model, replace(state, yaw=float(yaw)), size, samples)
                points = detect(frame.rgb)
                if points is None:
                    continue
                found += 1
                between = np.linalg.norm(frame.landmarks[33] - frame.landmarks[263])
                error = (points[:, :2] - frame.landmarks[:, :2]) / between
                off.append(error)
                seen_off.append(np.where(frame.landmark_visible[:, None], error, np.nan))
            errors, seen = np.stack(off), np.stack(seen_off)
            centred = errors - errors.mean(0)
            centred_seen = seen - np.nanmean(seen, axis=0)
            rows.append(
                (
                    title,
                    f"{found / people:.1%}",
                    f"{np.linalg.norm(errors, axis=-1).mean():.2%}",
                    f"{np.linalg.norm(centred, axis=-1).mean():.2%}",
                    f"{np.nanmean(np.linalg.norm(centred_seen, axis=-1)):.2%}",
                )
            )
    table(
        f"MediaPipe against exact landmarks, {people} people a row, in distances between outer eye corners",
        ("pose", "found", "mean distance", "without constant offset", "visible points"),
        rows,
    )


if __name__ == "__main__":
    known = {"speed": speed, "stability": stability, "landmarks": landmarks, "cores": cores}
    for name in sys.argv[1:] or known:
        known[name]()
