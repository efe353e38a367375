"""Self-reconstruction examples from ordinary clips: no paired data (section 3.3).

From one clip, one frame is the attribute reference, another the portrait reference, and further frames
with their landmarks are what the networks must give back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

from durian.data.clips import Clip
from durian.portrait.geometry import canonical_positions, similarity_matrix, transform_points, warp_image
from durian.portrait.guidance import aligned_guidance
from durian.portrait.inputs import Reference
from durian.portrait.keypoints import draw_keypoints


@dataclass(frozen=True)
class Augmentation:
    """How references are disturbed, so that they need be neither aligned nor equally lit (section 3.3).

    Attributes:
        shift: largest shift, share of the image's side. scale: largest change of log size.
        rotation: largest rotation in degrees.
        colour: largest change of the attribute's gain and contrast, and half of it of its colour balance.
        mask_expansion: how often the portrait's mask is united with a mask of somebody else's attribute.
        mask_radius: largest dilation of the portrait's mask, share of the image's side.
    """

    shift: float = 0.06
    scale: float = 0.12
    rotation: float = 8.0
    colour: float = 0.12
    mask_expansion: float = 0.85
    mask_radius: float = 0.03


@dataclass(frozen=True)
class Example:
    """One training example; arrays as the networks take them, float32.

    Attributes:
        portrait, attribute: images in [-1, 1].
        portrait_mask: `M_port`, where the attribute may go. attribute_mask: `M_attr`.
        portrait_positions, attribute_positions, target_positions: face coordinates on a g×g grid.
        targets: frames in [-1, 1]. target_masks: where the attribute is in them.
        keypoints: keypoint images in [0, 1].
        guidance: aligned guidance of each target at the latents' size; no channels where none is wanted.
    """

    portrait: Float[np.ndarray, "3 H W"]
    portrait_mask: Float[np.ndarray, "1 H W"]
    portrait_positions: Float[np.ndarray, "g g 2"]
    attribute: Float[np.ndarray, "3 H W"]
    attribute_mask: Float[np.ndarray, "1 H W"]
    attribute_positions: Float[np.ndarray, "g g 2"]
    targets: Float[np.ndarray, "T 3 H W"]
    target_masks: Float[np.ndarray, "T 1 H W"]
    target_positions: Float[np.ndarray, "T g g 2"]
    keypoints: Float[np.ndarray, "T 3 H W"]
    guidance: Float[np.ndarray, "T G h w"]


class ReconstructionSampler:
    """Draws self-reconstruction examples from clips.

    Args:
        clips: people in motion.
        targets: frames to reconstruct for each pair of references.
        grid: cells a side of the grid of face coordinates.
        consecutive: whether the targets follow each other (stage 2) or are any frames (stage 1).
        attribute_weights: how often each attribute is drawn, if any clip has it.
        augmentation: of the references.
        min_area: a frame's attribute counts from this share of the image on.
        guidance_size: side of the aligned guidance in cells; None makes none.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        targets: int,
        grid: int,
        consecutive: bool = False,
        attribute_weights: dict[str, float] | None = None,
        augmentation: Augmentation | None = None,
        min_area: float = 0.003,
        guidance_size: int | None = None,
    ):
        self.clips = clips
        self.targets = targets
        self.grid = grid
        self.consecutive = consecutive
        self.guidance_size = guidance_size
        self.augmentation = augmentation or Augmentation()
        self.frames: dict[str, list[tuple[int, np.ndarray]]] = {}
        for index, clip in enumerate(clips):
            visible = clip.visible_frames()
            if len(visible) < 2:
                continue
            for attribute, masks in clip.masks.items():
                good = visible[masks[visible].mean((1, 2)) >= min_area]
                if len(good):
                    self.frames.setdefault(attribute, []).append((index, good))
        weights = attribute_weights or {"hair": 0.5, "glasses": 0.22, "hat": 0.18, "beard": 0.1}
        self.attributes = [name for name in weights if name in self.frames]
        if not self.attributes:
            raise ValueError("no clip shows any of the attributes " + ", ".join(weights))
        chosen = np.array([weights[name] for name in self.attributes])
        self.probabilities = chosen / chosen.sum()

    def draw(self, rng: np.random.Generator) -> Example:
        """One example; all its randomness comes from `rng`."""
        name = self.attributes[rng.choice(len(self.attributes), p=self.probabilities)]
        index, good = self.frames[name][rng.integers(len(self.frames[name]))]
        clip = self.clips[index]
        visible = clip.visible_frames()
        attribute_frame = int(rng.choice(good))
        portrait_frame = int(rng.choice(visible[visible != attribute_frame]))

        portrait_mask = clip.masks[name][portrait_frame].astype(np.float32)
        if rng.random() < self.augmentation.mask_expansion:
            portrait_mask = np.maximum(portrait_mask, self._generated_mask(rng, name, clip, portrait_frame))
        portrait_mask = self._dilate(rng, portrait_mask)
        portrait, portrait_mask, portrait_points = self._affine(
            rng, clip.frames[portrait_frame], portrait_mask, clip.landmarks[portrait_frame]
        )
        attribute, attribute_mask, attribute_points = self._affine(
            rng,
            clip.frames[attribute_frame],
            clip.masks[name][attribute_frame].astype(np.float32),
            clip.landmarks[attribute_frame],
        )
        attribute = self._colour(rng, attribute)

        chosen = self._target_frames(rng, visible)
        size = portrait.shape[0]
        guidance = np.zeros((self.targets, 0, 1, 1), np.float32)
        if self.guidance_size is not None:
            guidance = aligned_guidance(
                Reference(portrait, portrait_mask, portrait_points),
                [Reference(attribute, attribute_mask, attribute_points)],
                clip.landmarks[chosen],
                self.guidance_size,
            )
        return Example(
            portrait=to_signed(portrait),
            portrait_mask=portrait_mask[None],
            portrait_positions=canonical_positions(portrait_points, size, self.grid),
            attribute=to_signed(attribute),
            attribute_mask=attribute_mask[None],
            attribute_positions=canonical_positions(attribute_points, size, self.grid),
            targets=np.stack([to_signed(clip.frames[i]) for i in chosen]),
            target_masks=clip.masks[name][chosen][:, None].astype(np.float32),
            target_positions=np.stack(
                [canonical_positions(clip.landmarks[i], size, self.grid) for i in chosen]
            ),
            keypoints=np.stack([to_unit(draw_keypoints(clip.landmarks[i], size)) for i in chosen]),
            guidance=guidance,
        )

    def _target_frames(self, rng: np.random.Generator, visible: np.ndarray) -> np.ndarray:
        if not self.consecutive:
            return rng.choice(visible, self.targets, replace=len(visible) < self.targets)
        count = min(self.targets, len(visible))
        start = rng.integers(len(visible) - count + 1)
        # Too short a clip goes forth and back.
        there_and_back = np.concatenate([visible[start:], visible[start:][::-1]])
        return np.resize(there_and_back, self.targets)

    def _generated_mask(self, rng: np.random.Generator, name: str, clip: Clip, frame: int) -> np.ndarray:
        """`M_gen` without a generator: somebody else's mask, brought here by the landmarks."""
        index, good = self.frames[name][rng.integers(len(self.frames[name]))]
        other, other_frame = self.clips[index], int(rng.choice(good))
        matrix = similarity_matrix(other.landmarks[other_frame], clip.landmarks[frame])
        return warp_image(other.masks[name][other_frame].astype(np.float32), matrix, clip.frames.shape[1:3])

    def _dilate(self, rng: np.random.Generator, mask: np.ndarray) -> np.ndarray:
        radius = int(rng.integers(0, round(self.augmentation.mask_radius * mask.shape[0]) + 1))
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        return cv2.dilate(mask, kernel)

    def _affine(
        self, rng: np.random.Generator, image: np.ndarray, mask: np.ndarray, landmarks: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        a, size = self.augmentation, image.shape[0]
        angle = np.deg2rad(rng.uniform(-a.rotation, a.rotation))
        scale = np.exp(rng.uniform(-a.scale, a.scale))
        linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shift = size / 2 + rng.uniform(-a.shift, a.shift, 2) * size - linear @ [size / 2, size / 2]
        matrix = np.concatenate([linear, shift[:, None]], 1)
        # What the shift uncovers is filled by reflection, in image and mask alike.
        image, mask = (
            warp_image(array, matrix, (size, size), border=cv2.BORDER_REFLECT_101) for array in (image, mask)
        )
        return image, mask, transform_points(matrix, landmarks)

    def _colour(self, rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
        strength = self.augmentation.colour
        gain = np.exp(rng.uniform(-strength, strength) + rng.uniform(-strength / 2, strength / 2, 3))
        contrast = np.exp(rng.uniform(-strength, strength))
        mean = image.mean()
        return np.clip((image * gain - mean) * contrast + mean, 0, 255).astype(np.uint8)


def to_signed(image: np.ndarray) -> Float[np.ndarray, "3 H W"]:
    """uint8 RGB to float32 in [-1, 1], channels first."""
    return np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) / 127.5 - 1


def to_unit(image: np.ndarray) -> Float[np.ndarray, "3 H W"]:
    """uint8 RGB to float32 in [0, 1], channels first."""
    return np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) / 255


def split_clips(clips: Sequence[Clip], held_out: int, seed: int = 0) -> tuple[list[Clip], list[Clip]]:
    """Training clips and `held_out` validation clips, by a fixed shuffle."""
    order = np.random.default_rng(seed).permutation(len(clips))
    return [clips[i] for i in order[held_out:]], [clips[i] for i in order[:held_out]]
