"""Exact landmarks: MediaPipe's 478 points, moved by expression and pose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from durian.synth.body import EYEBALL_GAP
from durian.synth.chart import LEFT_IRIS, RIGHT_IRIS, Kind, landmark_kinds, person_chart
from durian.synth.expression import Rig, deform, expression_vector
from durian.synth.eyelids import lid_vector
from durian.synth.head import Head
from durian.synth.materials import IRIS_ANGLE
from durian.synth.performance import FrameState
from durian.synth.pose import HeadPose, View, euler, turn

DEPTH_SLACK = 0.05  # head-space units that a visible landmark may lie behind the drawn surface
EYE_KINDS = (
    Kind.RIGHT_UPPER,
    Kind.RIGHT_LOWER,
    Kind.LEFT_UPPER,
    Kind.LEFT_LOWER,
    Kind.RIGHT_IRIS,
    Kind.LEFT_IRIS,
)
# A point between the cheeks, in whose plane z is 0; MediaPipe's zero lies there too, on average.
ORIGIN = np.array([[0.0, 0.0, 0.69]])


@dataclass(frozen=True)
class LandmarkRig:
    """The landmarks of one person: the relaxed face's points, their normals and how they deform."""

    head: Head
    rest: Float32[np.ndarray, "478 3"]
    normals: Float32[np.ndarray, "478 3"]
    rig: Rig
    kinds: Int[np.ndarray, " 478"]
    across: Float[np.ndarray, " 478"]

    @classmethod
    def of(cls, head: Head, chart: Float[np.ndarray, "478 2"] | None = None) -> LandmarkRig:
        """The landmarks of a head; another `chart` than the stored one is for fitting it."""
        kinds = landmark_kinds()
        values = person_chart(head, chart)
        lon, lat = values[:, 0].copy(), values[:, 1].copy()
        lips = (kinds == Kind.UPPER_LIP) | (kinds == Kind.LOWER_LIP)
        side = np.where(kinds == Kind.UPPER_LIP, 1.0, np.where(kinds == Kind.LOWER_LIP, -1.0, 0.0))
        lon[lips] = values[lips, 0] * head.mouth_lon
        lat[lips] = head.mouth_lat + side[lips] * 1e-4
        rest = head.surface(lon, lat)
        _put_eyes(rest, head, kinds, values[:, 0], FrameState(smile=0.0))
        rim = np.isin(kinds, EYE_KINDS)
        lon[rim], lat[rim] = head.angles(rest[rim])
        step = np.where(lips, 0.12, 0.04)  # wide enough to see past the crease between the lips
        east = head.surface(lon + step, lat) - head.surface(lon - step, lat)
        north = head.surface(lon, lat + step) - head.surface(lon, lat - step)
        normals = np.cross(east, north)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9
        rig = Rig.of(head, rest, side)
        irises = [*RIGHT_IRIS, *LEFT_IRIS]
        rig.shapes[irises] = 0
        rig.jaw[irises] = 0
        return cls(head, rest, normals.astype(np.float32), rig, kinds, values[:, 0])

    def place(
        self, state: FrameState, pose: HeadPose, view: View
    ) -> tuple[Float[np.ndarray, "478 3"], Float[np.ndarray, " 478"]]:
        """Posed points in scene space, and the cosine at which each faces the camera."""
        rest = self.rest.copy()
        _put_eyes(rest, self.head, self.kinds, self.across, state)
        moved, posed = np.empty_like(rest), np.empty_like(rest)
        deform(rest, self.rig.jaw, self.rig.shapes, expression_vector(state), moved)
        turn(moved, 0, len(moved), pose.rotation, pose.shift, posed)
        to_eye = np.array([0, view.height, view.distance]) - posed
        to_eye /= np.linalg.norm(to_eye, axis=1, keepdims=True)
        return posed, ((self.normals @ pose.rotation.T) * to_eye).sum(1)


def place_landmarks(
    landmarks: LandmarkRig,
    state: FrameState,
    pose: HeadPose,
    view: View,
    samples: int,
    bare: Float32[np.ndarray, "h w"],
) -> tuple[Float32[np.ndarray, "478 3"], Float32[np.ndarray, "478 3"], Bool[np.ndarray, " 478"]]:
    """Landmarks in pixels, in head-space units, and which of them lie in front of the person's bare body.

    `view` and `bare` (inverse distances) are in samples; z is in pixels at the landmark's own scale,
    negative towards the camera.
    """
    posed, facing = landmarks.place(state, pose, view)
    screen = view.project(posed.astype(np.float64))
    origin = np.empty((1, 3))
    turn(ORIGIN, 0, 1, pose.rotation, pose.shift, origin)
    middle = view.distance - origin[0, 2]
    out = np.empty((len(posed), 3), np.float32)
    out[:, :2] = screen[:, :2] / samples
    out[:, 2] = (screen[:, 2] - middle) * view.scale / middle / samples
    side = bare.shape[0]
    column = np.clip(screen[:, 0].astype(int), 1, side - 2)
    row = np.clip(screen[:, 1].astype(int), 1, side - 2)
    # The farthest of the neighbours, so that a point on an outline is not hidden by what it outlines.
    farthest = np.min([bare[row + i, column + j] for i in (-1, 0, 1) for j in (-1, 0, 1)], axis=0)
    in_front = (farthest <= 0) | (screen[:, 2] <= 1 / np.maximum(farthest, 1e-6) + DEPTH_SLACK)
    inside = ((out[:, :2] >= 0) & (out[:, :2] < side / samples)).all(1)
    return out, posed.astype(np.float32), in_front & inside & (facing > -0.05)


def _put_eyes(
    rest: np.ndarray, head: Head, kinds: np.ndarray, across_all: np.ndarray, state: FrameState
) -> None:
    """Put the points of lids and irises where the state's lids and gaze have them, before deforming."""
    lids = lid_vector(head.identity, state)
    for upper, lower, sign, opening in (
        (Kind.RIGHT_UPPER, Kind.RIGHT_LOWER, -1, lids[6]),
        (Kind.LEFT_UPPER, Kind.LEFT_LOWER, 1, lids[7]),
    ):
        chosen = np.flatnonzero((kinds == upper) | (kinds == lower))
        across = np.clip(across_all[chosen], -1, 1)
        inside = 1 - across**2
        low = -lids[4] * inside * (0.55 + 0.45 * opening)
        high = low + (lids[3] * inside**0.75 - low) * opening
        up = np.where(kinds[chosen] == upper, high, low)
        x = sign * (lids[0] + across * lids[2])
        y = lids[1] + (lids[5] * across + up) * lids[2]
        rest[chosen] = np.stack([x, y, head.front_z(x, y)], -1)
    gaze = euler(state.gaze_x, -state.gaze_y, 0.0)
    turns = np.arange(4) * np.pi / 2
    ring = np.stack([np.cos(turns), np.sin(turns), np.zeros(4)], -1) * np.sin(IRIS_ANGLE)
    local = np.concatenate([[(0, 0, 1.0)], ring + np.array([0, 0, np.cos(IRIS_ANGLE)])])
    radius = head.eye_radius + 0.03 - EYEBALL_GAP
    for points, sign in ((RIGHT_IRIS, -1), (LEFT_IRIS, 1)):
        centre = np.array([sign * head.eye_x, head.eye_y, head.eye_z])
        rest[list(points)] = centre + (local * radius) @ gaze.T
