"""What a photo says about each pixel around a face: the input of the built-in masks' network.

Colours count as differences from the face's own skin, crown and background, in parts of what light does,
and texture as direction and contrast: a network that sees no plain colours cannot learn by heart those of
the synthetic people whom it is trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from durian.portrait.crop import EYE_CENTRE, EYE_DISTANCE
from durian.portrait.face_frame import FaceFrame
from durian.portrait.geometry import transform_points, warp_image
from durian.portrait.head_pose import head_pose
from durian.portrait.keypoints import LEFT_BROW, LEFT_EYE, LIPS_OUTER, RIGHT_BROW, RIGHT_EYE

GRID = 96
"""Pixels a side that are looked at."""

CHANNELS = 22
"""Of the evidence of one pixel."""

_ACROSS, _X = 12, 15  # channels that change their sign in a mirror
_COLOURS = (60.0, 16.0, 20.0)  # of OpenCV's 8-bit Lab, that differ a lot
_FAR = 6.0  # deviations from a region's colours that differ a lot
_FINE, _COARSE = 0.05, 0.15  # deviations of blurs, in distances between the outer eye corners
_BINS = (12, 14, 14)  # of Lab, for the shares of colours in a region
_SPAN = ((0.0, 256.0), (83.0, 173.0), (73.0, 183.0))  # that they cover


@dataclass(frozen=True)
class MaskFrame:
    """An upright square of `GRID` pixels about a face, framed as `FaceCrop` does but without the head's roll.

    `matrix` brings pixels of the image to those of the square, both with centres at .5.
    """

    matrix: Float[np.ndarray, "2 3"]

    @classmethod
    def of(cls, landmarks: Float[np.ndarray, "478 3"]) -> MaskFrame:
        pose = head_pose(landmarks)
        zoom, roll = EYE_DISTANCE * GRID / pose.scale, np.radians(pose.roll)
        turn = zoom * np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
        return cls(np.column_stack([turn, np.array(EYE_CENTRE) * GRID - turn @ pose.shift[:2]]))

    @property
    def unit(self) -> float:
        """Pixels of the image to the distance between the outer eye corners."""
        return EYE_DISTANCE * GRID / float(np.sqrt(np.linalg.det(self.matrix[:, :2])))

    def cut(self, image: np.ndarray, border: int = cv2.BORDER_REPLICATE) -> np.ndarray:
        """The square out of an image or a mask."""
        return warp_image(image, self.matrix, (GRID, GRID), border)

    def cut_lines(self, lines: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "S S"]:
        """The square out of a map of thin lines, which shrinking does not blur away."""
        side = 2 * round(0.4 * self.unit / (EYE_DISTANCE * GRID)) + 1  # of an image's pixel in the square
        return self.cut(cv2.dilate(lines, np.ones((side, side), np.uint8)))

    def points(self, landmarks: Float[np.ndarray, "478 3"]) -> Float[np.ndarray, "478 3"]:
        """Landmarks in pixels of the square."""
        return transform_points(self.matrix, landmarks)

    def back(self, values: Float[np.ndarray, "S S"], size: tuple[int, int]) -> Float[np.ndarray, "H W"]:
        """Values of the square in an image of `size`, height and width; its border goes on beyond it."""
        return warp_image(values, cv2.invertAffineTransform(self.matrix), size, cv2.BORDER_REPLICATE)


def evidence(
    image: UInt8[np.ndarray, "S S 3"],
    person: Float[np.ndarray, "S S"],
    lines: Float[np.ndarray, "S S"],
    landmarks: Float[np.ndarray, "478 3"],
    seen: Float[np.ndarray, "S S"],
) -> Float[np.ndarray, "C S S"]:
    """Features of the pixels of a `MaskFrame`'s square, about in [-1, 1].

    Args:
        image: RGB.
        person: how likely a pixel shows the person, in [0, 1].
        lines: of the picture at its own resolution, in which thin rims still show (`line_contrast`).
        landmarks: in pixels of the square.
        seen: 1 where the picture is, 0 beyond its border.
    """
    face = FaceFrame(image, landmarks)
    light = face.lab[..., 0]
    above = ~face.grow(face.oval, 0.05) & (person > 0.6)
    crown = above & (np.abs(face.u) < 0.5) & (face.v < -0.85)
    around = above & (np.abs(face.u) < 1.1) & (face.v < 0.4)
    behind = (person < 0.2) & (seen > 0.5)
    skin = np.median(face.lab[face.cheeks], 0) if face.cheeks.any() else np.full(3, 128.0)
    fine = light - cv2.GaussianBlur(light, (0, 0), _FINE * face.unit)
    coarse = light - cv2.GaussianBlur(light, (0, 0), _COARSE * face.unit)
    contrast = np.sqrt(cv2.GaussianBlur(fine**2, (0, 0), _FINE * face.unit))
    other_side = np.linalg.norm((face.lab - face.lab[:, ::-1]) / _COLOURS, axis=-1)
    along, across = _direction(light, _FINE * face.unit)
    columns = [
        *np.moveaxis(np.tanh((face.lab - skin) / _COLOURS), -1, 0),
        np.tanh(face.skin / _FAR),
        np.tanh(face.distance(crown) / _FAR),
        _shares(face.lab, around, behind),
        _shares(face.lab, around, face.oval & ~face.grow(~face.oval, 0.05)),
        2 * person - 1,
        np.tanh(fine / 12),
        np.tanh(coarse / 30),
        np.tanh(contrast / 12),
        along,
        across,
        np.tanh(np.log1p(lines)),
        np.tanh(other_side),
        *_places(),
        np.tanh(_depth(face.oval) / (0.4 * face.unit)),
        *(_drawn(face, parts) for parts in ((LEFT_EYE, RIGHT_EYE), (LEFT_BROW, RIGHT_BROW), (LIPS_OUTER,))),
        seen,
    ]
    return np.stack(columns).astype(np.float32)


def mirrored(evidence: Float[np.ndarray, "*N C S S"]) -> Float[np.ndarray, "*N C S S"]:
    """The evidence of the picture in a mirror."""
    out = evidence[..., ::-1].copy()
    out[..., (_ACROSS, _X), :, :] *= -1
    return out


def _shares(lab: np.ndarray, one: Bool[np.ndarray, "S S"], other: Bool[np.ndarray, "S S"]) -> np.ndarray:
    """Whether each pixel's colour is more frequent in one region (towards 1) or in another (towards -1)."""
    if min(one.sum(), other.sum()) < 8:
        return np.zeros(lab.shape[:2])
    cells = [
        np.clip((lab[..., k] - low) / (high - low) * bins, 0, bins - 1).astype(int)
        for k, (bins, (low, high)) in enumerate(zip(_BINS, _SPAN, strict=True))
    ]
    cell = np.ravel_multi_index(tuple(cells), _BINS)
    first, second = (
        _smooth(np.bincount(cell[region], minlength=int(np.prod(_BINS))).reshape(_BINS) / region.sum())
        for region in (one, other)
    )
    ratio = np.log((first + 1e-4) / (second + 1e-4)) / 4
    return np.tanh(cv2.GaussianBlur(ratio.ravel()[cell].astype(np.float32), (0, 0), 0.7))


def _smooth(counts: np.ndarray) -> np.ndarray:
    """Neighbouring colours count too."""
    for axis in range(3):
        padded = np.pad(counts, [(1, 1) if k == axis else (0, 0) for k in range(3)])
        before, at, after = (
            np.take(padded, np.arange(shift, shift + counts.shape[axis]), axis) for shift in range(3)
        )
        counts = 0.25 * before + 0.5 * at + 0.25 * after
    return counts


def _direction(light: np.ndarray, blur: float) -> tuple[np.ndarray, np.ndarray]:
    """How clearly lines run one way, as the sine and cosine of twice their angle (the structure tensor)."""
    x, y = (cv2.Sobel(light, cv2.CV_32F, *order) / 8 for order in ((1, 0), (0, 1)))
    xx, yy, xy = (cv2.GaussianBlur(product, (0, 0), blur) for product in (x * x, y * y, x * y))
    total = xx + yy + 2.0
    return (xx - yy) / total, 2 * xy / total


@cache
def _places() -> tuple[np.ndarray, np.ndarray]:
    axis = np.linspace(-1, 1, GRID)
    return np.broadcast_to(axis, (GRID, GRID)), np.broadcast_to(axis[:, None], (GRID, GRID))


def _depth(mask: np.ndarray) -> np.ndarray:
    """Pixels to the mask's border, negative outside."""
    inside, outside = (cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, 3) for part in (mask, ~mask))
    return inside - outside


def _drawn(face: FaceFrame, parts: tuple[tuple[int, ...], ...]) -> np.ndarray:
    return np.any([face.polygon(part) for part in parts], axis=0).astype(np.float32)
