"""What a model must beat: the portrait as it is, and pictures warped by landmarks and pasted."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float

from durian.evaluation.metrics import Frames
from durian.portrait.aligner import align_mask
from durian.portrait.geometry import ANCHORS, face_template, fit_similarity
from durian.portrait.inputs import AnimationInputs

_INFLUENCE = 0.18  # width of a landmark's pull, in distances between the outer eye corners
_STIFFNESS = 0.3  # of leaving a pixel where it is, against one landmark's full pull of 1
_SOFTNESS = 0.01  # width of the pasted edge, in sides of the image
_INPAINT_RADIUS = 3  # pixels


def copy_portrait(inputs: AnimationInputs) -> Frames:
    """The portrait, unchanged, as every frame: no motion and no transfer."""
    return np.repeat(inputs.portrait.image[None], len(inputs.keypoints), axis=0)


def warp_paste(inputs: AnimationInputs) -> Frames:
    """Portrait and attributes warped from their own landmarks to the driving ones, and pasted together.

    The portrait is inpainted where `M_port` lets attributes go, so that its own attribute is gone, and
    continued beyond its border by the border's pixels. It is turned as a whole to the driving pose by the
    Face Aligner, and a smooth residual brings each landmark to its place. Then each attribute is turned to
    that pose and laid on it with a soft edge.

    It is the strongest of what was tried on the 60 cases of the cross-identity benchmark portraits-v0;
    mean PSNR, and in the attribute's region, in dB:

    - portrait and attribute by similarities of the landmarks: 15.27, 13.15; by affine fits: 15.28, 13.10;
      the border continued by reflection: 14.76, 13.03; fitted to all 478 landmarks: 15.10, 13.11
    - similarities, edge made soft: 15.37, 13.30; and inpainted: 15.70, 13.51
    - and a residual for the landmarks, in the portrait: 15.86, 13.53; in the attribute too: 15.90, 13.74
    - the attribute turned by the aligner, the portrait by similarity and residual: 16.29, 14.73
    - both turned: 16.74, 14.68; and a residual for the portrait's landmarks (this): 16.90, 14.69
    """
    portrait = inputs.portrait
    size = len(portrait.image)
    hole = (portrait.mask > 0.5).astype(np.uint8)
    base = cv2.inpaint(portrait.image, hole, _INPAINT_RADIUS, cv2.INPAINT_TELEA)
    pad = size // 2
    base = cv2.copyMakeBorder(base, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    base_landmarks = portrait.landmarks + np.array([pad, pad, 0], np.float32)
    layers = []
    for attribute in inputs.attributes.values():
        alpha = cv2.GaussianBlur(attribute.mask, (0, 0), _SOFTNESS * size)[..., None]
        # Colours times alpha, so that interpolation mixes no background into the edge.
        layers.append((np.concatenate([attribute.image * alpha, alpha], -1), attribute.landmarks))

    frames = []
    for keypoints in inputs.keypoints:
        frame = _turn(base, base_landmarks, keypoints, size)
        frame = _settle(frame, base_landmarks, keypoints)
        for layer, landmarks in layers:
            worn = _turn(layer, landmarks, keypoints, size)
            frame = frame * (1 - worn[..., 3:]) + worn[..., :3]
        frames.append(np.clip(np.round(frame), 0, 255).astype(np.uint8))
    return np.stack(frames)


def _turn(
    image: np.ndarray, source: Float[np.ndarray, "478 3"], target: Float[np.ndarray, "478 3"], size: int
) -> Float[np.ndarray, "size size C"]:
    """An image brought to the target's head pose; the aligner is linear, so colours go as masks do."""
    channels = np.moveaxis(image, -1, 0)
    return np.stack([align_mask(channel, source, target, size) for channel in channels], -1)


def _settle(
    turned: Float[np.ndarray, "S S C"], source: Float[np.ndarray, "478 3"], target: Float[np.ndarray, "478 3"]
) -> Float[np.ndarray, "S S C"]:
    """Bring the landmarks of a turned face, which kept its shape and expression, to the target's."""
    scale, rotation, shift = fit_similarity(source, target)
    anchors = list(ANCHORS)
    target = target[anchors]
    arrived = scale * source[anchors] @ rotation.T + shift
    face_size, _, _ = fit_similarity(face_template()[anchors], target)
    axis = np.arange(len(turned), dtype=np.float32) + 0.5
    pixels = np.stack(np.meshgrid(axis, axis, indexing="xy"), -1)
    squared = ((pixels[:, :, None] - target[:, :2]) ** 2).sum(-1)
    weight = np.exp(-squared / np.float32(2 * (_INFLUENCE * face_size) ** 2))
    pull = weight @ (arrived - target)[:, :2] / (weight.sum(-1, keepdims=True) + _STIFFNESS)
    places = (pixels + pull - 0.5).astype(np.float32)  # OpenCV's pixel centres lie at whole numbers
    return cv2.remap(
        turned, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
