"""Where the weights of the perceptual metrics come from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

from durian.errors import DurianError

_TORCH = "https://download.pytorch.org/models"
_FID = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights"

HOW_TO_GET = {
    "lpips": f"`curl -LO {_TORCH}/alexnet-owt-7be5be79.pth` (torchvision's AlexNet)",
    "inception": f"`curl -LO {_FID}/pt_inception-2015-12-05-6726825d.pth` (the Inception-v3 of FID)",
    "video": "`hf download MCG-NJU/videomae-base-finetuned-ssv2 --local-dir DIR` (a VideoMAE)",
    "clip": "`hf download openai/clip-vit-base-patch32 --local-dir DIR` (a CLIP)",
    "dino": "`hf download facebook/dinov2-base --local-dir DIR` (a DINOv2)",
    "arcface": "backbone.pth of an IResNet from https://github.com/deepinsight/insightface, "
    "recognition/arcface_torch",
}
"""A line for each source: what it takes, and how to get it."""

METRIC_OF = {
    "lpips": "lpips",
    "inception": "fid",
    "video": "vfid",
    "clip": "clip_i",
    "dino": "dino_attribute",
    "arcface": "identity_arcface",
}
"""The metric that each source is for."""


@dataclass(frozen=True)
class WeightSources:
    """For each network a file, a folder or a hub id (owner/name); None leaves its metric out.

    Attributes:
        lpips: AlexNet in torchvision's layout; the linear heads of LPIPS come with torchmetrics.
        inception: the Inception-v3 of FID in pytorch-fid's layout.
        video: a VideoMAE of transformers, for VFID.
        clip: a CLIP of transformers.
        dino: a DINOv2 of transformers.
        arcface: an IResNet in the layout of the ArcFace authors' PyTorch release.
    """

    lpips: str | None = None
    inception: str | None = None
    video: str | None = None
    clip: str | None = None
    dino: str | None = None
    arcface: str | None = None

    @classmethod
    def parse(cls, entries: Iterable[str]) -> WeightSources:
        """From NAME=WHERE each, such as `clip=openai/clip-vit-base-patch32`.

        Raises:
            DurianError: an entry is not of that form, names no network, or names one twice.
        """
        names = [field.name for field in fields(cls)]
        found: dict[str, str] = {}
        for entry in entries:
            name, equals, where = (part.strip() for part in entry.partition("="))
            if not equals or not where:
                raise DurianError(f"weights {entry!r}: write NAME=FILE, FOLDER or HUB ID, such as clip=DIR")
            if name not in names:
                raise DurianError(f"weights {entry!r}: {name!r} is none of {', '.join(names)}")
            if name in found:
                raise DurianError(f"weights for {name!r} are given twice: {found[name]!r} and {where!r}")
            found[name] = where
        return cls(**found)

    def given(self) -> dict[str, str]:
        """Those that are there, by name."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: where for name, where in named.items() if where is not None}
