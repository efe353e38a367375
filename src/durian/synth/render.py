"""Rendering a model's frames, with exact masks, labels, distances and landmarks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from durian.synth.backdrop import draw_background
from durian.synth.buffers import (
    MeshArrays,
    PartArrays,
    Picture,
    Samples,
    SkinArrays,
    StrandArrays,
    ViewArrays,
)
from durian.synth.expression import deform, expression_vector
from durian.synth.eyelids import lid_vector
from durian.synth.head_grid import weld_seam
from durian.synth.landmarks import place_landmarks
from durian.synth.lighting import LightArrays, light_arrays
from durian.synth.materials import FaceArrays, cloth_arrays
from durian.synth.model import ATTRIBUTE_NAMES, Layer, Model, Span, shade_steps
from durian.synth.occlusion import project_along, splat_strands
from durian.synth.parts import Binding
from durian.synth.performance import FrameState
from durian.synth.pose import (
    BODY_SHIFT,
    HeadPose,
    View,
    bend_neck,
    blend_lag,
    euler,
    project_samples,
    turn,
    turn_normals,
    vertex_normals,
)
from durian.synth.rasterise import draw_lids, draw_strands, draw_triangles, farthest_tiles, merge_layer
from durian.synth.shading import mark_painted, shade
from durian.synth.surface import surface_places

DENSE, SMALL = 2200, 160  # strands of an attribute, and pixels a side, for `_strand_detail`
GAMMA = np.round(255 * np.linspace(0, 1, 4096) ** (1 / 2.2)).astype(np.uint8)


@dataclass(frozen=True)
class Rendered:
    """One frame.

    Attributes:
        rgb: sRGB.
        visible: by attribute worn, the share of every pixel in which it is seen; a lens counts as seen.
        amodal: the same as if nothing else were worn: the attribute's own shape before the person's bare
            body, which still hides what lies behind it. Nowhere less than `visible`.
        labels: the class (`durian.synth.parts.Label`) of most of a pixel; bit 7 is set behind a lens.
        depth: distance along the viewing axis in head-space units, infinite for the background.
        landmarks: MediaPipe's 478 points, x and y in pixels (centres at .5), z in pixels too, negative
            towards the camera.
        landmarks_3d: the same points where they are in the scene, in head-space units: x to the image's
            right, y up, z towards the camera.
        landmark_visible: whether a landmark is in front of the person's bare body; what is worn may still
            hide it.
        surface: where on the person at rest what a pixel shows is, in head space; NaN for the background.
            Through lenses it is what lies behind them.
    """

    rgb: UInt8[np.ndarray, "h w 3"]
    visible: dict[str, Float32[np.ndarray, "h w"]]
    amodal: dict[str, Float32[np.ndarray, "h w"]]
    labels: UInt8[np.ndarray, "h w"]
    depth: Float32[np.ndarray, "h w"]
    landmarks: Float32[np.ndarray, "478 3"]
    landmarks_3d: Float32[np.ndarray, "478 3"]
    landmark_visible: Bool[np.ndarray, " 478"]
    surface: Float32[np.ndarray, "h w 3"]


def render(
    model: Model, state: FrameState, size: int = 128, samples: int = 3, lag: HeadPose | None = None
) -> Rendered:
    """Render one frame.

    Args:
        model: what `durian.synth.model.build` made of a person.
        state: pose and expression.
        size: side of the square picture in pixels.
        samples: samples a pixel along either side.
        lag: the pose that soft hair is still in (`durian.synth.dynamics.lagging_poses`); None is at rest.
    """
    pose = HeadPose.of(state)
    view = View.of(model.person.scene.camera, state.zoom, size * samples)
    light = light_arrays(model.person.scene.light, min(320, max(160, round(size * 1.25))))
    posed = _pose_meshes(model, state, pose, view)
    strands = _pose_strands(model, state, pose, lag or pose, view)
    _draw_shadow(model, posed, strands, light)
    lids = lid_vector(model.person.identity, state)
    mesh = _mesh_arrays(model, posed)
    drawn, bare = _draw(model, mesh, strands, lids, view, size)
    picture = _empty_picture(size)
    shade(
        drawn,
        samples,
        mesh,
        strands,
        PartArrays(model.parts.label, model.parts.material, model.parts.owner, model.parts.opacity),
        SkinArrays(model.skin.colour, model.skin.label, model.skin.owner, model.skin.painters),
        _face_arrays(model, state, pose, lids),
        cloth_arrays(model.person.clothes),
        light,
        ViewArrays(view.height, view.distance, view.scale, view.centre),
        draw_background(model.person.scene.background, size),
        picture,
    )
    landmarks, landmarks_3d, seen = place_landmarks(model.landmarks, state, pose, view, samples, bare)
    indices = {name: ATTRIBUTE_NAMES.index(name) for name in model.attributes}
    return Rendered(
        rgb=GAMMA[(np.clip(picture.rgb, 0, 1) * 4095 + 0.5).astype(np.int32)],
        visible={name: picture.visible[k] for name, k in indices.items()},
        amodal={name: picture.amodal[k] for name, k in indices.items()},
        labels=picture.labels,
        depth=picture.depth,
        landmarks=landmarks,
        landmarks_3d=landmarks_3d,
        landmark_visible=seen,
        surface=surface_places(
            drawn.ids,
            samples,
            mesh.screen,
            mesh.rest,
            mesh.triangles,
            strands.screen,
            model.strands.rest,
        ),
    )


@dataclass(frozen=True)
class _Posed:
    points: np.ndarray
    normals: np.ndarray
    screen: np.ndarray


def _pose_meshes(model: Model, state: FrameState, pose: HeadPose, view: View) -> _Posed:
    meshes, expression = model.meshes, expression_vector(state)
    points, normals = np.empty_like(meshes.rest), np.empty_like(meshes.rest)
    face = np.empty_like(meshes.rest)
    for index, span in enumerate(meshes.spans):
        start, stop = span.start, span.stop
        if span.binding == Binding.BODY:
            points[start:stop] = meshes.rest[start:stop] + (pose.shift * BODY_SHIFT).astype(np.float32)
            normals[start:stop] = meshes.normals[start:stop]
            continue
        if span.binding == Binding.NECK:
            bend_neck(meshes.rest, meshes.normals, start, stop, pose.rotation, pose.shift, points, normals)
            continue
        source, source_normals = meshes.rest, meshes.normals
        if span.rig is not None:
            moved = face[start:stop]
            deform(meshes.rest[start:stop], span.rig.jaw, span.rig.shapes, expression, moved)
            source = face
            if index == 0:
                source_normals = _skin_normals(model, moved, state.jaw)
        turn(source, start, stop, pose.rotation, pose.shift, points)
        turn_normals(source_normals, start, stop, pose.rotation, normals)
    screen = np.empty_like(points)
    project_samples(points, view.height, view.distance, view.scale, view.centre, screen)
    return _Posed(points, normals, screen)


def _skin_normals(model: Model, moved: np.ndarray, jaw: float) -> np.ndarray:
    """Normals of the deformed head; where the lips touch, they share one."""
    normals = np.empty_like(moved)
    first = model.lids[1]
    vertex_normals(moved, model.meshes.triangles[:first], normals)
    grid = model.head.grid
    rows, columns = grid.shape
    weld_seam(normals, rows, columns)
    table = normals.reshape(rows, columns, 3)
    upper, lower = table[grid.mouth + 1], table[grid.mouth]
    both = upper + lower
    both /= np.linalg.norm(both, axis=1, keepdims=True) + 1e-9
    inside = np.abs(grid.lons)[:, None] < model.head.mouth_lon * 0.97
    opened = np.clip(jaw / 0.05, 0, 1) * inside
    upper[:] = both + (upper - both) * opened
    lower[:] = both + (lower - both) * opened
    return normals


def _pose_strands(model: Model, state: FrameState, pose: HeadPose, lag: HeadPose, view: View) -> StrandArrays:
    strands = model.strands
    posed, screen = np.empty_like(strands.rest), np.empty_like(strands.rest)
    expression = expression_vector(state)
    for span in strands.spans:
        _pose_span(span, strands.rest, strands.softness, expression, pose, lag, posed)
    project_samples(posed, view.height, view.distance, view.scale, view.centre, screen)
    return StrandArrays(
        screen,
        posed,
        strands.colours,
        strands.tangent,
        strands.volume,
        strands.ao,
        strands.part,
        pose.rotation.astype(np.float32),
    )


def _pose_span(
    span: Span,
    rest: np.ndarray,
    softness: np.ndarray,
    expression: np.ndarray,
    pose: HeadPose,
    lag: HeadPose,
    out: np.ndarray,
) -> None:
    start, stop = span.start, span.stop
    if span.binding == Binding.BODY:
        out[start:stop] = rest[start:stop] + (pose.shift * BODY_SHIFT).astype(np.float32)
        return
    points = rest[start:stop]
    if span.rig is not None:
        points = np.empty_like(points)
        deform(rest[start:stop], span.rig.jaw, span.rig.shapes, expression, points)
    blend_lag(
        points, softness[start:stop], pose.rotation, pose.shift, lag.rotation, lag.shift, out[start:stop]
    )


def _draw_shadow(model: Model, posed: _Posed, strands: StrandArrays, light: LightArrays) -> None:
    screen = np.empty_like(posed.points)
    project_along(posed.points, light.basis, light.middle, light.scale, light.centre, screen)
    casters = model.meshes.casters
    ids = np.empty(light.shadow.shape, np.int32)
    draw_triangles(screen, casters, np.ones(len(casters), np.uint8), 0, len(casters), light.shadow, ids)
    hair = np.empty_like(strands.posed)
    project_along(strands.posed, light.basis, light.middle, light.scale, light.centre, hair)
    for start, stop, step in shade_steps(model.strands):
        splat_strands(hair, model.strands.last, start, stop, step, light.shadow)


def _draw(
    model: Model, mesh: MeshArrays, strands: StrandArrays, lids: np.ndarray, view: View, size: int
) -> tuple[Samples, np.ndarray]:
    """Draw the bare body, then every attribute over it; also returns the bare body's depths."""
    side = round(2 * view.centre)
    depth, ids = np.zeros((side, side), np.float32), np.full((side, side), -1, np.int32)
    amodal = np.zeros((side, side), np.uint8)
    two_sided = model.meshes.two_sided
    first = len(model.meshes.triangles)
    start, stop = model.lids
    draw_lids(mesh.screen, mesh.triangles, start, stop, mesh.rest, lids, depth, ids)
    draw_triangles(mesh.screen, mesh.triangles, two_sided, 0, start, depth, ids)
    draw_triangles(mesh.screen, mesh.triangles, two_sided, stop, model.body.triangles[1], depth, ids)
    half = model.strands.half * np.float32(view.scale)
    tiles = farthest_tiles(depth)
    draw_strands(
        strands.screen, half, model.strands.last, *model.body.points, 1, 1.0, tiles, first, depth, ids
    )
    skin = SkinArrays(model.skin.colour, model.skin.label, model.skin.owner, model.skin.painters)
    if model.skin.painters.any():
        mark_painted(ids, mesh, skin, amodal)
    bare, tiles = depth.copy(), farthest_tiles(depth)
    lens_depth, lens_ids = np.zeros((0, 0), np.float32), np.zeros((0, 0), np.int32)
    for layer in model.layers:
        box = np.array([0, 0, side, side])
        layer_depth, layer_ids = bare.copy(), np.full((side, side), -1, np.int32)
        draw_triangles(mesh.screen, mesh.triangles, two_sided, *layer.triangles, layer_depth, layer_ids)
        step, widen = _strand_detail(model, layer, size)
        draw_strands(
            strands.screen,
            half,
            model.strands.last,
            *layer.points,
            step,
            widen,
            tiles,
            first,
            layer_depth,
            layer_ids,
        )
        merge_layer(layer_depth, layer_ids, box, np.uint8(1 << layer.index), depth, ids, amodal)
        if layer.lenses[1] > layer.lenses[0]:
            lens_depth, lens_ids = bare.copy(), np.full((side, side), -1, np.int32)
            draw_triangles(mesh.screen, mesh.triangles, two_sided, *layer.lenses, lens_depth, lens_ids)
            amodal |= ((lens_ids >= 0).astype(np.uint8)) << np.uint8(layer.index)
    if not lens_ids.size:
        lens_depth, lens_ids = bare, np.full((side, side), -1, np.int32)
    return Samples(depth, ids, amodal, lens_depth, lens_ids), bare


def _strand_detail(model: Model, layer: Layer, size: int) -> tuple[int, float]:
    """Small pictures show every other strand of dense hair, made wider."""
    start, stop = layer.points
    count = int(model.strands.last[start:stop].sum())
    return (2, 1.5) if count > DENSE and size <= SMALL else (1, 1.0)


def _mesh_arrays(model: Model, posed: _Posed) -> MeshArrays:
    meshes = model.meshes
    return MeshArrays(
        posed.screen,
        posed.normals,
        meshes.rest,
        meshes.colours,
        meshes.uv,
        meshes.ao,
        meshes.triangles,
        meshes.part,
        *model.lids,
    )


def _face_arrays(model: Model, state: FrameState, pose: HeadPose, lids: np.ndarray) -> FaceArrays:
    identity = model.person.identity
    gaze = euler(state.gaze_x, -state.gaze_y, 0.0)
    light = np.array(model.person.scene.light.direction)
    catch = light * 0.9 + np.array([0, 0, 1.0])
    catch /= np.linalg.norm(catch)
    forward = pose.rotation[:, 2]
    # The glint lies between light and camera, but stays in sight as the head turns.
    place = np.array([catch[0] + 0.25 * forward[0], catch[1] + 0.04 + 0.2 * forward[1]])
    return FaceArrays(
        lids,
        np.ascontiguousarray((pose.rotation @ gaze).T),
        np.array(identity.eyes.iris),
        place,
        identity.eyes.lash,
        identity.skin.eyeshadow,
        np.array(identity.skin.eyeshadow_colour),
    )


def _empty_picture(size: int) -> Picture:
    count = len(ATTRIBUTE_NAMES)
    return Picture(
        np.empty((size, size, 3), np.float32),
        np.empty((size, size), np.uint8),
        np.empty((count, size, size), np.float32),
        np.empty((count, size, size), np.float32),
        np.empty((size, size), np.float32),
    )
