"""What a mask on one head says about each pixel of a picture of another: the Face Aligner's input."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from jaxtyping import Float

from durian.portrait.geometry import fit_similarity
from durian.portrait.head_proxy import MIRROR, Head

_SHELLS = (0.85, 1.05, 1.3)  # radii of the ellipsoids, from scalp to the brim of a hat
_SOFTNESS = 0.14  # deviation of the blurred lookups, in distances between the outer eye corners
_COARSE_X = np.linspace(-1.6, 1.6, 5)
_COARSE_Y = np.linspace(-1.7, 2.3, 6)


def evidence(
    mask: Float[np.ndarray, "H W"], source: Head, target: Head, pixels: Float[np.ndarray, "P 2"]
) -> Float[np.ndarray, "P C"]:
    """Features of pixels of the target.

    The mask is read, sharp and blurred, where the source shows the pixel's point of each shell and of the
    face, and where it shows the same point of the head's other side: what one side hides, the other tells.
    Then where on the head the pixel is, how both heads are turned, and the mask as a whole, coarsely; as in
    a mirror if the target is turned to the left of the source, so that both ways are one case.

    Args:
        mask: in [0, 1], in the source's pixels. source, target: the heads. pixels: x, y in the target.
    """
    mask = mask.astype(np.float32)
    sharp = cv2.GaussianBlur(mask, (0, 0), max(0.4 * source.scale / target.scale, 0.3))
    soft = cv2.GaussianBlur(mask, (0, 0), _SOFTNESS * source.scale)
    columns = []
    for radius in _SHELLS:
        points, beside = target.shell(pixels, radius)
        for side in (1.0, MIRROR):
            place = source.project(points * side)
            columns += [_read(sharp, place), _read(soft, place), source.facing(points * side)]
        if radius == _SHELLS[1]:
            where, distance = points, beside
    face = target.face_points(pixels)
    for side in (1.0, MIRROR):
        place = source.face_pixels(face * side)
        columns += [_read(sharp, place), _read(soft, place)]
    columns.append(_read(sharp, _in_plane(pixels, source, target)))
    mirror = np.copysign(1.0, target.rotation[0, 2] - source.rotation[0, 2])
    columns += [where[:, 0] * mirror, where[:, 1], where[:, 2] - 0.8, np.minimum(distance, 3)]
    columns += [face[:, 0] * mirror, face[:, 1], np.abs(face[:, 0])]
    turned = [axis for head in (source, target) for axis in head.rotation[:2, 2] * (mirror, 1)]
    whole = _coarse(soft, source)
    constant = np.broadcast_to(np.concatenate([turned, whole]), (len(pixels), len(turned) + len(whole)))
    return np.concatenate([np.stack(columns, 1), constant], 1).astype(np.float32)


def _read(mask: np.ndarray, places: Float[np.ndarray, "N 2"]) -> Float[np.ndarray, " N"]:
    """Values at places; hair that the picture cuts off goes on beyond its border."""
    places = np.clip(places - 0.5, -1, max(mask.shape))  # OpenCV's pixel centres lie at whole numbers
    x, y = places.T.astype(np.float32)[..., None]
    return cv2.remap(mask, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[:, 0]


def _in_plane(pixels: np.ndarray, source: Head, target: Head) -> np.ndarray:
    """Where a similarity of the image plane, which knows no turned head, has the pixels in the source."""
    scale, rotation, shift = fit_similarity(target.anchors, source.anchors)
    return scale * pixels @ rotation.T + shift


@cache
def _coarse_points() -> Float[np.ndarray, "N 3"]:
    grid = np.stack(np.meshgrid(_COARSE_X, _COARSE_Y), -1).reshape(-1, 2)
    return np.concatenate([grid, np.full((len(grid), 1), 0.3)], 1)


def _coarse(soft: np.ndarray, source: Head) -> Float[np.ndarray, " C"]:
    """The mask in a coarse grid about the source's face: mean and maximum of both sides."""
    values = _read(soft, source.project(_coarse_points())).reshape(len(_COARSE_Y), len(_COARSE_X))
    both = np.stack([values, values[:, ::-1]])[:, :, : len(_COARSE_X) // 2 + 1]
    return np.concatenate([both.mean(0).ravel(), both.max(0)[:, :-1].ravel()])
