"""Attribute masks of whole clips: the built-in method, or a segmentation network."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float, UInt8

from durian.errors import DurianError
from durian.portrait.attributes import ATTRIBUTES
from durian.portrait.mask_cleaning import clean_mask
from durian.portrait.masks import AttributeMasker, FallbackMasker
from durian.portrait.network_images import NetworkImages, no_progress_bar

BUILTIN = "builtin"

# How networks call them, in lower case: CelebAMask-HQ's labels, clothes and body-part parsers.
_CLASSES = {
    "hair": {"hair"},
    "glasses": {"eye_g", "eye_glasses", "eyeglass", "eyeglasses", "glasses", "sunglasses"},
    "beard": {"beard", "facial_hair", "moustache", "mustache"},
    "hat": {"cap", "hat", "headwear"},
}


class AttributeParser(Protocol):
    """Finds the attributes of one person in frames that are cropped like the model's.

    Attributes:
        attributes: those that it can find.
    """

    @property
    def attributes(self) -> tuple[str, ...]: ...

    def __call__(
        self,
        frames: UInt8[np.ndarray, "F S S 3"],
        landmarks: Float[np.ndarray, "F 478 3"],
        attributes: Sequence[str],
    ) -> dict[str, Float[np.ndarray, "F S S"]]:
        """Masks in [0, 1] by attribute; frames whose landmarks are NaN show no face and get empty masks."""
        ...


class BuiltinParser:
    """`FallbackMasker` on every frame: rough, and without weights of its own to download."""

    attributes = ATTRIBUTES

    def __init__(self, masker: FallbackMasker | None = None) -> None:
        self._masker = masker or FallbackMasker()

    def __call__(
        self,
        frames: UInt8[np.ndarray, "F S S 3"],
        landmarks: Float[np.ndarray, "F 478 3"],
        attributes: Sequence[str],
    ) -> dict[str, Float[np.ndarray, "F S S"]]:
        masks = {name: np.zeros(frames.shape[:3], np.float32) for name in attributes}
        for index in np.flatnonzero(np.isfinite(landmarks).all((1, 2))):
            for name, mask in self._masker.find(frames[index], landmarks[index], attributes).items():
                masks[name][index] = mask
        return masks


class NetworkParser:
    """A semantic segmentation network of transformers (SegFormer, Sapiens2, …), by its labels' names.

    Args:
        source: a folder, or a repository on the hub.
        device: where it runs; a GPU where there is one by default.
        batch_size: frames at a time.

    Raises:
        DurianError: it cannot be loaded, or none of its labels is an attribute.
    """

    def __init__(self, source: str, device: str | None = None, batch_size: int = 8) -> None:
        import torch
        from transformers import AutoModelForSemanticSegmentation

        try:
            with no_progress_bar():
                self._images = NetworkImages.from_pretrained(source)
                self._network: Any = AutoModelForSemanticSegmentation.from_pretrained(source)
        except (OSError, ValueError) as error:
            first = str(error).strip().splitlines()[0]
            raise DurianError(
                f"--parser {source}: {first} (it must be {BUILTIN!r}, or a folder or hub repository of a "
                "segmentation network of transformers)"
            ) from error
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._network.eval().to(self._device)
        self._batch_size = batch_size
        labels = {int(index): str(name).lower().replace(" ", "_").replace("-", "_")
                  for index, name in self._network.config.id2label.items()}  # fmt: skip
        self._indices = {
            attribute: [index for index, name in labels.items() if name in names]
            for attribute, names in _CLASSES.items()
        }
        self.attributes = tuple(name for name in ATTRIBUTES if self._indices[name])
        if not self.attributes:
            raise DurianError(
                f"--parser {source}: none of its labels is an attribute: {', '.join(labels.values())}"
            )

    def __call__(
        self,
        frames: UInt8[np.ndarray, "F S S 3"],
        landmarks: Float[np.ndarray, "F 478 3"],
        attributes: Sequence[str],
    ) -> dict[str, Float[np.ndarray, "F S S"]]:
        masks = {name: np.zeros(frames.shape[:3], np.float32) for name in attributes}
        seen = np.flatnonzero(np.isfinite(landmarks).all((1, 2)))
        for indices, probabilities in self._probabilities(frames, seen):
            for name in attributes:
                masks[name][indices] = probabilities[:, self._indices[name]].sum(1)
        return masks

    def _probabilities(
        self, frames: np.ndarray, seen: np.ndarray
    ) -> Iterator[tuple[np.ndarray, Float[np.ndarray, "B L S S"]]]:
        import torch

        for start in range(0, len(seen), self._batch_size):
            indices = seen[start : start + self._batch_size]
            pixels = np.stack([self._images(frame) for frame in frames[indices]])
            with torch.inference_mode():
                logits = self._network(pixel_values=torch.from_numpy(pixels).to(self._device)).logits.float()
                logits = torch.nn.functional.interpolate(
                    logits, size=frames.shape[1:3], mode="bilinear", align_corners=False
                )
                yield indices, logits.softmax(1).cpu().numpy()


def open_parser(name: str, device: str | None = None) -> AttributeParser:
    """The parser that `--parser` names.

    Args:
        name: "builtin", or a folder or hub repository of a segmentation network.
        device: of the network.

    Raises:
        DurianError: no such parser.
    """
    if name == BUILTIN:
        return BuiltinParser()
    if Path(name).exists() and not Path(name).is_dir():
        raise DurianError(f"--parser {name}: is a file: give the folder of the network")
    return NetworkParser(name, device)


class ParsedMasks:
    """An `AttributeParser` as what `prepare` asks for one photo's attribute.

    Args:
        parser: finds attributes; the built-in method finds those that it does not know (few networks know
            beards).
        fallback: the built-in method.
    """

    def __init__(self, parser: AttributeParser, fallback: AttributeMasker) -> None:
        self._parser, self._fallback = parser, fallback

    def __call__(
        self, image: UInt8[np.ndarray, "S S 3"], landmarks: Float[np.ndarray, "478 3"], attribute: str
    ) -> Float[np.ndarray, "S S"]:
        """The attribute's mask in [0, 1], without specks and holes."""
        if attribute not in self._parser.attributes:
            return self._fallback(image, landmarks, attribute)
        mask = self._parser(image[None], landmarks[None], [attribute])[attribute][0]
        return clean_mask(mask, landmarks)


@contextmanager
def open_masker(name: str, device: str | None = None) -> Generator[AttributeMasker]:
    """What finds attributes in photos by the parser that `--parser` names, see `open_parser`."""
    with FallbackMasker() as fallback:
        yield fallback if name == BUILTIN else ParsedMasks(open_parser(name, device), fallback)
