"""Plane geometry of landmarks: similarity fits, face coordinates, warps between two faces."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import cv2
import numpy as np
from jaxtyping import Float

from durian.portrait.head_shape import HEAD_SHAPE, MAX_TILT, HeadShape, undo_parallax

# A spread of the face mesh that is stable under MediaPipe's noise: brows, eyes, nose, lips, jaw, cheeks.
ANCHORS = (
    10, 338, 284, 251, 454, 361, 397, 379, 152, 150, 172, 132, 234, 21, 54, 109,  # oval
    70, 105, 107, 336, 334, 300,  # brows
    33, 159, 133, 145, 362, 386, 263, 374,  # eyelids
    168, 197, 4, 98, 327,  # nose
    61, 37, 267, 291, 314, 84, 13, 14, 78, 308,  # lips
    50, 280, 205, 425, 151, 9, 199,  # cheeks, forehead, chin
)  # fmt: skip


@cache
def face_template() -> Float[np.ndarray, "478 3"]:
    """Mean face in face coordinates: the origin between the eyes, x to the image's right, y down,
    z away from the camera, the distance between the outer eye corners 1.

    Generalised Procrustes mean (3D similarity) of the landmarks of synthetic portraits.
    """
    with (files("durian.portrait") / "template.npy").open("rb") as file:
        return np.load(file, allow_pickle=False).astype(np.float32)


def fit_similarity(
    source: Float[np.ndarray, "N D"], target: Float[np.ndarray, "N D"], reflection: bool = False
) -> tuple[float, Float[np.ndarray, "D D"], Float[np.ndarray, " D"]]:
    """Least-squares scale s, rotation R and shift t with `target ≈ s · source @ R.T + t` (Umeyama, 1991)."""
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    mean_s, mean_t = source.mean(0), target.mean(0)
    centred_s, centred_t = source - mean_s, target - mean_t
    u, d, vt = np.linalg.svd(centred_t.T @ centred_s / len(source))
    sign = np.ones(len(d))
    if not reflection and np.linalg.det(u @ vt) < 0:
        sign[-1] = -1
    rotation = (u * sign) @ vt
    scale = float((d * sign).sum() / max(centred_s.var(0).sum(), 1e-12))
    return scale, rotation, mean_t - scale * rotation @ mean_s


def rotation_angle(one: Float[np.ndarray, "3 3"], other: Float[np.ndarray, "3 3"]) -> float:
    """Degrees of the one turn that brings a rotation to the other."""
    cosine = (np.trace(one @ other.T) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def similarity_matrix(
    source: Float[np.ndarray, "N C"], target: Float[np.ndarray, "N C"]
) -> Float[np.ndarray, "2 3"]:
    """The 2×3 matrix, as OpenCV takes it, of the similarity that brings `source`'s x, y to `target`'s."""
    scale, rotation, shift = fit_similarity(source[:, :2], target[:, :2])
    return np.concatenate([scale * rotation, shift[:, None]], 1)


def transform_points(matrix: Float[np.ndarray, "2 3"], points: Float[np.ndarray, "N C"]) -> np.ndarray:
    """Apply a 2×3 matrix to x, y; a z column is scaled by the matrix's mean scale."""
    out = np.array(points, np.float32)
    out[..., :2] = points[..., :2] @ matrix[:, :2].T + matrix[:, 2]
    if points.shape[-1] > 2:
        out[..., 2] = points[..., 2] * np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    return out


def warp_image(
    image: np.ndarray,
    matrix: Float[np.ndarray, "2 3"],
    size: tuple[int, int],
    border: int = cv2.BORDER_CONSTANT,
    interpolation: int = cv2.INTER_LINEAR,
) -> np.ndarray:
    """Warp by a source-to-target 2×3 matrix; both sides with pixel centres at .5. `size`: (height, width).

    `border` is OpenCV's border mode; the constant is 0. Shrinking averages over the source's pixels, so
    that nothing aliases; not with `INTER_NEAREST`, for what has no means.
    """
    half = np.array([0.5, 0.5])
    opencv = matrix.copy()  # OpenCV's pixel centres lie at whole numbers
    opencv[:, 2] = matrix[:, :2] @ half + matrix[:, 2] - half
    scale = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    if scale < 0.7 and interpolation != cv2.INTER_NEAREST:
        image = cv2.GaussianBlur(image, (0, 0), 0.5 * (1 / scale - 1) + 1e-3)
    return cv2.warpAffine(
        image,
        opencv,
        (size[1], size[0]),
        flags=interpolation,
        borderMode=border,
    )


def canonical_positions(
    landmarks: Float[np.ndarray, "478 C"],
    size: int,
    grid: int,
    sigma: float = 0.18,
    shape: HeadShape = HEAD_SHAPE,
) -> Float[np.ndarray, "grid grid 2"]:
    """Where each cell of an image lies in face coordinates.

    Far from the face this is the inverse of the weak perspective that brings the mean face to the landmarks
    and a head's rough shape (`head_shape`) with it, so that hair has the same coordinates when the head
    turns; near landmarks a smooth residual (normalised Gaussian weights of width `sigma`) brings every
    landmark to its own place on the mean face, so that a lip is at the same coordinates whatever pose and
    face.

    Args:
        landmarks: in pixels of a `size`×`size` image; NaN gives positions relative to the image centre.
        size: side of the image in pixels.
        grid: cells a side.
        sigma: width of a landmark's influence, in distances between the outer eye corners.
        shape: of the head; networks want the one that they were trained with.

    Returns:
        x, y of the centre of each cell, in units of the distance between the outer eye corners.
    """
    centres = (np.arange(grid) + 0.5) * (size / grid)
    points = np.stack(np.meshgrid(centres, centres, indexing="xy"), -1).reshape(-1, 2)
    anchors = np.asarray(landmarks, np.float64)[list(ANCHORS)]
    if not np.isfinite(anchors).all():
        return ((points - size / 2) / (size / 3)).reshape(grid, grid, 2).astype(np.float32)
    template = face_template()[list(ANCHORS)].astype(np.float64)
    scale, rotation, shift = fit_similarity(template, anchors)
    face, seen = (
        _face_coordinates(place, scale * rotation[:2], shift[:2], shape) for place in (points, anchors[:, :2])
    )
    # |a - b|² = |a|² + |b|² - 2ab: a product of matrices in place of a difference for each pair
    squared = (face**2).sum(1)[:, None] + (seen**2).sum(1) - 2 * face @ seen.T
    weight = np.exp(-squared / (2 * sigma**2))
    residual = weight @ (template[:, :2] - seen) / (weight.sum(1, keepdims=True) + 0.3)
    return (face + residual).reshape(grid, grid, 2).astype(np.float32)


def _face_coordinates(
    places: Float[np.ndarray, "N 2"],
    projection: Float[np.ndarray, "2 3"],
    shift: Float[np.ndarray, " 2"],
    shape: HeadShape,
) -> Float[np.ndarray, "N 2"]:
    """Where on a head, seen by a weak perspective, each place of the image lies."""
    inverse = np.linalg.inv(projection[:, :2])
    flat, tilt = (places - shift) @ inverse.T, inverse @ projection[:, 2]
    tilt *= min(1.0, MAX_TILT / max(float(np.linalg.norm(tilt)), 1e-9))
    return np.stack(undo_parallax(flat[:, 0], flat[:, 1], *tilt, shape=shape), -1)
