"""Between two checkpoints of the same networks: one that errs little, and one whose pictures are crisp."""

from __future__ import annotations

from pathlib import Path

import torch

from durian.errors import DurianError
from durian.models.networks import Networks
from durian.pipeline.checkpoint import load_networks
from durian.pipeline.durian import DurianPipeline

_FIRST = (".motion_modules.", "detail_net.")  # the first's, where the second has none


def mix_checkpoints(first: str | Path, second: str | Path, share: float, output: Path) -> None:
    """Write the weighted mean of two checkpoints' weights (network interpolation, Wang et al. 2018).

    The second must have been trained on from the first, or both from a third: only then is their mean of any
    use. Temporal layers and a `DetailNet` that the second has not are the first's, so a second from stage 1
    will do.

    Args:
        first, second: as `from_pretrained` takes them; size and sampling steps are those of the first.
        share: of the second, from 0 to 1.
        output: the folder, written beside and renamed into place.

    Raises:
        DurianError: a checkpoint is not there, they are of different networks, or something else is where
            the new one shall be.
    """
    if not 0 <= share <= 1:
        raise DurianError(f"the share is {share:g}: it must be from 0 to 1")
    pipeline = DurianPipeline.from_pretrained(first, device="cpu")
    mix_networks(pipeline.networks, load_networks(second), share)
    pipeline.save_pretrained(output, torch.float16)


@torch.no_grad()
def mix_networks(first: Networks, second: Networks, share: float) -> None:
    """Move the first's weights towards the second's, in place."""
    own, other = first.state_dict(), second.state_dict()
    shapes = {
        name: value.shape
        for name, value in own.items()
        if name in other or not any(part in name for part in _FIRST)
    }
    odd = [name for name in {**shapes, **other} if name not in shapes or shapes[name] != _shape(other, name)]
    if odd:
        raise DurianError(
            f"the checkpoints are of different networks: {len(odd)} weights have no match, as {odd[0]}"
        )
    for name in shapes:
        if own[name].is_floating_point():
            own[name].lerp_(other[name], share)


def _shape(weights: dict[str, torch.Tensor], name: str) -> torch.Size | None:
    return weights[name].shape if name in weights else None
