"""How well face and body coordinates say what is where in another frame, and which rough head says it best.

    uv run durian synth clips --out CLIPS --clips 150 --frames 12 --takes 12 --relit 3 --seed 21 \
        --surface --donors 2
    uv run python benchmarks/head_shape.py CLIPS [--pairs 4] [--fit] [--unseen 100]

For pairs of frames of a clip: how far apart, in cells of `mini`'s 32×32 grid, the coordinates are that the
two frames give to the same point of the person. With `--fit` the shape with which they would be nearest, and
with `--unseen` what either shape is worth on so many people whose attributes are of styles that clips never
show. Points that both frames show lie on the front of things. What else coordinates are for is where things
end, so it is measured too how much an attribute's outline, moved by coordinates alone to another frame or, of
clips with donors, to another person, overlaps with the one that is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from durian.data.clips import Clip, read_clips
from durian.data.correspondence import match, surface_places
from durian.models.positions import body_positions
from durian.portrait.geometry import ANCHORS, canonical_positions, face_template, fit_similarity
from durian.portrait.head_shape import HEAD_SHAPE, MAX_TILT, HeadShape, undo_parallax
from durian.surface import encode_surface
from durian.synth.model import build
from durian.synth.performance import sample_performance
from durian.synth.person import sample_person
from durian.synth.render import render

GRID = 32
BODY = -1.0  # height at rest, in head space, below which it is neck, shoulders and clothes
WORN = ("hair", "beard", "hat")

console = Console(width=110)


def main(
    clips: Annotated[Path, typer.Argument(help="A folder of shards with --surface.")],
    pairs: Annotated[int, typer.Option(min=1, help="Of frames, of each clip.")] = 4,
    fit: Annotated[bool, typer.Option("--fit", help="Fit the head's rough shape, too.")] = False,
    unseen: Annotated[int, typer.Option(min=0, help="People in unseen styles to try the shapes on.")] = 0,
) -> None:
    """Print a row for each part of a person."""
    rng = np.random.default_rng(0)
    rows = measure(list(read_clips(clips)), pairs, rng, "clips")
    shapes = [HEAD_SHAPE]
    if fit:
        shapes.append(fitted(joined(rows)))
        console.print(f"fitted shape: {[round(float(x), 2) for x in shapes[1]]}")
    compare(rows, shapes)
    outlines(clips, shapes, rng)
    if unseen:
        console.print(f"{unseen} people in unseen styles:")
        compare(measure(list(unseen_clips(unseen)), pairs, rng, "people"), shapes)


def unseen_clips(count: int, frames: int = 4) -> Iterator[Clip]:
    """People whose every attribute is of a style that is held out, at rest in several poses."""
    for index in range(count):
        rng = np.random.default_rng([11, index])
        person = sample_person(rng, "test")
        states = [sample_performance(rng, 1, static=True).frames[0] for _ in range(frames)]
        model = build(person)
        pictures = [render(model, state) for state in states]
        yield Clip(
            f"unseen {index}",
            np.stack([picture.rgb for picture in pictures]),
            np.stack([picture.landmarks for picture in pictures]),
            {n: np.stack([p.visible[n] > 0.5 for p in pictures]) for n in model.attributes if n in WORN},
            surface=np.stack([encode_surface(picture.surface) for picture in pictures]),
        )


def outlines(clips: Path, shapes: list[HeadShape], rng: np.random.Generator) -> None:
    """Print how much outlines that coordinates move overlap with true ones, by each shape."""
    overlaps: dict[str, list[list[float]]] = {}
    for clip in read_clips(clips):
        for name in WORN:
            if name not in clip.masks or (name == "hair" and "hat" in clip.masks):  # which hides most of it
                continue
            one, another = rng.choice(len(clip.frames), 2, replace=False)
            sources = {"in one person": (clip, another)}
            if name in clip.donors:
                sources["between people"] = clip.donors[name], rng.integers(len(clip.donors[name].frames))
            for kind, (source, frame) in sources.items():
                row = [overlap(clip, one, source, frame, name, shape) for shape in shapes]
                overlaps.setdefault(f"{name} {kind}", []).append(row)
    console.print("overlap of outlines moved by coordinates alone:")
    for name, each in sorted(overlaps.items()):
        means = ", ".join(f"{mean:.2f}" for mean in np.nanmean(each, 0))
        console.print(f"  {name}: {means} of {len(each)} pairs")


def overlap(clip: Clip, frame: int, source: Clip, shown: int, name: str, shape: HeadShape) -> float:
    """Intersection over union of an attribute in a frame and, brought there, in a frame of a source."""
    size, fine = clip.frames.shape[1], 2 * GRID
    here = canonical_positions(clip.landmarks[frame], size, GRID, shape=shape)
    there = canonical_positions(source.landmarks[shown], size, fine, shape=shape)
    nearest = torch.cdist(*(torch.from_numpy(grid).flatten(0, 1) for grid in (here, there))).argmin(1)
    moved = cells_of(source.outline(name, shown), fine).ravel()[nearest.numpy()]
    wanted = cells_of(clip.outline(name, frame), GRID).ravel()
    return float((moved & wanted).sum() / max(1, (moved | wanted).sum()))


def cells_of(mask: np.ndarray, grid: int) -> np.ndarray:
    """A mask at the middles of a grid's cells."""
    step = len(mask) // grid
    return mask[step // 2 :: step, step // 2 :: step]


def joined(rows: dict[str, list[np.ndarray]]) -> Tensor:
    """`seen_rows` of all that is worn."""
    return torch.from_numpy(np.concatenate([row for each in rows.values() for row in each])).float()


def compare(rows: dict[str, list[np.ndarray]], shapes: list[HeadShape]) -> None:
    """Print how far apart each shape's coordinates are, without the residual of landmarks."""
    parts = {name: joined({name: each}) for name, each in rows.items()} | {"all": joined(rows)}
    for name, places in parts.items():
        away = ", ".join(f"{float(distance(places, shape).mean()):.2f}" for shape in shapes)
        console.print(f"  {name}: {away} cells of {len(places)} points")


def measure(
    clips: list[Clip], pairs: int, rng: np.random.Generator, title: str
) -> dict[str, list[np.ndarray]]:
    """Print distances by part, and return `seen_rows` of what is worn."""
    gaps, rows = {}, {}
    for clip in track(clips, title, console=console):
        for _ in range(pairs):
            pair = rng.choice(len(clip.frames), 2, replace=False)
            parts, matches = matched_parts(clip, pair)
            faces = [canonical_positions(clip.landmarks[i], clip.frames.shape[1], GRID) for i in pair]
            grids = [torch.from_numpy(face)[None] for face in faces]
            face, body = gap(grids, matches), gap([body_positions(grid) for grid in grids], matches)
            for name, cells in parts.items():
                gaps.setdefault(name, []).extend((body if name == "body" else face)[cells])
                if name in WORN:
                    rows.setdefault(name, []).append(seen_rows(clip, pair, matches, cells))
    table = Table("part", "cells apart: mean", "median", "of points")
    for name, each in sorted(gaps.items()):
        table.add_row(name, f"{np.mean(each):.2f}", f"{np.median(each):.2f}", str(len(each)))
    console.print(table)
    return rows


def matched_parts(clip: Clip, pair: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """By part, the cells of the first frame that the second shows too; and where it does."""
    assert clip.surface is not None
    places = surface_places(clip.surface[pair])
    everywhere = np.ones(places.shape[1:3], bool)
    matches = match(places[:1], places[1], everywhere, GRID)[0]
    cell = everywhere.shape[0] // GRID
    middle = slice(cell // 2, None, cell)
    known = matches[2] > 0
    parts = {n: known & clip.masks[n][pair[0]][middle, middle] for n in WORN if n in clip.masks}
    height, depth = places[0, middle, middle, 1], places[0, middle, middle, 2]
    person, worn = depth < 5, np.any([*parts.values(), np.zeros_like(known)], 0)
    parts["body"] = known & person & (height < BODY)
    parts["face"] = known & person & (height >= BODY) & ~worn
    return parts, matches


def gap(grids: list[Tensor], matches: np.ndarray) -> np.ndarray:
    """Distance in cells between coordinates of a first frame and those of their matches in a second."""
    first, second = grids
    place = torch.from_numpy(matches[:2]).movedim(0, -1)[None]
    there = F.grid_sample(second.movedim(-1, 1), place, padding_mode="border", align_corners=False)
    cell = (first[:, :, 2:] - first[:, :, :-2]).norm(dim=-1).median() / 2
    return ((first - there.movedim(1, -1)).norm(dim=-1) / cell)[0].numpy()


def seen_rows(clip: Clip, pair: np.ndarray, matches: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """For each cell: x and y on the plane of the face and its tilt, in either frame, and a cell's side."""
    size = clip.frames.shape[1]
    rows, columns = np.nonzero(cells)
    here = (np.stack([columns, rows], 1) + 0.5) * (size / GRID)
    there = (matches[:2, rows, columns].T + 1) * (size / 2)
    out = []
    for pixels, frame in ((here, pair[0]), (there, pair[1])):
        anchors = list(ANCHORS)
        landmarks = clip.landmarks[frame][anchors].astype(np.float64)
        scale, rotation, shift = fit_similarity(face_template()[anchors].astype(np.float64), landmarks)
        inverse = np.linalg.inv(scale * rotation[:2, :2])
        tilt = inverse @ (scale * rotation[:2, 2])
        tilt *= min(1.0, MAX_TILT / max(float(np.linalg.norm(tilt)), 1e-9))
        out += [(pixels - shift[:2]) @ inverse.T, np.tile(tilt, (len(pixels), 1))]
        side = size / GRID * np.sqrt(abs(np.linalg.det(inverse)))
    return np.concatenate([*out, np.full((len(rows), 1), side)], 1)


def distance(rows: Tensor, shape: HeadShape) -> Tensor:
    """In cells, between the coordinates that a shape gives to what is the same point."""
    x, y, tilt_x, tilt_y, other_x, other_y, other_tilt_x, other_tilt_y, cell = rows.T
    here = torch.stack(undo_parallax(x, y, tilt_x, tilt_y, shape=shape))
    there = torch.stack(undo_parallax(other_x, other_y, other_tilt_x, other_tilt_y, shape=shape))
    return ((here - there).square().sum(0) + 1e-6).sqrt() / cell


def fitted(rows: Tensor, steps: int = 500, far: float = HEAD_SHAPE.far) -> HeadShape:
    """The shape that brings them nearest, with the depth far away as it is: others do as well."""
    torch.manual_seed(0)
    free = torch.tensor(HEAD_SHAPE[1:]).requires_grad_()
    optimizer = torch.optim.Adam([free], 0.02)
    for _ in range(steps):
        some = rows[torch.randint(len(rows), (6000,))]
        optimizer.zero_grad()
        distance(some, HeadShape(far, *free)).clamp(max=6).mean().backward()
        optimizer.step()
    return HeadShape(far, *free.tolist())


if __name__ == "__main__":
    typer.run(main)
