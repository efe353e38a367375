"""Motion transfer frame by frame, and what of the motion is taken over."""

from __future__ import annotations

import numpy as np
import pytest

from durian.errors import DurianError
from durian.portrait.geometry import face_template
from durian.portrait.head_pose import HeadPose, head_pose
from durian.portrait.motion_transfer import MotionOptions, MotionTransfer, transfer_stream
from durian.portrait.retarget import retarget
from durian.synth.pose import euler

FLIP = np.diag([1.0, -1, -1])  # from y up and z towards the camera to image axes


def posed(
    yaw: float = 0, pitch: float = 0, roll: float = 0, scale: float = 100, x: float = 200, y: float = 180
) -> np.ndarray:
    """The mean face, turned by angles in degrees."""
    rotation = FLIP @ euler(*np.radians([yaw, pitch, roll])) @ FLIP
    return (scale * face_template() @ rotation.T + (x, y, 0)).astype(np.float32)


@pytest.mark.parametrize(
    "angles", [(0, 0, 0), (30, 0, 0), (0, -20, 0), (0, 0, 15), (-25, 12, 8), (60, 5, -10)]
)
def test_head_pose_gives_back_the_angles(angles: tuple[float, float, float]) -> None:
    pose = head_pose(posed(*angles))
    zero = head_pose(posed())
    assert pose.yaw == pytest.approx(angles[0], abs=0.1)
    assert pose.pitch - zero.pitch == pytest.approx(angles[1], abs=0.1)
    assert pose.roll == pytest.approx(angles[2], abs=0.1)
    assert pose.scale == pytest.approx(100, rel=1e-3)
    points = posed(*angles)
    assert pose.to_image(pose.to_face(points)) == pytest.approx(points, abs=1e-2)


def test_a_stream_is_mapped_as_the_whole_clip_is() -> None:
    """As long as the reference and the middle are the same; and frames come as soon as they can."""
    driver = [posed(10 * np.sin(step / 5), x=200 + 3 * np.sin(step / 3)) for step in range(40)]
    portrait = posed(5, scale=36, x=64, y=60)
    seen = 0

    def faces():
        nonlocal seen
        for landmarks in driver:
            seen += 1
            yield landmarks

    streamed, delays = [], []
    for landmarks in transfer_stream(faces(), MotionTransfer(portrait), warm_up=12):
        streamed.append(landmarks)
        delays.append(seen - len(streamed))
    assert len(streamed) == 40
    assert max(delays) == 11
    assert delays[-1] == 0
    transfer = MotionTransfer(portrait)
    transfer.fit(np.stack(driver[:12]), whole=False)
    assert np.stack(streamed) == pytest.approx(np.stack([transfer(frame) for frame in driver]), abs=1e-3)
    whole = retarget(np.stack(driver), portrait)
    offset = (np.stack(streamed) - whole).mean((0, 1))
    assert np.stack(streamed) - offset == pytest.approx(whole, abs=2.5), "but for the place, about the same"


def test_a_stream_without_faces_keeps_the_portrait_still() -> None:
    portrait = posed(scale=36, x=64, y=60)
    still = list(transfer_stream([None] * 5, MotionTransfer(portrait)))
    assert len(still) == 5
    assert all((frame == portrait).all() for frame in still)
    mixed: list[np.ndarray | None] = [None, *[posed(step) for step in range(6)], None, posed(9), None]
    moved = list(transfer_stream(mixed, MotionTransfer(portrait), warm_up=3))
    assert len(moved) == len(mixed)
    assert (moved[0] == portrait).all()
    assert (moved[7] == moved[6]).all()
    assert (moved[9] == moved[8]).all()
    short = list(transfer_stream(mixed, MotionTransfer(portrait), warm_up=50))
    assert len(short) == len(mixed), "even when the video ends before the reference is chosen"


def test_a_stream_that_walks_away_stays_in_the_picture() -> None:
    portrait = posed(scale=36, x=64, y=60)
    walking = [posed(x=100 + 20 * step) for step in range(60)]
    moved = np.stack(list(transfer_stream(walking, MotionTransfer(portrait), warm_up=4)))
    centres = moved[:, [33, 263], 0].mean(1)
    assert (np.diff(centres) > -1e-3).all()
    assert centres.max() - 64 < 0.6 * 36 + 1


def expressive() -> np.ndarray:
    """Three frames: at rest; mouth open; brows up and eyes shut."""
    still = posed()
    speak, stare = still.copy(), still.copy()
    below = face_template()[:, 1] > face_template()[13, 1] + 0.005
    speak[below, 1] += 25
    stare[[70, 63, 105, 66, 107, 336, 296, 334, 293, 300], 1] -= 15
    for upper, lower in ((159, 145), (158, 153), (160, 144), (386, 374), (385, 380), (387, 373)):
        stare[upper, 1] = stare[lower, 1]
    return np.stack([still, speak, stare])


@pytest.mark.parametrize("region", ["eyes", "brows", "lips", "pose"])
def test_only_the_chosen_region_moves(region: str) -> None:
    driver = np.concatenate([expressive(), [posed(20)]])
    portrait = posed(scale=50, x=64, y=60)
    moved = retarget(driver, portrait, 0, options=MotionOptions(regions=(region,)))
    change = np.linalg.norm(moved - portrait, axis=-1)
    changes = {
        "lips": change[1, 14],
        "brows": change[2, 105],
        "eyes": change[2, 159],
        "pose": change[3, 4],
    }
    assert changes.pop(region) > 1.5
    assert max(changes.values()) < 0.6


def test_head_motion_can_be_scaled_and_absolute() -> None:
    driver = np.stack([posed(yaw) for yaw in (10, 25)])
    portrait = posed(-15, scale=50, x=64, y=60)

    def yaws(**options) -> list[float]:
        return [
            head_pose(face).yaw for face in retarget(driver, portrait, 0, options=MotionOptions(**options))
        ]

    assert yaws() == pytest.approx([-15, 0], abs=0.5)
    assert yaws(head_scale=2) == pytest.approx([-15, 15], abs=0.5)
    assert yaws(head_scale=0) == pytest.approx([-15, -15], abs=0.5)
    assert yaws(absolute=True) == pytest.approx([10, 25], abs=0.5)


def test_an_unknown_region_is_refused() -> None:
    with pytest.raises(DurianError, match="unknown region 'ears'"):
        MotionOptions(regions=("ears",))  # ty: ignore[invalid-argument-type]


def test_angles_between_poses() -> None:
    one, other = head_pose(posed(10)), head_pose(posed(-20))
    assert one.angle_to(other) == pytest.approx(30, abs=0.1)
    assert isinstance(one, HeadPose)
