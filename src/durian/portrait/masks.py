"""Attribute masks: where in a photo the hair, the glasses, the beard or the hat are."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Protocol

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from mediapipe.python.solutions import selfie_segmentation

from durian.portrait.attributes import check_attribute
from durian.portrait.geometry import face_template, fit_similarity
from durian.portrait.keypoints import FACE_OVAL, LEFT_BROW, LEFT_EYE, LIPS_OUTER, RIGHT_BROW, RIGHT_EYE
from durian.portrait.landmarks import quiet_stderr
from durian.portrait.mask_cleaning import clean_mask

_LIGHTING = (10.0, 3.0, 3.0)  # by how much light varies one colour over a head, in OpenCV's 8-bit Lab
_SCALP = 1.2  # a crown no more different from the cheeks (`_Face.difference`) is a bald one

_STUBBLE = 2.8  # of the skin's standard deviations; less is a shaven chin in the shade
_BRIDGE = 0.5  # the least contrast (`_lines`) of a bridge of glasses


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
        with quiet_stderr():
            self._person: Any = selfie_segmentation.SelfieSegmentation(model_selection=0)
            self._person.process(np.zeros((256, 256, 3), np.uint8))  # it starts, and logs, in a thread

    def __call__(
        self, image: UInt8[np.ndarray, "H W 3"], landmarks: Float[np.ndarray, "478 3"], attribute: str
    ) -> Float[np.ndarray, "H W"]:
        face = _Face(image, landmarks)
        match check_attribute(attribute):
            case "hair":
                mask = _hair(face, self._segment(image))
            case "hat":
                mask = _hat(face, self._segment(image))
            case "beard":
                mask = _beard(face)
            case _:
                mask = _glasses(face)
        return clean_mask(mask.astype(np.float32), landmarks)

    def close(self) -> None:
        """Release the native graph."""
        self._person.close()

    def __enter__(self) -> FallbackMasker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _segment(self, image: np.ndarray) -> np.ndarray:
        return self._person.process(np.ascontiguousarray(image)).segmentation_mask


class _Face:
    """A face's places and colours in an image.

    `u`, `v` are every pixel's place in face coordinates: x to the right and y down along the face, in
    distances between the outer eye corners, from the point between the eyes.
    """

    def __init__(self, image: np.ndarray, landmarks: np.ndarray) -> None:
        self.lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32)
        self.image, self.landmarks = image, landmarks
        self.unit, rotation, centre = fit_similarity(face_template(), landmarks)
        # The projections of the head's own axes; dividing by their lengths undoes foreshortening.
        basis = rotation[:2, :2] / np.linalg.norm(rotation[:2, :2], axis=0)
        height, width = image.shape[:2]
        pixels = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), -1)
        self.u, self.v = np.moveaxis((pixels - centre[:2]) @ basis / self.unit, -1, 0)
        self.centre, self.basis = centre[:2], basis
        self.oval = self.polygon(FACE_OVAL)
        self._cheeks = self.oval & (np.abs(self.u) < 0.5) & (self.v > 0.15) & (self.v < 0.4)
        self.skin = self.distance(self._cheeks)

    def polygon(self, indices: tuple[int, ...]) -> np.ndarray:
        mask = np.zeros(self.image.shape[:2], np.uint8)
        cv2.fillPoly(mask, [np.round(self.landmarks[list(indices), :2] - 0.5).astype(np.int32)], 1)
        return mask.astype(bool)

    def grow(self, mask: np.ndarray, by: float) -> np.ndarray:
        """Dilate, or with negative `by` erode, by so many distances between the eye corners."""
        radius = max(1, round(abs(by) * self.unit))
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        change = cv2.dilate if by > 0 else cv2.erode
        return change(mask.astype(np.uint8), kernel).astype(bool)

    def v_of(self, index: int) -> float:
        """A landmark's height in the face."""
        return float(((self.landmarks[index, :2] - self.centre) @ self.basis)[1] / self.unit)

    def sample(self, values: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Values at places in face coordinates."""
        places = np.stack([u, v], -1) @ np.linalg.inv(self.basis) * self.unit + self.centre - 0.5
        return cv2.remap(values, *np.moveaxis(places, -1, 0).astype(np.float32), cv2.INTER_LINEAR)

    def distance(self, region: np.ndarray) -> np.ndarray:
        """How many standard deviations each pixel's colour is from the colours of a region."""
        colours = self.lab[region]
        if len(colours) < 8:
            return np.full(self.u.shape, np.inf, np.float32)
        middle = np.median(colours, 0)
        spread = 1.4826 * np.median(np.abs(colours - middle), 0) + _LIGHTING
        return np.sqrt((((self.lab - middle) / spread) ** 2).sum(-1))

    def difference(self, region: np.ndarray) -> float:
        """How much a region's median colour differs from the skin's, in parts of what light may change."""
        if not self._cheeks.any():
            return np.inf
        change = np.median(self.lab[region], 0) - np.median(self.lab[self._cheeks], 0)
        return float(np.linalg.norm(change / (2 * np.array(_LIGHTING))))


def _hair(face: _Face, person: np.ndarray) -> np.ndarray:
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


def _hat(face: _Face, person: np.ndarray) -> np.ndarray:
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


def _beard(face: _Face) -> np.ndarray:
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


def _glasses(face: _Face) -> np.ndarray:
    """Frame and lenses, if a bridge crosses the nose: two equal superellipses, mirrored about the nose,
    of the place, size and shape that collect the most line around the eyes."""
    lines = _lines(face)
    across = face.sample(lines, *np.meshgrid(np.linspace(-0.06, 0.06, 7), np.linspace(-0.15, 0.2, 24)))
    if across.min(1).max() < _BRIDGE:
        return np.zeros(face.v.shape)
    # Lids and brows are lines too, but not of glasses.
    own = (LEFT_EYE, RIGHT_EYE, LEFT_BROW, RIGHT_BROW)
    lines[np.any([face.grow(face.polygon(part), 0.05) for part in own], axis=0)] = 0
    grid = np.meshgrid(
        np.linspace(0.30, 0.42, 5),  # centre, from the nose
        np.linspace(-0.05, 0.2, 6),  # centre, below the eyes
        np.linspace(0.2, 0.36, 6),  # half width
        np.linspace(0.14, 0.34, 6),  # half height
        [2.0, 3.0],  # exponent: round, nearly square
    )
    shapes = np.stack([axis.ravel() for axis in grid], 1)
    shapes = shapes[shapes[:, 0] - shapes[:, 2] > 0.03]  # the nose is between the lenses
    u0, v0, a, b, power = shapes.T[..., None]
    cos, sin = np.cos(turn := np.linspace(0, 2 * np.pi, 64, endpoint=False)), np.sin(turn)
    u = u0 + a * np.sign(cos) * np.abs(cos) ** (2 / power)
    v = v0 + b * np.sign(sin) * np.abs(sin) ** (2 / power)
    # The logarithm and the cap: a whole rim counts for more than a strong piece of one.
    score = sum(np.minimum(np.log1p(face.sample(lines, side * u, v)), 2).mean(1) for side in (-1, 1))
    u0, v0, a, b, power = shapes[np.argmax(score)]
    rim = 0.04
    beside, below = np.abs(np.abs(face.u) - u0), np.abs(face.v - v0)
    lenses = (beside / (a + rim)) ** power + (below / (b + rim)) ** power < 1
    bridge = (np.abs(face.u) < u0 - a + rim) & (np.abs(face.v - v0 + 0.4 * b) < 0.3 * b)
    return lenses | bridge


def _lines(face: _Face) -> np.ndarray:
    """Thin dark or (less telling) bright lines, relative to what a cheek's skin shows of them."""
    grey = cv2.GaussianBlur(face.lab[..., 0], (0, 0), 0.01 * face.unit)
    radius = max(1, round(0.04 * face.unit))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    dark = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, kernel)
    bright = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, kernel)
    lines = np.maximum(dark, 0.7 * bright)
    cheeks = face.oval & (face.v > 0.5) & (face.v < 0.65) & (np.abs(face.u) < 0.5)
    return lines / (2 + (lines[cheeks].mean() if cheeks.any() else 0))


def _cut(face: _Face, label: np.ndarray) -> np.ndarray:
    """GrabCut (Rother et al., 2004) from the labels; foreground as a boolean mask."""
    label = label.copy()
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # its mixtures start from random clusters
    cv2.grabCut(
        face.image[..., ::-1].copy(), label, (0, 0, 0, 0), background, foreground, 4, cv2.GC_INIT_WITH_MASK
    )
    return (label == cv2.GC_FGD) | (label == cv2.GC_PR_FGD)


def _connected(face: _Face, mask: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Without specks and pinholes, and without parts that touch no seed."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    cleaned = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, kernel, iterations=2)
    _, parts, stats, _ = cv2.connectedComponentsWithStats(cleaned)
    touching = set(np.unique(parts[seeds & (cleaned > 0)])) - {0}
    large = {part for part in touching if stats[part, cv2.CC_STAT_AREA] > 0.02 * face.unit**2}
    return np.isin(parts, list(large))
