"""What one sees through the lenses of glasses is their wearer's, and no attribute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from durian.portrait.face_frame import FaceFrame
from durian.portrait.keypoints import LEFT_BROW, LEFT_EYE, RIGHT_BROW, RIGHT_EYE

_PLAIN_EYES, _SOME_EYES = 105.0, 30.0
"""Contrast of eyes (`LensEvidence`): whoever has more than the first is seen through clear lenses; with less
than the second nothing of an eye is seen."""

_SAME_SKIN = 2.0
"""How much skin that is seen through clear lenses may differ from the cheeks' (`FaceFrame.difference`)."""

_LEAST = 6  # pixels, below which nothing is said
_RIM = 0.04  # the least width of a rim where a mask does not tell lenses, in distances between eye corners
_SKIN = 3.0  # standard deviations from the cheeks' colours
_LIDS = 0.06  # around the eye's opening


@dataclass(frozen=True)
class LensEvidence:
    """What tells clear lenses from sunglasses in a picture.

    Attributes:
        contrast: lightness from the darkest to the lightest tenth of the eyes, of 255; NaN without eyes.
        difference: of the skin around the eyes from the cheeks', in parts of what light may change; NaN
            where there is too little of it.
    """

    contrast: float
    difference: float

    @classmethod
    def of(
        cls,
        image: UInt8[np.ndarray, "H W 3"],
        landmarks: Float[np.ndarray, "478 3"],
        lenses: Bool[np.ndarray, "H W"],
    ) -> LensEvidence:
        """Of what is seen within lenses."""
        face = FaceFrame(image, landmarks)
        eyes = _eyes(face)
        brows = face.polygon(LEFT_BROW) | face.polygon(RIGHT_BROW)
        skin = lenses & ~face.grow(eyes, _LIDS) & ~face.grow(brows, _RIM)
        contrast = difference = np.nan
        if (seen := eyes & lenses).sum() >= _LEAST:
            dark, light = np.percentile(face.lab[..., 0][seen], (10, 90))
            contrast = float(light - dark)
        below = face.oval & (np.abs(face.u) < 0.5) & (face.v > 0.15) & (face.v < 0.5)
        plain = below & ~face.grow(lenses, 2 * _RIM)
        if min(skin.sum(), plain.sum()) >= _LEAST:
            difference = face.difference(skin, plain)
        return cls(contrast, difference)


def are_clear(evidence: Sequence[LensEvidence]) -> bool:
    """Whether lenses are clear, by the medians of one or more pictures of them.

    From single pictures of 256 pixels 99 % of the clear lenses and 11 % of the sunglasses of 200 synthetic
    people are taken for clear (`benchmarks/lenses.py --people 200`).
    """
    contrasts = [each.contrast for each in evidence if np.isfinite(each.contrast)]
    differences = [each.difference for each in evidence if np.isfinite(each.difference)]
    contrast = np.median(contrasts) if contrasts else 0.0
    difference = np.median(differences) if differences else np.inf
    return bool(contrast > _PLAIN_EYES or (contrast > _SOME_EYES and difference < _SAME_SKIN))


def attribute_alone(
    name: str,
    mask: Float[np.ndarray, "H W"],
    image: UInt8[np.ndarray, "H W 3"],
    landmarks: Float[np.ndarray, "478 3"],
    lenses: Bool[np.ndarray, "H W"] | None = None,
) -> Float[np.ndarray, "H W"]:
    """What of an attribute's mask is the attribute: of glasses not what is seen through clear lenses.

    Were the eyes behind them taken for the attribute, the portrait would get the donor's, and its own would
    be hidden (`M_port`). Sunglasses keep their lenses.

    Args:
        mask: in [0, 1]; of glasses frame and lenses.
        image, landmarks: their wearer, in the mask's pixels.
        lenses: where lenses are known to be; else what is seen within the rims is looked for.
    """
    if name != "glasses" or not (inside := mask > 0.5).any():
        return mask
    within = FaceFrame(image, landmarks).grow(inside, -_RIM) if lenses is None else lenses
    if not are_clear([LensEvidence.of(image, landmarks, within)]):
        return mask
    seen = lens_openings(mask, image, landmarks) if lenses is None else lenses
    return np.where(seen, 0, mask).astype(mask.dtype)


def lens_openings(
    mask: Float[np.ndarray, "H W"],
    image: UInt8[np.ndarray, "H W 3"] | None,
    landmarks: Float[np.ndarray, "478 3"],
) -> Bool[np.ndarray, "H W"]:
    """Where in a mask of frame and lenses eyes and skin around them are seen: within the rims.

    Without an image rims are taken for thin. With one, the median IoU with the lenses of synthetic people is
    0.69 (`benchmarks/lenses.py --people 200`): skin beside a rim stays with the rim.
    """
    face = FaceFrame(np.zeros((*mask.shape, 3), np.uint8) if image is None else image, landmarks)
    inside, eyes = mask > 0.5, _eyes(face)
    lids = face.grow(eyes, _LIDS)
    skin = face.distance(face.cheeks & ~inside) < _SKIN
    seen = face.grow(inside, -_RIM) & (skin | lids)
    side = 2 * max(1, round(_RIM * face.unit)) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    seen = cv2.morphologyEx(seen.astype(np.uint8), cv2.MORPH_CLOSE, disc) > 0
    _, parts = cv2.connectedComponents(seen.astype(np.uint8), connectivity=4)
    return seen & np.isin(parts, np.unique(parts[seen & eyes]))


def _eyes(face: FaceFrame) -> Bool[np.ndarray, "H W"]:
    return face.polygon(LEFT_EYE) | face.polygon(RIGHT_EYE)
