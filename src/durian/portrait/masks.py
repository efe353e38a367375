"""Attribute masks: where in a photo the hair, the glasses, the beard or the hat are."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from durian.portrait.attributes import check_attribute
from durian.portrait.face_frame import FaceFrame
from durian.portrait.glasses_mask import find_glasses
from durian.portrait.keypoints import LIPS_OUTER
from durian.portrait.mask_cleaning import clean_mask
from durian.portrait.person_segmentation import PersonSegmenter

_SCALP = 1.2  # a crown no more different from the cheeks (`FaceFrame.difference`) is a bald one

_STUBBLE = 2.8  # of the skin's standard deviations; less is a shaven chin in the shade


class AttributeMasker(Protocol):
    """Finds one attribute of the person whose landmarks are given."""

    def __call__(
        self, image: UInt8[np.ndarray, "H W 3"], landmarks: Float[np.ndarray, "478 3"], attribute: str
    ) -> Float[np.ndarray, "H W"]:
        """The attribute's mask in [0, 1]; all 0 where the person has no such attribute."""
        ...


class FallbackMasker:
    """Masks without a face parser: MediaPipe's person segmentation, landmark regions and colours.

    For a head-and-shoulders crop (`FaceCrop`). Hair and beards are told from skin, clothes and background
    by colour, so this fails where they look alike; long hair is what flows beside jaw and face, whatever
    its shade; of glasses the frame and lenses are taken for two equal superellipses; what covers the head
    counts as a hat if nothing of its colour is beside the face, be it a hat or short hair. Give a mask of
    your own where that is not enough.

    `docs/portrait-inputs.md` says how good it is.
    """

    def __init__(self) -> None:
        self._segment = PersonSegmenter()

    def __call__(
        self, image: UInt8[np.ndarray, "H W 3"], landmarks: Float[np.ndarray, "478 3"], attribute: str
    ) -> Float[np.ndarray, "H W"]:
        face = FaceFrame(image, landmarks)
        match check_attribute(attribute):
            case "hair":
                mask = _hair(face, self._segment(image))
            case "hat":
                mask = _hat(face, self._segment(image))
            case "beard":
                mask = _beard(face)
            case _:
                mask = find_glasses(face)
        return clean_mask(mask.astype(np.float32), landmarks)

    def close(self) -> None:
        """Release the native graph."""
        self._segment.close()

    def __enter__(self) -> FallbackMasker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _hair(face: FaceFrame, person: np.ndarray) -> np.ndarray:
    u, v = face.u, face.v
    around = ~face.grow(face.oval, 0.05)
    crown = around & (np.abs(u) < 0.5) & (v < -0.85) & face.grow(person > 0.8, -0.05)
    crown &= v < np.quantile(v[crown], 0.6) if crown.any() else False  # a high forehead is left out
    flowing = (np.abs(u) > 0.85) & (np.abs(u) < 1.1) & (v > 0.6) & (v < 1.0)  # beside the jaw
    sides = [side for side in (u < 0, u > 0) if (person[flowing & side] > 0.5).mean() > 0.6]
    long = bool(sides)
    if crown.sum() < 0.03 * face.unit**2 or (face.difference(crown) < _SCALP and not long):
        return np.zeros(v.shape)
    hairy = face.distance(crown) < face.skin
    likely = around & (person > 0.6) & hairy & (np.abs(u) < 1.2) & (v < 0.2)
    # Where hair flows past the jaw it is beside all of the face, whatever its colour: no skin reaches there.
    falling = np.zeros(v.shape, bool)
    for side in sides:
        falling |= side & (np.abs(u) > 0.95) & (v > -0.4) & (v < 1.0)
    falling &= around & face.grow(person > 0.8, -0.03)
    likely |= falling
    core = face.grow(face.oval, -0.08) & (v > -0.2)
    label = np.full(v.shape, cv2.GC_BGD, np.uint8)
    label[person > 0.1] = cv2.GC_PR_BGD
    label[likely] = cv2.GC_PR_FGD
    label[likely & (v < -0.3) & face.grow(person > 0.9, -0.05)] = cv2.GC_FGD
    label[falling] = cv2.GC_FGD
    label[core] = cv2.GC_BGD
    throat = (np.abs(u) < 0.3) & (v > 1.0) & (v < 1.6)
    label[throat & ~hairy] = cv2.GC_BGD
    cut = _cut(face, label)
    if long:  # hair in the light or shade between what the cut took for hair
        cut |= (
            around & (person > 0.8) & (np.abs(u) > 0.5) & (v < 1.0) & (2 * face.distance(crown) < face.skin)
        )
    return _connected(face, cut, likely)


def _hat(face: FaceFrame, person: np.ndarray) -> np.ndarray:
    u, v = face.u, face.v
    around = ~face.grow(face.oval, 0.05)
    top = around & (v < -0.85) & (np.abs(u) < 0.6) & (person > 0.6)
    if top.sum() < 0.1 * face.unit**2 or face.difference(top) < _SCALP:
        return np.zeros(v.shape)
    # What looks the same beside the face is hair; where nothing but skin is there, it may be a hat.
    beside = around & (v > -0.1) & (v < 0.9) & (np.abs(u) < 1.2) & (person > 0.6)
    same = beside & (face.distance(top) < np.minimum(face.skin, 2.5))
    if same.sum() > 0.05 * face.unit**2:
        return np.zeros(v.shape)
    label = np.full(v.shape, cv2.GC_BGD, np.uint8)
    label[(person > 0.1) & (v < 0.1)] = cv2.GC_PR_BGD
    label[(person > 0.5) & (v < -0.35) & (face.distance(top) < face.skin)] = cv2.GC_PR_FGD
    label[top] = cv2.GC_FGD
    label[beside | (face.oval & (v > -0.2))] = cv2.GC_BGD
    return _connected(face, _cut(face, label), top)


def _beard(face: FaceFrame) -> np.ndarray:
    u, v = face.u, face.v
    lips = face.grow(face.polygon(LIPS_OUTER), 0.03)
    nose, lip, under, chin = (face.v_of(index) for index in (2, 0, 17, 152))
    # A beard is on the chin or over the lip, whatever else it covers; hair beside the jaw is none.
    seeds = np.zeros(v.shape, bool)
    for top, bottom in ((under + 0.06, chin - 0.02), (nose + 0.04, lip - 0.02)):
        patch = (np.abs(u) < 0.22) & (v > top) & (v < bottom) & ~lips
        if patch.any() and np.median(face.skin[patch]) > _STUBBLE:
            seeds |= patch & (face.skin > _STUBBLE)
    if seeds.sum() < 0.005 * face.unit**2:
        return np.zeros(v.shape)
    hairy = face.distance(seeds) < face.skin
    region = (v > nose) & (v < chin + 0.6) & (np.abs(u) < 0.75) & ~lips
    label = np.full(v.shape, cv2.GC_BGD, np.uint8)
    label[region] = cv2.GC_PR_BGD
    label[region & hairy & face.grow(face.oval, 0.1)] = cv2.GC_PR_FGD
    label[seeds] = cv2.GC_FGD
    return _connected(face, _cut(face, label), seeds)


def _cut(face: FaceFrame, label: np.ndarray) -> np.ndarray:
    """GrabCut (Rother et al., 2004) from the labels; foreground as a boolean mask."""
    label = label.copy()
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # its mixtures start from random clusters
    cv2.grabCut(
        face.image[..., ::-1].copy(), label, (0, 0, 0, 0), background, foreground, 4, cv2.GC_INIT_WITH_MASK
    )
    return (label == cv2.GC_FGD) | (label == cv2.GC_PR_FGD)


def _connected(face: FaceFrame, mask: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Without specks and pinholes, and without parts that touch no seed."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    cleaned = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, kernel, iterations=2)
    _, parts, stats, _ = cv2.connectedComponentsWithStats(cleaned)
    touching = set(np.unique(parts[seeds & (cleaned > 0)])) - {0}
    large = {part for part in touching if stats[part, cv2.CC_STAT_AREA] > 0.02 * face.unit**2}
    return np.isin(parts, list(large))
