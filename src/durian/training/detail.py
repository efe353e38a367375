"""DetailNet's training: pictures larger than DNet's, which stays as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from durian.models.networks import Networks
from durian.models.spatial_attention import References
from durian.training.objective import AdversarialObjective, Batch

_REFERENCES = ("portrait", "portrait_mask", "attributes", "attribute_masks")
_PICTURES = (*_REFERENCES, "targets", "target_masks")


def shrunk(batch: Mapping[str, Tensor], scale: int) -> Batch:
    """A batch of large pictures as DNet takes it: pictures and masks shrunk, and the references' own size
    kept beside them as `fine_portrait`, `fine_portrait_mask`, `fine_attributes` and `fine_attribute_masks`.
    Keypoint images have DNet's size already."""
    small = {name: _shrunk(batch[name], scale) for name in _PICTURES}
    return {**batch, **small, **{f"fine_{name}": batch[name] for name in _REFERENCES}}


def known_places(networks: Networks, batch: Batch) -> Float[Tensor, "BF 3 kH kW"] | None:
    """The places that landmarks say, where the networks ask for them."""
    return batch["known"].flatten(0, 1) if networks.blends else None


def _shrunk(images: Float[Tensor, "*N c H W"], scale: int) -> Float[Tensor, "*N c h w"]:
    leading = images.shape[:-3]
    return F.avg_pool2d(images.flatten(0, -4), scale).unflatten(0, leading)


class DetailObjective(AdversarialObjective):
    """Loss of the larger frames; the batches' pictures have their size."""

    def forward(
        self,
        batch: Batch,
        generators: Sequence[torch.Generator] | None = None,
        weight_sum: Float[Tensor, ""] | None = None,
    ) -> Float[Tensor, ""]:
        """As `ReconstructionObjective.forward`, of what DetailNet makes of DNet's frames."""
        networks = self.networks
        with torch.no_grad():
            made = self.reconstruct(shrunk(batch, networks.detail_scale), generators)
            seen, true = batch["keypoints"].flatten(0, 1), batch["target_positions"].flatten(0, 1)
            places = networks.frame_places(seen, true)
        larger = networks.detail(
            made.prediction,
            made.features,
            References((made.references.cache,)),
            places,
            known_places(networks, batch),
        )
        target = self._latents(batch)
        error = self._mean(larger, target, made.timesteps, batch, weight_sum)
        return error + self._critique(larger, target, batch)
