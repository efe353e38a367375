"""Lids of shut eyes meet, and those of open ones stay where they are found."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from durian.portrait.expression import EYES
from durian.portrait.geometry import face_template
from durian.portrait.lids import lids_shut


def face(share: float, angle: float = 0.0, scale: float = 80.0) -> np.ndarray:
    """The template with its lids so far apart, in shares of the width of each eye, turned in the picture."""
    landmarks = face_template().astype(np.float64)
    for lids, corners, _ in EYES:
        upper, lower = np.array(lids).T
        gap = landmarks[upper] - landmarks[lower]
        width = np.linalg.norm(landmarks[corners[0]] - landmarks[corners[1]])
        landmarks[upper] = landmarks[lower] + gap * share * width / np.linalg.norm(gap[:, :2], axis=1).mean()
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    landmarks[:, :2] = landmarks[:, :2] @ turn.T
    return landmarks * scale + 100


def apart(landmarks: np.ndarray) -> list[float]:
    told = []
    for lids, corners, _ in EYES:
        upper, lower = np.array(lids).T
        gap = np.linalg.norm((landmarks[upper] - landmarks[lower])[:, :2], axis=1).mean()
        told.append(gap / np.linalg.norm(landmarks[corners[0]] - landmarks[corners[1]]))
    return told


@given(st.floats(0.2001, 0.6), st.floats(-np.pi, np.pi), st.floats(5, 500))
def test_open_eyes_stay_as_they_are(share: float, angle: float, scale: float):
    found = face(share, angle, scale)
    np.testing.assert_array_equal(lids_shut(found), found)


@given(st.floats(0.0, 0.05), st.floats(-np.pi, np.pi), st.floats(5, 500))
def test_lids_that_nearly_meet_meet(share: float, angle: float, scale: float):
    found = face(share, angle, scale)
    made = lids_shut(found)
    np.testing.assert_allclose(apart(made), 0, atol=1e-9)
    uppers = [upper for lids, _, _ in EYES for upper, _ in lids]
    np.testing.assert_array_equal(np.delete(made, uppers, 0), np.delete(found, uppers, 0))


@given(st.floats(0.0, 0.6), st.floats(0.0, 0.1))
def test_lids_that_are_found_further_apart_are_further_apart(share: float, more: float):
    (near, *_), (far, *_) = (apart(lids_shut(face(each))) for each in (share, share + more))
    assert far >= near - 1e-9
    assert far - near <= 4 / 3 * more + 1e-9  # nothing jumps
