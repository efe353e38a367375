"""Operations on arrays that lie on the grid of a head's surface, rows by columns."""

from __future__ import annotations

import numpy as np

from durian.synth.head import Head


def weld_seam(normals: np.ndarray, rows: int, columns: int) -> None:
    """Give the head's first and last column, which meet at the back, one normal."""
    grid = normals[: rows * columns].reshape(rows, columns, 3)
    joined = grid[:, 0] + grid[:, -1]
    joined /= np.linalg.norm(joined, axis=1, keepdims=True) + 1e-9
    grid[:, 0] = grid[:, -1] = joined


def coarse_vertices(head: Head) -> np.ndarray:
    """Every other vertex of the head's grid, the first and last included."""
    rows, columns = head.grid.shape
    i = np.unique(np.append(np.arange(0, rows, 2), rows - 1))
    return i[:, None] * columns + np.arange(0, columns, 2)[None]


def coarse_triangles(head: Head) -> np.ndarray:
    """The head's shape for casting shade."""
    index = coarse_vertices(head)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    halves = np.stack([a, b, d], -1), np.stack([a, d, c], -1)
    return np.concatenate([half.reshape(-1, 3) for half in halves]).astype(np.int32)


def spread_coarse(ao: np.ndarray, coarse: np.ndarray, rows: int, columns: int) -> None:
    """Fill the head's grid from every other vertex, smoothed."""
    values = ao[coarse]
    padded = np.pad(values, ((1, 1), (0, 0)), "edge")
    values = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    padded = np.pad(values[:, :-1], ((0, 0), (1, 2)), "wrap")
    values = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    i = coarse[:, 0] // columns
    across = np.empty((len(i), columns), np.float32)
    across[:, ::2] = values
    across[:, 1::2] = (values[:, :-1] + values[:, 1:]) / 2
    at = np.interp(np.arange(rows), i, np.arange(len(i)))
    low = np.minimum(at.astype(int), len(i) - 2)
    share = (at - low)[:, None]
    ao[: rows * columns] = (across[low] * (1 - share) + across[low + 1] * share).ravel()
