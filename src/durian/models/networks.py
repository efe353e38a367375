"""The networks of one model together, and the few steps that training and inference share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from durian.models.autoencoder import encode_latents
from durian.models.copy_blend import whole_copies
from durian.models.denoising_unet import DeepFeatures, DenoisingUNet
from durian.models.detail_net import DetailNet
from durian.models.keypoint_guider import KeypointGuider
from durian.models.position_reader import PositionReader
from durian.models.reference_copy import fetch_pixels, relight
from durian.models.reference_net import ReferenceNet
from durian.models.spatial_attention import ReferenceCache, References

COMPONENTS = (
    "vae",
    "denoising_unet",
    "portrait_net",
    "keypoint_guider",
    "attribute_encoder",
    "identity_encoder",
)
OPTIONAL_COMPONENTS = ("attribute_net", "position_reader", "detail_net")
READERS = ("identity_encoder", "portrait_net", "attribute_encoder", "attribute_net")
"""What only references go through, in this order."""


@dataclass(frozen=True)
class MaskedReference:
    """A reference as a ReferenceNet sees it: hidden parts are mid-grey, 0."""

    image: Float[Tensor, "B 3 H W"]
    visible: Float[Tensor, "B 1 H W"]
    canonical: Float[Tensor, "B g g 2"] | None

    def drop(self, keep: Bool[Tensor, " B"] | None) -> MaskedReference:
        """Nothing at all is left of those samples where `keep` is False."""
        if keep is None:
            return self
        kept = keep[:, None, None, None].to(self.image)
        return replace(self, image=self.image * kept, visible=self.visible * kept)


@dataclass(frozen=True)
class EncodedReference:
    """One reference, ready for DNet.

    Attributes:
        masked: what was read.
        embedding: φ_attr or φ_port, (B, L, D).
        cache: its keys and values; None where one ReferenceNet reads it only together with another.
    """

    masked: MaskedReference
    embedding: Float[Tensor, "B L D"]
    cache: ReferenceCache | None


class Networks(nn.Module):
    """DNet, PRNet, ARNet, the keypoint guider, the image encoders, the autoencoder and, where there are any,
    a reader of the frames' face coordinates and a network that brings frames to a larger size.

    Without an `attribute_net`, `portrait_net` reads portrait and attribute together, their channels side by
    side: the paper's ablation with a single ReferenceNet.
    """

    def __init__(
        self,
        vae: Any,
        denoising_unet: DenoisingUNet,
        portrait_net: ReferenceNet,
        attribute_net: ReferenceNet | None,
        keypoint_guider: KeypointGuider,
        attribute_encoder: Any,
        identity_encoder: Any,
        position_reader: PositionReader | None = None,
        detail_net: DetailNet | None = None,
    ):
        super().__init__()
        if (attribute_net is None) != denoising_unet.config["joint_references"]:
            raise ValueError("DNet expects " + ("two ReferenceNets" if attribute_net is None else "one"))
        if detail_net is not None and not denoising_unet.config["copy_heads"]:
            raise ValueError("a DetailNet is for a DNet that copies from its references")
        self.vae = vae
        self.denoising_unet = denoising_unet
        self.portrait_net = portrait_net
        self.attribute_net = attribute_net
        self.keypoint_guider = keypoint_guider
        self.attribute_encoder = attribute_encoder
        self.identity_encoder = identity_encoder
        self.position_reader = position_reader
        self.detail_net = detail_net

    @property
    def detail_scale(self) -> int:
        """How many times as large as DNet's pictures the results are."""
        return 1 if self.detail_net is None else self.detail_net.config["scale"]

    @property
    def blends(self) -> bool:
        """Whether detail blends whole copies in, for which it takes the places that landmarks say."""
        return self.detail_net is not None and self.detail_net.config["blend"]

    def components(self) -> dict[str, Any]:
        """The parts by the names under which a checkpoint stores them."""
        names = (*COMPONENTS, *OPTIONAL_COMPONENTS)
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def with_denoising_unet(self, denoising_unet: DenoisingUNet) -> Networks:
        """The same parts, shared, around another DNet."""
        parts: dict[str, Any] = {"attribute_net": None, **self.components(), "denoising_unet": denoising_unet}
        return Networks(**parts)

    def lower_precision(self, dtype: torch.dtype) -> Networks:
        """Weights and computation in `dtype`, but where places are computed, which half precision would
        blur (the position reader and what copies from the references), and but for the image encoders, which
        run once and whose resampling is not there in half precision."""
        self.to(dtype)
        exact = (self.position_reader, self.denoising_unet.reference_copy, self.detail_net)
        for each in (*exact, self.attribute_encoder, self.identity_encoder):
            if each is not None:
                each.float()
        return self

    @property
    def working_dtype(self) -> torch.dtype:
        """Of latents and conditions in calls of DNet."""
        return self.denoising_unet.conv_in.weight.dtype

    @property
    def working_device(self) -> torch.device:
        """Of the same. A model's own `device` looks through all its parts, for milliseconds."""
        return self.denoising_unet.conv_in.weight.device

    def attention_grid(self, latent_size: int) -> int:
        """Tokens a side at the finest spatial attention: the grid on which positions are wanted."""
        config = self.denoising_unet.config
        pairs = zip(config["down_block_types"], reversed(config["up_block_types"]), strict=True)
        level = next(i for i, pair in enumerate(pairs) if any("CrossAttn" in name for name in pair))
        return latent_size // 2**level

    def frame_places(
        self, keypoint_images: Float[Tensor, "F 3 H W"], canonical: Float[Tensor, "F g g 2"] | None
    ) -> Float[Tensor, "F g g 2"] | None:
        """Face coordinates of the frames: read off the keypoint images where there is a reader, else
        `canonical`, which comes from the landmarks."""
        if self.position_reader is None:
            return canonical
        exact = next(self.position_reader.parameters()).dtype
        return self.position_reader(keypoint_images.to(exact))

    def frame_positions(
        self, keypoint_images: Float[Tensor, "F 3 H W"], canonical: Float[Tensor, "F g g 2"] | None
    ) -> dict[int, Float[Tensor, "F N P"]]:
        """Encoded positions of the frames' tokens, by their number; empty where the option is off."""
        places = self.frame_places(keypoint_images, canonical)
        return {} if places is None else self.denoising_unet.encode_positions(places)

    def encode_reference(
        self,
        role: Literal["portrait", "attribute"],
        image: Float[Tensor, "B 3 H W"],
        visible: Float[Tensor, "B 1 H W"],
        canonical: Float[Tensor, "B g g 2"] | None = None,
        fine: tuple[Float[Tensor, "B 3 kH kW"], Float[Tensor, "B 1 kH kW"]] | None = None,
    ) -> EncodedReference:
        """Run a ReferenceNet and project what it says to DNet's keys and values.

        Args:
            role: which of the two ReferenceNets and image encoders.
            image: in [-1, 1], not yet masked.
            visible: 1 where the reference shows something: `1 - M_port` for the portrait, `M_attr` for
                an attribute. What is hidden becomes mid-grey.
            canonical: face coordinates, where the option is on.
            fine: image and visibility at the size of the results, for `detail`.
        """
        net = self.attribute_net if role == "attribute" else self.portrait_net
        encoder = self.identity_encoder if role == "portrait" else self.attribute_encoder
        if not self.portrait_net.config["mask_references"]:
            visible = torch.ones_like(visible)
        masked = MaskedReference(image * visible, visible, canonical)
        # Their resampling is not there in half precision, see `lower_precision`.
        embedding = encoder(masked.image.float()).to(masked.image)
        if net is None or self.attribute_net is None:
            return EncodedReference(masked, embedding, None)
        latents = encode_latents(self.vae, masked.image)
        features = net(latents, visible, embedding, canonical)
        if self.denoising_unet.config["copy_heads"]:
            features = replace(features, image=self._unfolded(latents, visible))
        cache = self.denoising_unet.project_references(features)
        if fine is not None and cache.source is not None:
            larger = self._unfolded(encode_latents(self.vae, fine[0] * fine[1]), fine[1])
            cache = replace(cache, source=replace(cache.source, fine=(larger,)))
        return EncodedReference(masked, embedding, cache)

    @staticmethod
    def of_views(views: Sequence[EncodedReference]) -> EncodedReference:
        """Several pictures of one reference as one, which can be composed like any other.

        Not in the paper. Attention and copies choose among all of them what fits a frame best.

        Raises:
            ValueError: a single ReferenceNet reads portrait and attribute together, picture by picture.
        """
        if len(views) == 1:
            return views[0]
        caches = [view.cache for view in views if view.cache is not None]
        if len(caches) < len(views):
            raise ValueError("a single ReferenceNet reads one picture of each reference")
        embedding = torch.stack([view.embedding for view in views]).mean(0)
        return EncodedReference(views[0].masked, embedding, ReferenceCache.of_views(caches))

    def _unfolded(
        self, latents: Float[Tensor, "B c h w"], visible: Float[Tensor, "B 1 H W"]
    ) -> Float[Tensor, "B c+1 H W"]:
        """What can be copied: latents unfolded to pixels, and last how far they are visible."""
        unfolded = F.pixel_shuffle(latents, self.denoising_unet.config["copy_factor"])
        alpha = F.interpolate(visible, unfolded.shape[-2:], mode="area").to(unfolded)
        return torch.cat([unfolded, alpha], 1)

    def compose(
        self,
        portrait: EncodedReference,
        attributes: Sequence[EncodedReference],
        keep_portrait: Bool[Tensor, " B"] | None = None,
        keep_attributes: Bool[Tensor, "*A B"] | None = None,
    ) -> tuple[ReferenceCache, Float[Tensor, "B L D"]]:
        """Concatenate a portrait and any number of attributes width-wise (section 3.4).

        Without attributes the cache holds the portrait alone and the embedding is empty.

        Args:
            keep_portrait, keep_attributes: where False, that sample goes without, as in condition
                dropout and in guidance. `keep_attributes` is one for all attributes or one for each; where
                a sample keeps only some, `embedding_keep` says which of the embeddings to attend to.

        Returns:
            The cache that DNet attends to and the attributes' embeddings for its cross-attention.
        """
        embeddings = [portrait.embedding[:, :0]]
        keeps: Sequence[Tensor | None] = [None] * len(attributes)
        if keep_attributes is not None and attributes:
            keep_attributes = keep_attributes.expand(len(attributes), -1)
            keeps = keep_attributes.unbind()
        for attribute, keep in zip(attributes, keeps, strict=True):
            embeddings.append(attribute.embedding * (1 if keep is None else keep[:, None, None]))
        if self.attribute_net is None:
            caches = self._read_jointly(portrait, attributes, keep_portrait, keeps)
            if keep_attributes is not None and len(attributes) > 1:
                caches = list(map(_dropped, caches, attended(keep_attributes)))
        else:
            caches = [_dropped(portrait.cache, keep_portrait)]
            caches += [_dropped(each.cache, keep) for each, keep in zip(attributes, keeps, strict=True)]
        return ReferenceCache.concatenate(caches), torch.cat(embeddings, 1)

    def compose_nothing(self, portrait: EncodedReference) -> ReferenceCache:
        """What DNet attends to where every reference is dropped, as in condition dropout: no token, or, of a
        single ReferenceNet, what it says of nothing.

        Not None: the networks have been shown hidden references, and what is not in attention may use them.
        """
        if portrait.cache is not None:
            return portrait.cache.without_tokens()
        never = torch.zeros(len(portrait.embedding), dtype=torch.bool, device=portrait.embedding.device)
        return self.compose(portrait, (), keep_portrait=never)[0]

    def _read_jointly(
        self,
        portrait: EncodedReference,
        attributes: Sequence[EncodedReference],
        keep_portrait: Bool[Tensor, " B"] | None,
        keeps: Sequence[Bool[Tensor, " B"] | None],
    ) -> list[ReferenceCache]:
        """The portrait read with each attribute by one ReferenceNet; with nothing if there is none.

        The tokens lie on the portrait's face: the attribute's picture need not show the same pose, and to
        bring the two together is left to the network.
        """
        first = portrait.masked.drop(keep_portrait)
        nobody = torch.zeros(len(first.image), dtype=torch.bool, device=first.image.device)
        others = [each.masked.drop(keep) for each, keep in zip(attributes, keeps, strict=True)]
        caches = []
        for other in others or [portrait.masked.drop(nobody)]:
            latents = [encode_latents(self.vae, each.image) for each in (first, other)]
            features = self.portrait_net(
                torch.cat(latents, 1),
                torch.cat([first.visible, other.visible], 1),
                portrait.embedding,
                first.canonical,
            )
            caches.append(self.denoising_unet.project_references(features))
        return caches

    def predict(
        self,
        latents: Float[Tensor, "B c F h w"],
        timestep: Tensor,
        references: References | None,
        embedding: Float[Tensor, "B L D"],
        keypoint_features: Float[Tensor, "BF C0 h w"] | None,
        positions: dict[int, Float[Tensor, "BF N P"]] | None = None,
        guidance: Float[Tensor, "BF G h w"] | None = None,
        embedding_keep: Bool[Tensor, "B L"] | None = None,
        deep: DeepFeatures | None = None,
    ) -> tuple[Float[Tensor, "B c F h w"], DeepFeatures]:
        """One call of DNet, and what it leaves for later ones (see `DenoisingUNet.predict`)."""
        return self.denoising_unet.predict(
            latents,
            timestep,
            embedding,
            keypoint_features=keypoint_features,
            references=references,
            positions=positions,
            guidance=guidance,
            embedding_keep=embedding_keep,
            deep=deep,
        )

    def detail(
        self,
        latents: Float[Tensor, "B c F h w"],
        features: DeepFeatures,
        references: References,
        places: Float[Tensor, "BF g g 2"] | None = None,
        known: Float[Tensor, "BF 3 kH kW"] | None = None,
    ) -> Float[Tensor, "B c F kh kw"]:
        """Frames at `detail_scale` times their size.

        Args:
            latents: clean.
            features: what the last call of `predict` for these frames has left.
            references: as in that call; encoded with `fine`.
            places: face coordinates of the frames (`frame_places`), for `DetailNet`'s `eye_strength`.
            known: where landmarks say that the frames are in the portrait (`whole_copies`), for its
                `blend`.

        Raises:
            ValueError: the references were encoded without, or `known` is missing.
        """
        assert self.detail_net is not None
        assert features.shares is not None
        sources = [branch.source for branch in references.branches if branch.source is not None]
        if not all(source.fine for source in sources):
            raise ValueError("the references were encoded without their larger pictures")
        fetched = [
            fetch_pixels(self.detail_net.agreed(found, features.shares), source.fine)
            for found, source in zip(features.found, sources, strict=True)
        ]
        copies = relight(references.blend(fetched), features.tones)
        whole = None
        if self.blends:
            if known is None:
                raise ValueError("this DetailNet wants the places that landmarks say")
            whole = references.blend(
                [
                    whole_copies(found, source, features.shares, features.tones, known)
                    for found, source in zip(features.found, sources, strict=True)
                ]
            )
        flat = latents.transpose(1, 2).flatten(0, 1).to(copies)
        larger = self.detail_net(flat, copies, features.shares, places, whole)
        return larger.unflatten(0, (len(latents), -1)).transpose(1, 2).to(latents)


def attended(keep_attributes: Bool[Tensor, "A B"]) -> Bool[Tensor, "A B"]:
    """Which attributes are attended to: those that are kept and, where a sample keeps none, the nothing that
    is left of the first, as in condition dropout."""
    first = torch.arange(len(keep_attributes), device=keep_attributes.device)[:, None] == 0
    return keep_attributes | (first & ~keep_attributes.any(0))


def embedding_keep(keep_attributes: Bool[Tensor, "A B"], tokens: int) -> Bool[Tensor, "B L"] | None:
    """Which of the embeddings that `Networks.compose` gives take part in cross-attention, so that an
    attribute that is not kept is as if it were not there; `tokens` is an embedding's own number."""
    if len(keep_attributes) == 1:
        return None
    return attended(keep_attributes).T.repeat_interleave(tokens, 1)


def _dropped(cache: ReferenceCache | None, keep: Bool[Tensor, " B"] | None) -> ReferenceCache:
    assert cache is not None  # only a joint ReferenceNet leaves it out
    return cache if keep is None else cache.drop(keep)
