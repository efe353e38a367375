"""Secondary motion: where soft things are while the head moves on."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from durian.synth.performance import FrameState, Performance
from durian.synth.pose import HeadPose, euler

FREQUENCY = 9.0  # of the spring, in radians a second: it lags by about 0.2 s
LAG_LIMIT = np.array([0.22, 0.12, 0.15, 0.06, 0.06, 0.06])  # farthest lag of yaw, pitch, roll, x, y, z
STEP = 1 / 240  # seconds; fixed, so that the frame rate changes only where the motion is looked at


def lagging_poses(performance: Performance) -> tuple[HeadPose, ...]:
    """The pose that the softest points follow, for every frame.

    A critically damped spring pulls it after the head; it starts at rest in the first frame's pose, and
    where the head stands still it ends in the head's pose exactly.
    """
    targets = np.array([_values(state) for state in performance.frames])
    position, velocity = targets[0].copy(), np.zeros(6)
    poses = [_pose(position)]
    per_frame = max(1, round(1 / (performance.fps * STEP)))
    step = 1 / (performance.fps * per_frame)
    for before, after in pairwise(targets):
        for k in range(per_frame):
            target = before + (after - before) * ((k + 1) / per_frame)
            velocity += step * FREQUENCY * (FREQUENCY * (target - position) - 2 * velocity)
            position = position + step * velocity
        position = after + np.clip(position - after, -LAG_LIMIT, LAG_LIMIT)
        poses.append(_pose(position))
    return tuple(poses)


def _values(state: FrameState) -> tuple[float, ...]:
    return (state.yaw, state.pitch, state.roll, state.x, state.y, state.z)


def _pose(values: np.ndarray) -> HeadPose:
    return HeadPose(euler(*(float(v) for v in values[:3])), values[3:].copy())
