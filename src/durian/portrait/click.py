"""Attribute masks by a click: SAM 2 finds the thing that a point of a photo belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from durian.errors import DurianError
from durian.portrait.network_images import NetworkImages, no_progress_bar

CLICK_MODEL = "facebook/sam2.1-hiera-tiny"
Point = tuple[float, float]


class ClickMasker:
    """SAM 2 (transformers' `Sam2Model`).

    Args:
        source: a folder, or a repository on the hub.
        device: where it runs; a GPU where there is one by default.

    Raises:
        DurianError: it cannot be loaded.
    """

    def __init__(self, source: str = CLICK_MODEL, device: str | None = None) -> None:
        import torch
        from transformers import Sam2Model

        try:
            with no_progress_bar():
                self._images = NetworkImages.from_pretrained(source)
                self._network: Any = Sam2Model.from_pretrained(source)
        except (OSError, ValueError) as error:
            first = str(error).strip().splitlines()[0]
            raise DurianError(
                f"--click-model {source}: {first} (it must be a folder or hub repository of a SAM 2 of "
                "transformers)"
            ) from error
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._network.eval().to(self._device)

    def __call__(
        self, image: UInt8[np.ndarray, "H W 3"], points: Sequence[Point]
    ) -> Float[np.ndarray, "H W"]:
        """The mask in [0, 1] of what all the points belong to.

        Of the three sizes of things that SAM 2 offers (a lock, the hair, the head) the one it is surest of.

        Args:
            points: x, y in pixels of the image, at least one.

        Raises:
            DurianError: a point outside of the image.
        """
        import torch

        height, width = image.shape[:2]
        for x, y in points:
            if not (0 <= x < width and 0 <= y < height):
                raise DurianError(f"click {x:g},{y:g}: is outside of the picture of {width}×{height} pixels")
        high, wide = self._images.size
        scaled = [[x * wide / width, y * high / height] for x, y in points]
        with torch.inference_mode():
            found = self._network(
                pixel_values=torch.from_numpy(self._images(image))[None].to(self._device),
                input_points=torch.tensor([[scaled]], dtype=torch.float32, device=self._device),
                input_labels=torch.ones((1, 1, len(points)), dtype=torch.long, device=self._device),
            )
            best = int(found.iou_scores[0, 0].argmax())
            logits = found.pred_masks[0, 0, best][None, None].float()
            logits = torch.nn.functional.interpolate(
                logits, size=(height, width), mode="bilinear", align_corners=False
            )
            return logits.sigmoid()[0, 0].cpu().numpy()
