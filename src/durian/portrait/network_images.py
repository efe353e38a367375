"""Pictures as networks of transformers take them, by the preprocessor that lies beside the weights.

Of its settings only size and normalisation matter for whole pictures, and they are all that is read: the
image processors of the newer networks need torchvision, for which a resize is no reason.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

_IMAGENET_MEAN, _IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class NetworkImages:
    """Resizes and normalises pictures.

    Attributes:
        size: (height, width) in pixels that the network sees.
        mean, deviation: of the colours, in [0, 1].
    """

    size: tuple[int, int]
    mean: tuple[float, ...] = _IMAGENET_MEAN
    deviation: tuple[float, ...] = _IMAGENET_DEVIATION

    @classmethod
    def from_pretrained(cls, source: str) -> NetworkImages:
        """Of a folder, or a repository on the hub.

        Raises:
            OSError: it has no preprocessor. ValueError: one without a size.
        """
        from transformers.image_processing_base import ImageProcessingMixin

        settings, _ = ImageProcessingMixin.get_image_processor_dict(source)
        return cls(
            _size(settings.get("size")),
            tuple(settings.get("image_mean") or _IMAGENET_MEAN),
            tuple(settings.get("image_std") or _IMAGENET_DEVIATION),
        )

    def __call__(self, image: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, "3 h w"]:
        """One picture, whatever its shape stretched to `size`."""
        height, width = self.size
        method = cv2.INTER_AREA if image.shape[0] > height else cv2.INTER_LINEAR
        resized = cv2.resize(image, (width, height), interpolation=method).astype(np.float32) / 255
        return ((resized - self.mean) / self.deviation).transpose(2, 0, 1).astype(np.float32)


def _size(size: Any) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    size = size or {}
    if "shortest_edge" in size:  # of a square crop
        return int(size["shortest_edge"]), int(size["shortest_edge"])
    if "height" in size and "width" in size:
        return int(size["height"]), int(size["width"])
    raise ValueError("its preprocessor has no size")


@contextmanager
def no_progress_bar() -> Generator[None]:
    """Without the bar that transformers draws while it loads: each worker would draw its own."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
