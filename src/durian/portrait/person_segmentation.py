"""Which pixels show a person: MediaPipe's segmentation of selfies."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from mediapipe.python.solutions import selfie_segmentation

from durian.portrait.landmarks import quiet_stderr


class PersonSegmenter:
    """How likely each pixel of a picture shows a person. A context manager, as it holds a native graph."""

    def __init__(self) -> None:
        with quiet_stderr():
            self._graph: Any = selfie_segmentation.SelfieSegmentation(model_selection=0)
            self._graph.process(np.zeros((256, 256, 3), np.uint8))  # it starts, and logs, in a thread

    def __call__(self, image: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, "H W"]:
        """In [0, 1], of an RGB image."""
        return self._graph.process(np.ascontiguousarray(image)).segmentation_mask

    def close(self) -> None:
        """Release the native graph."""
        self._graph.close()

    def __enter__(self) -> PersonSegmenter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
