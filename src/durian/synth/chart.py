"""Where the points of MediaPipe's face mesh lie on any head, as numbers in a chart all heads share.

Most points are a longitude and latitude on a mean head, warped to a person's so that eye corners, brows,
nose, lips and chin come to lie where that person has them. Points on the eyelids, the irises and the
parting line of the lips lie on those curves by construction.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from importlib.resources import files

import numpy as np
from jaxtyping import Float, Float32, Int

from durian.synth.head import Head
from durian.synth.identity import Identity

COUNT = 478
RIGHT_LOWER_LID = (7, 163, 144, 145, 153, 154, 155)  # from the outer to the inner corner
RIGHT_UPPER_LID = (33, 246, 161, 160, 159, 158, 157, 173, 133)  # with both corners
LEFT_LOWER_LID = (249, 390, 373, 374, 380, 381, 382)
LEFT_UPPER_LID = (263, 466, 388, 387, 386, 385, 384, 398, 362)
UPPER_PARTING = (191, 80, 81, 82, 13, 312, 311, 310, 415)  # of the lips, from the image's left
LOWER_PARTING = (95, 88, 178, 87, 14, 317, 402, 318, 324)
PARTING_CORNERS = (78, 308)
RIGHT_IRIS = (468, 469, 470, 471, 472)  # middle, then right, up, left, down in the picture
LEFT_IRIS = (473, 474, 475, 476, 477)


class Kind(IntEnum):
    """What a landmark lies on. MediaPipe's right is the person's own: the image's left."""

    SKIN = 0
    RIGHT_UPPER = 1
    RIGHT_LOWER = 2
    LEFT_UPPER = 3
    LEFT_LOWER = 4
    UPPER_LIP = 5
    LOWER_LIP = 6
    RIGHT_IRIS = 7
    LEFT_IRIS = 8


def landmark_kinds() -> Int[np.ndarray, " 478"]:
    """The kind of every landmark."""
    kinds = np.full(COUNT, Kind.SKIN)
    for kind, points in (
        (Kind.RIGHT_UPPER, RIGHT_UPPER_LID),
        (Kind.RIGHT_LOWER, RIGHT_LOWER_LID),
        (Kind.LEFT_UPPER, LEFT_UPPER_LID),
        (Kind.LEFT_LOWER, LEFT_LOWER_LID),
        (Kind.UPPER_LIP, (*UPPER_PARTING, *PARTING_CORNERS)),
        (Kind.LOWER_LIP, LOWER_PARTING),
        (Kind.RIGHT_IRIS, RIGHT_IRIS),
        (Kind.LEFT_IRIS, LEFT_IRIS),
    ):
        kinds[list(points)] = kind
    return kinds


@cache
def landmark_chart() -> Float32[np.ndarray, "478 2"]:
    """The chart that `durian.synth.chart_fit.fit_chart` found.

    For skin: longitude and latitude on the mean head. For lids: -1 at the inner, 1 at the outer corner.
    For the lips' parting line: the longitude in shares of the corners'. The other numbers are unused.
    """
    with (files("durian.synth") / "landmark_chart.npy").open("rb") as file:
        return np.load(file, allow_pickle=False)


def even_lids_and_lips() -> Float[np.ndarray, "478 2"]:
    """Chart values of the points on curves, spread evenly: what the fit starts from."""
    chart = np.zeros((COUNT, 2))
    for upper, lower in ((RIGHT_UPPER_LID, RIGHT_LOWER_LID), (LEFT_UPPER_LID, LEFT_LOWER_LID)):
        chart[list(upper), 0] = np.linspace(1, -1, len(upper))
        chart[list(lower), 0] = np.linspace(1, -1, len(lower) + 2)[1:-1]
    for line in (UPPER_PARTING, LOWER_PARTING):
        chart[list(line), 0] = np.linspace(-1, 1, len(line) + 2)[1:-1]
    chart[list(PARTING_CORNERS), 0] = (-1, 1)
    return chart


def anchors(head: Head) -> Float[np.ndarray, "a 2"]:
    """Longitude and latitude of places that every face has, on both sides."""
    identity = head.identity
    eyes, nose, brows, lips = identity.eyes, identity.nose, identity.brows, identity.lips
    wing = nose.width + 0.05 + 0.6 * nose.ala
    chin = identity.jaw.chin_height
    up, low = eyes.upper * eyes.width, eyes.lower * eyes.width
    slope = eyes.tilt * eyes.width
    right = np.array(
        [
            (eyes.x - eyes.width, eyes.y - slope),
            (eyes.x + eyes.width, eyes.y + slope),
            (eyes.x, eyes.y + up),
            (eyes.x, eyes.y - low),
            (eyes.x - 0.2, brows.height - 0.03 + 0.06),
            (eyes.x + 0.01, brows.height + brows.arch),
            (eyes.x + 0.22, brows.height - 0.03),
            (wing, nose.height + 0.01),
        ]
    )
    middle = np.array(
        [
            (0.0, 0.16),
            (0.0, 0.5 * (nose.height + 0.16)),
            (0.0, nose.height),
            (0.0, nose.height - 0.11),
            (0.0, chin),
        ]
    )
    points = np.concatenate([right, right * (-1, 1), middle])
    z = head.front_z(points[:, 0], points[:, 1])
    lon, lat = head.angles(np.stack([points[:, 0], points[:, 1], z], -1))
    corner, mouth = head.mouth_lon, head.mouth_lat
    on_lips = np.array([(-corner, mouth), (corner, mouth), (0, mouth + lips.upper), (0, mouth - lips.lower)])
    # Far from the features, a face is as the mean head is.
    rim = np.array([(s * lon, lat) for s in (-1, 1) for lon, lat in ((1.45, 0.1), (1.3, -0.5), (0.9, 0.8))])
    return np.concatenate([np.stack([lon, lat], -1), on_lips, rim, [(0.0, 0.85)]])


@cache
def mean_anchors() -> Float[np.ndarray, "a 2"]:
    """The anchors of the mean head."""
    return anchors(Head(Identity()))


def warp_matrix(points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n a"]:
    """Weights with which the anchors' shifts move points of the chart: a thin-plate spline."""
    base = mean_anchors()

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        squared = ((a[:, None] - b[None]) ** 2).sum(-1)
        return 0.5 * squared * np.log(squared + 1e-12)

    count = len(base)
    plane = np.concatenate([np.ones((count, 1)), base], 1)
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = kernel(base, base) + 1e-4 * np.eye(count)
    system[:count, count:], system[count:, :count] = plane, plane.T
    rows = np.concatenate([kernel(points, base), np.ones((len(points), 1)), points], 1)
    return np.linalg.solve(system, rows.T).T[:, :count]


@cache
def _chart_warp() -> Float[np.ndarray, "478 a"]:
    return warp_matrix(landmark_chart().astype(np.float64))


def person_chart(head: Head, chart: Float[np.ndarray, "478 2"] | None = None) -> Float[np.ndarray, "478 2"]:
    """The chart with its skin points warped to a person's longitudes and latitudes."""
    shift = anchors(head) - mean_anchors()
    warp = _chart_warp() if chart is None else warp_matrix(chart)
    out = np.array(landmark_chart() if chart is None else chart, np.float64)
    skin = landmark_kinds() == Kind.SKIN
    out[skin] += (warp @ shift)[skin]
    return out
