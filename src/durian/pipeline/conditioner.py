"""What DNet is told: of the references once per animation, of each frame once per frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from durian.errors import DurianError
from durian.models.autoencoder import spatial_factor
from durian.models.denoising_unet import DeepFeatures
from durian.models.networks import EncodedReference, Networks
from durian.models.spatial_attention import ReferenceCache, References
from durian.pipeline.conditioning import keypoint_tensor, known_tensor, position_tensor, reference_tensors
from durian.portrait.guidance import aligned_guidance
from durian.portrait.inputs import Reference

_TOGETHER = 4
"""Frames whose keypoints are read at once."""


@dataclass(frozen=True)
class FrameConditions:
    """What DNet is told of one frame, in every step alike.

    Attributes:
        features: of the keypoint guider.
        positions: encoded positions by number of tokens; empty where the option is off.
        guidance: aligned guidance, None without.
        alpha: of interpolation.
        places: face coordinates; None where the option is off.
        known: where landmarks say that it is in the portrait, at the results' size; likewise.
    """

    features: Float[Tensor, "1 C h w"]
    positions: Mapping[int, Float[Tensor, "1 N P"]]
    guidance: Float[Tensor, "1 G h w"] | None
    alpha: float
    places: Float[Tensor, "1 g g 2"] | None = None
    known: Float[Tensor, "1 3 H W"] | None = None


FrameDeep = Mapping[str, DeepFeatures]
"""What calls of DNet have left of one frame, by the row of guidance that they were for."""


@dataclass(frozen=True)
class Guidance:
    """Guidance on each reference apart, as Brooks et al. (2023) do for an image and a text.

    Attributes:
        portrait, attribute: scales; 1 is none and costs nothing.
        interval: the part of the schedule where it holds, 0 the begin and 1 the end; elsewhere it costs
            nothing (Kynkäänniemi et al., 2024).
    """

    portrait: float = 1.0
    attribute: float = 1.0
    interval: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        low, high = self.interval
        if not 0 <= low <= high <= 1:
            raise DurianError(
                f"guidance from {low:g} to {high:g} of the schedule: both must be in 0 … 1, in this order"
            )

    def holds(self, done: float) -> bool:
        """Whether guidance is asked for where this part of the schedule is done."""
        return (self.portrait != 1 or self.attribute != 1) and self.interval[0] <= done < self.interval[1]

    def weights(self) -> tuple[float, float, float]:
        """What the predictions under all references, the portrait alone and no reference are multiplied by.

        e(∅) + s_port (e(port) - e(∅)) + s_attr (e(port, attr) - e(port)), gathered by prediction: where both
        scales are equal, the portrait alone has no part in it.
        """
        return self.attribute, self.portrait - self.attribute, 1 - self.portrait


@dataclass(frozen=True)
class _Row:
    """One of the predictions that guidance combines.

    `shown` says of portrait and attributes whether aligned guidance, where the model has it, shows them.
    """

    name: str
    branches: tuple[ReferenceCache, ...]
    embeddings: tuple[Float[Tensor, "1 L D"], ...]
    shown: tuple[bool, bool]


class Conditioner:
    """The references of one animation, read once, and the network's predictions under them.

    Args:
        networks: the model.
        size: side of its results in pixels.
        portrait, attributes: at that size.
        others: attributes to interpolate to (section 3.4); none without interpolation.
        other_portrait: masked for these; the same one if not given.
        drop_attribute_tokens: leave the attributes out of spatial attention (an ablation).
        predict: in place of `networks.predict`, which it must equal.
    """

    def __init__(
        self,
        networks: Networks,
        size: int,
        portrait: Reference,
        attributes: Mapping[str, Reference],
        others: Mapping[str, Reference] | None = None,
        other_portrait: Reference | None = None,
        drop_attribute_tokens: bool = False,
        predict: Callable[..., tuple[Tensor, DeepFeatures]] | None = None,
    ):
        self._networks = networks
        self._predict = predict or networks.predict
        self._size = size
        self._scale = networks.detail_scale
        self._latent_size = size // self._scale // spatial_factor(networks.vae)
        self._grid = networks.attention_grid(self._latent_size)
        self._portrait, self._attributes = portrait, attributes
        self.device, self.dtype = networks.working_device, networks.working_dtype
        # Both portraits before the attributes, so that offloaded readers come and go once.
        person = self._encode("portrait", portrait)
        other_person = person if other_portrait is None else self._encode("portrait", other_portrait)
        worn = [self._encode("attribute", each) for each in attributes.values()]
        cache, embedding = networks.compose(person, worn)
        # Guidance starts from what condition dropout shows in training (`durian.training.references`).
        alone, _ = networks.compose(person, ())
        nothing = (torch.zeros_like(embedding),)
        branches, embeddings = (cache,), (embedding,)
        if drop_attribute_tokens:
            branches = (alone,)
        elif others:
            ends = networks.compose(
                other_person, [self._encode("attribute", each) for each in others.values()]
            )
            branches, embeddings = (cache, ends[0]), (embedding, ends[1])
        self._full = _Row("full", branches, embeddings, (True, True))
        self._alone = _Row("portrait", (alone,), nothing, (True, False))
        self._nobody = _Row("nothing", (networks.compose_nothing(person),), nothing, (False, False))

    @property
    def latent_size(self) -> int:
        """Latent cells a side."""
        return self._latent_size

    def _encode(self, role: str, reference: Reference) -> EncodedReference:
        """A reference with all its views."""
        pictures = (reference, *reference.views)
        return self._networks.of_views([self._encode_picture(role, each) for each in pictures])

    def _encode_picture(self, role: str, reference: Reference) -> EncodedReference:
        tensors, scale = reference_tensors(reference, role, self._grid, self.device), self._scale
        return self._networks.encode_reference(
            role,  # ty: ignore[invalid-argument-type]
            F.avg_pool2d(tensors.image, scale).to(self.dtype),
            F.avg_pool2d(tensors.visible, scale).to(self.dtype),
            tensors.canonical,
            None if scale == 1 else (tensors.image, tensors.visible),
        )

    def frames(
        self,
        keypoints: Float[np.ndarray, "F 478 3"],
        images: UInt8[np.ndarray, "F H W 3"],
        alphas: Sequence[float],
    ) -> Iterator[FrameConditions]:
        """Read the keypoints of frames, in pixels of the results, and their drawings at the network's size, a
        few at a time: one by one is slower, and all at once takes memory."""
        for start in range(0, len(keypoints), _TOGETHER):
            few = slice(start, start + _TOGETHER)
            yield from self._frames(keypoints[few], images[few], alphas[few])

    def _frames(
        self, keypoints: np.ndarray, images: np.ndarray, alphas: Sequence[float]
    ) -> Iterator[FrameConditions]:
        networks = self._networks
        drawn = keypoint_tensor(images, self.device)
        config = networks.denoising_unet.config
        canonical = guidance = None
        if config["position_frequencies"] and networks.position_reader is None:
            canonical = position_tensor(keypoints, self._size, self._grid, self.device)
        read = networks.frame_places(drawn, canonical)
        positions = {} if read is None else networks.denoising_unet.encode_positions(read)
        if config["guidance_channels"]:
            warped = aligned_guidance(self._portrait, self._attributes.values(), keypoints, self._latent_size)
            guidance = torch.from_numpy(warped).to(self.device, self.dtype).split(1)
        known = None
        if networks.blends:
            known = known_tensor(self._portrait.landmarks, keypoints, self._size, self.device)
        features = networks.keypoint_guider(drawn.to(self.dtype)).split(1)
        places = {count: place.to(self.dtype).split(1) for count, place in positions.items()}
        for index, alpha in enumerate(alphas):
            yield FrameConditions(
                features[index],
                {count: place[index] for count, place in places.items()},
                None if guidance is None else guidance[index],
                alpha,
                None if read is None else read[index : index + 1],
                None if known is None else known[index : index + 1],
            )

    def predict(
        self,
        latents: Float[Tensor, "1 c F h w"],
        timestep: Tensor,
        frames: Sequence[FrameConditions],
        guidance: Guidance,
        guided: bool,
        deep: Sequence[FrameDeep] | None = None,
    ) -> tuple[Float[Tensor, "1 c F h w"], Sequence[FrameDeep]]:
        """The prediction for a window, guided or not, and the deep features that it was made with.

        What guidance multiplies by 0 is not computed, but for the row with all references, whose places
        `detail` goes by. The rows run one after the other, each with its own references: in one batch, those
        with fewer references would have to attend to hidden tokens. Of deep features that are given, those of
        the same row are reused; a row that has none is computed in full.
        """
        features = torch.cat([frame.features for frame in frames])
        positions = {
            count: torch.cat([frame.positions[count] for frame in frames]) for count in frames[0].positions
        }
        warped = [frame.guidance for frame in frames if frame.guidance is not None]
        aligned = torch.cat(warped) if warped else None
        alpha = torch.tensor([frame.alpha for frame in frames], device=self.device)
        low = latents.to(self.dtype)
        deep_features: list[dict[str, DeepFeatures]] = [{} for _ in frames]

        def row(row: _Row) -> Tensor:
            shown = aligned
            if aligned is not None and not all(row.shown):
                halves = torch.tensor(row.shown, device=self.device).repeat_interleave(aligned.shape[1] // 2)
                shown = aligned * halves[:, None, None]
            references, embedding = _interpolated(row, alpha)
            reused = None if deep is None else _window(deep, row.name)
            predicted, used = self._predict(
                low, timestep, references, embedding, features, positions, shown, None, reused
            )
            for index, left in enumerate(deep_features):
                left[row.name] = used.frame(index)
            return predicted.to(latents.dtype)

        full = row(self._full)
        if not guided:
            return full, deep_features
        whole, *less = guidance.weights()
        result = whole * full
        for weight, other in zip(less, (self._alone, self._nobody), strict=True):
            if weight:
                result = result + weight * row(other)
        return result, deep_features

    def detail(
        self, latents: Float[Tensor, "1 c 1 h w"], deep: FrameDeep, frame: FrameConditions
    ) -> Float[Tensor, "1 c 1 kh kw"]:
        """A clean frame at the results' size; `deep` is what its last call has left."""
        references, _ = _interpolated(self._full, torch.tensor([frame.alpha], device=self.device))
        return self._networks.detail(latents, deep[self._full.name], references, frame.places, frame.known)


def _window(deep: Sequence[FrameDeep], row: str) -> DeepFeatures | None:
    """One row's deep features of all frames of a window, if they were kept."""
    if any(row not in frame for frame in deep):
        return None
    return DeepFeatures.of_frames([frame[row] for frame in deep])


def _interpolated(row: _Row, alpha: Float[Tensor, " F"]) -> tuple[References, Float[Tensor, "1 L D"]]:
    if len(row.branches) == 1:
        return References(row.branches), row.embeddings[0]
    start, end = row.embeddings
    mean = alpha.mean().to(start)
    # Embeddings of unlike numbers of attributes can't be added; both ends are then attended to.
    if start.shape == end.shape:
        mixed = (1 - mean) * start + mean * end
    else:
        mixed = torch.cat([(1 - mean) * start, mean * end], 1)
    return References(row.branches, torch.stack([1 - alpha, alpha])), mixed
