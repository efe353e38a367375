"""Attribute masks: where in a photo the hair, the glasses, the beard or the hat are."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from durian.portrait.attributes import ATTRIBUTES, check_attribute
from durian.portrait.face_frame import FaceFrame
from durian.portrait.glasses_mask import better_outlined, find_glasses
from durian.portrait.guided_filter import guided_filter
from durian.portrait.keypoints import LIPS_INNER, LIPS_OUTER
from durian.portrait.line_contrast import line_contrast
from durian.portrait.mask_cleaning import clean_mask
from durian.portrait.mask_evidence import MaskFrame, evidence, mirrored
from durian.portrait.mask_network import weigh
from durian.portrait.person_segmentation import PersonSegmenter

_WINDOW = 0.085  # in which masks follow the picture's edges, in distances between the outer eye corners
_CONTRAST = 0.04  # of edges that they follow

# On photos the network alone takes shaven cheeks for stubble: the less sure it is, the less like skin
# (`FaceFrame.skin`) chin or upper lip must look.
_UNLIKE, _BEARDED = 3.0, 8.7


class AttributeMasker(Protocol):
    """Finds one attribute of the person whose landmarks are given."""

    def __call__(
        self, image: UInt8[np.ndarray, "H W 3"], landmarks: Float[np.ndarray, "478 3"], attribute: str
    ) -> Float[np.ndarray, "H W"]:
        """The attribute's mask in [0, 1]; all 0 where the person has no such attribute."""
        ...


class FallbackMasker:
    """Masks without a face parser: a small network weighs what a photo shows around a face.

    It sees how colours differ from those of skin, crown and background, textures, lines, places in the face
    and MediaPipe's segmentation of the person, but no plain colours, and was trained on synthetic people.
    Glasses must have a bridge, too, and a beard must not look like skin. For a head-and-shoulders crop
    (`FaceCrop`). Give a mask of your own where it is wrong.

    `docs/portrait-inputs.md` says how good it is.
    """

    def __init__(self) -> None:
        self._segment = PersonSegmenter()

    def __call__(
        self, image: UInt8[np.ndarray, "H W 3"], landmarks: Float[np.ndarray, "478 3"], attribute: str
    ) -> Float[np.ndarray, "H W"]:
        return self.find(image, landmarks, [attribute])[attribute]

    def find(
        self,
        image: UInt8[np.ndarray, "H W 3"],
        landmarks: Float[np.ndarray, "478 3"],
        attributes: Sequence[str],
    ) -> dict[str, Float[np.ndarray, "H W"]]:
        """Masks of several attributes in [0, 1], in little more time than one takes."""
        kinds = {name: ATTRIBUTES.index(check_attribute(name)) for name in attributes}
        frame, face, size = MaskFrame.of(landmarks), FaceFrame(image, landmarks), image.shape[:2]
        lines = line_contrast(face)
        features = evidence(
            frame.cut(image),
            frame.cut(self._segment(image)),
            frame.cut_lines(lines),
            frame.points(landmarks),
            frame.cut(np.ones(size, np.float32), cv2.BORDER_CONSTANT),
        )
        (straight, whole), (turned, also) = weigh(features), weigh(mirrored(features))
        surety, logits = (whole + also) / 2, (straight + turned[..., ::-1]) / 2
        masks = {name: np.zeros(size, np.float32) for name in attributes}
        for name, kind in kinds.items():
            if surety[kind] > 0:
                likely = 1 / (1 + np.exp(-np.clip(frame.back(logits[kind], size), -30, 30)))
                mask = _decided(name, face, lines, likely, float(surety[kind]))
                masks[name] = clean_mask(mask, landmarks)
        return masks

    def close(self) -> None:
        """Release the native graph."""
        self._segment.close()

    def __enter__(self) -> FallbackMasker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _decided(
    attribute: str,
    face: FaceFrame,
    lines: Float[np.ndarray, "H W"],
    likely: Float[np.ndarray, "H W"],
    surety: float,
) -> Float[np.ndarray, "H W"]:
    """The mask from what the network thinks of pixels, and of the whole picture (a logit above 0)."""
    radius = max(1, round(_WINDOW * face.unit))
    mask = np.clip(guided_filter(likely, face.image, radius, _CONTRAST), 0, 1)
    match attribute:
        case "hair" | "hat":  # not what clothes have of its colour
            mask = np.where(_touching(mask > 0.5, face.v < -0.2) | (mask <= 0.5), mask, 0)
        case "beard":
            mask = mask * (surety + _UNLIKE * _beard_contrast(face) > _BEARDED)
            mask = np.where(face.polygon(LIPS_INNER), 0, mask)
        case _:
            fitted = find_glasses(face, lines)
            if fitted.any() and better_outlined(face, lines, mask > 0.5, fitted):
                return mask.astype(np.float32)
            mask = fitted
    return mask.astype(np.float32)


def _touching(mask: Bool[np.ndarray, "H W"], seeds: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """The connected parts of a mask that reach into a region."""
    _, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    return mask & np.isin(parts, np.unique(parts[mask & seeds]))


def _beard_contrast(face: FaceFrame) -> float:
    """How much chin or upper lip differ from the cheeks' skin, in standard deviations."""
    lips = face.grow(face.polygon(LIPS_OUTER), 0.03)
    nose, lip, under, chin = (face.v_of(index) for index in (2, 0, 17, 152))
    patches = [
        (np.abs(face.u) < 0.22) & (face.v > top) & (face.v < bottom) & ~lips
        for top, bottom in ((under + 0.06, chin - 0.02), (nose + 0.04, lip - 0.02))
    ]
    return max((float(np.median(face.skin[patch])) for patch in patches if patch.any()), default=0.0)
