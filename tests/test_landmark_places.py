"""Where landmarks say that each pixel of a frame is in the portrait."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from durian.portrait.expression import EYES, LOWER_LIP
from durian.portrait.geometry import face_template, transform_points
from durian.portrait.landmark_places import landmark_places

SIZE = 256
MIDDLE = (128.0, 120.0)


def face(scale: float = 60.0) -> np.ndarray:
    points = face_template().astype(np.float64) * scale
    points[:, :2] += MIDDLE
    return points


def pixels(known: np.ndarray) -> np.ndarray:
    return (known[..., :2] + 1) * (len(known) / 2)


def own(size: int = SIZE) -> np.ndarray:
    return np.stack(np.meshgrid(*[np.arange(size) + 0.5] * 2), -1)


def test_a_face_at_rest_is_where_it_was():
    known = landmark_places(face(), face(), SIZE)
    assert known.shape == (SIZE, SIZE, 3)
    assert known.dtype == np.float32
    sure = known[..., 2] > 0.5
    assert 0.05 < sure.mean() < 0.4
    assert np.abs(pixels(known) - own())[sure].max() < 0.05


@settings(deadline=None, max_examples=12)
@given(
    st.floats(0.7, 1.4), st.floats(-0.5, 0.5), st.floats(-0.2, 0.2), st.floats(-20, 20), st.floats(-20, 20)
)
def test_of_an_affine_motion_every_place_is_exact(
    scale: float, turn: float, shear: float, x: float, y: float
):
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = linear @ np.array([[1, shear], [0, 1]])
    matrix = np.concatenate([linear, (np.add(MIDDLE, (x, y)) - linear @ MIDDLE)[:, None]], 1)
    target = transform_points(matrix, face())
    known = landmark_places(face(), target, SIZE)
    inverse = (own() - matrix[:, 2]) @ np.linalg.inv(linear).T
    sure = known[..., 2] > 0.5
    assert sure.mean() > 0.02
    assert np.abs(pixels(known) - inverse)[sure].max() < 0.2  # along lids, by their rim


def test_what_is_away_from_the_face_or_in_the_mouth_is_unknown():
    open_mouth = face()
    open_mouth[list(LOWER_LIP), 1] += 8
    known = landmark_places(face(), open_mouth, SIZE)
    assert not known[:20, :, 2].any()
    assert not known[:, :20, 2].any()
    mouth = open_mouth[[13, 14], :2].mean(0).astype(int)
    assert known[mouth[1], mouth[0], 2] == 0
    assert known[int(open_mouth[17, 1]), int(open_mouth[17, 0]), 2] > 0.5  # below the lower lip


def test_where_there_is_no_face_nothing_is_known():
    nobody, point = np.full((478, 3), np.nan), np.full((478, 3), 30.0)
    for source, target in ((nobody, face()), (face(), nobody), (point, face()), (face(), point)):
        assert not landmark_places(source, target, 64).any()


def test_a_cheek_that_is_turned_away_is_unknown():
    turn = np.radians(70)
    rotation = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    turned = face_template() @ rotation.T * 60
    turned[:, :2] += MIDDLE
    confidence = landmark_places(turned, face(), SIZE)[..., 2]
    cheeks = sorted(confidence[y, x] for x, y in face()[[50, 280], :2].astype(int))
    assert cheeks[0] < 0.3 < 0.6 < cheeks[1]
    # Nor does a turned face show anything of it.
    at = [face()[mark, :2] for mark in (50, 280)]
    (hidden,) = (point for point in at if confidence[tuple(point[::-1].astype(int))] < 0.3)
    known = landmark_places(face(), turned, SIZE)
    assert np.linalg.norm(pixels(known)[known[..., 2] > 0.5] - hidden, axis=1).min() > 6


def test_eyeballs_go_with_their_irises():
    aside = face()
    aside[468:, 0] += 3
    known = landmark_places(face(), aside, SIZE)
    for iris in (468, 473):
        x, y = aside[iris, :2].astype(int)
        np.testing.assert_allclose(pixels(known)[y, x] - own()[y, x], (-3, 0), atol=0.05)
        assert known[y, x, 2] == 1
    # Skin does not.
    for brow in (105, 334):
        x, y = aside[brow, :2].astype(int)
        np.testing.assert_allclose(pixels(known)[y, x], own()[y, x], atol=0.05)


def shut(points: np.ndarray) -> np.ndarray:
    """Upper lids down on the lower ones."""
    points = points.copy()
    for lids, _, _ in EYES:
        for upper, lower in lids:
            points[upper] = points[lower]
    return points


def test_shut_lids_show_no_eyeball():
    opened, closed = face(100.0), shut(face(100.0))
    known = landmark_places(opened, closed, SIZE)
    for lids, _, iris in EYES:
        # Between the lids of the portrait, where the frame shows an upper lid.
        places = pixels(known)[known[..., 2] > 0.3]
        middle, half = opened[iris[0], :2], 0.25 * np.ptp(opened[[lids[3][0], lids[3][1]], 1])
        assert not (np.abs(places - middle) < half).all(1).any()
    # And the lid is stretched from the skin above it, its edge staying its edge.
    upper = closed[159, :2].astype(int)
    assert abs(pixels(known)[upper[1] - 2, upper[0]][1] - opened[159, 1]) < 4
