"""Whose face is it: an embedding of synthetic people that no attribute, pose or light should change.

It was trained on people of `durian.synth` alone and judges nobody else. It is not ArcFace, and its figures
do not compare with the identity similarities of papers; `docs/identity.md` says what they mean.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn import functional as F

from durian.errors import DurianError
from durian.evaluation.trial import Frames, Metric, Scores, Trial
from durian.portrait.geometry import ANCHORS, face_template, similarity_matrix, warp_image

CROP = 64  # side of an aligned face in pixels
DIMENSIONS = 128  # of an embedding

# The crop's place in face coordinates (see `face_template`): the face from hairline to chin and little else.
_CENTRE, _WIDTH = (0.0, 0.33), 1.9
_WEIGHTS = "identity.safetensors"
_BATCH = 64

IDENTITY_METRICS = (
    Metric(
        "identity",
        "identity",
        "higher",
        about="cosine of the synthetic-identity embeddings of frame and portrait, in [-1, 1]; "
        "a portrait copied to its place has nearly 1, so read it beside identity_truth",
    ),
    Metric(
        "identity_truth",
        "identity to truth",
        "higher",
        about="cosine of the synthetic-identity embeddings of frame and true frame, in [-1, 1]; "
        "pose, light and attribute are the same in both",
    ),
)


def align_faces(
    frames: Frames, landmarks: Float[np.ndarray, "F 478 3"], margin: int = 0
) -> UInt8[np.ndarray, "F C C 3"]:
    """Faces brought upright to one place and size by a similarity of their landmarks.

    Args:
        frames: RGB, of any size.
        landmarks: x, y in pixels of the frames.
        margin: pixels more on every side than `CROP`.
    """
    anchors = list(ANCHORS)
    side = CROP + 2 * margin
    scale = CROP / _WIDTH
    place = (face_template()[anchors, :2] - np.array(_CENTRE)) * scale + side / 2
    return np.stack(
        [
            warp_image(
                frame, similarity_matrix(points[anchors], place), (side, side), border=cv2.BORDER_REPLICATE
            )
            for frame, points in zip(frames, landmarks, strict=True)
        ]
    )


class IdentityEncoder(nn.Module):
    """A small residual network from an aligned face to a unit vector; 0.32 M parameters.

    The first layer takes squares of 8 pixels every 4 pixels to 48 numbers each: as many as there are in 4×4
    pixels, so little is lost, and what follows is cheap enough for one core.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = _convolution(3, 48, 8, stride=4, padding=2)
        self.blocks = nn.Sequential(_Residual(48, 64, stride=2), _Residual(64, 64))
        self.reduce = _convolution(64, 64, 3, stride=2, padding=1)
        self.project = nn.Linear(64 * (CROP // 16) ** 2, DIMENSIONS)

    def forward(self, faces: Float[Tensor, "N 3 64 64"]) -> Float[Tensor, "N 128"]:
        """Unit vectors of faces with values in [-1, 1]."""
        features = self.reduce(self.blocks(self.stem(faces)))
        return F.normalize(self.project(features.flatten(1)), dim=1)


def _convolution(channels: int, out_channels: int, kernel: int, stride: int, padding: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out_channels, kernel, stride=stride, padding=padding, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


class _Residual(nn.Module):
    """Two convolutions beside a shortcut, a 1×1 convolution where the shape changes."""

    def __init__(self, channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.shortcut = (
            nn.Identity()
            if (channels, stride) == (out_channels, 1)
            else nn.Conv2d(channels, out_channels, 1, stride=stride, bias=False)
        )

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N D h w"]:
        hidden = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(hidden)) + self.shortcut(x))


def face_tensor(faces: UInt8[np.ndarray, "N 64 64 3"]) -> Float[Tensor, "N 3 64 64"]:
    """Aligned faces as the encoder takes them."""
    return torch.from_numpy(faces).permute(0, 3, 1, 2).float() / 127.5 - 1


class SyntheticIdentity:
    """The judge of synthetic people: how much a face is still the portrait's person.

    It knows faces of `durian.synth` only, from whose skull, features, skin and brows it was trained to
    tell people apart whatever they wear. It is not ArcFace and says nothing about photos.
    """

    def __init__(self, weights: Path | None = None) -> None:
        """Load an encoder.

        Args:
            weights: a safetensors file of an `IdentityEncoder`; None for the packaged one.

        Raises:
            DurianError: the file is missing, broken or of another network.
        """
        path = files("durian.evaluation") / _WEIGHTS if weights is None else weights
        self.encoder = IdentityEncoder().eval().requires_grad_(False)
        try:
            self.encoder.load_state_dict(load(path.read_bytes()), strict=True)
        except (OSError, SafetensorError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise DurianError(f"{path} holds no weights of the identity encoder: {reason}") from error

    def embed(self, frames: Frames, landmarks: Float[np.ndarray, "F 478 3"]) -> Float[np.ndarray, "F 128"]:
        """Unit vectors of faces, float32; their dot product is the similarity of two faces.

        Args:
            frames: RGB, square, one face each.
            landmarks: of those faces, in pixels; finite.
        """
        if len(frames) != len(landmarks) or not np.isfinite(landmarks[:, list(ANCHORS), :2]).all():
            raise ValueError(f"{len(frames)} frames need as many faces with finite landmarks")
        with torch.inference_mode():
            parts = face_tensor(align_faces(frames, landmarks)).split(_BATCH)
            return torch.cat([self.encoder(part) for part in parts]).numpy()

    def scores(self, frames: Frames, trial: Trial) -> Scores:
        """`IDENTITY_METRICS` of one method's frames, means over the frames.

        Args:
            frames: at the trial's resolution, one for each row of `trial.keypoints`, at which the faces are
                looked for: a face that is elsewhere is out of its crop, and scores low.

        Returns:
            `identity_truth` is None where the trial has no true frames.
        """
        if frames.shape != (len(trial.keypoints), trial.size, trial.size, 3):
            raise ValueError(
                f"frames are of shape {frames.shape}, the trial has {len(trial.keypoints)} of {trial.size} px"
            )
        found = self.embed(frames, trial.keypoints)
        portrait = self.embed(trial.portrait.image[None], trial.portrait.landmarks[None])
        truth = None
        if trial.targets is not None:
            truth = float((found * self.embed(trial.targets, trial.keypoints)).sum(1).mean())
        return {"identity": float((found @ portrait[0]).mean()), "identity_truth": truth}
