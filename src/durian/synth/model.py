"""A person made ready for rendering: everything that no frame changes, in flat arrays."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int32, UInt8
from numba import njit

from durian.labels import Label
from durian.synth.attributes import build_attributes
from durian.synth.body import BodyPart, build_body, build_brows, lid_triangles
from durian.synth.expression import Rig
from durian.synth.fields import JIT
from durian.synth.head import Head
from durian.synth.head_grid import coarse_triangles, coarse_vertices, spread_coarse, weld_seam
from durian.synth.landmarks import LandmarkRig
from durian.synth.occlusion import bake_occlusion
from durian.synth.parts import AttributeParts, Binding, Material, Mesh, Painted, Strands
from durian.synth.person import Person
from durian.synth.pose import vertex_normals
from durian.synth.skin import NO_OWNER, SkinTexture, bake_skin

ATTRIBUTE_NAMES = ("hair", "beard", "glasses", "hat", "earrings", "paint", "scarf")
"""Attributes in the order of their indices; an index is also the bit in masks of several."""

PAINT_ORDER = ("hair", "beard", "paint")
"""Later paint covers earlier."""

SHADE_STRANDS = 1500  # strands that suffice to cast shade


@dataclass(frozen=True)
class Parts:
    """What belongs to every part, by part index; part 0 is the skin of the head."""

    label: UInt8[np.ndarray, " p"]
    material: UInt8[np.ndarray, " p"]
    owner: UInt8[np.ndarray, " p"]
    opacity: Float32[np.ndarray, " p"]


@dataclass(frozen=True)
class Span:
    """Vertices or strand points [start, stop) that move alike."""

    start: int
    stop: int
    binding: Binding
    rig: Rig | None = None


@dataclass(frozen=True)
class Meshes:
    """All meshes; `rest` is in head space. Triangles of attributes come after those of the body."""

    rest: Float32[np.ndarray, "n 3"]
    normals: Float32[np.ndarray, "n 3"]
    colours: Float32[np.ndarray, "n 3"]
    uv: Float32[np.ndarray, "n 2"]
    ao: Float32[np.ndarray, " n"]
    triangles: Int32[np.ndarray, "t 3"]
    part: UInt8[np.ndarray, " t"]
    two_sided: UInt8[np.ndarray, " t"]
    casters: Int32[np.ndarray, "c 3"]
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class StrandSet:
    """All strands as points in a row; `last` marks where one ends.

    `half` is half a ribbon's width at a point, `tangent` its direction, `volume` the outward direction of
    the whole head of hair, `softness` how far a point lags behind the head.
    """

    rest: Float32[np.ndarray, "m 3"]
    half: Float32[np.ndarray, " m"]
    last: Bool[np.ndarray, " m"]
    colours: Float32[np.ndarray, "m 3"]
    tangent: Float32[np.ndarray, "m 3"]
    volume: Float32[np.ndarray, "m 3"]
    ao: Float32[np.ndarray, " m"]
    softness: Float32[np.ndarray, " m"]
    part: UInt8[np.ndarray, " m"]
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Layer:
    """Where one attribute (or the body, index `NO_OWNER`) is: ranges of triangles and strand points."""

    index: int
    triangles: tuple[int, int]
    lenses: tuple[int, int]
    points: tuple[int, int]
    vertices: tuple[int, int]


@dataclass(frozen=True)
class Model:
    """Built once by `build`, rendered many times."""

    person: Person
    head: Head
    attributes: tuple[str, ...]
    parts: Parts
    meshes: Meshes
    strands: StrandSet
    lids: tuple[int, int]
    body: Layer
    layers: tuple[Layer, ...]
    skin: SkinTexture
    landmarks: LandmarkRig


def build(person: Person) -> Model:
    """Build everything about a person that stays the same from frame to frame."""
    head = Head(person.identity)
    worn = build_attributes(person.attributes, head)
    packer = _Packer(head)
    for part in build_body(head, person.clothes):
        packer.add_body(part)
    packer.add_strands(build_brows(head, person.identity), NO_OWNER)
    body = packer.close_layer(NO_OWNER)
    layers = []
    for name in (n for n in ATTRIBUTE_NAMES if n in worn):
        index = ATTRIBUTE_NAMES.index(name)
        packer.add_attribute(worn[name], index)
        layers.append(packer.close_layer(index))
    meshes, strands = packer.finish()
    return Model(
        person,
        head,
        tuple(name for name in ATTRIBUTE_NAMES if name in worn),
        packer.parts(),
        meshes,
        strands,
        packer.lids,
        body,
        tuple(layers),
        bake_skin(head, _paint(worn)),
        LandmarkRig.of(head),
    )


def _paint(worn: dict[str, AttributeParts]) -> list[tuple[int, Painted]]:
    return [
        (ATTRIBUTE_NAMES.index(name), painted)
        for name in PAINT_ORDER
        if name in worn
        for painted in worn[name].painted
    ]


class _Packer:
    """Collects parts into flat arrays."""

    def __init__(self, head: Head) -> None:
        self.head = head
        self._meshes: list[Mesh] = []
        self._mesh_spans: list[Span] = []
        self._triangles: list[np.ndarray] = []
        self._triangle_parts: list[np.ndarray] = []
        self._casters: list[np.ndarray] = []
        self._shades: list[np.ndarray] = []
        self._strands: list[Strands] = []
        self._strand_spans: list[Span] = []
        self._strand_parts: list[int] = []
        self._parts: list[tuple[int, int, int, float, bool]] = []
        self._vertices = self._triangle_count = self._points = 0
        self._from = (0, 0, 0)
        self._lens_from = 0
        self.lids = (0, 0)

    def add_body(self, part: BodyPart) -> None:
        """The first body part must be the skin of the head."""
        if not self._meshes:
            lids = lid_triangles(self.head, part.mesh)
            order = np.concatenate([np.flatnonzero(~lids), np.flatnonzero(lids)])
            self.lids = (int((~lids).sum()), len(order))
            triangles = part.mesh.triangles[order]
            self._casters.append(coarse_triangles(self.head))
            self._shades.append(self._casters[-1])
            self._add(part.mesh, NO_OWNER, part.rig, triangles)
            return
        casts = part.mesh.material not in (Material.EYE, Material.TEETH, Material.TONGUE)
        if casts:
            self._casters.append(part.mesh.triangles + self._vertices)
            self._shades.append(self._casters[-1])
        self._add(part.mesh, NO_OWNER, part.rig, part.mesh.triangles)

    def add_attribute(self, parts: AttributeParts, index: int) -> None:
        """All of an attribute; lenses come last, so that they are a range of their own."""
        solid = [mesh for mesh in parts.meshes if mesh.material != Material.LENS]
        lenses = [mesh for mesh in parts.meshes if mesh.material == Material.LENS]
        for mesh in solid:
            self._casters.append(mesh.triangles + self._vertices)
            if mesh.label in (Label.HAT, Label.SCARF, Label.HAIR):  # the rest is too thin to matter
                self._shades.append(self._casters[-1])
            self._add(mesh, index, self._rig_of(mesh.binding, mesh.vertices), mesh.triangles)
        self._lens_from = self._triangle_count
        for mesh in lenses:
            self._add(mesh, index, self._rig_of(mesh.binding, mesh.vertices), mesh.triangles)
        for strands in parts.strands:
            self.add_strands(strands, index)

    def add_strands(self, strands: Strands, owner: int) -> None:
        count, length = strands.points.shape[:2]
        if count == 0:
            return
        stop = self._points + count * length
        # A strand follows its root as a whole: one that hangs over the lips is not torn when they part.
        rig = self._rig_of(strands.binding, strands.points[:, 0])
        self._strand_spans.append(
            Span(self._points, stop, strands.binding, rig.repeat(length) if rig else None)
        )
        self._strand_parts.append(len(self._parts))
        self._parts.append((strands.label, strands.material, owner, 1.0, True))
        self._strands.append(strands)
        self._points = stop

    def close_layer(self, index: int) -> Layer:
        """End the layer that everything since the last call belongs to."""
        vertices, triangles, points = self._from
        lens_from = self._lens_from if index != NO_OWNER else self._triangle_count
        layer = Layer(
            index,
            (triangles, lens_from),
            (lens_from, self._triangle_count),
            (points, self._points),
            (vertices, self._vertices),
        )
        self._from = (self._vertices, self._triangle_count, self._points)
        return layer

    def parts(self) -> Parts:
        columns = list(zip(*self._parts, strict=True))
        label, material, owner = (np.array(c, np.uint8) for c in columns[:3])
        return Parts(label, material, owner, np.array(columns[3], np.float32))

    def finish(self) -> tuple[Meshes, StrandSet]:
        """Join everything and work out the ambient occlusion."""
        rest = np.concatenate([mesh.vertices for mesh in self._meshes])
        triangles = np.concatenate(self._triangles)
        part = np.concatenate(self._triangle_parts)
        casters = np.ascontiguousarray(np.concatenate(self._casters), np.int32)
        normals = np.empty_like(rest)
        vertex_normals(rest, triangles, normals)
        rows, columns = self.head.grid.shape
        weld_seam(normals, rows, columns)
        strands = self._join_strands()
        coarse = coarse_vertices(self.head)
        asked = np.concatenate([coarse.ravel(), np.arange(rows * columns, len(rest))])
        shades = np.ascontiguousarray(np.concatenate(self._shades), np.int32)
        ao, strand_ao = bake_occlusion(
            rest,
            normals,
            asked,
            shades,
            len(self._shades[0]),
            strands.rest,
            strands.last,
            shade_steps(strands),
        )
        spread_coarse(ao, coarse, rows, columns)
        two_sided = np.array([row[4] for row in self._parts], np.uint8)[part]
        meshes = Meshes(
            rest,
            normals,
            np.concatenate([mesh.colours for mesh in self._meshes]).astype(np.float32),
            np.concatenate([mesh.uv for mesh in self._meshes]).astype(np.float32),
            ao,
            triangles,
            part,
            two_sided,
            casters,
            tuple(self._mesh_spans),
        )
        strands.ao[:] = strand_ao
        return meshes, strands

    def _rig_of(self, binding: Binding, points: np.ndarray) -> Rig | None:
        return Rig.of(self.head, points) if binding == Binding.FACE else None

    def _add(self, mesh: Mesh, owner: int, rig: Rig | None, triangles: np.ndarray) -> None:
        start, stop = self._vertices, self._vertices + len(mesh.vertices)
        self._mesh_spans.append(Span(start, stop, mesh.binding, rig))
        self._triangles.append((triangles + start).astype(np.int32))
        self._triangle_parts.append(np.full(len(triangles), len(self._parts), np.uint8))
        self._parts.append((mesh.label, mesh.material, owner, mesh.opacity, mesh.two_sided))
        self._meshes.append(mesh)
        self._vertices = stop
        self._triangle_count += len(triangles)

    def _join_strands(self) -> StrandSet:
        half, last, colours, tangent, volume, softness, part = [], [], [], [], [], [], []
        for strands, index in zip(self._strands, self._strand_parts, strict=True):
            count, length = strands.points.shape[:2]
            along = np.linspace(0, 1, length, dtype=np.float32)[None]
            half.append(strands.width[:, None] * 0.5 * (1 - strands.taper * along**2))
            ends = np.zeros((count, length), bool)
            ends[:, -1] = True
            last.append(ends)
            colours.append(strands.colours[:, None] * (1 + 0.22 * along[..., None]))
            directions = _strand_directions(strands.points, _volume_centre(strands.material))
            tangent.append(directions[0])
            volume.append(directions[1])
            softness.append(strands.softness[:, None] * along**1.5)
            part.append(np.full(count * length, index, np.uint8))

        def flat(arrays: list[np.ndarray], *tail: int) -> np.ndarray:
            return np.concatenate([a.reshape(-1, *tail) for a in arrays])

        rest = flat([s.points for s in self._strands], 3).astype(np.float32)
        return StrandSet(
            rest,
            flat(half).astype(np.float32),
            flat(last),
            flat(colours, 3).astype(np.float32),
            flat(tangent, 3).astype(np.float32),
            flat(volume, 3).astype(np.float32),
            np.ones(len(rest), np.float32),
            flat(softness).astype(np.float32),
            flat(part),
            tuple(self._strand_spans),
        )


def shade_steps(strands: StrandSet) -> list[tuple[int, int, int]]:
    """Ranges of strand points that cast shade, each with the stride over its strands."""
    steps = []
    for span in strands.spans:
        if strands.rest[span.start : span.stop].size == 0 or span.rig is not None:
            continue  # brows and beards lie close to the skin and are shaded by their own depth
        count = int(strands.last[span.start : span.stop].sum())
        steps.append((span.start, span.stop, max(1, count // SHADE_STRANDS + (count > 1200))))
    return steps


def _volume_centre(material: Material) -> np.ndarray:
    """What the outward directions of a head of hair, or of brows and beards, start from."""
    return np.array([0, 0.1, -0.1] if material == Material.HAIR_STRAND else [0, -0.3, 0.2])


@njit(**JIT)
def _strand_directions(points, centre):
    """Unit directions of strands along themselves, and away from a centre."""
    count, length = points.shape[:2]
    tangent, volume = np.empty_like(points), np.empty_like(points)
    for s in range(count):
        for k in range(length):
            i, j = max(k - 1, 0), min(k + 1, length - 1)
            x, y, z = (
                points[s, j, 0] - points[s, i, 0],
                points[s, j, 1] - points[s, i, 1],
                points[s, j, 2] - points[s, i, 2],
            )
            scale = 1.0 / (math.sqrt(x * x + y * y + z * z) + 1e-9)
            tangent[s, k, 0], tangent[s, k, 1], tangent[s, k, 2] = x * scale, y * scale, z * scale
            x, y, z = points[s, k, 0] - centre[0], points[s, k, 1] - centre[1], points[s, k, 2] - centre[2]
            scale = 1.0 / (math.sqrt(x * x + y * y + z * z) + 1e-9)
            volume[s, k, 0], volume[s, k, 1], volume[s, k, 2] = x * scale, y * scale, z * scale
    return tangent, volume
