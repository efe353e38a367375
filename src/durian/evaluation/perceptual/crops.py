"""What the networks are shown: the attribute alone, and faces aligned as ArcFace was trained."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, UInt8

from durian.portrait.geometry import similarity_matrix, warp_image

_BACKGROUND = np.array([124, 116, 104], np.float32)  # mean colour of ImageNet: next to 0 once normalised
_MARGIN = 0.1  # of the crop beyond the mask's box, in its longer sides
_MIN_PIXELS = 16  # a smaller region shows nothing

# Eyes, tip of the nose, corners of the mouth in ArcFace's 112×112 crops. The published numbers are of
# pixels whose centres lie at whole numbers, ours lie at .5.
_ARCFACE_POINTS = 0.5 + np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
_ARCFACE_SIZE = 112
_EYE_CORNERS = ((33, 133), (362, 263))  # the eye at the image's left, and at its right
_NOSE_TIP, _MOUTH_CORNERS = 1, (61, 291)


def attribute_crop(
    image: UInt8[np.ndarray, "H W 3"],
    mask: Float[np.ndarray, "H W"] | Bool[np.ndarray, "H W"],
    size: int = 224,
) -> UInt8[np.ndarray, "size size 3"] | None:
    """The attribute before a plain background, filling a square.

    The square is put around the mask's box, so that neither place nor size of the attribute counts: the
    head of a frame is elsewhere than the donor's.

    Args:
        mask: in [0, 1] or boolean.
        size: side of the result in pixels.

    Returns:
        None where the mask has next to no pixels.
    """
    rows, columns = np.nonzero(mask > 0.5)
    if len(rows) < _MIN_PIXELS:
        return None
    low = np.array([columns.min(), rows.min()], float)
    high = np.array([columns.max(), rows.max()], float) + 1
    scale = size / (float((high - low).max()) * (1 + 2 * _MARGIN))
    shift = size / 2 - scale * (low + high) / 2
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    # Outside of the image a warp gives 0, which must be background.
    above = (image - _BACKGROUND) * mask.astype(np.float32)[..., None]
    crop = warp_image(above, matrix, (size, size)) + _BACKGROUND
    return np.clip(np.round(crop), 0, 255).astype(np.uint8)


def arcface_crops(
    frames: UInt8[np.ndarray, "N H W 3"], landmarks: Float[np.ndarray, "N 478 3"]
) -> UInt8[np.ndarray, "N 112 112 3"]:
    """Faces brought to ArcFace's five points by a similarity. `landmarks` are finite, in pixels."""
    crops = []
    for frame, points in zip(frames, landmarks, strict=True):
        matrix = similarity_matrix(five_points(points), _ARCFACE_POINTS)
        crops.append(warp_image(frame, matrix, (_ARCFACE_SIZE, _ARCFACE_SIZE)))
    return np.stack(crops)


def five_points(landmarks: Float[np.ndarray, "478 C"]) -> Float[np.ndarray, "5 2"]:
    """Middles of the eyes, tip of the nose, corners of the mouth; the image's left first."""
    eyes = [landmarks[list(corners), :2].mean(0) for corners in _EYE_CORNERS]
    return np.stack([*eyes, landmarks[_NOSE_TIP, :2], *landmarks[list(_MOUTH_CORNERS), :2]]).astype(float)
