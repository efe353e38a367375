"""Benchmark cases: a portrait, a donor of an attribute, a motion, and the frames that are the answer."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from durian.errors import DurianError
from durian.portrait.aligner import align_mask
from durian.portrait.attributes import check_attribute
from durian.portrait.geometry import transform_points
from durian.portrait.inputs import AnimationInputs, Reference

# A label map's low seven bits are the class of the pixel, its high bit says "behind an eyeglass lens".
ATTRIBUTE_CLASS = {"hair": 4, "beard": 6, "glasses": 7, "hat": 8}
_CLASS_BITS, _LENS_BIT = 0x7F, 0x80

# M_port grows by this share of the image's side, as the aligned mask is an estimate.
_MASK_MARGIN = 0.02

# The window of SSIM needs 11 pixels and faces need more.
_MIN_SIZE = 32


def attribute_region(labels: UInt8[np.ndarray, "*F H W"], attribute: str) -> Bool[np.ndarray, "*F H W"]:
    """Where the attribute is in label maps; for glasses, the frame and what is seen through the lenses."""
    region = (labels & _CLASS_BITS) == ATTRIBUTE_CLASS[attribute]
    return region | ((labels & _LENS_BIT) != 0) if attribute == "glasses" else region


def load_cases(folder: str | Path, limit: int | None = None) -> list[Path]:
    """The case folders in `folder` in order of name, the first `limit` of them.

    Every subfolder counts as a case, so that one that has lost its files is reported and not passed over.
    """
    if limit is not None and limit < 1:
        raise DurianError(f"limit is {limit}: at least one case is needed")
    folder = Path(folder)
    if not folder.is_dir():
        raise DurianError(f"{folder} is not a folder: give a folder of benchmark cases")
    cases = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not cases:
        raise DurianError(f"{folder} has no case folders: give a folder of benchmark cases")
    return cases[:limit]


def read_attribute(folder: Path) -> str:
    """The attribute that a case is about; cheap, reads nothing else of the case."""
    try:
        return check_attribute(json.loads((folder / "case.json").read_text("utf-8"))["attribute"])
    except (OSError, ValueError, KeyError, TypeError, DurianError) as error:
        raise DurianError(f"case {folder.name}: case.json cannot be used ({error})") from error


@dataclass(frozen=True)
class Case:
    """One case at its own resolution S.

    A target frame in which no face was found has no driving landmarks, so it cannot be asked for: it is
    left out of `targets`, `target_labels` and `driving` alike, and the case keeps its other frames.
    """

    id: str
    attribute: str
    portrait: UInt8[np.ndarray, "S S 3"]
    portrait_labels: UInt8[np.ndarray, "S S"]
    portrait_landmarks: Float[np.ndarray, "478 3"]
    donor: UInt8[np.ndarray, "S S 3"]
    donor_labels: UInt8[np.ndarray, "S S"]
    donor_landmarks: Float[np.ndarray, "478 3"]
    targets: UInt8[np.ndarray, "F S S 3"]
    target_labels: UInt8[np.ndarray, "F S S"]
    driving: Float[np.ndarray, "F 478 3"]

    @classmethod
    def load(cls, path: str | Path) -> Case:
        """Read a case folder; raise `DurianError` naming the case where something is missing or broken."""
        path = Path(path)
        attribute = read_attribute(path)
        try:
            return cls._read(path, attribute)
        except (OSError, ValueError, KeyError, SyntaxError, zipfile.BadZipFile, DurianError) as error:
            raise DurianError(f"case {path.name}: {error}") from error

    @classmethod
    def _read(cls, path: Path, attribute: str) -> Case:
        names = sorted(file.stem for file in path.glob("target_*.webp"))
        if not names:
            raise DurianError("has no target frames (target_00.webp, …)")
        with np.load(path / "landmarks.npz", allow_pickle=False) as file:
            landmarks = {name: _landmarks(file, name) for name in ("portrait", "attribute", *names)}
        for name in ("portrait", "attribute"):
            if not np.isfinite(landmarks[name]).all():
                raise DurianError(f"no face was found in its {name}")
        names = [name for name in names if np.isfinite(landmarks[name]).all()]
        if not names:
            raise DurianError("no face was found in any target frame")

        portrait = _image(path / "portrait.webp")
        size = portrait.shape[0]
        if portrait.shape[1] != size or size < _MIN_SIZE:
            raise DurianError(
                f"portrait.webp is {portrait.shape[1]}×{size}, needed is a square of at least {_MIN_SIZE}"
            )
        case = cls(
            id=path.name,
            attribute=attribute,
            portrait=portrait,
            portrait_labels=_labels(path / "portrait.png", size),
            portrait_landmarks=landmarks["portrait"],
            donor=_image(path / "attribute.webp", size),
            donor_labels=_labels(path / "attribute.png", size),
            donor_landmarks=landmarks["attribute"],
            targets=np.stack([_image(path / f"{name}.webp", size) for name in names]),
            target_labels=np.stack([_labels(path / f"{name}.png", size) for name in names]),
            driving=np.stack([landmarks[name] for name in names]),
        )
        if not attribute_region(case.donor_labels, attribute).any():
            raise DurianError(f"attribute.png has no {attribute}")
        return case

    @property
    def size(self) -> int:
        """Side of the case's images in pixels."""
        return self.portrait.shape[0]

    @property
    def target_region(self) -> Bool[np.ndarray, "F S S"]:
        """Where the attribute is in the targets. For scores only: a model must not see it."""
        return attribute_region(self.target_labels, self.attribute)

    def donor_reference(self, size: int) -> Reference:
        """The attribute reference `I_attr`, `M_attr` at `size` pixels a side."""
        mask = attribute_region(self.donor_labels, self.attribute).astype(np.float32)
        return Reference(
            resize(self.donor, size), resize(mask, size), self._scaled(self.donor_landmarks, size)
        )

    def driving_at(self, size: int) -> Float[np.ndarray, "F 478 3"]:
        """The driving landmarks in pixels of frames of `size` pixels a side."""
        return self._scaled(self.driving, size)

    def inputs(self, size: int) -> AnimationInputs:
        """What a model of resolution `size` is given.

        `M_port = M_init ∪ M_aligned` (section 3.3 of the paper), a little dilated: `M_init` is the
        portrait's own attribute from its labels, `M_aligned` the Face Aligner's estimate from the donor's
        mask and the two faces' landmarks. Nothing comes from the targets but their landmarks, which are
        the driving motion.
        """
        donor = self.donor_reference(size)
        landmarks = self._scaled(self.portrait_landmarks, size)
        own = attribute_region(self.portrait_labels, self.attribute).astype(np.float32)
        aligned = align_mask(donor.mask, donor.landmarks, landmarks, size)
        radius = max(1, round(_MASK_MARGIN * size))
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        mask = cv2.dilate(np.maximum(resize(own, size), aligned), disc)
        return AnimationInputs(
            portrait=Reference(resize(self.portrait, size), mask, landmarks),
            attributes={self.attribute: donor},
            keypoints=self.driving_at(size),
        )

    def _scaled(self, landmarks: np.ndarray, size: int) -> np.ndarray:
        scale = size / self.size
        return transform_points(np.array([[scale, 0, 0], [0, scale, 0]]), landmarks)


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """An image or mask brought to `size`×`size`, averaged where that is smaller."""
    if image.shape[:2] == (size, size):
        return image
    method = cv2.INTER_AREA if size < image.shape[0] else cv2.INTER_LINEAR
    return cv2.resize(image, (size, size), interpolation=method)


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
