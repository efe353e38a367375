"""One face's expression on another face."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from durian.portrait.expression_model import expression_model
from durian.portrait.geometry import face_template
from durian.portrait.keypoints import LEFT_IRIS, RIGHT_IRIS

# (upper, lower) landmarks of the eyelids and of the inner lips, and the corners of each opening.
_RIGHT_LIDS = ((246, 7), (161, 163), (160, 144), (159, 145), (158, 153), (157, 154), (173, 155))
_LEFT_LIDS = ((466, 249), (388, 390), (387, 373), (386, 374), (385, 380), (384, 381), (398, 382))
LIPS = ((191, 95), (80, 88), (81, 178), (82, 87), (13, 14), (312, 317), (311, 402), (310, 318), (415, 324))
EYES = (
    (_RIGHT_LIDS, (33, 133), (468, *RIGHT_IRIS[:-1])),
    (_LEFT_LIDS, (362, 263), (473, *LEFT_IRIS[:-1])),
)
LOWER_LIP = (
    14, 17, 84, 87, 88, 91, 95, 146, 178, 181, 314, 317, 318, 321, 324, 375, 402, 405, 15, 16, 85, 86, 89, 90,
    96, 77, 179, 180, 315, 316, 319, 320, 325, 307, 403, 404,
)  # fmt: skip
UPPER_LIP = (
    61, 409, 270, 269, 267, 0, 37, 39, 40, 185, 291, 78, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191,
    62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292, 76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306,
)  # fmt: skip
_BELOW_NOSE = 2


def opening(shape: np.ndarray, pairs: tuple[tuple[int, int], ...]) -> float:
    upper, lower = np.array(pairs).T
    return float((shape[lower, 1] - shape[upper, 1]).mean())


def _width(shape: np.ndarray, corners: tuple[int, int]) -> float:
    return float(np.linalg.norm(shape[corners[0]] - shape[corners[1]]))


def transfer_expression(
    portrait: Float[np.ndarray, "478 3"],
    reference: Float[np.ndarray, "478 3"],
    frame: Float[np.ndarray, "478 3"],
) -> Float[np.ndarray, "478 3"]:
    """The portrait's shape with the driver's expression.

    The portrait's shape is moved as the driver's since its reference frame, and by the difference between
    what the portrait and the reference express themselves (`ExpressionModel`). Openings do not add up, so
    they are set: eyelids open to the same fraction as the driver's (a blink is full whatever the
    portrait's eyes), lips as far as the driver's (a portrait with an open mouth closes it), and irises look
    the same way.

    Args:
        portrait, reference, frame: shapes in face coordinates. When portrait and reference are the same
            shape, the result is `frame` itself.
    """
    model = expression_model()
    change = frame - reference
    shape = portrait + change + model.between(portrait, reference)
    for lids, corners, iris in EYES:
        ratio = _width(portrait, corners) / _width(reference, corners)
        rest = max(opening(reference, lids), 0.02)  # a reference that blinks must not blow the others up
        _open_lids(shape, lids, opening(portrait, lids) * opening(frame, lids) / rest)
        looking = frame[list(iris)] - frame[list(corners)].mean(0)
        shape[list(iris), :2] = shape[list(corners), :2].mean(0) + ratio * looking[:, :2]
    _open_jaw(shape, opening(frame, LIPS) - opening(shape, LIPS))
    upper, lower = np.array(LIPS).T
    excess = (shape[lower, 1] - shape[upper, 1]) - (frame[lower, 1] - frame[upper, 1])
    shape[upper, 1] += excess / 2
    shape[lower, 1] -= excess / 2
    return shape


def _open_lids(shape: np.ndarray, lids: tuple[tuple[int, int], ...], wanted: float) -> None:
    """Bring the upper lid to the mean opening `wanted` over the lower one, in place."""
    upper, lower = np.array(lids).T
    gap = shape[lower, 1] - shape[upper, 1]
    mean = gap.mean()
    # Scaling keeps the lid's curve; lids that touch or cross have none, they are moved apart as one.
    gap = gap * (wanted / mean) if mean > 0.01 else gap + (wanted - mean)
    shape[upper, 1] = shape[lower, 1] - gap


def _open_jaw(shape: np.ndarray, by: float) -> None:
    """Lower the lower lip, the chin and, less, what is above it, in place."""
    template = face_template()
    # Nothing moves from the nose up, most the chin, smoothly in between.
    nose, chin = template[_BELOW_NOSE, 1], template[152, 1]
    below = np.clip((template[:, 1] - nose) / (chin - nose), 0, 1)
    share = below**2 * (3 - 2 * below)
    share[list(UPPER_LIP)] = 0
    centre = np.abs(template[list(LOWER_LIP), 0]) / np.abs(template[78, 0])
    share[list(LOWER_LIP)] = np.clip(1.3 * (1 - centre**2), 0, 1)
    share /= np.mean([share[lower] for _, lower in LIPS])
    shape[:, 1] += np.minimum(share, 1.5) * by
