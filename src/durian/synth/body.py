"""The parts that every person has: skin of the head, mouth, eyes, ears, neck, clothes and brows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from durian.labels import Label
from durian.synth.expression import Rig
from durian.synth.head import Head, grid_triangles
from durian.synth.identity import Identity
from durian.synth.parts import Binding, Material, Mesh, Strands
from durian.synth.scene import Clothes

EYEBALL_GAP = 0.026  # by which the lids stand before the eyeball
EYE_CAP = 0.6 * np.pi  # angle from the pupil up to which an eyeball is built


@dataclass(frozen=True)
class BodyPart:
    """A mesh of the body; those that follow the expression have a rig."""

    mesh: Mesh
    rig: Rig | None = None


def build_body(head: Head, clothes: Clothes) -> tuple[BodyPart, ...]:
    """All meshes of the body; the first is the skin of the head, in the grid's order."""
    return (
        _skin(head),
        _mouth_cavity(head),
        *_teeth(head),
        _tongue(head),
        *(_eye(head, side) for side in (-1, 1)),
        *(_ear(head, side) for side in (-1, 1)),
        _neck(head),
        _clothes(head, clothes),
    )


def lid_triangles(head: Head, skin: Mesh) -> np.ndarray:
    """Which triangles of the skin may be cut by the eyelids' opening."""
    x, y, z = skin.vertices.T
    near = (np.abs(np.abs(x) - head.eye_x) < 0.29) & (np.abs(y - head.eye_y) < 0.23) & (z > 0.2)
    return near[skin.triangles[:, 0]]


def _mesh(
    label: Label,
    material: Material,
    binding: Binding,
    vertices: np.ndarray,
    triangles: np.ndarray,
    colour: np.ndarray | tuple[float, ...],
    uv: np.ndarray | None = None,
    two_sided: bool = True,
) -> Mesh:
    vertices = np.ascontiguousarray(vertices.reshape(-1, 3), np.float32)
    colours = np.broadcast_to(np.asarray(colour, np.float32).reshape(-1, 3), vertices.shape)
    uv = np.zeros((len(vertices), 2), np.float32) if uv is None else uv.reshape(-1, 2).astype(np.float32)
    return Mesh(
        label,
        material,
        binding,
        vertices,
        np.ascontiguousarray(triangles, np.int32),
        np.ascontiguousarray(colours),
        uv,
        two_sided,
    )


def _skin(head: Head) -> BodyPart:
    grid = head.grid
    rows, columns = grid.shape
    points = head.point(grid.lons[None], grid.lats[:, None], grid.radius).reshape(-1, 3)
    # No skin between the two rows of the mouth: there the mouth opens.
    cells = grid_triangles(rows, columns).reshape(2, rows - 1, columns - 1, 3)
    triangles = np.delete(cells, grid.mouth, 1).reshape(-1, 3)
    uv = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1)
    side = np.zeros((rows, columns))
    side[grid.mouth], side[grid.mouth + 1] = -1, 1
    skin = _mesh(
        Label.SKIN,
        Material.SKIN,
        Binding.FACE,
        points,
        triangles,
        head.identity.skin.tone,
        uv,
        two_sided=False,
    )
    return BodyPart(skin, Rig.of(head, points, side.ravel()))


def _mouth_cavity(head: Head) -> BodyPart:
    """A bag that hangs from the two lips."""
    grid = head.grid
    columns = np.flatnonzero(np.abs(grid.lons) <= head.mouth_lon * 1.1)
    lon = grid.lons[columns]
    lip = head.point(lon, np.full(len(lon), head.mouth_lat), grid.radius[grid.mouth, columns])
    inwards = lip * np.array([1, 0, 1]) / np.linalg.norm(lip * np.array([1, 0, 1]), axis=1, keepdims=True)
    narrow = np.sqrt(np.clip(1 - (lon / (head.mouth_lon * 1.1)) ** 2, 0, 1))[:, None]
    narrow[[0, -1]] = 0  # the bag is closed at the corners
    profile = (
        (0.0, 0.0),
        (0.05, 0.02),
        (0.16, 0.09),
        (0.42, 0.10),
        (0.42, -0.14),
        (0.16, -0.14),
        (0.05, -0.04),
    )
    rows = [
        lip - inwards * deep * narrow + np.array([0, up, 0]) * narrow for deep, up in (*profile, (0.0, 0.0))
    ]
    side = np.repeat([1, 1, 1, 1, -1, -1, -1, -1], len(lon))
    deep = np.repeat([0.0, 0.1, 0.6, 1.0, 1.0, 0.6, 0.1, 0.0], len(lon))[:, None]
    colour = np.array([0.34, 0.07, 0.065]) * (1 - deep) + np.array([0.13, 0.018, 0.018]) * deep
    mesh = _mesh(
        Label.MOUTH,
        Material.TONGUE,
        Binding.FACE,
        np.stack(rows),
        grid_triangles(8, len(lon)),
        colour,
    )
    return BodyPart(mesh, Rig.of(head, np.tile(lip, (8, 1)), side))


def _teeth(head: Head) -> tuple[BodyPart, BodyPart]:
    """Upper and lower row; u counts teeth from the middle, v runs from the edge to the gum."""
    angle = np.linspace(-1.15, 1.15, 25)
    across = np.linspace(0, 1, 5)[:, None]
    x, z = np.sin(angle) * 0.24, head.mouth_z - 0.275 + np.cos(angle) * 0.19
    parts = []
    for upper in (True, False):
        edge = head.mouth_y + (-0.050 if upper else -0.030)
        y = edge + (0.13 if upper else -0.09) * across
        points = np.stack(np.broadcast_arrays(x[None], y, z[None]), -1)
        uv = np.stack(np.broadcast_arrays(angle[None] * 4.5, across), -1)
        binding = Binding.HEAD if upper else Binding.FACE
        mesh = _mesh(
            Label.MOUTH, Material.TEETH, binding, points, grid_triangles(5, 25), (0.86, 0.83, 0.77), uv
        )
        parts.append(BodyPart(mesh, None if upper else Rig.rigid(len(mesh.vertices), jaw=0.97)))
    return parts[0], parts[1]


def _tongue(head: Head) -> BodyPart:
    ball, triangles = _cap(16, 25, np.pi)
    points = ball * np.array([0.17, 0.055, 0.20]) + np.array([0, head.mouth_y - 0.10, head.mouth_z - 0.25])
    mesh = _mesh(
        Label.MOUTH, Material.TONGUE, Binding.FACE, points, triangles, (0.46, 0.11, 0.11), two_sided=False
    )
    return BodyPart(mesh, Rig.rigid(len(points), jaw=0.9))


def _cap(rings: int, around: int, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Part of the unit sphere about the z axis, out to an angle from it."""
    theta, phi = np.meshgrid(np.linspace(0, angle, rings), np.linspace(0, 2 * np.pi, around), indexing="ij")
    points = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], -1)
    return points.reshape(-1, 3), grid_triangles(rings, around)[:, ::-1]


def _eye(head: Head, side: int) -> BodyPart:
    """An eyeball; its uv is the place on the relaxed face, where the lids' curves are defined."""
    ball, triangles = _cap(14, 25, EYE_CAP)
    centre = np.array([side * head.eye_x, head.eye_y, head.eye_z])
    points = centre + ball * (head.eye_radius + 0.03 - EYEBALL_GAP)
    return BodyPart(
        _mesh(
            Label.EYES,
            Material.EYE,
            Binding.HEAD,
            points,
            triangles,
            (0.8, 0.77, 0.75),
            points[:, :2],
            two_sided=False,
        )
    )


def _ear(head: Head, side: int) -> BodyPart:
    rings, around = 12, 25
    r, turn = np.meshgrid(np.linspace(0, 1, rings), np.linspace(0, 2 * np.pi, around), indexing="ij")
    up = np.sin(turn)
    outline = 1 + 0.22 * up + 0.10 * np.cos(turn) * (up > 0)
    ahead = np.cos(turn) * r * 0.135 * outline
    height = up * r * 0.235 * (1 + 0.08 * up)
    relief = 0.050 * np.exp(-(((r - 0.80) / 0.13) ** 2)) - 0.035 * np.exp(-((r / 0.3) ** 2))
    relief += 0.02 * np.exp(-(((r - 0.45) / 0.12) ** 2)) * (np.cos(turn) < 0.3)
    relief = relief * (0.35 + 0.65 * (up > -0.75)) - 0.055 * np.clip((r - 0.86) / 0.14, 0, 1) ** 2
    identity = head.identity
    angle, size = identity.ears.out + 0.15, identity.ears.size
    forward = np.array([-side * np.sin(angle), 0, np.cos(angle)])
    normal = np.array([side * np.cos(angle), 0, np.sin(angle)])
    base = (
        head.ear * np.array([side, 1, 1]) - side * np.array([0.005, 0, 0]) - forward * 0.06 + normal * 0.045
    )
    points = (
        base
        + forward * ahead[..., None] * size
        + np.array([0, 1, 0]) * height[..., None] * size
        + normal * relief[..., None] * size
    )
    triangles = grid_triangles(rings, around)
    depth = np.exp(-((r / 0.45) ** 2)).reshape(-1, 1)
    colour = np.array(identity.skin.tone) * np.array([1.0, 0.88, 0.88]) * (1 - 0.22 * depth)
    return BodyPart(
        _mesh(Label.SKIN, Material.SKIN, Binding.HEAD, points, triangles[:, ::-side], colour, two_sided=True)
    )


def _loft(rings: np.ndarray, fineness: int, around: int = 49) -> np.ndarray:
    """Ellipses (y, half width, half depth, z, slope) joined by a smooth curve; the slope lifts the front."""
    at = np.linspace(0, len(rings) - 1, (len(rings) - 1) * fineness + 1)
    i = np.minimum(at.astype(int), len(rings) - 2)
    t = (at - i)[:, None]
    p0, p1 = rings[np.maximum(i - 1, 0)], rings[i]
    p2, p3 = rings[i + 1], rings[np.minimum(i + 2, len(rings) - 1)]
    smooth = 0.5 * (
        2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    )
    turn = np.linspace(-np.pi, np.pi, around)  # from the back, where the seam is out of sight
    y, width, depth, z, slope = (smooth[:, k : k + 1] for k in range(5))
    return np.stack(
        np.broadcast_arrays(np.sin(turn) * width, y + slope * np.cos(turn), np.cos(turn) * depth + z), -1
    )


def _neck(head: Head) -> BodyPart:
    w = head.neck_width
    rings = np.array(
        [
            (-0.45, w, 0.42, -0.13, 0),
            (-0.75, w * 0.97, 0.40, -0.15, 0),
            (-1.05, w, 0.40, -0.19, 0),
            (-1.20, w * 1.1, 0.42, -0.22, 0),
            (-1.35, w * 1.45, 0.46, -0.22, 0),
            (-1.50, w * 2.1, 0.50, -0.22, 0),
            (-1.75, w * 2.3, 0.48, -0.22, 0),
        ]
    )
    points = _loft(rings, 2)
    x, y, z = np.moveaxis(points, -1, 0)
    # Two tendons that run to the pit of the neck, and the pit.
    tendon = np.exp(-(((np.abs(x) - 0.10 - 0.35 * (y + 1.35)) / 0.05) ** 2)) * (z > 0)
    points[..., 2] += 0.014 * tendon * np.exp(-(((y + 1.1) / 0.25) ** 2))
    points[..., 2] -= 0.03 * np.exp(-((x / 0.08) ** 2) - ((y + 1.33) / 0.07) ** 2) * (z > 0)
    triangles = grid_triangles(len(points), 49)[:, ::-1]
    tone = np.array(head.identity.skin.tone) * np.array([0.97, 0.94, 0.93])
    return BodyPart(_mesh(Label.SKIN, Material.SKIN, Binding.NECK, points, triangles, tone, two_sided=False))


# By kind: height of the collar's rim, its width in necks, how deep its front is cut.
_COLLARS = {
    "crew": (-1.20, 1.12, 0.10),
    "turtleneck": (-1.06, 1.06, 0.08),
    "v_neck": (-1.20, 1.20, 0.20),
    "shirt": (-1.10, 1.14, 0.13),
}


def _clothes(head: Head, clothes: Clothes) -> BodyPart:
    """A garment; its uv is the turn about the body and the height, and the collar has the trim's colour."""
    w, shoulders = head.neck_width, head.shoulders
    top, collar, cut = _COLLARS[clothes.kind]
    rings = np.array(
        [
            (top - 0.03, w * (collar - 0.03), 0.46, -0.22, -cut),
            (top, w * (collar + 0.02), 0.49, -0.22, -cut),
            (top - 0.03, w * (collar + 0.10), 0.52, -0.22, -cut * 0.9),
            (-1.29, w * 1.75, 0.56, -0.22, -0.04),
            (-1.38, shoulders * 0.68, 0.57, -0.22, 0),
            (-1.52, shoulders * 0.92, 0.58, -0.22, 0),
            (-1.76, shoulders * 1.10, 0.60, -0.22, 0),
            (-2.20, shoulders * 1.20, 0.64, -0.22, 0),
            (-3.60, shoulders * 1.20, 0.64, -0.22, 0),
        ]
    )
    fineness = 4
    points = _loft(rings, fineness)
    if clothes.kind in ("v_neck", "shirt"):
        x, front = points[..., 0], points[..., 2] > -0.1
        depth = 0.26 if clothes.kind == "v_neck" else 0.14
        rim = np.clip(1 - np.arange(len(points)) / (3 * fineness), 0, 1)[:, None]
        points[..., 1] -= depth * rim * front * np.clip(1 - np.abs(x) / (w * 0.9), 0, 1)
    folds = np.sin(points[..., 0] * 5 + points[..., 1] * 3) * np.sin(points[..., 1] * 4 - points[..., 0] * 2)
    points[..., 2] += 0.018 * folds * (points[..., 1] < -1.5)
    row = np.repeat(np.arange(len(points))[:, None], 49, 1)
    uv = np.stack(np.broadcast_arrays(points[..., 0], points[..., 1]), -1)
    trimmed = clothes.kind != "turtleneck"
    trim = ((row < 2 * fineness + 1) & trimmed)[..., None]
    colour = np.where(trim, np.array(clothes.trim), np.array(clothes.colour))
    # Trimmed vertices carry no pattern: a height of their own, far above any.
    uv[..., 1] = np.where(trim[..., 0], uv[..., 1] + 100, uv[..., 1])
    triangles = grid_triangles(len(points), 49)[:, ::-1]
    return BodyPart(
        _mesh(Label.CLOTHES, Material.CLOTH, Binding.BODY, points, triangles, colour, uv, two_sided=True)
    )


def build_brows(head: Head, identity: Identity, count: int = 150) -> Strands:
    """Short hairs that fan out from the inner end of either brow."""
    rng = np.random.default_rng(7)  # the same lie of hairs on everyone: a brow has its own parameters
    brows = identity.brows
    along = rng.uniform(-1, 1, count)
    thickness = brows.thickness * (1.05 - 0.45 * (along + 1) * 0.5)
    x = head.eye_x + 0.01 + 0.21 * along
    y = brow_curve(identity, along) + rng.uniform(-1, 1, count) * thickness * 0.8
    step_x, step_y = 0.055 + 0.025 * along, 0.018 * (1 - along) - 0.02 * np.clip(along - 0.1, 0, 1)
    share = np.array([0.0, 0.5, 1.0])
    px = x[:, None] + step_x[:, None] * share
    py = y[:, None] + step_y[:, None] * share
    pz = head.front_z(px, py) + 0.006 + 0.012 * share
    right = np.stack([px, py, pz], -1)
    points = np.concatenate([right * np.array([-1, 1, 1]), right])
    shade = np.tile(rng.uniform(0.6, 1.2, (count, 1)), (2, 1))
    return Strands(
        Label.BROW,
        Material.BROW_STRAND,
        Binding.FACE,
        points.astype(np.float32),
        np.full(2 * count, 0.011, np.float32),
        (np.array(brows.colour) * shade).astype(np.float32),
    )


def brow_curve(identity: Identity, along: np.ndarray) -> np.ndarray:
    """y of the middle of a brow; `along` runs from -1 at its inner to 1 at its outer end."""
    return identity.brows.height + identity.brows.arch * (1 - along**2) - 0.03 * along
