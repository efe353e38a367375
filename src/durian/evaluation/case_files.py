"""A benchmark case on disk: a portrait, donors of attributes, a motion, and the true frames."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from durian.errors import DurianError
from durian.labels import Label, attribute_region, pixel_classes
from durian.portrait.attributes import check_attribute

_FACE_CLASSES = (Label.SKIN, Label.EYES, Label.MOUTH, Label.BROW, Label.BEARD, Label.PAINT)

SECOND = "attribute_b"
"""The file of an interpolation's second donor."""

# The window of SSIM needs 11 pixels and faces need more.
MIN_SIZE = 32


def regions(
    labels: UInt8[np.ndarray, "F H W"], attributes: tuple[str, ...]
) -> dict[str, Bool[np.ndarray, "F H W"]]:
    """The parts of the answer that are scored apart: the attributes, the face without them, the rest."""
    worn = np.any([attribute_region(labels, name) for name in attributes], axis=0)
    face = np.isin(pixel_classes(labels), _FACE_CLASSES) & ~worn
    return {"attribute": worn, "face": face, "rest": ~worn & ~face}


@dataclass(frozen=True)
class Picture:
    """An image with its label map and the face's landmarks in its pixels."""

    image: UInt8[np.ndarray, "S S 3"]
    labels: UInt8[np.ndarray, "S S"]
    landmarks: Float[np.ndarray, "478 3"]


@dataclass(frozen=True)
class CaseFiles:
    """One case at its own resolution S.

    A target frame in which no face was found has no driving landmarks, so it cannot be asked for: it is
    left out of `targets`, `target_labels`, `driving` and `alphas` alike, and the case keeps its others.

    Attributes:
        donors: by attribute. second: of an interpolation, the donor that it ends at.
        alphas: of an interpolation, the second donor's share in each frame.
    """

    id: str
    attributes: tuple[str, ...]
    portrait: Picture
    donors: Mapping[str, Picture]
    targets: UInt8[np.ndarray, "F S S 3"]
    target_labels: UInt8[np.ndarray, "F S S"]
    driving: Float[np.ndarray, "F 478 3"]
    second: Picture | None = None
    alphas: Float[np.ndarray, " F"] | None = None

    @property
    def size(self) -> int:
        """Side of the case's images in pixels."""
        return self.portrait.image.shape[0]

    @classmethod
    def read(cls, path: str | Path) -> CaseFiles:
        """Read a case folder; raise `DurianError` naming the case where something is missing or broken."""
        path = Path(path)
        content = read_description(path)
        try:
            return cls._read(path, content)
        except (OSError, ValueError, KeyError, SyntaxError, zipfile.BadZipFile, DurianError) as error:
            raise DurianError(f"case {path.name}: {error}") from error

    @classmethod
    def _read(cls, path: Path, content: dict[str, Any]) -> CaseFiles:
        names = sorted(file.stem for file in path.glob("target_*.webp"))
        if not names:
            raise DurianError("has no target frames (target_00.webp, …)")
        attributes = content["attributes"]
        alphas = content.get("alphas")
        if alphas is not None and len(alphas) != len(names):
            raise DurianError(f"has {len(alphas)} alphas for {len(names)} target frames")
        files = {name: f"attribute_{name}" if len(attributes) > 1 else "attribute" for name in attributes}
        with np.load(path / "landmarks.npz", allow_pickle=False) as file:
            wanted = ["portrait", *files.values(), *([SECOND] if alphas is not None else []), *names]
            landmarks = {name: _landmarks(file, name) for name in wanted}
        for name in wanted[: -len(names)]:
            if not np.isfinite(landmarks[name]).all():
                raise DurianError(f"no face was found in its {name}")
        kept = [index for index, name in enumerate(names) if np.isfinite(landmarks[name]).all()]
        if not kept:
            raise DurianError("no face was found in any target frame")
        names = [names[index] for index in kept]

        portrait = _image(path / "portrait.webp")
        size = portrait.shape[0]
        if portrait.shape[1] != size or size < MIN_SIZE:
            raise DurianError(
                f"portrait.webp is {portrait.shape[1]}×{size}, needed is a square of at least {MIN_SIZE}"
            )

        def picture(name: str) -> Picture:
            return Picture(
                _image(path / f"{name}.webp", size), _labels(path / f"{name}.png", size), landmarks[name]
            )

        case = cls(
            id=path.name,
            attributes=tuple(attributes),
            portrait=picture("portrait"),
            donors={name: picture(file) for name, file in files.items()},
            targets=np.stack([_image(path / f"{name}.webp", size) for name in names]),
            target_labels=np.stack([_labels(path / f"{name}.png", size) for name in names]),
            driving=np.stack([landmarks[name] for name in names]),
            second=picture(SECOND) if alphas is not None else None,
            alphas=None if alphas is None else np.asarray(alphas, np.float32)[kept],
        )
        for name, donor in case.donors.items():
            if not attribute_region(donor.labels, name).any():
                raise DurianError(f"{files[name]}.png has no {name}")
        return case


def read_description(path: Path) -> dict[str, Any]:
    """A case's case.json with `attributes` checked; cheap, reads nothing else of the case."""
    try:
        content = json.loads((path / "case.json").read_text("utf-8"))
        names = content.get("attributes", [content["attribute"]])
        if not names or len(set(names)) != len(names):
            raise DurianError("attributes are missing or given twice")
        return {**content, "attributes": [check_attribute(name) for name in names]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, DurianError) as error:
        raise DurianError(f"case {path.name}: case.json cannot be used ({error})") from error


def _landmarks(file: np.lib.npyio.NpzFile, name: str) -> Float[np.ndarray, "478 3"]:
    landmarks = file[name].astype(np.float32)
    if landmarks.shape != (478, 3):
        raise DurianError(f"landmarks {name!r} are of shape {landmarks.shape}, needed is (478, 3)")
    return landmarks


def _image(path: Path, size: int | None = None) -> UInt8[np.ndarray, "H W 3"]:
    with Image.open(path) as image:
        return _sized(np.asarray(image.convert("RGB")), path, size)


def _labels(path: Path, size: int) -> UInt8[np.ndarray, "H W"]:
    with Image.open(path) as image:
        if image.mode not in ("L", "P"):
            raise DurianError(f"{path.name} has mode {image.mode}, needed is one byte a pixel")
        return _sized(np.asarray(image), path, size)


def _sized(image: np.ndarray, path: Path, size: int | None) -> np.ndarray:
    if size is not None and image.shape[:2] != (size, size):
        height, width = image.shape[:2]
        raise DurianError(f"{path.name} is {width}×{height}, the portrait {size}×{size}")
    return image
