"""The perceptual metrics of a trial."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from durian.evaluation.perceptual.crops import arcface_crops, attribute_crop
from durian.evaluation.perceptual.encoder import Encoder
from durian.evaluation.perceptual.encoders import (
    arcface_encoder,
    clip_encoder,
    dino_encoder,
    inception_encoder,
    video_encoder,
)
from durian.evaluation.perceptual.identity import identity_similarity
from durian.evaluation.perceptual.lpips import Lpips
from durian.evaluation.perceptual.sources import METRIC_OF, WeightSources
from durian.evaluation.trial import Frames, Scores, Trial

if TYPE_CHECKING:
    from durian.portrait.masks import AttributeMasker

_ENCODERS = {
    "inception": inception_encoder,
    "video": video_encoder,
    "clip": clip_encoder,
    "dino": dino_encoder,
    "arcface": arcface_encoder,
}


class PerceptualMetrics:
    """Those of `PERCEPTUAL_METRICS` whose weights are given.

    Args:
        sources: where the weights are. They are loaded here, so that what is missing is known before any
            work is done.
        device: where the networks run.
        masker: finds attributes in frames, where no truth says where they are. None leaves the attribute's
            metrics out there.

    Attributes:
        names: of the metrics that are measured.

    Raises:
        DurianError: weights cannot be found, fetched or loaded.
    """

    def __init__(
        self,
        sources: WeightSources,
        device: str | torch.device = "cpu",
        masker: AttributeMasker | None = None,
    ) -> None:
        device = torch.device(device)
        given = sources.given()
        self.names = tuple(METRIC_OF[name] for name in given)
        self._masker = masker
        self._lpips = Lpips(given["lpips"], device) if "lpips" in given else None
        self._encoders: dict[str, Encoder] = {
            METRIC_OF[name]: make(given[name], device) for name, make in _ENCODERS.items() if name in given
        }

    def scores(self, frames: Frames, trial: Trial) -> Scores:
        """The metrics of one trial; None where one does not apply.

        Args:
            frames: the result at the trial's resolution. The true frames give the best that can be had of
                the metrics that compare with references.
        """
        expected = (len(trial.keypoints), trial.size, trial.size, 3)
        if frames.shape != expected or frames.dtype != np.uint8:
            raise ValueError(f"frames {frames.shape} {frames.dtype} must be {expected} uint8")
        scores: Scores = {}
        if self._lpips is not None:
            scores["lpips"] = None if trial.targets is None else self._lpips(frames, trial.targets)
        for name in ("clip_i", "dino_attribute"):
            if name in self._encoders:
                scores[name] = self._attribute_similarity(self._encoders[name], frames, trial)
        if "identity_arcface" in self._encoders:
            scores["identity_arcface"] = identity_similarity(
                self._embed_faces, frames, trial.keypoints, trial.portrait
            )
        return scores

    def features(self, frames: Frames) -> dict[str, Float[np.ndarray, "N D"]]:
        """What `frechet_distance` compares between the results and the truths of a set, float32.

        Returns:
            By metric: `fid` with a row for each frame, `vfid` with one for each clip (`video_clips`) unless
            there is one frame only. Stack those of all trials.
        """
        features: dict[str, np.ndarray] = {}
        if "fid" in self._encoders:
            features["fid"] = self._encoders["fid"](frames)
        if "vfid" in self._encoders and len(frames) > 1:
            features["vfid"] = self._encoders["vfid"](video_clips(frames, self._encoders["vfid"].batch))
        return features

    def _attribute_similarity(self, encoder: Encoder, frames: Frames, trial: Trial) -> float | None:
        """Mean cosine between the attribute in the frames and on its donor, over frames and attributes."""
        cosines = []
        for name, donor in trial.donors.items():
            regions = self._regions(frames, trial, name)
            original = _crops([donor.image], [donor.mask])
            worn = _crops(frames, regions) if regions is not None else []
            if len(original) and len(worn):
                cosines.append(float((encoder(np.stack(worn)) @ encoder(np.stack(original))[0]).mean()))
        return float(np.mean(cosines)) if cosines else None

    def _regions(self, frames: Frames, trial: Trial, attribute: str) -> Iterable[np.ndarray] | None:
        """Where an attribute is in the frames; with the truth's one region, several cannot be told apart."""
        if len(trial.donors) == 1 and "attribute" in trial.regions:
            return trial.regions["attribute"]
        if self._masker is None:
            return None
        return [
            self._masker(frame, landmarks, attribute)
            if np.isfinite(landmarks).all()
            else np.zeros(frame.shape[:2])
            for frame, landmarks in zip(frames, trial.keypoints, strict=True)
        ]

    def _embed_faces(
        self, frames: UInt8[np.ndarray, "N H W 3"], landmarks: Float[np.ndarray, "N 478 3"]
    ) -> Float[np.ndarray, "N D"]:
        return self._encoders["identity_arcface"](arcface_crops(frames, landmarks))


def video_clips(frames: Frames, length: int) -> UInt8[np.ndarray, "T S S 3"]:
    """Clips of `length` frames, one after another, for a network that takes so many.

    A longer video is cut into as many as fit without overlap, spread evenly over it. A shorter one is one
    clip, slowed down by repeating its frames.
    """
    count = len(frames)
    if count < length:
        return frames[np.linspace(0, count - 1, length).round().astype(int)]
    starts = np.linspace(0, count - length, count // length).round().astype(int)
    return np.concatenate([frames[start : start + length] for start in starts])


def _crops(
    images: Iterable[np.ndarray], masks: Iterable[Float[np.ndarray, "H W"] | Bool[np.ndarray, "H W"]]
) -> list[UInt8[np.ndarray, "_ _ 3"]]:
    """Those attributes that can be seen."""
    crops = (attribute_crop(image, mask) for image, mask in zip(images, masks, strict=True))
    return [crop for crop in crops if crop is not None]
