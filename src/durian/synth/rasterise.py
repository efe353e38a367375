"""Depth-buffered drawing of triangles and strands into sample buffers.

Screen points are (x, y, inverse distance) in samples, sample centres at .5. A depth buffer holds inverse
distances, 0 where nothing is; an id buffer holds what is nearest, -1 where nothing is.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from durian.synth.eyelids import lid_gap
from durian.synth.fields import JIT

CURTAIN = 0.09  # head-space units by which skin between the lids is set back
TILE = 8  # side, in samples, of the squares of `farthest_tiles`


@njit(**JIT)
def draw_triangles(screen, triangles, two_sided, start, stop, depth, ids):
    """Draw triangles [start, stop); those of front-facing-only parts are skipped from behind."""
    height, width = depth.shape
    for t in range(start, stop):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x0, y0, x1, y1 = screen[a, 0], screen[a, 1], screen[b, 0], screen[b, 1]
        x2, y2 = screen[c, 0], screen[c, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if (area > -1e-9 and not two_sided[t]) or abs(area) < 1e-9:
            continue
        left = max(0, math.ceil(min(x0, x1, x2) - 0.5))
        right = min(width - 1, math.floor(max(x0, x1, x2) - 0.5))
        top = max(0, math.ceil(min(y0, y1, y2) - 0.5))
        bottom = min(height - 1, math.floor(max(y0, y1, y2) - 0.5))
        if left > right or top > bottom:
            continue
        scale = 1.0 / area
        a1, b1 = (y2 - y0) * scale, -(x2 - x0) * scale
        a2, b2 = -(y1 - y0) * scale, (x1 - x0) * scale
        z0, dz1, dz2 = screen[a, 2], screen[b, 2] - screen[a, 2], screen[c, 2] - screen[a, 2]
        for iy in range(top, bottom + 1):
            py = iy + 0.5 - y0
            for ix in range(left, right + 1):
                px = ix + 0.5 - x0
                w1 = px * a1 + py * b1
                w2 = px * a2 + py * b2
                if w1 < -1e-6 or w2 < -1e-6 or w1 + w2 > 1.000001:
                    continue
                z = z0 + w1 * dz1 + w2 * dz2
                if z > depth[iy, ix]:
                    depth[iy, ix] = z
                    ids[iy, ix] = t


@njit(**JIT)
def draw_lids(screen, triangles, start, stop, canonical, lids, depth, ids):
    """Draw the triangles about the eyes; what lies between the lids is drawn behind the eyeball.

    There it closes the corners of the eyes, where one could else look past the eyeball into the head.

    `canonical` holds the vertices' places on the relaxed face, where the curves of `lids` are defined.
    """
    height, width = depth.shape
    for t in range(start, stop):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x0, y0, x1, y1 = screen[a, 0], screen[a, 1], screen[b, 0], screen[b, 1]
        x2, y2 = screen[c, 0], screen[c, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if abs(area) < 1e-9:
            continue
        left = max(0, math.ceil(min(x0, x1, x2) - 0.5))
        right = min(width - 1, math.floor(max(x0, x1, x2) - 0.5))
        top = max(0, math.ceil(min(y0, y1, y2) - 0.5))
        bottom = min(height - 1, math.floor(max(y0, y1, y2) - 0.5))
        scale = 1.0 / area
        z0, z1, z2 = screen[a, 2], screen[b, 2], screen[c, 2]
        for iy in range(top, bottom + 1):
            py = iy + 0.5 - y0
            for ix in range(left, right + 1):
                px = ix + 0.5 - x0
                w1 = (px * (y2 - y0) - py * (x2 - x0)) * scale
                w2 = (py * (x1 - x0) - px * (y1 - y0)) * scale
                w0 = 1.0 - w1 - w2
                if w0 < -1e-6 or w1 < -1e-6 or w2 < -1e-6:
                    continue
                z = w0 * z0 + w1 * z1 + w2 * z2
                if z <= depth[iy, ix]:
                    continue
                p0, p1, p2 = w0 * z0 / z, w1 * z1 / z, w2 * z2 / z
                x = p0 * canonical[a, 0] + p1 * canonical[b, 0] + p2 * canonical[c, 0]
                y = p0 * canonical[a, 1] + p1 * canonical[b, 1] + p2 * canonical[c, 1]
                if lid_gap(x, y, lids) < 0:
                    z = z / (1.0 + CURTAIN * z)
                    if z <= depth[iy, ix]:
                        continue
                depth[iy, ix] = z
                ids[iy, ix] = t


@njit(**JIT)
def farthest_tiles(depth):
    """The farthest depth in every tile of the buffer."""
    height, width = depth.shape
    out = np.full(((height + TILE - 1) // TILE, (width + TILE - 1) // TILE), 1e9, np.float32)
    for iy in range(height):
        for ix in range(width):
            z = depth[iy, ix]
            if z < out[iy // TILE, ix // TILE]:
                out[iy // TILE, ix // TILE] = z
    return out


@njit(**JIT)
def draw_strands(screen, half, last, start, stop, step, widen, tiles, first_id, depth, ids):
    """Draw the segments from points [start, stop) to their successors as tapering ribbons.

    `half` is half the ribbon's width in head-space units times the view's scale; `last` marks the ends
    of strands. `step` draws only every so many strands, made `widen` times wider. A ribbon is never
    thinner than a sample, so that none breaks up. Segments that lie behind `tiles` are skipped.
    """
    height, width = depth.shape
    strand = 0
    for p in range(start, stop):
        if last[p]:
            strand += 1
            continue
        if strand % step != 0:
            continue
        x0, y0, z0 = screen[p, 0], screen[p, 1], screen[p, 2]
        x1, y1, z1 = screen[p + 1, 0], screen[p + 1, 1], screen[p + 1, 2]
        w0 = max(0.5, half[p] * z0 * widen)
        w1 = max(0.5, half[p + 1] * z1 * widen)
        wide = max(w0, w1)
        left = max(0, math.ceil(min(x0, x1) - wide - 0.5))
        right = min(width - 1, math.floor(max(x0, x1) + wide - 0.5))
        top = max(0, math.ceil(min(y0, y1) - wide - 0.5))
        bottom = min(height - 1, math.floor(max(y0, y1) + wide - 0.5))
        if left > right or top > bottom:
            continue
        nearest = max(z0, z1)
        hidden = True
        for ty in range(top // TILE, bottom // TILE + 1):
            for tx in range(left // TILE, right // TILE + 1):
                if nearest > tiles[ty, tx]:
                    hidden = False
        if hidden:
            continue
        dx, dy = x1 - x0, y1 - y0
        length = math.sqrt(dx * dx + dy * dy)
        inverse = 1.0 / (length + 1e-6)
        dx *= inverse
        dy *= inverse
        overlap = min(0.35 * wide, 0.5)  # closes the gap on the outside of a bend
        slope = (w1 - w0) * inverse
        for iy in range(top, bottom + 1):
            py = iy + 0.5 - y0
            # The span of the row that lies between the ribbon's two sides.
            low, high = float(left), float(right)
            if abs(dy) > 1e-3:
                centre = x0 + py * dx / dy
                reach = wide / abs(dy)
                low = max(low, math.ceil(centre - reach - 0.5))
                high = min(high, math.floor(centre + reach - 0.5))
            for ix in range(int(low), int(high) + 1):
                px = ix + 0.5 - x0
                along = px * dx + py * dy
                if along < -overlap or along > length + overlap:
                    continue
                if abs(px * dy - py * dx) > w0 + slope * along:
                    continue
                z = z0 + (z1 - z0) * along * inverse
                if z > depth[iy, ix]:
                    depth[iy, ix] = z
                    ids[iy, ix] = first_id + p


@njit(**JIT)
def merge_layer(layer_depth, layer_ids, box, bit, depth, ids, amodal):
    """Put one attribute's layer into the picture and note where it is, whatever hides it."""
    for iy in range(box[1], box[3]):
        for ix in range(box[0], box[2]):
            if layer_ids[iy, ix] < 0:
                continue
            amodal[iy, ix] |= bit
            if layer_depth[iy, ix] > depth[iy, ix]:
                depth[iy, ix] = layer_depth[iy, ix]
                ids[iy, ix] = layer_ids[iy, ix]
