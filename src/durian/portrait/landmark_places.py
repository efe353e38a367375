"""Where in a picture of a person each pixel of a frame of the same person is, as landmarks say.

Attention finds places of a reference to a pixel or two, which is a third of an iris. Landmarks say of eyes,
lids, brows and lips where they are, to a fraction of a pixel and in both pictures. Between them places are
found by moving least squares (Schaefer et al., 2006): of lids and lips, which meet and part, by the landmarks
of one side alone, and of eyeballs, over which lids close, by the iris.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32

from durian.portrait.expression import EYES, LIPS, LOWER_LIP, UPPER_LIP
from durian.portrait.geometry import ANCHORS, face_template, fit_similarity

_FACE = 468
"""Landmarks before the irises'."""

_SIGMA, _FINE_SIGMA = 0.05, 0.03
"""How far a landmark is heard, in distances between the outer eye corners: of the face, and near openings."""

_STIFF = 0.02
"""Of the maps, in the same unit: where landmarks lie on a line, what lies off it moves as the face does."""

_ENOUGH = 0.15
"""Landmarks heard at a pixel for a confidence of a half."""

_RIM = 0.012
"""How far from an opening skin begins, in distances between the outer eye corners."""

_BEYOND = 0.05
"""How far from what is seen of an eyeball the next may stand for what is not, in the same unit."""

_FACING = 0.3
"""Cosine to the camera from which on a landmark is seen."""

_STEP = 4
"""Pixels from one place of the face to the next that is worked out."""


@dataclass(frozen=True)
class _Opening:
    """Between lids or lips.

    Attributes:
        upper, lower: its borders, from corner to corner without these. corners: both of them.
        above, below: landmarks that go with the one border and not with the other.
        iris: what is seen in it, if anything that has landmarks.
    """

    upper: tuple[int, ...]
    lower: tuple[int, ...]
    corners: tuple[int, int]
    above: tuple[int, ...]
    below: tuple[int, ...]
    iris: tuple[int, ...] = ()


def _openings() -> tuple[_Opening, ...]:
    openings = []
    for lids, corners, iris in EYES:
        upper, lower = zip(*lids, strict=True)
        if (lids, corners) == EYES[1][:2]:  # whose corners go the other way
            upper, lower = upper[::-1], lower[::-1]
        openings.append(_Opening(upper, lower, corners, upper, lower, iris))
    upper, lower = zip(*LIPS, strict=True)
    openings.append(_Opening(upper, lower, (78, 308), UPPER_LIP, LOWER_LIP))
    return tuple(openings)


_OPENINGS = _openings()


def landmark_places(
    source: Float[np.ndarray, "478 3"], target: Float[np.ndarray, "478 3"], size: int
) -> Float32[np.ndarray, "size size 3"]:
    """For each pixel of a frame the place in a picture of the same face, and how far that can be relied on.

    Args:
        source, target: landmarks of the picture and of the frame, in pixels of squares of `size`. Without a
            face (NaN) nothing is known.
        size: side in pixels.

    Returns:
        x and y in [-1, 1], and a confidence in [0, 1]: 0 away from the face, where it is turned away in
        either picture, in the mouth, and where lids hide in the picture what the frame shows.
    """
    known = np.zeros((size, size, 3), np.float32)
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        return known
    seen = np.flatnonzero((_facing(source) > _FACING) & (_facing(target) > _FACING))
    units = [float(np.linalg.norm(points[33, :2] - points[263, :2])) for points in (source, target)]
    if len(seen) < 3 or min(units) < 1:
        return known
    move = _Move(source[:, :2].astype(np.float32), target[:, :2].astype(np.float32), seen, units[1])
    _lay_face(move, known)
    for opening in _OPENINGS:
        _lay_opening(move, opening, known)
    known[..., :2] = known[..., :2] * (2 / size) - 1
    return known


@dataclass(frozen=True)
class _Move:
    """From landmarks of the frame to those of the picture.

    Attributes:
        seen: landmarks that face the camera in both.
        unit: distance between the outer eye corners, in pixels of the frame.
    """

    source: Float32[np.ndarray, "478 2"]
    target: Float32[np.ndarray, "478 2"]
    seen: np.ndarray
    unit: float

    def __call__(
        self, pixels: Float32[np.ndarray, "N 2"], landmarks: np.ndarray, sigma: float
    ) -> tuple[Float32[np.ndarray, "N 2"], Float32[np.ndarray, " N"]]:
        """Places by the affine map that fits the landmarks around each pixel best, and confidences."""
        there, here = self.source[landmarks], self.target[landmarks]
        middle = here.mean(0)
        here, pixels = here - middle, pixels - middle  # squares of small numbers keep their digits
        weights = _weights(pixels, here, sigma * self.unit)
        x, y = here.T[:, :, None]
        total, means, squares = np.split(
            weights
            @ np.concatenate([np.ones_like(x), here, there, x * here, y * y, x * there, y * there], 1),
            [1, 5],
            axis=1,
        )
        at, to = np.split(means / total, 2, axis=1)
        xx, xy, yy, xu, xv, yu, yv = (squares / total).T
        # M = (S + r)⁻¹ (J + r W) of the landmarks' own variances S, those between both pictures J, and W, the
        # map of all landmarks together.
        whole = np.linalg.lstsq(here, there - there.mean(0), rcond=None)[0]
        ridge = (_STIFF * self.unit) ** 2
        (x, y), (u, v) = at.T, to.T
        xx, xy, yy = xx - x * x + ridge, xy - x * y, yy - y * y + ridge
        joint = np.stack([xu - x * u, xv - x * v, yu - y * u, yv - y * v]) + ridge * whole.reshape(4, 1)
        first, second = yy * joint[:2] - xy * joint[2:], xx * joint[2:] - xy * joint[:2]
        maps = np.stack([first, second]) / (xx * yy - xy * xy)  # to each side x or y, of u and v
        places = to + np.einsum("na,abn->nb", pixels - at, maps)
        # Where the map turns the picture over, the landmarks contradict each other.
        upright = maps[0, 0] * maps[1, 1] - maps[0, 1] * maps[1, 0]
        upright = upright / max(float(np.linalg.det(whole)), 1e-6)
        total = total[:, 0]
        return places, total / (total + _ENOUGH) * (upright / 0.05).clip(0, 1)


def _weights(
    pixels: Float32[np.ndarray, "N 2"], landmarks: Float32[np.ndarray, "K 2"], sigma: float
) -> Float32[np.ndarray, "N K"]:
    """(1 + d²/σ²)⁻². Unlike a Gaussian's, between two lines of landmarks those of both count."""
    scaled, marks = pixels / sigma, landmarks / sigma
    ones = np.ones((len(scaled), 1), np.float32), np.ones((len(marks), 1), np.float32)
    left = np.concatenate([scaled, (scaled**2).sum(1, keepdims=True) + 1, ones[0]], 1)
    right = np.concatenate([-2 * marks, ones[1], (marks**2).sum(1, keepdims=True)], 1)
    weights = left @ right.T
    np.maximum(weights, 1, out=weights)
    np.multiply(weights, weights, out=weights)
    return np.reciprocal(weights, out=weights)


def _lay_face(move: _Move, known: Float32[np.ndarray, "size size 3"]) -> None:
    """All but openings, which is smooth."""
    size = len(known)
    side = size // _STEP
    centres = (np.arange(side, dtype=np.float32) + 0.5) * (size / side)
    pixels = np.stack(np.meshgrid(centres, centres), -1).reshape(-1, 2)
    around = move.target[move.seen]
    margin = 6 * _SIGMA * move.unit  # from where on hardly any is heard
    near = ((pixels > around.min(0) - margin) & (pixels < around.max(0) + margin)).all(1)
    places, confidence = move(pixels[near], move.seen, _SIGMA)
    coarse = np.zeros((side * side, 3), np.float32)
    coarse[near, :2], coarse[near, 2] = places - pixels[near], confidence
    known[:] = cv2.resize(coarse.reshape(side, side, 3), (size, size), interpolation=cv2.INTER_LINEAR)
    known[..., :2] += np.stack(np.meshgrid(*[np.arange(size, dtype=np.float32) + 0.5] * 2), -1)


def _lay_opening(move: _Move, opening: _Opening, known: Float32[np.ndarray, "size size 3"]) -> None:
    """The opening, and what is near it, over what the whole face says."""
    size = len(known)
    border = move.target[[*opening.upper, *opening.lower, *opening.corners]]
    middle, extent = border.mean(0), np.ptp(border, 0) / 2
    half = (
        extent.clip(0.5 * extent.max()) + 4 * _FINE_SIGMA * move.unit
    )  # shut lids are as large as open ones
    low, high = np.floor(middle - half).clip(0, size), np.ceil(middle + half).clip(0, size)
    (left, top), (right, bottom) = low.astype(int), high.astype(int)
    if right - left < 2 or bottom - top < 2:
        return
    box = known[top:bottom, left:right]
    columns, rows = np.arange(left, right, dtype=np.float32), np.arange(top, bottom, dtype=np.float32)
    pixels = np.stack(np.meshgrid(columns + 0.5, rows + 0.5), -1).reshape(-1, 2)
    local = np.empty((len(pixels), 3), np.float32)
    near = move.seen[(abs(move.target[move.seen] - middle) < half + 4 * _FINE_SIGMA * move.unit).all(1)]
    upper_half = _above(move.target, opening, pixels)
    lower_marks = _marks_below(move.target, opening, near)
    for chosen, others in ((upper_half, lower_marks > 0), (~upper_half, lower_marks < 0)):
        landmarks = near[~others]
        if len(landmarks) < 3:
            return
        places, confidence = move(pixels[chosen], landmarks, _FINE_SIGMA)
        places = _kept_outside(move, opening, pixels[chosen], places, chosen is upper_half)
        local[chosen] = np.concatenate([places, confidence[:, None]], 1)
    inside = _inside(move.target, opening, pixels)
    local[inside] = _seen_inside(move, opening, pixels[inside])
    # Nothing jumps where the box ends.
    edge = (1 - abs(pixels - middle) / half).min(1) / 0.25
    share = edge.clip(0, 1)[:, None]
    box[:] = ((1 - share) * box.reshape(-1, 3) + share * local).reshape(box.shape)


def _kept_outside(
    move: _Move,
    opening: _Opening,
    pixels: Float32[np.ndarray, "N 2"],
    places: Float32[np.ndarray, "N 2"],
    above: bool,
) -> Float32[np.ndarray, "N 2"]:
    """Lids that shut show more skin than open ones have: what there is is stretched, and no eyeball shows."""
    side = 0 if above else 1
    down, *borders = _heights(move.target, opening, pixels)
    unit = np.linalg.norm(move.source[33] - move.source[263])
    outside = abs(down - borders[side]) * (unit / move.unit)
    down, *borders = _heights(move.source, opening, places)
    rim = np.minimum(outside, _RIM * unit)
    inwards = down - borders[side]
    astray = np.maximum(inwards + rim, 0) if above else np.minimum(inwards - rim, 0)
    _, axes = _axes(move.source, opening)
    return (places - astray[:, None] * axes[:, 1]).astype(np.float32)


def _seen_inside(
    move: _Move, opening: _Opening, pixels: Float32[np.ndarray, "N 2"]
) -> Float32[np.ndarray, "N 3"]:
    """The eyeball turns with its iris. What lids hide in the picture, and what is in a mouth, is unknown."""
    if not opening.iris or not len(pixels):
        return np.zeros((len(pixels), 3), np.float32)
    there, here = move.source[list(opening.iris)], move.target[list(opening.iris)]
    turn = np.linalg.lstsq(here - here.mean(0), there - there.mean(0), rcond=None)[0]
    places = (pixels - here.mean(0)) @ turn + there.mean(0)
    # A little beyond the lids what is at their rim stands for it, lest a line along them be unknown.
    down, upper, lower = _heights(move.source, opening, places.astype(np.float32))
    hidden = np.maximum(upper - down, 0) - np.maximum(down - lower, 0)
    _, axes = _axes(move.source, opening)
    places = places + hidden[:, None] * axes[:, 1]
    unit = np.linalg.norm(move.source[33] - move.source[263])
    shown = 1 / (1 + (hidden / (_BEYOND * unit)) ** 4)
    return np.concatenate([places, shown[:, None]], 1).astype(np.float32)


def _axes(
    landmarks: Float32[np.ndarray, "478 2"], opening: _Opening
) -> tuple[Float32[np.ndarray, " 2"], Float32[np.ndarray, "2 2"]]:
    """Origin in the first corner, and axes along the opening and down."""
    first, last = landmarks[list(opening.corners)]
    along = (last - first) / max(float(np.linalg.norm(last - first)), 1e-6)
    along = along if along[0] >= 0 else -along
    return first, np.stack([along, np.array([-along[1], along[0]], np.float32)], 1)


def _heights(
    landmarks: Float32[np.ndarray, "478 2"], opening: _Opening, pixels: Float32[np.ndarray, "N 2"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How far down pixels and, above or below them, both borders are; outside of the corners these meet."""
    origin, axes = _axes(landmarks, opening)
    across, down = ((pixels - origin) @ axes).T
    heights = []
    for border in (opening.upper, opening.lower):
        line = (landmarks[[opening.corners[0], *border, opening.corners[1]]] - origin) @ axes
        line = line[np.argsort(line[:, 0])]
        heights.append(np.interp(across, *line.T))
    return down, heights[0], heights[1]


def _above(landmarks: np.ndarray, opening: _Opening, pixels: np.ndarray) -> Bool[np.ndarray, " N"]:
    down, upper, lower = _heights(landmarks, opening, pixels)
    return down < (upper + lower) / 2


def _marks_below(
    landmarks: Float32[np.ndarray, "478 2"], opening: _Opening, marks: np.ndarray
) -> Float[np.ndarray, " N"]:
    """1 for landmarks that go with the lower border, -1 with the upper one, 0 with both: those beyond the
    corners. Where borders meet, what is just below one must not pull at what is just above the other."""
    origin, axes = _axes(landmarks, opening)
    across = ((landmarks - origin) @ axes)[:, 0]
    low, high = sorted(across[list(opening.corners)])
    side = np.where(_above(landmarks, opening, landmarks[marks]), -1, 1)
    side[(across[marks] <= low) | (across[marks] >= high)] = 0
    side[np.isin(marks, opening.corners)] = 0
    side[np.isin(marks, opening.above)] = -1
    side[np.isin(marks, opening.below)] = 1
    return side


def _inside(landmarks: np.ndarray, opening: _Opening, pixels: np.ndarray) -> Bool[np.ndarray, " N"]:
    down, upper, lower = _heights(landmarks, opening, pixels)
    return (down > upper) & (down < lower)


def _facing(landmarks: Float[np.ndarray, "478 3"]) -> Float[np.ndarray, " 468"]:
    """Cosine between each landmark's normal and the direction to the camera, as the mean face's is turned."""
    anchors = list(ANCHORS)
    _, rotation, _ = fit_similarity(face_template()[anchors], landmarks[anchors])
    return -(_normals() @ rotation[2])


@cache
def _normals() -> Float[np.ndarray, "468 3"]:
    """Of the mean face, by planes that fit each landmark and its neighbours best; z away from the camera."""
    face = face_template()[:_FACE].astype(np.float64)
    squared = ((face[:, None] - face) ** 2).sum(2)
    neighbours = face[np.argsort(squared, 1)[:, :9]]
    centred = neighbours - neighbours.mean(1, keepdims=True)
    normals = np.linalg.svd(centred)[2][:, 2]
    inside = np.array([0, face[:, 1].mean(), face[:, 2].max()])
    outwards = np.sign(((face - inside) * normals).sum(1, keepdims=True))
    return normals * np.where(outwards == 0, 1, outwards)
