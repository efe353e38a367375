"""Frames with what an outpainting model put around them (`durian outpaint`), as references (section 3.3).

A reference that is shifted or shrunk then shows real picture where a plain frame has to be reflected.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8, UInt16

from durian.data.clips import Clip
from durian.errors import DurianError
from durian.labels import ATTRIBUTE_LABELS, attribute_region

MANIFEST = "outpainted.json"


@dataclass(frozen=True)
class View:
    """A frame and what lies around it.

    Attributes:
        image: RGB. margin: pixels around the frame on each side; 0 for a plain frame.
        masks: by attribute, of the whole image.
        landmarks: in pixels of the image.
        surface: which point of the person each pixel shows, where that is known.
    """

    image: UInt8[np.ndarray, "H W 3"]
    margin: int
    masks: Mapping[str, Bool[np.ndarray, "H W"]]
    landmarks: Float[np.ndarray, "478 3"]
    surface: UInt16[np.ndarray, "H W 3"] | None = None

    @classmethod
    def of(cls, clip: Clip, frame: int) -> View:
        """A frame by itself."""
        masks = {name: each[frame] for name, each in clip.masks.items()}
        surface = None if clip.surface is None else clip.surface[frame]
        return cls(clip.frames[frame], 0, masks, clip.landmarks[frame], surface)

    def mask(self, attribute: str) -> Bool[np.ndarray, "H W"]:
        """Where the attribute is; empty if it is not there."""
        return self.masks.get(attribute, np.zeros(self.image.shape[:2], bool))


class OutpaintedFrames:
    """A folder that `durian outpaint` wrote: `CLIP/FRAME.webp`, `CLIP/FRAME.png` (labels) and a manifest.

    Args:
        folder: read frame by frame, as they are wanted.

    Raises:
        DurianError: the folder has no manifest, or an unreadable one.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        try:
            self.margin = int(json.loads((self.folder / MANIFEST).read_text("utf-8"))["margin"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DurianError(
                f"{folder} holds no outpainted frames: make some with durian outpaint"
            ) from error
        self._frames: dict[str, np.ndarray] = {}

    def frames(self, clip: str) -> np.ndarray:
        """Numbers of the clip's outpainted frames."""
        if clip not in self._frames:
            files = sorted(int(path.stem) for path in (self.folder / clip).glob("*.webp"))
            self._frames[clip] = np.array(files, int)
        return self._frames[clip]

    def preferred(self, clip: str, frames: np.ndarray) -> np.ndarray:
        """Those of `frames` that are outpainted; all if none is."""
        wider = frames[np.isin(frames, self.frames(clip))]
        return wider if len(wider) else frames

    def read(self, clip: Clip, frame: int) -> View | None:
        """The frame with its surroundings; None where it was not outpainted.

        Raises:
            DurianError: a file is damaged or of another set of clips.
        """
        if frame not in self.frames(clip.name):
            return None
        path = self.folder / clip.name / f"{frame:02d}"
        image = cv2.imread(f"{path}.webp", cv2.IMREAD_COLOR_RGB)
        labels = cv2.imread(f"{path}.png", cv2.IMREAD_UNCHANGED)
        height, width = (side + 2 * self.margin for side in clip.frames.shape[1:3])
        if image is None or labels is None or {image.shape[:2], labels.shape[:2]} != {(height, width)}:
            raise DurianError(f"{path}.webp and .png: not an outpainted frame of {width}×{height} pixels")
        inside = slice(self.margin, height - self.margin), slice(self.margin, width - self.margin)
        image[inside] = clip.frames[frame]  # not what a lossy file kept of it
        masks = {}
        for name in ATTRIBUTE_LABELS:
            masks[name] = attribute_region(labels, name)
            masks[name][inside] = clip.masks[name][frame] if name in clip.masks else False
        return View(image, self.margin, masks, clip.landmarks[frame] + (self.margin, self.margin, 0))
