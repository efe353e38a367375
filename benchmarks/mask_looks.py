"""Other looks of synthetic people, from which the built-in masks learn what not to look at.

The synthetic world is tidier than photos. What a mask must not depend on is drawn anew here: the colour
and pattern of hair, hats, clothes and what lies behind, blotches and shades on skin, blur, noise, and how
exactly the face and the person have been found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from mask_people import People

from durian.labels import Label
from durian.portrait.attributes import ATTRIBUTES
from durian.portrait.face_frame import FaceFrame
from durian.portrait.line_contrast import line_contrast
from durian.portrait.mask_evidence import GRID, MaskFrame, evidence

Segment = Callable[[np.ndarray], np.ndarray]

_LIKELY = 0.65  # how often people are found as in photos, and not by their exact outline


@dataclass(frozen=True)
class Look:
    """The square about a face, and the share of `ATTRIBUTES` in its pixels, in [0, 1].

    `seen` is 1 where the picture is; `landmarks` are a little wrong.
    """

    image: UInt8[np.ndarray, "S S 3"]
    person: Float[np.ndarray, "S S"]
    masks: Float[np.ndarray, "A S S"]
    landmarks: Float[np.ndarray, "478 3"]
    seen: Float[np.ndarray, "S S"]

    def evidence(self) -> Float[np.ndarray, "C S S"]:
        lines = line_contrast(FaceFrame(self.image, self.landmarks))
        return evidence(self.image, self.person, lines, self.landmarks, self.seen)


def draw_look(people: People, index: int, rng: np.random.Generator, segment: Segment) -> Look:
    """A picture of `people` in a look of its own."""
    landmarks = _disturbed(people.landmarks[index].astype(np.float64), rng)
    frame = MaskFrame.of(landmarks)
    labels = people.labels[index] & 127
    cover = {
        name: frame.cut((np.isin(labels, group)).astype(np.float32))
        for name, group in (
            ("behind", [Label.BACKGROUND]),
            ("hair", [Label.HAIR]),
            ("hat", [Label.HAT]),
            ("clothes", [Label.CLOTHES, Label.SCARF]),
            ("beard", [Label.BEARD]),
            ("rims", [Label.GLASSES]),
            ("skin", [Label.SKIN]),
        )
    }
    image = frame.cut(people.rgb[index]).astype(np.float32)
    image = _painted(image, cover, rng)
    image = _photographed(image, rng)
    seen = frame.cut(np.ones(labels.shape, np.float32), cv2.BORDER_CONSTANT)
    masks = np.stack([frame.cut(mask.astype(np.float32) / 255) for mask in people.masks[index]])
    outline = 1 - cover["behind"]
    person = segment(image) if rng.random() < _LIKELY else _guessed(outline, rng)
    return Look(image, person, np.clip(masks, 0, 1), frame.points(landmarks), seen)


def _disturbed(landmarks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As a detector finds them: the whole face a little off, its shape wrong in a smooth way."""
    unit = np.linalg.norm(landmarks[33, :2] - landmarks[263, :2])
    centre = landmarks.mean(0)
    waves = rng.normal(0, 2.2 / unit, (3, 4)), rng.uniform(0, 2 * np.pi, 4)
    moved = np.sin(landmarks @ waves[0] + waves[1]) @ rng.normal(0, 0.008 * unit, (4, 3))
    turn, _ = cv2.Rodrigues(np.radians(rng.normal(0, 2.5, 3)))
    out = (landmarks - centre) @ turn.T * np.exp(rng.normal(0, 0.04)) + centre + moved
    return (out + rng.normal(0, 0.025 * unit, 3)).astype(np.float32)


def _field(rng: np.random.Generator, across: int, down: int | None = None) -> np.ndarray:
    """Smooth random values, with so many bumps across and down."""
    cells = rng.normal(size=(down or across, across)).astype(np.float32)
    return cv2.resize(cells, (GRID, GRID), interpolation=cv2.INTER_CUBIC)


def _strands(rng: np.random.Generator) -> np.ndarray:
    """Fine lines that run one way."""
    lines = _field(rng, int(rng.integers(20, 60)), int(rng.integers(2, 8)))
    centre = (GRID / 2, GRID / 2)
    turn = cv2.getRotationMatrix2D(centre, rng.uniform(-90, 90), 1.5)
    return cv2.warpAffine(lines, turn, (GRID, GRID), borderMode=cv2.BORDER_REFLECT)


def _pattern(rng: np.random.Generator) -> np.ndarray:
    """A random texture, in about [-1, 1]."""
    match rng.integers(6):
        case 0:
            return np.zeros((GRID, GRID), np.float32)
        case 1:
            return np.tanh(_field(rng, int(rng.integers(2, 7))))
        case 2:
            return np.tanh(2 * _field(rng, int(rng.integers(6, 30))))
        case 3:
            return np.tanh(2 * _strands(rng))
        case 4:  # stripes or checks
            y, x = np.mgrid[:GRID, :GRID] / GRID * rng.uniform(10, 70)
            angle = rng.uniform(0, np.pi)
            stripes = np.sin(x * np.cos(angle) + y * np.sin(angle))
            checks = np.sin(y * np.cos(angle) - x * np.sin(angle)) if rng.random() < 0.4 else 1.0
            return np.tanh(4 * stripes * checks).astype(np.float32)
        case _:  # things with edges
            picture = np.zeros((GRID, GRID), np.float32)
            for _ in range(rng.integers(2, 12)):
                corners = rng.uniform(-0.2, 1.2, 2) * GRID + rng.normal(0, GRID * 0.25, (4, 2))
                cv2.fillConvexPoly(
                    picture, cv2.convexHull(corners.astype(np.int32)), float(rng.uniform(-1, 1))
                )
            return cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 4))


def _colour(rng: np.random.Generator) -> np.ndarray:
    """Of OpenCV's 8-bit Lab; greys are frequent."""
    spread = rng.choice((4.0, 14.0, 30.0))
    return np.array([rng.uniform(10, 245), 128 + rng.normal(0, spread), 130 + rng.normal(0, spread)])


def _hair_colour(rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.15:
        return _colour(rng)
    light = rng.uniform(12, 190)
    warm = rng.uniform(0, 1) * np.sin(np.pi * np.clip(light / 200, 0, 1))
    return np.array([light, 128 + 14 * warm * rng.uniform(0.2, 1.2), 129 + 34 * warm])


def _painted(image: np.ndarray, cover: dict[str, np.ndarray], rng: np.random.Generator) -> np.ndarray:
    plain = cv2.cvtColor(np.clip(image, 0, 255).astype(np.uint8), cv2.COLOR_RGB2LAB)
    lab = plain.astype(np.float32)
    hair = _hair_colour(rng)
    if rng.random() < 0.4:  # rims as thin as those of photos
        bare = cv2.medianBlur(plain, 7).astype(np.float32)
        lab += (cover["rims"] * rng.uniform(0, 0.75))[..., None] * (bare - lab)
    if rng.random() < 0.4:
        colour = hair if rng.random() < 0.5 else _hair_colour(rng)
        lab = _recoloured(lab, cover["beard"], colour, rng, strength=0)
    if rng.random() < 0.45:
        lab = _recoloured(lab, cover["hair"], hair, rng, strength=rng.uniform(0, 0.5))
    if rng.random() < 0.5:
        lines = rng.uniform(3, 22) * _strands(rng) + rng.uniform(0, 18) * _field(rng, 4)
        lab[..., 0] += cover["hair"] * lines * (0.25 + lab[..., 0] / 160)
    if rng.random() < 0.6:
        colour = hair if rng.random() < 0.2 else _colour(rng)
        lab = _recoloured(lab, cover["hat"], colour, rng, strength=rng.choice((0.0, 0.2, 1.0)))
    if rng.random() < 0.5:
        lab = _recoloured(lab, cover["clothes"], _colour(rng), rng, strength=rng.choice((0.1, 1.0)))
    if rng.random() < 0.7:
        lab = _skin(lab, cover["skin"], rng)
    if rng.random() < 0.75:
        share = cover["behind"][..., None]
        lab = lab * (1 - share) + _backdrop(rng, hair) * share
    out = np.clip(lab, 0, 255).astype(np.uint8)
    return cv2.cvtColor(out, cv2.COLOR_LAB2RGB).astype(np.float32)


def _recoloured(
    lab: np.ndarray, cover: np.ndarray, colour: np.ndarray, rng: np.random.Generator, strength: float
) -> np.ndarray:
    """Another colour and contrast of what is there, and a pattern of that strength upon it."""
    if cover.sum() < 4:
        return lab
    middle = (lab * cover[..., None]).sum((0, 1)) / cover.sum()
    contrast = rng.uniform(0.5, 1.5) * np.clip(colour[0] / max(middle[0], 10), 0.3, 1.8)
    new = (lab - middle) * (contrast, 1, 1) + colour
    if strength > 0:
        pattern = strength * rng.uniform(0.2, 1) * _pattern(rng)[..., None]
        new = new + pattern * (rng.uniform(10, 50), rng.normal(0, 10), rng.normal(0, 10))
    return lab + (new - lab) * cover[..., None]


def _skin(lab: np.ndarray, cover: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blotches, gloss, pores, and shades that are no beard."""
    out = lab.copy()
    out[..., 0] += cover * (rng.uniform(0, 12) * _field(rng, 4) + rng.uniform(0, 4) * _field(rng, 40))
    out[..., 1] += cover * rng.uniform(0, 4) * _field(rng, 5)
    gloss = np.clip(_field(rng, 7) - 1.2, 0, 1)
    out[..., 0] += cover * gloss * rng.uniform(0, 60)
    if rng.random() < 0.3:
        below = np.clip((np.arange(GRID) / GRID - rng.uniform(0.6, 0.75)) / rng.uniform(0.02, 0.2), 0, 1)
        out -= (cover * below[:, None])[..., None] * (
            rng.uniform(0, 22),
            rng.uniform(0, 4),
            rng.uniform(0, 8),
        )
    return out


def _backdrop(rng: np.random.Generator, hair: np.ndarray) -> np.ndarray:
    one, other = _colour(rng), _colour(rng)
    if rng.random() < 0.15:
        one = hair + rng.normal(0, 8, 3)
    share = 0.5 + 0.5 * _pattern(rng)[..., None]
    picture = one * share + other * (1 - share)
    if rng.random() < 0.5:
        picture = picture + _pattern(rng)[..., None] * rng.normal(0, (22, 6, 8))
    if rng.random() < 0.4:
        picture = picture + rng.normal(0, rng.uniform(1, 20), (GRID, GRID, 1))
    return cv2.GaussianBlur(picture.astype(np.float32), (0, 0), rng.choice((0.3, 0.6, 1.5, 4.0)))


def _photographed(image: np.ndarray, rng: np.random.Generator) -> UInt8[np.ndarray, "S S 3"]:
    """Light from a side, white balance, contrast, blur, noise and compression."""
    angle, (y, x) = rng.uniform(0, 2 * np.pi), np.mgrid[-1 : 1 : GRID * 1j, -1 : 1 : GRID * 1j]
    side = rng.uniform(0, 0.35) * (x * np.cos(angle) + y * np.sin(angle)) + rng.normal(0, 0.12)
    out = (np.clip(image, 0, 255) / 255) ** np.exp(rng.normal(0, 0.2))
    out = out * np.exp(side)[..., None] * np.exp(rng.normal(0, 0.07, 3))
    out = out.mean(-1, keepdims=True) + (out - out.mean(-1, keepdims=True)) * rng.uniform(0.5, 1.4)
    if rng.random() < 0.5:
        out = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.3, 1.3))
    out = 255 * np.clip(out, 0, 1) + rng.normal(0, rng.uniform(0, 6), (GRID, GRID, 3))
    out = np.clip(out, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        _, data = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 95))])
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return out


def _guessed(outline: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Who is found as in a photo: a soft outline that is wrong in places."""
    soft = cv2.GaussianBlur(outline, (0, 0), rng.uniform(0.7, 2.5))
    return np.clip(soft + rng.uniform(0, 0.25) * _field(rng, 6) * (soft > 0.02) * (soft < 0.98), 0, 1)


def worn(look: Look, wears: np.ndarray) -> np.ndarray:
    """1 for `ATTRIBUTES` that are seen, 0 for those that are not there, -1 for what is hardly seen."""
    share = look.masks.reshape(len(ATTRIBUTES), -1).mean(1)
    return np.where(share > 0.003, 1, np.where(wears & (share > 0), -1, 0)).astype(np.int8)
