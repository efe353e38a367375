"""Animated frames put back into the photo that the portrait was cut from."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from durian.portrait.crop import FaceCrop

_FEATHER = 0.14  # of the crop's side is the width of the seam
_TONE_REACH = 0.12  # of the crop's side: how far tones at the seam reach inwards
_TONE_LIMIT = 30.0  # of 255: more is another thing and no other tone
_TONE_MEMORY = 0.8  # share of the last frame's tones, lest the seam flickers


class PasteBack:
    """Puts frames of a portrait's square back into its photo.

    The seam is a soft frame that never moves; sides of the square that lie beyond the photo have none. Slow
    differences of tone along the seam are taken over into the square, fading inwards. Pixels outside the
    square are the photo's to the bit.

    Args:
        photo: that the portrait was cut from.
        crop: where.
    """

    def __init__(self, photo: UInt8[np.ndarray, "H W 3"], crop: FaceCrop) -> None:
        self._photo = photo
        self._cut = crop.apply(photo).astype(np.float32)
        self._sigma = _TONE_REACH * crop.size
        zoom = float(crop.matrix[0, 0])
        limit = np.array(photo.shape[1::-1])
        corner = -crop.matrix[:, 2] / zoom
        far = corner + crop.size / zoom
        low = np.clip(np.floor(corner), 0, limit).astype(int)
        high = np.clip(np.ceil(far), 0, limit).astype(int)
        self._window = slice(low[1], high[1]), slice(low[0], high[0])
        # From pixels of the window to the square's, both counted from the middle of the first pixel.
        shift = zoom * (low + 0.5 - corner) - 0.5
        self._matrix = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]])
        within = np.stack([corner > 0, far < limit])
        places = [
            (zoom * (np.arange(low[axis], high[axis]) + 0.5) + crop.matrix[axis, 2]) / crop.size
            for axis in (0, 1)
        ]
        self._mask = _seam(places, within)
        seam = _seam([(np.arange(crop.size) + 0.5) / crop.size] * 2, within)
        inside = crop.apply_mask(np.ones(crop.source_size, np.float32)) > 0.99
        self._band = 4 * seam * (1 - seam) * inside[..., None]
        self._tones: np.ndarray | None = None
        self.enlargement = 1 / zoom
        """How many pixels of the photo one of the frames' covers, along a side; above 1 it will look soft."""

    def __call__(self, frame: UInt8[np.ndarray, "size size 3"]) -> UInt8[np.ndarray, "H W 3"]:
        """The photo with the square replaced by the next frame of the animation."""
        toned = frame + self._toning(frame)
        window = self._photo[self._window].astype(np.float32)
        mixed = window + self._mask * (self._to_photo(toned) - window)
        out = self._photo.copy()
        out[self._window] = np.clip(np.round(mixed), 0, 255).astype(np.uint8)
        return out

    def _toning(self, frame: np.ndarray) -> Float[np.ndarray, "size size 3"]:
        difference = self._cut - frame
        same = np.exp(-((np.abs(difference).max(-1, keepdims=True) / _TONE_LIMIT) ** 2))
        weight = self._band * same
        near, total = (cv2.GaussianBlur(each, (0, 0), self._sigma) for each in (difference * weight, weight))
        # The constant lets tones fade where the seam is far.
        tones = near / (total[..., None] + 0.02)
        self._tones = tones if self._tones is None else tones + _TONE_MEMORY * (self._tones - tones)
        return self._tones

    def _to_photo(self, image: np.ndarray) -> np.ndarray:
        height, width = (side.stop - side.start for side in self._window)
        zoom = self._matrix[0, 0]
        image = image.astype(np.float32)
        if zoom > 1.4:  # shrinking averages over the square's pixels
            image = cv2.GaussianBlur(image, (0, 0), 0.5 * (zoom - 1))
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(
            image, self._matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )


def _seam(
    places: list[Float[np.ndarray, " N"]], within: Bool[np.ndarray, "2 2"]
) -> Float32[np.ndarray, "H W 1"]:
    """How much of the square is shown: 0 at its sides within the photo, 1 in the middle.

    Args:
        places: of columns and of rows, in sides of the square.
        within: whether the square's first and last column and row are in the photo.
    """
    weights = []
    for axis, place in enumerate(places):
        begin = np.where(within[0, axis], place, 1.0)
        end = np.where(within[1, axis], 1 - place, 1.0)
        distance = np.clip(np.minimum(begin, end) / _FEATHER, 0, 1)
        weights.append(distance**2 * (3 - 2 * distance))
    return (weights[1][:, None] * weights[0][None])[..., None].astype(np.float32)
