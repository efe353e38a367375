"""From sample buffers to a picture: colours once per part and pixel, masks per sample."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from durian.labels import LENS_BIT, Label
from durian.synth.fields import INLINE, JIT
from durian.synth.lighting import light_hair, light_surface, lit_share, tone
from durian.synth.materials import (
    cloth_share,
    eye_colour,
    knit_shade,
    lid_colour,
    straw_shade,
    tooth_shade,
)
from durian.synth.parts import Material
from durian.synth.skin import FINENESS, NO_OWNER

SKIN, EYE, TEETH, TONGUE, CLOTH = (
    int(m) for m in (Material.SKIN, Material.EYE, Material.TEETH, Material.TONGUE, Material.CLOTH)
)
HAIR_STRAND, BEARD_STRAND = int(Material.HAIR_STRAND), int(Material.BEARD_STRAND)
PLASTIC, METAL, FELT, KNIT = (
    int(m) for m in (Material.PLASTIC, Material.METAL, Material.FELT, Material.KNIT)
)
STRAW, LEATHER, GEM = int(Material.STRAW), int(Material.LEATHER), int(Material.GEM)

# Columns of the sums that a pixel keeps for every part in it.
COUNT, X, Y, NEAR, NX, NY, NZ, RED, GREEN, BLUE, AO, GLOSS, GLINT, TX, TY, TZ = range(16)
MOST_PARTS = 8  # in one pixel; what goes beyond is shaded with the last
HAIR = int(Label.HAIR)

# What a pixel keeps of its hair until that of its neighbours is known.
RED_SUM, GREEN_SUM, BLUE_SUM, SAMPLES, SEEN = range(5)
HAIR_FILTER = (1.0, 2.0, 1.0)


@njit(**JIT)
def barycentric(screen, a, b, c, x, y):
    """Perspective-correct weights of a triangle's corners at a screen point."""
    x0, y0 = screen[a, 0], screen[a, 1]
    ux, uy = screen[b, 0] - x0, screen[b, 1] - y0
    vx, vy = screen[c, 0] - x0, screen[c, 1] - y0
    scale = 1.0 / (ux * vy - vx * uy)
    px, py = x - x0, y - y0
    w1 = (px * vy - py * vx) * scale * screen[b, 2]
    w2 = (py * ux - px * uy) * scale * screen[c, 2]
    w0 = (1.0 - (px * vy - py * vx) * scale - (py * ux - px * uy) * scale) * screen[a, 2]
    total = 1.0 / (w0 + w1 + w2)
    return w0 * total, w1 * total, w2 * total


@njit(**JIT)
def mark_painted(ids, mesh, skin, amodal):
    """Note where an attribute painted on the skin of the head, before anything is drawn over it."""
    height, width = ids.shape
    for iy in range(height):
        for ix in range(width):
            t = ids[iy, ix]
            if t < 0 or t >= mesh.part.size or mesh.part[t] != 0:
                continue
            a, b, c = mesh.triangles[t, 0], mesh.triangles[t, 1], mesh.triangles[t, 2]
            w0, w1, w2 = barycentric(mesh.screen, a, b, c, ix + 0.5, iy + 0.5)
            u = w0 * mesh.uv[a, 0] + w1 * mesh.uv[b, 0] + w2 * mesh.uv[c, 0]
            v = w0 * mesh.uv[a, 1] + w1 * mesh.uv[b, 1] + w2 * mesh.uv[c, 1]
            row, column = int(v * FINENESS + 0.5), int(u * FINENESS + 0.5)
            amodal[iy, ix] |= skin.painters[row, column]


@njit(**INLINE)
def _add_mesh_sample(row, t, part, material, x, y, mesh, skin, face, cloth):
    """Add one sample of a mesh to its part's sums; returns the texel of the head's skin, else -1."""
    a, b, c = mesh.triangles[t, 0], mesh.triangles[t, 1], mesh.triangles[t, 2]
    w0, w1, w2 = barycentric(mesh.screen, a, b, c, x, y)
    nx = w0 * mesh.normals[a, 0] + w1 * mesh.normals[b, 0] + w2 * mesh.normals[c, 0]
    ny = w0 * mesh.normals[a, 1] + w1 * mesh.normals[b, 1] + w2 * mesh.normals[c, 1]
    nz = w0 * mesh.normals[a, 2] + w1 * mesh.normals[b, 2] + w2 * mesh.normals[c, 2]
    u = w0 * mesh.uv[a, 0] + w1 * mesh.uv[b, 0] + w2 * mesh.uv[c, 0]
    v = w0 * mesh.uv[a, 1] + w1 * mesh.uv[b, 1] + w2 * mesh.uv[c, 1]
    ao = w0 * mesh.ao[a] + w1 * mesh.ao[b] + w2 * mesh.ao[c]
    gloss, glint, texel_row, texel_column = 0.25, 0.0, -1, -1
    if part == 0:
        tu, tv = u * FINENESS, v * FINENESS
        j, i = int(tu), int(tv)
        j, i = min(j, skin.colour.shape[1] - 2), min(i, skin.colour.shape[0] - 2)
        fu, fv = tu - j, tv - i
        k00, k01, k10, k11 = (1 - fu) * (1 - fv), fu * (1 - fv), (1 - fu) * fv, fu * fv
        tex = skin.colour
        r = tex[i, j, 0] * k00 + tex[i, j + 1, 0] * k01 + tex[i + 1, j, 0] * k10 + tex[i + 1, j + 1, 0] * k11
        g = tex[i, j, 1] * k00 + tex[i, j + 1, 1] * k01 + tex[i + 1, j, 1] * k10 + tex[i + 1, j + 1, 1] * k11
        b_ = tex[i, j, 2] * k00 + tex[i, j + 1, 2] * k01 + tex[i + 1, j, 2] * k10 + tex[i + 1, j + 1, 2] * k11
        gloss = (
            tex[i, j, 3] * k00 + tex[i, j + 1, 3] * k01 + tex[i + 1, j, 3] * k10 + tex[i + 1, j + 1, 3] * k11
        )
        texel_row, texel_column = int(tv + 0.5), int(tu + 0.5)
        if mesh.lids_start <= t < mesh.lids_stop:
            px = w0 * mesh.rest[a, 0] + w1 * mesh.rest[b, 0] + w2 * mesh.rest[c, 0]
            py = w0 * mesh.rest[a, 1] + w1 * mesh.rest[b, 1] + w2 * mesh.rest[c, 1]
            r, g, b_, gloss = lid_colour(r, g, b_, gloss, px, py, face)
    elif material == EYE:
        scale = 1.0 / math.sqrt(nx * nx + ny * ny + nz * nz + 1e-12)
        r, g, b_, glint = eye_colour(nx * scale, ny * scale, nz * scale, u, v, face)
    else:
        r = w0 * mesh.colours[a, 0] + w1 * mesh.colours[b, 0] + w2 * mesh.colours[c, 0]
        g = w0 * mesh.colours[a, 1] + w1 * mesh.colours[b, 1] + w2 * mesh.colours[c, 1]
        b_ = w0 * mesh.colours[a, 2] + w1 * mesh.colours[b, 2] + w2 * mesh.colours[c, 2]
        if material == CLOTH:
            k = cloth_share(u, v, cloth)
            r += (cloth.second[0] - r) * k
            g += (cloth.second[1] - g) * k
            b_ += (cloth.second[2] - b_) * k
        elif material == TEETH:
            red, rest = tooth_shade(u, v)
            r, g, b_ = r * red, g * rest, b_ * rest
        elif material == KNIT:
            k = knit_shade(u, v)
            r, g, b_ = r * k, g * k, b_ * k
        elif material == STRAW:
            k = straw_shade(u, v)
            r, g, b_ = r * k, g * k, b_ * k
    row[NX] += nx
    row[NY] += ny
    row[NZ] += nz
    row[RED] += r
    row[GREEN] += g
    row[BLUE] += b_
    row[AO] += ao
    row[GLOSS] += gloss
    row[GLINT] += glint
    return texel_row, texel_column


@njit(**INLINE)
def _add_strand_sample(row, p, x, y, strands):
    """Add one sample of the strand segment that starts at point p to its part's sums."""
    s = strands.screen
    dx, dy = s[p + 1, 0] - s[p, 0], s[p + 1, 1] - s[p, 1]
    t = ((x - s[p, 0]) * dx + (y - s[p, 1]) * dy) / (dx * dx + dy * dy + 1e-6)
    t = min(1.0, max(0.0, t))
    tangent = strands.tangent
    tx = tangent[p, 0] + (tangent[p + 1, 0] - tangent[p, 0]) * t
    ty = tangent[p, 1] + (tangent[p + 1, 1] - tangent[p, 1]) * t
    tz = tangent[p, 2] + (tangent[p + 1, 2] - tangent[p, 2]) * t
    # Tangents have no sign; bring them to one side before they are averaged.
    sign = -1.0 if tx * row[TX] + ty * row[TY] + tz * row[TZ] < 0 else 1.0
    row[TX] += tx * sign
    row[TY] += ty * sign
    row[TZ] += tz * sign
    volume, colours = strands.volume, strands.colours
    row[NX] += volume[p, 0] + (volume[p + 1, 0] - volume[p, 0]) * t
    row[NY] += volume[p, 1] + (volume[p + 1, 1] - volume[p, 1]) * t
    row[NZ] += volume[p, 2] + (volume[p + 1, 2] - volume[p, 2]) * t
    row[RED] += colours[p, 0] + (colours[p + 1, 0] - colours[p, 0]) * t
    row[GREEN] += colours[p, 1] + (colours[p + 1, 1] - colours[p, 1]) * t
    row[BLUE] += colours[p, 2] + (colours[p + 1, 2] - colours[p, 2]) * t
    row[AO] += strands.ao[p] + (strands.ao[p + 1] - strands.ao[p]) * t


@njit(**JIT)
def _unit(x, y, z):
    scale = 1.0 / math.sqrt(x * x + y * y + z * z + 1e-12)
    return x * scale, y * scale, z * scale


@njit(**JIT)
def _turned(x, y, z, turn):
    return _unit(
        turn[0, 0] * x + turn[0, 1] * y + turn[0, 2] * z,
        turn[1, 0] * x + turn[1, 1] * y + turn[1, 2] * z,
        turn[2, 0] * x + turn[2, 1] * y + turn[2, 2] * z,
    )


@njit(**JIT)
def _shade_part(row, material, strands, view, light):
    """The light that one part of a pixel sends to the camera, tone-mapped."""
    k = 1.0 / row[COUNT]
    away = 1.0 / (row[NEAR] * k)
    px = (row[X] * k - view.centre) * away / view.scale
    py = view.height - (row[Y] * k - view.centre) * away / view.scale
    pz = view.distance - away
    to_eye = _unit(-px, view.height - py, view.distance - pz)
    albedo = (row[RED] * k, row[GREEN] * k, row[BLUE] * k)
    ao = row[AO] * k
    if HAIR_STRAND <= material <= BEARD_STRAND:
        volume = _turned(row[NX], row[NY], row[NZ], strands.rotation)
        tangent = _turned(row[TX], row[TY], row[TZ], strands.rotation)
        lit = lit_share(px, py, pz, light, 0.07, 0.14)
        r, g, b = light_hair(albedo, tangent, volume, to_eye, ao, lit, light)
        return tone(r), tone(g), tone(b)
    n = _unit(row[NX], row[NY], row[NZ])
    if material != SKIN and n[0] * to_eye[0] + n[1] * to_eye[1] + n[2] * to_eye[2] < 0:
        n = (-n[0], -n[1], -n[2])
    wrap, scatter, gloss, shine, bias = 0.0, 0.0, row[GLOSS] * k, 20.0, 0.035
    if material == SKIN:
        wrap, scatter = 0.25, 1.0
    elif material == EYE:
        wrap, gloss, ao, bias = 0.35, 0.0, max(ao, 0.75), 0.12
    elif material == TEETH:
        wrap, gloss, shine, ao, bias = 0.3, 0.35, 40.0, max(0.8, ao), 0.12
    elif material == TONGUE:
        wrap, gloss, ao = 0.1, 0.15, max(0.6, ao)
    elif material == CLOTH:
        wrap, gloss = 0.12, 0.04
    elif material == PLASTIC:
        gloss, shine = 0.7, 45.0
    elif material == METAL:
        gloss, shine = 1.1, 28.0
    elif material == GEM:
        gloss, shine = 1.6, 60.0
    elif material == LEATHER:
        gloss, shine, wrap = 0.35, 22.0, 0.05
    else:
        gloss, wrap = 0.05, 0.15
    lit = lit_share(px, py, pz, light, bias, 0.03)
    r, g, b = light_surface(albedo, n, to_eye, ao, lit, wrap, scatter, gloss, shine, light)
    glint = row[GLINT] * k
    return tone(r + glint), tone(g + glint), tone(b + glint)


@njit(**JIT)
def _lens_light(p, mesh, t, x, y):
    """Colour of a lens with a streak of mirrored light that moves with the head."""
    a, b, c = mesh.triangles[t, 0], mesh.triangles[t, 1], mesh.triangles[t, 2]
    w0, w1, w2 = barycentric(mesh.screen, a, b, c, x, y)
    px = w0 * mesh.rest[a, 0] + w1 * mesh.rest[b, 0] + w2 * mesh.rest[c, 0]
    py = w0 * mesh.rest[a, 1] + w1 * mesh.rest[b, 1] + w2 * mesh.rest[c, 1]
    turned = mesh.normals[a, 0] * 2.2 + mesh.normals[a, 1]
    off = (abs(px) - 0.30) * (1.0 if px > 0 else -1.0) - 0.8 * py + turned * 0.7
    streak = math.exp(-(((off - 0.10) / 0.06) ** 2)) + 0.6 * math.exp(-(((off - 0.24) / 0.025) ** 2))
    return mesh.colours[a, 0], mesh.colours[a, 1], mesh.colours[a, 2], 0.16 * streak


@njit(**JIT)
def _blend_hair(hair, rgb):
    """Add hair to a picture, its colour averaged over a pixel's neighbourhood.

    The average over a pixel's own square lets through detail finer than the picture can hold, and nothing
    is as fine as hair: it would shimmer with every motion. Only hair's colour is softened; how much of a
    pixel it covers is not, so outlines stay sharp and agree with the masks.
    """
    height, width = hair.shape[:2]
    for py in range(height):
        for px in range(width):
            seen = hair[py, px, SEEN]
            if seen == 0:
                continue
            r = g = b = total = 0.0
            for j in range(max(0, py - 1), min(height, py + 2)):
                for i in range(max(0, px - 1), min(width, px + 2)):
                    k = HAIR_FILTER[j - py + 1] * HAIR_FILTER[i - px + 1]
                    r += k * hair[j, i, RED_SUM]
                    g += k * hair[j, i, GREEN_SUM]
                    b += k * hair[j, i, BLUE_SUM]
                    total += k * hair[j, i, SAMPLES]
            seen /= total
            rgb[py, px, 0] += r * seen
            rgb[py, px, 1] += g * seen
            rgb[py, px, 2] += b * seen


@njit(**JIT)
def shade(samples, fineness, mesh, strands, parts, skin, face, cloth, light, view, background, out):
    """Shade every pixel of a picture of `fineness` x `fineness` samples a pixel."""
    height, width = out.labels.shape
    triangles = mesh.part.size
    sums = np.zeros((MOST_PARTS, 16))
    keys = np.empty(MOST_PARTS, np.int64)
    classes = np.zeros(16, np.int64)
    seen = np.zeros(8, np.int64)
    whole = np.zeros(8, np.int64)
    share = 1.0 / (fineness * fineness)
    soft = np.zeros((2, height, width, 5), np.float32)
    for py in range(height):
        for px in range(width):
            used, scalp = 0, 0
            classes[:] = 0
            seen[:] = 0
            whole[:] = 0
            nearest = 0.0
            lenses = 0
            lens_r = lens_g = lens_b = lens_streak = lens_opacity = 0.0
            for iy in range(py * fineness, (py + 1) * fineness):
                for ix in range(px * fineness, (px + 1) * fineness):
                    bits = samples.amodal[iy, ix]
                    if bits:
                        for k in range(8):
                            whole[k] += (bits >> k) & 1
                    glass = samples.lens_ids[iy, ix]
                    lens_owner = -1
                    if glass >= 0 and samples.lens_depth[iy, ix] > samples.depth[iy, ix]:
                        lenses += 1
                        lens_part = mesh.part[glass]
                        lens_owner = int(parts.owner[lens_part])
                        seen[lens_owner] += 1
                        lens_opacity += parts.opacity[lens_part]
                        r, g, b, streak = _lens_light(lens_part, mesh, glass, ix + 0.5, iy + 0.5)
                        lens_r += r
                        lens_g += g
                        lens_b += b
                        lens_streak += streak
                    t = samples.ids[iy, ix]
                    if t < 0:
                        classes[0] += 1
                        continue
                    part = int(mesh.part[t]) if t < triangles else int(strands.part[t - triangles])
                    group = 0
                    while group < used and keys[group] != part:
                        group += 1
                    if group == used:
                        if used == MOST_PARTS:
                            group = used - 1
                        else:
                            keys[used] = part
                            sums[used, :] = 0.0
                            used += 1
                    row = sums[group]
                    z = samples.depth[iy, ix]
                    nearest = max(nearest, z)
                    row[COUNT] += 1
                    row[X] += ix + 0.5
                    row[Y] += iy + 0.5
                    row[NEAR] += z
                    label, owner = int(parts.label[part]), int(parts.owner[part])
                    if t < triangles:
                        i, j = _add_mesh_sample(
                            row, t, part, parts.material[part], ix + 0.5, iy + 0.5, mesh, skin, face, cloth
                        )
                        if i >= 0:
                            label, owner = int(skin.label[i, j]), int(skin.owner[i, j])
                            scalp += part == 0 and label == HAIR
                    else:
                        _add_strand_sample(row, t - triangles, ix + 0.5, iy + 0.5, strands)
                    classes[label] += 1
                    if owner != NO_OWNER and owner != lens_owner:
                        seen[owner] += 1
            back = classes[0] * share
            clear = 1.0 - lens_opacity * share
            r = tone(background[py, px, 0]) * back
            g = tone(background[py, px, 1]) * back
            b = tone(background[py, px, 2]) * back
            for group in range(used):
                row = sums[group]
                material = parts.material[keys[group]]
                sr, sg, sb = _shade_part(row, material, strands, view, light)
                hairy = 0.0
                if material in (HAIR_STRAND, BEARD_STRAND):
                    hairy = row[COUNT]
                elif keys[group] == 0:
                    hairy = min(scalp, row[COUNT])
                if hairy > 0:
                    cell = soft[1 if material == BEARD_STRAND else 0, py, px]
                    cell[RED_SUM] += sr * hairy
                    cell[GREEN_SUM] += sg * hairy
                    cell[BLUE_SUM] += sb * hairy
                    cell[SAMPLES] += hairy
                    cell[SEEN] += hairy * share * clear
                bare = (row[COUNT] - hairy) * share
                r += sr * bare
                g += sg * bare
                b += sb * bare
            if lenses:
                cover, each = lens_opacity * share, 1.0 / lenses
                r += (lens_r * each - r) * cover + lens_streak * share
                g += (lens_g * each - g) * cover + lens_streak * share
                b += (lens_b * each - b) * cover + lens_streak * share
            out.rgb[py, px, 0], out.rgb[py, px, 1], out.rgb[py, px, 2] = r, g, b
            best = 0
            for k in range(1, 16):
                if classes[k] > classes[best]:
                    best = k
            out.labels[py, px] = best + (LENS_BIT if lenses * 2 > fineness * fineness else 0)
            out.depth[py, px] = 1.0 / nearest if nearest > 0 else np.inf
            for k in range(out.visible.shape[0]):
                out.visible[k, py, px] = seen[k] * share
                out.amodal[k, py, px] = whole[k] * share
    for kind in range(2):
        _blend_hair(soft[kind], out.rgb)
