"""Growing strands: steps along a direction under gravity, kept off head and body and below a hat.

A ceiling is a map of radii over longitude and latitude about the head's centre: strands stay below it.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from durian.synth.fields import CENTRE_Y, INLINE, JIT, body_distance, skull_distance

STEPS = 26
"""Steps in which a long strand grows before it is divided into its points."""

STEP = 0.01
"""Distance over which gradients of distances are taken."""

FREE = 9.0
"""Ceiling where nothing covers the head."""

DEEPEST = -0.019
"""Distance from the skull to which a ceiling may press hair, which is then hidden."""


@njit(**INLINE)
def ceiling_radius(ceiling, x, y, z):
    """The ceiling in the direction of a point given relative to the centre, bilinear."""
    rows, columns = ceiling.shape
    u = (math.atan2(x, z) / (2 * math.pi) + 0.5) * columns - 0.5
    v = (math.atan2(y, math.sqrt(x * x + z * z)) / math.pi + 0.5) * rows - 0.5
    v = min(max(v, 0.0), rows - 1.0)
    i = min(int(v), rows - 2)
    j = math.floor(u)
    fu, fv = u - j, v - i
    a, b = j % columns, (j + 1) % columns
    low = ceiling[i, a] * (1 - fu) + ceiling[i, b] * fu
    high = ceiling[i + 1, a] * (1 - fu) + ceiling[i + 1, b] * fu
    return low * (1 - fv) + high * fv


@njit(**INLINE)
def clothes_height(y):
    """How far clothes lie above the coarse body at a height, as a number or an array."""
    below = np.minimum(1.0, np.maximum(0.0, (-1.0 - y) * 5.0))
    return below * (0.10 + 0.09 * np.exp(-(((y + 1.43) / 0.22) ** 2)))


@njit(**JIT)
def _skull_normal(x, y, z, d, shape):
    """Unit gradient of the distance to the skull at a point where it is `d`."""
    gx = skull_distance(x + STEP, y, z, shape) - d
    gy = skull_distance(x, y + STEP, z, shape) - d
    gz = skull_distance(x, y, z + STEP, shape) - d
    norm = 1.0 / (math.sqrt(gx * gx + gy * gy + gz * gz) + 1e-9)
    return gx * norm, gy * norm, gz * norm


@njit(**INLINE)
def _body_normal(x, y, z, d, shape):
    """Unit gradient of the distance to the body at a point where it is `d`."""
    gx = body_distance(x + STEP, y, z, shape) - d
    gy = body_distance(x, y + STEP, z, shape) - d
    gz = body_distance(x, y, z + STEP, shape) - d
    norm = 1.0 / (math.sqrt(gx * gx + gy * gy + gz * gz) + 1e-9)
    return gx * norm, gy * norm, gz * norm


@njit(**INLINE)
def _without_inward(vx, vy, vz, nx, ny, nz):
    """A velocity without its part against the normal."""
    dot = min(0.0, vx * nx + vy * ny + vz * nz)
    return vx - nx * dot, vy - ny * dot, vz - nz * dot


@njit(**INLINE)
def _bent(px, py, pz, vx, vy, vz, fx, fy, fz, clear, step):
    """The velocity after a step under the force f."""
    fall = 1.0
    if clear > 0.0 and pz > -0.1 and py > 0.25:
        # Between the parting and the face's edge hair lies across the head before it may fall.
        share = min(1.0, abs(px) / clear)
        vx += math.copysign(4.0 * step * (1.0 - share), vx)
        cling = 7.0 * step * (1.0 - share)
        vy -= cling * (py - 0.2)
        vz -= cling * (pz + 0.1)
        fall = max(0.05, share**3)
    # What is combed back lets go behind the crown.
    back = min(1.0, max(0.0, 1.0 + pz * 1.4))
    return vx + fx * step, vy + fy * step * fall, vz + fz * step * back


@njit(**INLINE)
def _aside(px, py, pz, clear, step):
    """A point moved aside from the face, and together in front of the chest."""
    if py < -0.95:
        beyond = abs(px) - 0.80
        if beyond > 0:
            px -= math.copysign(min(beyond * 0.5, step * 0.35), px)
    if clear > 0.0 and py < 0.5 and pz > 0.05:
        free = clear * min(1.0, (0.5 - py) * 5.0)
        if abs(px) < free:
            px += math.copysign(min(step * 0.9, free - abs(px)), px)
            if pz > 0.45:
                pz -= step * 0.5
    return px, pz


@njit(**JIT)
def grow(roots, velocities, lengths, cuts, layers, forces, clear, collar, shape, ceiling, out):
    """Grows every strand in even steps and writes its positions to `out` (S, steps + 1, 3).

    Returned is, for every strand, the index of its last position: growth stops where a strand falls
    below its cut (a y) or meets its length. `layers` are the heights above the scalp; `forces` (S, 3) bend
    strands per unit of length: gravity and the comb. `clear` is the half-width of the face that a strand
    leaves free; 0 lets it fall over the face. `collar` is how thick a scarf lies around the neck.
    """
    count, steps = roots.shape[0], out.shape[1] - 1
    lowest = ceiling.min()  # below it no direction needs to be looked up
    last = np.empty(count, np.int32)
    for s in range(count):
        px, py, pz = roots[s, 0], roots[s, 1], roots[s, 2]
        vx, vy, vz = velocities[s, 0], velocities[s, 1], velocities[s, 2]
        fx, fy, fz = forces[s, 0], forces[s, 1], forces[s, 2]
        step = lengths[s] / steps
        out[s, 0, 0], out[s, 0, 1], out[s, 0, 2] = px, py, pz
        last[s] = steps
        for k in range(1, steps + 1):
            norm = 1.0 / (math.sqrt(vx * vx + vy * vy + vz * vz) + 1e-9)
            vx, vy, vz = _bent(px, py, pz, vx * norm, vy * norm, vz * norm, fx, fy, fz, clear[s], step)
            px, py, pz = px + vx * step, py + vy * step, pz + vz * step
            if py > -1.25:
                height = layers[s] * min(1.0, 0.25 + 4.0 * k / steps)
                d = skull_distance(px, py, pz, shape)
                if d < height:
                    nx, ny, nz = _skull_normal(px, py, pz, d, shape)
                    push = height - d
                    px, py, pz = px + nx * push, py + ny * push, pz + nz * push
                    vx, vy, vz = _without_inward(vx, vy, vz, nx, ny, nz)
            if py < -0.75:
                height = 0.03 + clothes_height(py) + 0.6 * layers[s]
                height += collar * math.exp(-(((py + 1.2) / 0.28) ** 2))
                d = body_distance(px, py, pz, shape)
                if d < height:
                    nx, ny, nz = _body_normal(px, py, pz, d, shape)
                    push = height - d
                    px, py, pz = px + nx * push, py + ny * push, pz + nz * push
                    vx, vy, vz = _without_inward(vx, vy, vz, nx, ny, nz)
            px, pz = _aside(px, py, pz, clear[s], step)
            rx, ry, rz = px, py - CENTRE_Y, pz
            radius = math.sqrt(rx * rx + ry * ry + rz * rz) + 1e-9
            top = ceiling_radius(ceiling, rx, ry, rz) if radius > lowest else lowest
            if radius > top:
                shrink = top / radius
                px, py, pz = rx * shrink, CENTRE_Y + ry * shrink, rz * shrink
                vx, vy, vz = _without_inward(vx, vy, vz, -rx / radius, -ry / radius, -rz / radius)
            out[s, k, 0], out[s, k, 1], out[s, k, 2] = px, py, pz
            if py < cuts[s] and k > 2:
                last[s] = k
                break
    return last


@njit(**JIT)
def divide(path, last, points):
    """Divides the grown positions of every strand into `points` points, even in steps."""
    count = path.shape[0]
    out = np.empty((count, points, 3), np.float32)
    for s in range(count):
        for k in range(points):
            at = last[s] * k / (points - 1.0)
            i = min(int(at), last[s] - 1)
            f = at - i
            for c in range(3):
                out[s, k, c] = path[s, i, c] * (1 - f) + path[s, i + 1, c] * f
    return out


@njit(**JIT)
def curl(strands, amplitude, turns, phase, onset, out):
    """Winds strands into helices; `amplitude` in head units, `turns` per unit of length, from `onset` on."""
    count, points = strands.shape[0], strands.shape[1]
    for s in range(count):
        travelled = 0.0
        for k in range(points):
            i, j = max(k - 1, 0), min(k + 1, points - 1)
            tx = strands[s, j, 0] - strands[s, i, 0]
            ty = strands[s, j, 1] - strands[s, i, 1]
            tz = strands[s, j, 2] - strands[s, i, 2]
            norm = 1.0 / (math.sqrt(tx * tx + ty * ty + tz * tz) + 1e-9)
            tx, ty, tz = tx * norm, ty * norm, tz * norm
            # A frame about the tangent without a pole for hair: built on the least aligned of y and x.
            if abs(ty) < 0.9:
                ax, ay, az = tz, 0.0, -tx
            else:
                ax, ay, az = 0.0, -tz, ty
            norm = 1.0 / (math.sqrt(ax * ax + ay * ay + az * az) + 1e-9)
            ax, ay, az = ax * norm, ay * norm, az * norm
            bx, by, bz = ty * az - tz * ay, tz * ax - tx * az, tx * ay - ty * ax
            if k > 0:
                dx = strands[s, k, 0] - strands[s, k - 1, 0]
                dy = strands[s, k, 1] - strands[s, k - 1, 1]
                dz = strands[s, k, 2] - strands[s, k - 1, 2]
                travelled += math.sqrt(dx * dx + dy * dy + dz * dz)
            size = amplitude[s] * min(1.0, k / (points - 1.0) / onset)
            angle = phase[s] + 2 * math.pi * turns[s] * travelled
            c, d = math.cos(angle) * size, math.sin(angle) * size
            out[s, k, 0] = strands[s, k, 0] + c * ax + d * bx
            out[s, k, 1] = strands[s, k, 1] + c * ay + d * by
            out[s, k, 2] = strands[s, k, 2] + c * az + d * bz


@njit(**JIT)
def nearest(points, centres):
    """Index of the nearest centre of every point."""
    out = np.empty(points.shape[0], np.int32)
    for i in range(points.shape[0]):
        best = 1e9
        for j in range(centres.shape[0]):
            dx = points[i, 0] - centres[j, 0]
            dy = points[i, 1] - centres[j, 1]
            dz = points[i, 2] - centres[j, 2]
            d = dx * dx + dy * dy + dz * dz
            if d < best:
                best = d
                out[i] = j
    return out


@njit(**JIT)
def gather(strands, leaders, strength, reach):
    """Draws every strand towards its leader (an index into `strands`), more towards the tips.

    Strands further from their leader than `reach` are left alone: they lie over another side of the head.
    """
    count, points = strands.shape[0], strands.shape[1]
    source = strands.copy()
    for s in range(count):
        leader = leaders[s]
        for k in range(points):
            pull = strength[s] * (k / (points - 1.0)) ** 0.8
            dx = source[leader, k, 0] - source[s, k, 0]
            dy = source[leader, k, 1] - source[s, k, 1]
            dz = source[leader, k, 2] - source[s, k, 2]
            distance = math.sqrt(dx * dx + dy * dy + dz * dz)
            pull *= max(0.0, 1.0 - (distance / reach) ** 4)
            strands[s, k, 0] += dx * pull
            strands[s, k, 1] += dy * pull
            strands[s, k, 2] += dz * pull


@njit(**JIT)
def confine(strands, lowest, shape, ceiling):
    """Moves points that curling or gathering brought into the head out of it, and below the ceiling."""
    count, points = strands.shape[0], strands.shape[1]
    top = ceiling.min()
    for s in range(count):
        for k in range(points):
            x, y, z = strands[s, k, 0], strands[s, k, 1], strands[s, k, 2]
            if y > -1.0 and k > 0:
                d = skull_distance(x, y, z, shape)
                if d < lowest:
                    nx, ny, nz = _skull_normal(x, y, z, d, shape)
                    push = lowest - d
                    x, y, z = x + nx * push, y + ny * push, z + nz * push
            y -= CENTRE_Y
            radius = math.sqrt(x * x + y * y + z * z) + 1e-9
            shrink = 1.0
            if radius > top:
                shrink = min(1.0, ceiling_radius(ceiling, x, y, z) / radius)
            x, y, z = x * shrink, CENTRE_Y + y * shrink, z * shrink
            if shrink < 1.0 and y > -1.0 and k > 0:  # a tight hat presses hair no further than this
                d = skull_distance(x, y, z, shape)
                if d < DEEPEST:
                    nx, ny, nz = _skull_normal(x, y, z, d, shape)
                    push = DEEPEST - d
                    x, y, z = x + nx * push, y + ny * push, z + nz * push
            strands[s, k, 0], strands[s, k, 1], strands[s, k, 2] = x, y, z


def free_ceiling() -> np.ndarray:
    """The ceiling of a bare head."""
    return np.full((4, 8), FREE, np.float32)
