"""The references of a batch, as DNet takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from durian.models.networks import Networks, embedding_keep
from durian.models.spatial_attention import ReferenceCache


@dataclass(frozen=True)
class BatchReferences:
    """What DNet attends to: the cache for spatial attention, and φ_attr with which of its tokens count."""

    cache: ReferenceCache
    embedding: Float[Tensor, "B L D"]
    embedding_keep: Bool[Tensor, "B L"] | None


def read_references(
    networks: Networks,
    batch: Mapping[str, Tensor],
    keep_portrait: Bool[Tensor, " B"] | None = None,
    keep_attributes: Bool[Tensor, " B"] | None = None,
) -> BatchReferences:
    """Run both ReferenceNets on a batch of `Example`s.

    An example with fewer attributes than another has the same result in a batch with it as by itself.

    Args:
        batch: fields of `Example` with a leading batch axis; as `durian.training.detail.shrunk` gives them,
            with the larger pictures.
        keep_portrait, keep_attributes: where False, that example goes without: condition dropout. All
            attributes of an example go together, as guidance weighs them together.
    """
    fine = "fine_portrait" in batch
    # I~_port = I_port ⊙ (1 - M_port) and I~_attr = I_attr ⊙ M_attr (section 3.1).
    portrait = networks.encode_reference(
        "portrait",
        batch["portrait"],
        1 - batch["portrait_mask"],
        batch["portrait_positions"],
        (batch["fine_portrait"], 1 - batch["fine_portrait_mask"]) if fine else None,
    )
    worn = batch["worn"]
    count = worn.shape[1] if worn.shape[1] == 1 else int(worn.sum(1).max())  # padding comes last
    attributes = [
        networks.encode_reference(
            "attribute",
            batch["attributes"][:, i],
            batch["attribute_masks"][:, i],
            batch["attribute_positions"][:, i],
            (batch["fine_attributes"][:, i], batch["fine_attribute_masks"][:, i]) if fine else None,
        )
        for i in range(count)
    ]
    if count == 1:
        cache, embedding = networks.compose(portrait, attributes, keep_portrait, keep_attributes)
        return BatchReferences(cache, embedding, None)
    keep = worn[:, :count].T
    if keep_attributes is not None:
        keep = keep & keep_attributes
    cache, embedding = networks.compose(portrait, attributes, keep_portrait, keep)
    return BatchReferences(cache, embedding, embedding_keep(keep, embedding.shape[1] // count))
