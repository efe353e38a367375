"""Frames of clips on a larger canvas, the rest of which a diffusion model paints (section 3.3)."""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from durian.data.clips import Clip
from durian.data.outpainted import MANIFEST
from durian.errors import DurianError
from durian.generation.folder import claim
from durian.generation.pipelines import Fill
from durian.portrait.parsers import AttributeParser
from durian.preparation.labels import label_images


@dataclass(frozen=True)
class OutpaintSettings:
    """What decides the frames' surroundings.

    Attributes:
        clip_size: side of the clips' frames. margin: what is added on each side; in pixels.
        frames: of each clip, spread evenly over those with a face.
        size: side of the canvas that the model paints, in pixels, a multiple of 16.
        seed: of its noise.
        models: what painted and parsed, by name. sampling: steps and guidance.
    """

    clip_size: int
    margin: int
    frames: int = 4
    size: int = 1024
    seed: int = 0
    models: tuple[str, ...] = ()
    sampling: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.size % 16:
            raise DurianError(f"a canvas of {self.size} pixels: the side must be a multiple of 16")
        if self.margin < 1:
            raise DurianError("no margin to paint: ask for a wider one")


def outpaint_clips(
    folder: Path,
    clips: Iterable[Clip],
    settings: OutpaintSettings,
    fill: Fill,
    parse: AttributeParser,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Paint what surrounds frames of each clip, going on from what the folder holds.

    Args:
        folder: as `OutpaintedFrames` reads it; a clip's subfolder is whole or not there.
        clips: with frames of one size.
        fill, parse: paint a canvas and find the attributes in it.
        progress: called with the number of clips done.

    Returns:
        The number of clips done.

    Raises:
        DurianError: the folder cannot be written to or is of other settings, or a clip has another size.
    """
    claim(folder / MANIFEST, asdict(settings))
    done = 0
    for clip in clips:
        if clip.frames.shape[1:3] != (settings.clip_size, settings.clip_size):
            height, width = clip.frames.shape[1:3]
            raise DurianError(
                f"clip {clip.name} is {width}×{height} pixels and the first one "
                f"{settings.clip_size}×{settings.clip_size}: outpaint them apart"
            )
        if not (folder / clip.name).is_dir():
            _write(folder, clip, settings, fill, parse)
        done += 1
        if progress is not None:
            progress(done)
    return done


def chosen_frames(clip: Clip, count: int) -> list[int]:
    """Up to `count` frames with a face, spread evenly over the clip."""
    visible = clip.visible_frames()
    if not len(visible):
        return []
    places = np.linspace(0, len(visible) - 1, min(count, len(visible))).round().astype(int)
    return visible[places].tolist()


def outpaint(
    clip: Clip, frame: int, settings: OutpaintSettings, fill: Fill, parse: AttributeParser
) -> tuple[UInt8[np.ndarray, "W W 3"], UInt8[np.ndarray, "W W"]]:
    """A frame with its surroundings, and the label image of all of it, of side `clip_size + 2·margin`."""
    wide, side = settings.clip_size + 2 * settings.margin, settings.size
    border = ((settings.margin, settings.margin),) * 2
    picture = np.pad(clip.frames[frame], (*border, (0, 0)), mode="reflect")
    mask = np.pad(np.zeros((settings.clip_size,) * 2, np.uint8), border, constant_values=255)
    way = cv2.INTER_CUBIC if side > wide else cv2.INTER_AREA
    canvas = cv2.resize(picture, (side, side), interpolation=way)
    unknown = cv2.resize(mask, (side, side), interpolation=cv2.INTER_NEAREST)
    number = zlib.crc32(clip.name.encode())
    seed = int(np.random.default_rng([settings.seed, number, frame]).integers(2**31))
    painted = np.where(unknown[..., None] > 0, fill(canvas, unknown, seed), canvas)

    worn = [name for name in clip.masks if name in parse.attributes]
    landmarks = (clip.landmarks[frame] + (settings.margin, settings.margin, 0)) * (side / wide)
    masks = parse(painted[None], landmarks[None].astype(np.float32), worn)
    labels, _ = label_images(masks, wide, np.ones(1, bool), 0.0, 0.0)
    small = cv2.resize(painted, (wide, wide), interpolation=cv2.INTER_AREA)
    return np.where(mask[..., None] > 0, small, picture), labels[0]


def _write(folder: Path, clip: Clip, settings: OutpaintSettings, fill: Fill, parse: AttributeParser) -> None:
    temporary = folder / f".{clip.name}.{os.getpid()}"
    try:
        temporary.mkdir()
        for frame in chosen_frames(clip, settings.frames):
            image, labels = outpaint(clip, frame, settings, fill, parse)
            files = {"webp": (image[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, 93]), "png": (labels, [])}
            for suffix, (array, options) in files.items():
                data = cv2.imencode(f".{suffix}", array, options)[1].tobytes()
                (temporary / f"{frame:02d}.{suffix}").write_bytes(data)
        os.replace(temporary, folder / clip.name)
    except OSError as error:
        raise DurianError(f"cannot write into {folder}: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
