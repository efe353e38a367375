"""The arrays that drawing and shading pass each other, bundled for numba."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, UInt8


class Samples(NamedTuple):
    """What was drawn: ids below the number of triangles are triangles, the rest strand points."""

    depth: Float32[np.ndarray, "h w"]
    ids: Int32[np.ndarray, "h w"]
    amodal: UInt8[np.ndarray, "h w"]
    lens_depth: Float32[np.ndarray, "h w"]
    lens_ids: Int32[np.ndarray, "h w"]


class MeshArrays(NamedTuple):
    """Posed meshes."""

    screen: Float32[np.ndarray, "n 3"]
    normals: Float32[np.ndarray, "n 3"]
    rest: Float32[np.ndarray, "n 3"]
    colours: Float32[np.ndarray, "n 3"]
    uv: Float32[np.ndarray, "n 2"]
    ao: Float32[np.ndarray, " n"]
    triangles: Int32[np.ndarray, "t 3"]
    part: UInt8[np.ndarray, " t"]
    lids_start: int
    lids_stop: int


class StrandArrays(NamedTuple):
    """Posed strands; `rotation` turns the rest pose's directions."""

    screen: Float32[np.ndarray, "m 3"]
    posed: Float32[np.ndarray, "m 3"]
    colours: Float32[np.ndarray, "m 3"]
    tangent: Float32[np.ndarray, "m 3"]
    volume: Float32[np.ndarray, "m 3"]
    ao: Float32[np.ndarray, " m"]
    part: UInt8[np.ndarray, " m"]
    rotation: Float32[np.ndarray, "3 3"]


class PartArrays(NamedTuple):
    """What belongs to a part."""

    label: UInt8[np.ndarray, " p"]
    material: UInt8[np.ndarray, " p"]
    owner: UInt8[np.ndarray, " p"]
    opacity: Float32[np.ndarray, " p"]


class SkinArrays(NamedTuple):
    """The texture of the head's skin."""

    colour: Float32[np.ndarray, "h w 4"]
    label: UInt8[np.ndarray, "h w"]
    owner: UInt8[np.ndarray, "h w"]
    painters: UInt8[np.ndarray, "h w"]


class ViewArrays(NamedTuple):
    """The camera in samples."""

    height: float
    distance: float
    scale: float
    centre: float


class Picture(NamedTuple):
    """What `shade` fills: display light before gamma, labels, masks by attribute index, distances."""

    rgb: Float32[np.ndarray, "h w 3"]
    labels: UInt8[np.ndarray, "h w"]
    visible: Float32[np.ndarray, "a h w"]
    amodal: Float32[np.ndarray, "a h w"]
    depth: Float32[np.ndarray, "h w"]
