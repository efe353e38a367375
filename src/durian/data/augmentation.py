"""How references are disturbed, so that they need be neither aligned nor equally lit (section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8


@dataclass(frozen=True)
class Augmentation:
    """Strengths; 0 leaves that one out.

    Attributes:
        shift: largest shift, share of the image's side. scale: largest change of log size.
        rotation: largest rotation in degrees.
        colour: largest change of the attribute's gain and contrast, and half of it of its colour balance.
        light: how much brighter than the middle the attribute's lit side may get, as a change of log
            gain, and half of it the change of log gamma.
        mask_expansion: how often the portrait's mask is united with masks of somebody else's attributes.
        still: how often the portrait is not moved, so that its background is where the targets' is.
        relit: how often an attribute's reference is a frame in another light, of clips that have such.
        unshaded: how often a portrait's hat casts no shadow, of clips that have such frames.
        donors: how often an attribute is taken from somebody else who wears it, of clips that have such.
        before: how often a portrait is of the person without the attribute or with another, likewise.
        mask_draws: with how many such masks at most; from 1 to so many are drawn.
        mask_radius: largest dilation of the portrait's mask, share of the image's side.
    """

    shift: float = 0.06
    scale: float = 0.12
    rotation: float = 8.0
    colour: float = 0.12
    mask_expansion: float = 0.85
    mask_radius: float = 0.03
    light: float = 0.0
    still: float = 0.0
    relit: float = 0.0
    mask_draws: int = 1
    unshaded: float = 0.0
    donors: float = 0.0
    before: float = 0.0


def draw_affine(rng: np.random.Generator, strengths: Augmentation, size: int) -> Float[np.ndarray, "2 3"]:
    """A random shift, scale and rotation about the middle of a `size`×`size` image, in its pixels."""
    angle = np.deg2rad(rng.uniform(-strengths.rotation, strengths.rotation))
    scale = np.exp(rng.uniform(-strengths.scale, strengths.scale))
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = (
        size / 2 + rng.uniform(-strengths.shift, strengths.shift, 2) * size - linear @ [size / 2, size / 2]
    )
    return np.concatenate([linear, shift[:, None]], 1)


def dilate(
    rng: np.random.Generator, strengths: Augmentation, mask: Float[np.ndarray, "H W"], size: int
) -> Float[np.ndarray, "H W"]:
    """Grow a mask by a random radius; `size` is the image's side, of which `mask_radius` is a share."""
    radius = int(rng.integers(0, round(strengths.mask_radius * size) + 1))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.dilate(mask, kernel)


def jitter(
    rng: np.random.Generator, strengths: Augmentation, image: UInt8[np.ndarray, "H W 3"]
) -> UInt8[np.ndarray, "H W 3"]:
    """Another exposure, contrast and colour balance, then another light.

    Of attributes only: the light of the result is the portrait's.
    """
    strength = strengths.colour
    gain = np.exp(rng.uniform(-strength, strength) + rng.uniform(-strength / 2, strength / 2, 3))
    contrast = np.exp(rng.uniform(-strength, strength))
    mean = image.mean()
    image = np.clip((image * gain - mean) * contrast + mean, 0, 255).astype(np.uint8)
    return relight(rng, strengths.light, image) if strengths.light else image


def relight(
    rng: np.random.Generator, strength: float, image: UInt8[np.ndarray, "H W 3"]
) -> UInt8[np.ndarray, "H W 3"]:
    """A light from a random side: a gain that grows smoothly across the picture, and another gamma."""
    height, width = image.shape[:2]
    angle, amount = rng.uniform(0, 2 * np.pi), rng.uniform(0, strength)
    gamma = np.exp(rng.uniform(-strength / 2, strength / 2))
    x = (np.arange(width) + 0.5) / width * 2 - 1
    y = (np.arange(height) + 0.5) / height * 2 - 1
    # A sigmoid, as a lamp's light does not grow without end; ±1 at the sides.
    side = np.tanh(1.5 * (np.cos(angle) * x + np.sin(angle) * y[:, None])) / np.tanh(1.5)
    lit = (image / 255.0) ** gamma * np.exp(amount * side)[..., None]
    return np.round(np.clip(lit, 0, 1) * 255).astype(np.uint8)
