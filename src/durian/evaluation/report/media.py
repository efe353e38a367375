"""Pictures and videos beside a report: what went in, what should come out, what came out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from durian.errors import DurianError
from durian.evaluation.trial import Frames, Trial
from durian.portrait.inputs import Reference
from durian.portrait.keypoints import draw_keypoints
from durian.video import write_video

MEDIA = "media"
_SIDE = 256  # pixels; smaller pictures are enlarged until they can be seen
_CAPTION = 26  # pixels
_GAP = 6  # pixels
_INK, _PAPER = (230, 230, 230), (32, 34, 38)
_MASK_COLOUR = np.array([255, 64, 160], np.float32)


def write_media(folder: str | Path, trial: Trial, frames_by_method: Mapping[str, Frames]) -> dict[str, str]:
    """Write a trial's inputs, its truth if it has one, and what each method made of it.

    Args:
        folder: of the report; the files go into `media/ID/` below it.
        trial: what was asked for.
        frames_by_method: (F, S, S, 3) each, of any resolution.

    Returns:
        `media` of the case's record: paths relative to `folder`, "inputs", "truth" and by method. A single
        frame is a .webp, several are an .mp4 of the trial's rate; pictures below 256 pixels are enlarged by
        a whole number, without smoothing, so that the pixels seen are those that were made.

    Raises:
        DurianError: a file cannot be written.
        ValueError: a method is called "inputs".
    """
    if "inputs" in frames_by_method:
        raise ValueError("a method cannot be called 'inputs': that is the picture of the inputs")
    folder = Path(folder)
    place = Path(MEDIA, *(_file_name(part) for part in trial.id.split("/")))
    try:
        (folder / place).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DurianError(f"{folder / place} cannot be made: {error}") from error
    request = trial.request(trial.size)
    donors = dict(trial.donors)
    donors |= {f"to {name}": reference for name, reference in (request.interpolate_to or {}).items()}
    media = {"inputs": str(place / "inputs.webp")}
    _write_picture(folder / media["inputs"], inputs_picture(trial, donors))
    shown = ({} if trial.targets is None else {"truth": trial.targets}) | dict(frames_by_method)
    for name, frames in shown.items():
        enlarged = [enlarge(frame) for frame in frames]
        stem = str(place / _file_name(name))
        media[name] = f"{stem}.webp" if len(enlarged) == 1 else f"{stem}.mp4"
        if len(enlarged) == 1:
            _write_picture(folder / media[name], enlarged[0])
        else:
            write_video(folder / media[name], enlarged, request.inputs.fps)
    return media


def inputs_picture(trial: Trial, donors: Mapping[str, Reference]) -> UInt8[np.ndarray, "H W 3"]:
    """What a method is given, side by side and named: portrait, donors, their masks, the first motion."""
    portrait = trial.portrait
    tiles = {
        "portrait": portrait.image,
        "M_port": overlay(portrait.image, portrait.mask),
        "masked portrait": masked(portrait.image, 1 - portrait.mask),
    }
    for name, donor in donors.items():
        tiles |= {name: donor.image, f"masked {name}": masked(donor.image, donor.mask)}
    tiles["first keypoints"] = draw_keypoints(trial.keypoints[0], trial.size)
    pictures = [enlarge(tile) for tile in tiles.values()]
    side = max(len(picture) for picture in pictures)
    width = len(pictures) * side + (len(pictures) - 1) * _GAP
    strip = Image.new("RGB", (width, side + _CAPTION), _PAPER)
    draw, font = ImageDraw.Draw(strip), ImageFont.load_default(15)
    for index, (name, picture) in enumerate(zip(tiles, pictures, strict=True)):
        left = index * (side + _GAP)
        strip.paste(Image.fromarray(picture), (left, _CAPTION))
        draw.text((left + 4, 4), name, fill=_INK, font=font)
    return np.asarray(strip)


def enlarge(image: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "kH kW 3"]:
    """Each pixel as a square of k×k, with the least k that gives 256 pixels in height."""
    factor = -(-_SIDE // len(image))
    return image.repeat(factor, 0).repeat(factor, 1)


def masked(image: UInt8[np.ndarray, "H W 3"], mask: Float[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """The image times a mask in [0, 1], as the references are."""
    return np.round(image * mask[..., None]).astype(np.uint8)


def overlay(image: UInt8[np.ndarray, "H W 3"], mask: Float[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """The image with a mask in [0, 1] laid over it in colour."""
    alpha = 0.6 * mask[..., None]
    return np.round(image * (1 - alpha) + _MASK_COLOUR * alpha).astype(np.uint8)


def _file_name(name: str) -> str:
    """A name as a file name, different for different names: signs that a path may not hold are quoted."""
    quoted = quote(name, safe=" ,+=@()") or "%"
    return f"%2E{quoted[1:]}" if quoted.startswith(".") else quoted


def _write_picture(path: Path, image: UInt8[np.ndarray, "H W 3"]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        Image.fromarray(image).save(temporary, format="WEBP", lossless=True)
        os.replace(temporary, path)
    except OSError as error:
        raise DurianError(f"{path} cannot be written: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)
