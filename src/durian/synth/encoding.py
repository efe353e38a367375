"""Rendered pictures as files in memory."""

from __future__ import annotations

import io

import cv2
import numpy as np

from durian.surface import encode_surface
from durian.synth.render import Rendered


def members(rendered: list[Rendered], image: str, label: str, points: str) -> dict[str, bytes]:
    """Files of a clip: pictures, labels, and the landmarks of all."""
    files: dict[str, bytes] = {}
    for i, frame in enumerate(rendered):
        files[f"{image}{i:02d}.webp"] = encode_image(frame.rgb, quality=93)
        files[f"{label}{i:02d}.png"] = encode_labels(frame)
    files[points] = npy(np.stack([frame.landmarks for frame in rendered]).astype(np.float32))
    return files


def surface_members(rendered: list[Rendered], name: str) -> dict[str, bytes]:
    """Files of a clip: which point of the person each pixel shows."""
    return {f"{name}{i:02d}.png": _png(encode_surface(frame.surface), 3) for i, frame in enumerate(rendered)}


def npy(array: np.ndarray) -> bytes:
    """A `.npy` file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def encode_image(rgb: np.ndarray, quality: int) -> bytes:
    """A WebP file of an RGB image."""
    return cv2.imencode(".webp", rgb[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, quality])[1].tobytes()


def encode_labels(frame: Rendered) -> bytes:
    """A PNG file of a label image."""
    return _png(frame.labels, 9)


def _png(image: np.ndarray, compression: int) -> bytes:
    return cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, compression])[1].tobytes()
