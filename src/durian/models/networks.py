"""The networks of one model together, and the few steps that training and inference share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from durian.models.autoencoder import encode_latents
from durian.models.denoising_unet import DenoisingUNet
from durian.models.keypoint_guider import KeypointGuider
from durian.models.position_reader import PositionReader
from durian.models.reference_net import ReferenceNet
from durian.models.spatial_attention import ReferenceCache, References

COMPONENTS = (
    "vae",
    "denoising_unet",
    "portrait_net",
    "attribute_net",
    "keypoint_guider",
    "attribute_encoder",
    "identity_encoder",
)
OPTIONAL_COMPONENTS = ("position_reader",)


@dataclass(frozen=True)
class EncodedReference:
    """One reference, ready for DNet.

    Attributes:
        cache: its keys and values.
        embedding: φ_attr or φ_port, (B, L, D).
    """

    cache: ReferenceCache
    embedding: Float[Tensor, "B L D"]


class Networks(nn.Module):
    """DNet, PRNet, ARNet, the keypoint guider, the image encoders, the autoencoder and, where the preset
    asks for one, a reader of the frames' face coordinates."""

    def __init__(
        self,
        vae: Any,
        denoising_unet: DenoisingUNet,
        portrait_net: ReferenceNet,
        attribute_net: ReferenceNet,
        keypoint_guider: KeypointGuider,
        attribute_encoder: Any,
        identity_encoder: Any,
        position_reader: PositionReader | None = None,
    ):
        super().__init__()
        self.vae = vae
        self.denoising_unet = denoising_unet
        self.portrait_net = portrait_net
        self.attribute_net = attribute_net
        self.keypoint_guider = keypoint_guider
        self.attribute_encoder = attribute_encoder
        self.identity_encoder = identity_encoder
        self.position_reader = position_reader

    def components(self) -> dict[str, Any]:
        """The parts by the names under which a checkpoint stores them."""
        names = (*COMPONENTS, *OPTIONAL_COMPONENTS)
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def attention_grid(self, latent_size: int) -> int:
        """Tokens a side at the finest spatial attention: the grid on which positions are wanted."""
        config = self.denoising_unet.config
        pairs = zip(config["down_block_types"], reversed(config["up_block_types"]), strict=True)
        level = next(i for i, pair in enumerate(pairs) if any("CrossAttn" in name for name in pair))
        return latent_size // 2**level

    def frame_positions(
        self, keypoint_images: Float[Tensor, "F 3 H W"], canonical: Float[Tensor, "F g g 2"] | None
    ) -> dict[int, Float[Tensor, "F N P"]]:
        """Encoded positions of the frames' tokens: read off the keypoint images where there is a reader,
        else `canonical`, which comes from the landmarks; empty where the option is off."""
        if self.position_reader is not None:
            canonical = self.position_reader(keypoint_images)
        return {} if canonical is None else self.denoising_unet.encode_positions(canonical)

    def encode_reference(
        self,
        role: Literal["portrait", "attribute"],
        image: Float[Tensor, "B 3 H W"],
        visible: Float[Tensor, "B 1 H W"],
        canonical: Float[Tensor, "B g g 2"] | None = None,
    ) -> EncodedReference:
        """Run a ReferenceNet and project what it says to DNet's keys and values.

        Args:
            role: which of the two ReferenceNets and image encoders.
            image: in [-1, 1], not yet masked.
            visible: 1 where the reference shows something: `1 - M_port` for the portrait, `M_attr` for
                an attribute. What is hidden becomes mid-grey.
            canonical: face coordinates, where the option is on.
        """
        net = self.portrait_net if role == "portrait" else self.attribute_net
        encoder = self.identity_encoder if role == "portrait" else self.attribute_encoder
        masked = image * visible
        embedding = encoder(masked)
        features = net(encode_latents(self.vae, masked), visible, embedding, canonical)
        return EncodedReference(self.denoising_unet.project_references(features), embedding)

    def compose(
        self,
        portrait: EncodedReference,
        attributes: Sequence[EncodedReference],
        keep_portrait: Bool[Tensor, " B"] | None = None,
        keep_attributes: Bool[Tensor, " B"] | None = None,
    ) -> tuple[ReferenceCache, Float[Tensor, "B L D"]]:
        """Concatenate a portrait and any number of attributes width-wise (section 3.4).

        Args:
            keep_portrait, keep_attributes: where False, that sample goes without, as in condition
                dropout and in guidance.

        Returns:
            The cache that DNet attends to and the attributes' embeddings for its cross-attention.
        """
        caches = [portrait.cache if keep_portrait is None else portrait.cache.drop(keep_portrait)]
        embeddings = []
        for attribute in attributes:
            cache, embedding = attribute.cache, attribute.embedding
            if keep_attributes is not None:
                cache = cache.drop(keep_attributes)
                embedding = embedding * keep_attributes[:, None, None]
            caches.append(cache)
            embeddings.append(embedding)
        return ReferenceCache.concatenate(caches), torch.cat(embeddings, 1)

    def denoise(
        self,
        latents: Float[Tensor, "B c F h w"],
        timestep: Tensor,
        references: References | None,
        embedding: Float[Tensor, "B L D"],
        keypoint_features: Float[Tensor, "BF C0 h w"] | None,
        positions: dict[int, Float[Tensor, "BF N P"]] | None = None,
        guidance: Float[Tensor, "BF G h w"] | None = None,
    ) -> Float[Tensor, "B c F h w"]:
        """One call of DNet."""
        return self.denoising_unet(
            latents,
            timestep,
            embedding,
            keypoint_features=keypoint_features,
            references=references,
            positions=positions,
            guidance=guidance,
        )
