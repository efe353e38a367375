"""Which point of the person every pixel shows, as its place on the person at rest.

The same point has the same place in every frame, however head, hair and face move, so that these pictures
say exactly which pixel of one frame shows what a pixel of another does.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float32, Int32
from numba import njit

from durian.synth.fields import JIT


def surface_places(
    ids: Int32[np.ndarray, "h w"],
    stride: int,
    mesh_screen: Float32[np.ndarray, "n 3"],
    mesh_rest: Float32[np.ndarray, "n 3"],
    triangles: Int32[np.ndarray, "t 3"],
    strand_screen: Float32[np.ndarray, "m 3"],
    strand_rest: Float32[np.ndarray, "m 3"],
) -> Float32[np.ndarray, "h/stride w/stride 3"]:
    """Places at rest, in head space, of what is seen in the middle of every square of samples.

    Args:
        ids: of the samples, as `durian.synth.buffers.Samples` has them.
        stride: side of the squares in samples.
        mesh_screen, strand_screen: posed points, in samples and inverse distances.
        mesh_rest, strand_rest: the same points at rest.
        triangles: of the meshes.

    Returns:
        Places; NaN where there is nobody.
    """
    out = np.full((ids.shape[0] // stride, ids.shape[1] // stride, 3), np.nan, np.float32)
    _fill(ids, stride, mesh_screen, mesh_rest, triangles, strand_screen, strand_rest, out)
    return out


@njit(**JIT)
def _fill(ids, stride, mesh_screen, mesh_rest, triangles, strand_screen, strand_rest, out):
    height, width = out.shape[:2]
    for iy in range(height):
        for ix in range(width):
            sy, sx = iy * stride + stride // 2, ix * stride + stride // 2
            index = ids[sy, sx]
            if index < 0:
                continue
            px, py = sx + 0.5, sy + 0.5
            if index >= len(triangles):
                p = index - len(triangles)
                x0, y0 = strand_screen[p, 0], strand_screen[p, 1]
                dx, dy = strand_screen[p + 1, 0] - x0, strand_screen[p + 1, 1] - y0
                along = ((px - x0) * dx + (py - y0) * dy) / (dx * dx + dy * dy + 1e-9)
                along = min(max(along, 0.0), 1.0)
                for k in range(3):
                    out[iy, ix, k] = strand_rest[p, k] * (1 - along) + strand_rest[p + 1, k] * along
                continue
            a, b, c = triangles[index, 0], triangles[index, 1], triangles[index, 2]
            x0, y0 = mesh_screen[a, 0], mesh_screen[a, 1]
            x1, y1 = mesh_screen[b, 0] - x0, mesh_screen[b, 1] - y0
            x2, y2 = mesh_screen[c, 0] - x0, mesh_screen[c, 1] - y0
            area = x1 * y2 - x2 * y1
            w1 = ((px - x0) * y2 - (py - y0) * x2) / area
            w2 = ((py - y0) * x1 - (px - x0) * y1) / area
            # Weights in space from those on the screen: each by its inverse distance.
            p0, p1, p2 = (1 - w1 - w2) * mesh_screen[a, 2], w1 * mesh_screen[b, 2], w2 * mesh_screen[c, 2]
            total = p0 + p1 + p2
            if math.fabs(total) < 1e-12:
                continue
            for k in range(3):
                place = p0 * mesh_rest[a, k] + p1 * mesh_rest[b, k] + p2 * mesh_rest[c, k]
                out[iy, ix, k] = place / total
