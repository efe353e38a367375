"""What a model must beat: the portrait as it is, and pictures warped by landmarks and pasted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from jaxtyping import Float

from durian.errors import DurianError
from durian.evaluation.trial import Frames, Request
from durian.portrait.geometry import ANCHORS, face_template, fit_similarity
from durian.portrait.head_proxy import warp_around_skull
from durian.portrait.inputs import AnimationInputs

_INFLUENCE = 0.18  # width of a landmark's pull, in distances between the outer eye corners
_STIFFNESS = 0.3  # of leaving a pixel where it is, against one landmark's full pull of 1
_SOFTNESS = 0.01  # width of the pasted edge, in sides of the image
_INPAINT_RADIUS = 3  # pixels
_PASTING_ORDER = ("hair", "beard", "glasses", "hat")  # what is worn over what
_CLONE_MARGIN = 3  # pixels by which OpenCV's cloning shrinks a mask before it fills it
_LEAST_CLONED = 8  # side of a mask's box in pixels: what is smaller has no inside to blend

_Blend = Callable[[Float[np.ndarray, "S S 3"], Float[np.ndarray, "S S 4"]], Float[np.ndarray, "S S 3"]]


def copy_portrait(inputs: AnimationInputs) -> Frames:
    """The portrait, unchanged, as every frame: no motion and no transfer."""
    return np.repeat(inputs.portrait.image[None], len(inputs.keypoints), axis=0)


def warp_paste(inputs: AnimationInputs) -> Frames:
    """Portrait and attributes warped from their own landmarks to the driving ones, and pasted together.

    The portrait is inpainted where `M_port` lets attributes go, so that its own attribute is gone, and
    continued beyond its border by the border's pixels. It is turned as a whole to the driving pose by the
    Face Aligner, and a smooth residual brings each landmark to its place. Then each attribute is turned to
    that pose and laid on it with a soft edge: hair first, then beard, glasses and hat.

    It is the strongest of what was tried on the 60 cases of the cross-identity benchmark portraits-v0;
    mean PSNR, and in the attribute's region, in dB:

    - portrait and attribute by similarities of the landmarks: 15.27, 13.15; by affine fits: 15.28, 13.10;
      the border continued by reflection: 14.76, 13.03; fitted to all 478 landmarks: 15.10, 13.11
    - similarities, edge made soft: 15.37, 13.30; and inpainted: 15.70, 13.51
    - and a residual for the landmarks, in the portrait: 15.86, 13.53; in the attribute too: 15.90, 13.74
    - the attribute turned by the aligner, the portrait by similarity and residual: 16.29, 14.73
    - both turned: 16.74, 14.68; and a residual for the portrait's landmarks (this): 16.90, 14.69
    """
    return _warp(inputs, _paste)


def warp_blend(inputs: AnimationInputs) -> Frames:
    """`warp_paste`, but the attributes are laid on in the gradient domain (Pérez et al., 2003).

    No seam is left, but an attribute takes on the colours of what is around it: black hair on a light
    background becomes light. So `warp_paste` is the baseline to beat. Mean PSNR over the 40 first cases of
    the split `single` at 128 pixels, and in the attribute's region, in dB:

    - `copy_portrait`: 14.46, 10.29
    - `warp_paste`: 17.40, 14.77
    - Poisson blending with the stronger of both pictures' gradients: 16.62, 11.92; with the attribute's
      (this): 16.65, 12.33
    """
    return _warp(inputs, _clone)


BASELINES: dict[str, Callable[[AnimationInputs], Frames]] = {
    "copy_portrait": copy_portrait,
    "warp_paste": warp_paste,
    "warp_blend": warp_blend,
}


def baseline_frames(name: str, request: Request) -> Frames:
    """What a baseline answers to a request.

    An interpolation is answered by cross-fading: (1 − α) of the frames with `inputs.attributes` and α of
    those with `interpolate_to`.

    Args:
        name: of one of `BASELINES`.

    Raises:
        DurianError: no baseline of that name.
    """
    if name not in BASELINES:
        raise DurianError(f"unknown baseline {name!r}: choose from {', '.join(BASELINES)}")
    frames = BASELINES[name](request.inputs)
    if request.interpolate_to is None:
        return frames
    portrait = request.portrait_to or request.inputs.portrait
    ends = replace(request.inputs, portrait=portrait, attributes=request.interpolate_to)
    others = BASELINES[name](ends)
    alpha = 1.0 if request.interpolation is None else request.interpolation[:, None, None, None]
    return np.round((1 - alpha) * frames + alpha * others).astype(np.uint8)


def _warp(inputs: AnimationInputs, blend: _Blend) -> Frames:
    portrait = inputs.portrait
    size = len(portrait.image)
    hole = (portrait.mask > 0.5).astype(np.uint8)
    base = cv2.inpaint(portrait.image, hole, _INPAINT_RADIUS, cv2.INPAINT_TELEA)
    pad = size // 2
    base = cv2.copyMakeBorder(base, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    base_landmarks = portrait.landmarks + np.array([pad, pad, 0], np.float32)
    layers = []
    for name in sorted(inputs.attributes, key=_PASTING_ORDER.index):
        attribute = inputs.attributes[name]
        alpha = cv2.GaussianBlur(attribute.mask, (0, 0), _SOFTNESS * size)[..., None]
        # Colours times alpha, so that interpolation mixes no background into the edge.
        layers.append((np.concatenate([attribute.image * alpha, alpha], -1), attribute.landmarks))

    frames = []
    for keypoints in inputs.keypoints:
        # The head only says from where each pixel is read, so pictures go as masks do.
        frame = warp_around_skull(base, base_landmarks, keypoints, size)
        frame = _settle(frame, base_landmarks, keypoints)
        for layer, landmarks in layers:
            frame = blend(frame, warp_around_skull(layer, landmarks, keypoints, size))
        frames.append(np.clip(np.round(frame), 0, 255).astype(np.uint8))
    return np.stack(frames)


def _paste(frame: Float[np.ndarray, "S S 3"], worn: Float[np.ndarray, "S S 4"]) -> np.ndarray:
    return frame * (1 - worn[..., 3:]) + worn[..., :3]


def _clone(frame: Float[np.ndarray, "S S 3"], worn: Float[np.ndarray, "S S 4"]) -> np.ndarray:
    """Poisson blending; plain pasting where the mask is too small to have an inside."""
    mask = (worn[..., 3] > 0.5).astype(np.uint8)
    x, y, width, height = cv2.boundingRect(mask)
    if min(width, height) < _LEAST_CLONED:
        return _paste(frame, worn)
    # OpenCV fails where the mask touches the border, and what it fills is 3 pixels smaller than the mask.
    pad = 2 * _CLONE_MARGIN
    colours = np.where(worn[..., 3:] > 0.05, worn[..., :3] / np.maximum(worn[..., 3:], 0.05), frame)
    source, target = (
        cv2.copyMakeBorder(
            np.clip(np.round(image), 0, 255).astype(np.uint8), pad, pad, pad, pad, cv2.BORDER_REPLICATE
        )
        for image in (colours, frame)
    )
    mask = cv2.copyMakeBorder(255 * mask, pad, pad, pad, pad, cv2.BORDER_CONSTANT)
    mask = cv2.dilate(mask, np.ones((3, 3), np.uint8), iterations=_CLONE_MARGIN)
    x, y, width, height = cv2.boundingRect(mask)
    centre = (x + width // 2, y + height // 2)
    blended = cv2.seamlessClone(source, target, mask, centre, cv2.NORMAL_CLONE)
    return blended[pad:-pad, pad:-pad].astype(np.float32)


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
    # A Gaussian of the distance is a product of one of x and one of y, so the sums over landmarks are
    # products of small matrices.
    across, down = (
        np.exp(-((axis[:, None] - target[:, i]) ** 2) / np.float32(2 * (_INFLUENCE * face_size) ** 2))
        for i in (0, 1)
    )
    weight = down @ across.T + _STIFFNESS
    move_x, move_y = ((down * (arrived - target)[:, i]) @ across.T / weight for i in (0, 1))
    # OpenCV's pixel centres lie at whole numbers.
    map_x = (axis[None] + move_x - 0.5).astype(np.float32)
    map_y = (axis[:, None] + move_y - 0.5).astype(np.float32)
    return cv2.remap(turned, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
