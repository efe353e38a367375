"""A mask bank the paper's way: people generated for the keypoints of real ones, parsed (section 3.3)."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from durian.data.clips import Clip
from durian.data.mask_folder import MANIFEST
from durian.generation.folder import claim, put
from durian.generation.openpose import draw_openpose
from durian.generation.pipelines import Generate
from durian.generation.prompts import draw_prompt
from durian.portrait.attributes import ATTRIBUTES
from durian.portrait.keypoints import draw_keypoints
from durian.portrait.landmarks import LandmarkDetector
from durian.portrait.parsers import AttributeParser

CONTROL_IMAGES = {"openpose": draw_openpose, "mesh": draw_keypoints}

_LEAST = 0.003  # of the picture must be an attribute


@dataclass(frozen=True)
class BankSettings:
    """What decides a bank's contents, but for how many pictures there are.

    Attributes:
        attributes: asked for in turn.
        seed: of prompts, keypoints and noise.
        size: side of the generated pictures; masks: side of the masks kept of them; in pixels.
        control_image: how keypoints are drawn: "openpose", or "mesh", the keypoint images of this package.
        models: what generated and parsed, by name, so that a bank is of one kind. sampling: steps and scales.
    """

    attributes: tuple[str, ...] = ATTRIBUTES
    seed: int = 0
    size: int = 1024
    masks: int = 512
    control_image: str = "openpose"
    models: tuple[str, ...] = ()
    sampling: tuple[float, ...] = ()


def make_bank(
    folder: Path,
    count: int,
    faces: Sequence[Float[np.ndarray, "478 3"]],
    settings: BankSettings,
    generate: Generate,
    detect: LandmarkDetector,
    parse: AttributeParser,
    keep_images: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Counter[str]:
    """Fill a folder with the masks of `count` generated people, going on from what it holds.

    Picture number n is the same whatever the count and the interruptions.

    Args:
        folder: as `read_mask_bank` reads it.
        count: pictures in all.
        faces: landmarks to generate for, in shares of the picture's side.
        generate, detect, parse: the picture of a prompt and a control image, its face, its attributes.
        keep_images: also write the pictures, to be looked at.
        progress: called with pictures done and pictures in all.

    Returns:
        How many masks of each attribute there are, and pictures with "no attribute" and with "no face".

    Raises:
        DurianError: the folder cannot be written to, or is of other settings.
    """
    claim(folder / MANIFEST, asdict(settings))
    found: Counter[str] = Counter()
    for index in range(count):
        record = folder / f"{index:06d}.json"
        if not record.is_file():
            rng = np.random.default_rng([settings.seed, index])
            attribute = settings.attributes[index % len(settings.attributes)]
            prompt = draw_prompt(rng, attribute)
            face = faces[int(rng.integers(len(faces)))] * settings.size
            control = CONTROL_IMAGES[settings.control_image](face, settings.size)
            image = generate(prompt, control, int(rng.integers(2**31)))
            image = cv2.resize(image, (settings.masks, settings.masks), interpolation=cv2.INTER_AREA)
            landmarks = detect(image)
            members = {} if landmarks is None else _parse(image, landmarks, parse)
            attributes = sorted(name.split(".")[0] for name in members if name.endswith(".png"))
            if keep_images:
                members["webp"] = _encode(".webp", image[..., ::-1])
            content = {"asked": attribute, "prompt": prompt, "attributes": attributes}
            content["face"] = landmarks is not None
            for name, data in members.items():
                put(record.with_suffix(f".{name}"), data)
            put(record, json.dumps(content).encode())  # last: what has a record is whole
        content = json.loads(record.read_text("utf-8"))
        found.update(content["attributes"] or ["no attribute" if content["face"] else "no face"])
        if progress is not None:
            progress(index + 1, count)
    return found


def faces_of(clips: Sequence[Clip]) -> list[Float[np.ndarray, "478 3"]]:
    """The landmarks of all frames with a face, in shares of the frame's side."""
    return [clip.landmarks[frame] / clip.frames.shape[1] for clip in clips for frame in clip.visible_frames()]


def _parse(
    image: UInt8[np.ndarray, "S S 3"], landmarks: Float[np.ndarray, "478 3"], parse: AttributeParser
) -> dict[str, bytes]:
    """Landmarks and masks as files; none where there is no attribute."""
    wanted = [name for name in ATTRIBUTES if name in parse.attributes]
    masks = {name: each[0] > 0.5 for name, each in parse(image[None], landmarks[None], wanted).items()}
    members = {
        f"{name}.png": _encode(".png", mask.astype(np.uint8) * 255)
        for name, mask in masks.items()
        if mask.mean() >= _LEAST
    }
    if members:
        buffer = io.BytesIO()
        np.save(buffer, landmarks.astype(np.float32))
        members["npy"] = buffer.getvalue()
    return members


def _encode(suffix: str, image: np.ndarray) -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()
