"""From the data section of a configuration to what draws examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from durian.data.augmentation import Augmentation
from durian.data.clips import Clip
from durian.data.mask_folder import read_mask_bank
from durian.data.outpainted import OutpaintedFrames
from durian.data.reconstruction import ReconstructionSampler
from durian.errors import DurianError
from durian.training.config import DataConfig


def sampler_of(
    data: DataConfig,
    clips: Sequence[Clip],
    grid: int,
    consecutive: bool = False,
    guidance_size: int | None = None,
    match_size: int | None = None,
    scale: int = 1,
    known: bool = False,
) -> ReconstructionSampler:
    """A sampler of `clips`; the other arguments are those of `ReconstructionSampler`.

    Raises:
        DurianError: the clips, the mask bank or the outpainted frames are not usable.
    """
    strengths = {field.name: getattr(data, field.name) for field in dataclasses.fields(Augmentation)}
    bank = None if data.mask_bank is None else read_mask_bank(data.mask_bank)
    weights = data.attribute_weights
    if isinstance(weights, dict):
        weights = {str(name): weight for name, weight in weights.items()}
    outpainted = None if data.outpainted is None else OutpaintedFrames(data.outpainted)
    try:
        return ReconstructionSampler(
            clips,
            data.targets,
            grid,
            consecutive=consecutive,
            attributes=data.attributes,
            attribute_weights=weights,
            balance_power=data.balance_power,
            augmentation=Augmentation(**strengths),
            hair_under_hats=data.hair_under_hats,
            guidance_size=guidance_size,
            match_size=match_size,
            scale=scale,
            known=known,
            mask_bank=bank,
            outpainted=outpainted,
        )
    except ValueError as error:
        raise DurianError(f"{data.clips}: {error}") from error
