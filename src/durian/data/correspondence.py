"""Where in a reference each part of a frame is, told exactly by the pictures of `durian.surface`.

Only rendered clips have these. What is learned from them is where to look, which a difference of pixels
says only to those who look nearly there.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt16

from durian.surface import decode_surface

TOLERANCE = 0.05  # of places, in head-space units; two pixels of a face that fills half of 128
_BEHIND = 6.0  # depth of the background's plane, which no part of a person comes near
_SPREAD = 1.42  # half its side: a pixel is there about what it is on the face


def surface_places(encoded: UInt16[np.ndarray, "*F H W 3"]) -> Float32[np.ndarray, "*F H W 3"]:
    """Places of all pixels: those of the background, which stays at rest, are their own in the picture."""
    places = decode_surface(encoded)
    height, width = places.shape[-3:-1]
    y, x = (_SPREAD * (2 * (np.arange(n, dtype=np.float32) + 0.5) / n - 1) for n in (height, width))
    plane = np.stack([*np.meshgrid(x, y), np.full((height, width), _BEHIND, np.float32)], -1)
    return np.where(np.isnan(places), plane, places)


def match(
    targets: Float32[np.ndarray, "T H W 3"],
    reference: Float32[np.ndarray, "H W 3"],
    visible: Bool[np.ndarray, "H W"],
    grid: int,
) -> Float[np.ndarray, "T 3 g g"]:
    """Where in the reference is what the middle of each target's cells shows.

    Args:
        targets, reference: places, as `surface_places` gives them.
        visible: where the reference shows something.
        grid: cells a side.

    Returns:
        x and y in [-1, 1], and 1 where it is there; else 0.
    """
    size, count = reference.shape[0], len(targets)
    cell = size // grid
    middle = slice(cell // 2, None, cell)
    asked = targets[:, middle, middle].reshape(-1, 3)
    out = np.zeros((count, 3, grid, grid), np.float32)
    # Every other pixel first, then the neighbours of the nearest.
    rows, columns = np.nonzero(visible[::2, ::2])
    if not len(rows):
        return out
    known = reference[rows * 2, columns * 2]
    distance = (known**2).sum(1) - 2 * asked @ known.T
    nearest = distance.argmin(1)
    steps = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 2, indexing="ij"), -1).reshape(-1, 2)
    near = np.stack([rows[nearest] * 2, columns[nearest] * 2], 1)[:, None] + steps
    near = near.clip(0, size - 1)
    away = np.linalg.norm(reference[near[..., 0], near[..., 1]] - asked[:, None], axis=-1)
    away[~visible[near[..., 0], near[..., 1]]] = np.inf
    best = away.argmin(1)[:, None]
    place = np.take_along_axis(near, best[..., None], 1)[:, 0]  # row and column
    # The pixel asked for is not the middle of its cell, but a part of a pixel beside it.
    beside = cell / 2 - (cell // 2 + 0.5)
    there = (place + 0.5 + beside) / (size / 2) - 1
    found = np.take_along_axis(away, best, 1)[:, 0] < TOLERANCE
    out[:, :2] = there[:, ::-1].reshape(count, grid, grid, 2).transpose(0, 3, 1, 2)
    out[:, 2] = found.reshape(count, grid, grid)
    return out * out[:, 2:]
