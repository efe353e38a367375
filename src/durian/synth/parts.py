"""What a portrait is put together from: meshes, strands and paint, all in head space.

Head space has y up, z towards the camera and x to the image's right. The skull is about 1.6 wide, the
pupils lie near y = 0, and longitude and latitude are measured from `durian.synth.head.CENTRE_Y`.
Colours are linear RGB.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from jaxtyping import Float32, Int32

from durian.labels import Label


class Material(IntEnum):
    """How a surface answers light."""

    SKIN = 0
    EYE = 1
    TEETH = 2
    TONGUE = 3
    CLOTH = 4
    HAIR_STRAND = 5
    BROW_STRAND = 6
    BEARD_STRAND = 7
    PLASTIC = 8
    METAL = 9
    FELT = 10
    KNIT = 11
    STRAW = 12
    LEATHER = 13
    LENS = 14
    GEM = 15


class Binding(IntEnum):
    """What a part moves with."""

    HEAD = 0
    """Rigid with the head."""
    FACE = 1
    """Follows the expression, then the head."""
    NECK = 2
    """Follows the head at its top and the body at its foot."""
    BODY = 3
    """Stays with the shoulders: clothes, a scarf."""


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh in head space, drawn with one material.

    `uv` holds whatever the material reads: for knit and straw, u runs around and v along the rows, both
    in head-space units; for other materials it is ignored.
    `opacity` below 1 is for lenses, which are drawn over what lies behind them.
    """

    label: Label
    material: Material
    binding: Binding
    vertices: Float32[np.ndarray, "n 3"]
    triangles: Int32[np.ndarray, "t 3"]
    colours: Float32[np.ndarray, "n 3"]
    uv: Float32[np.ndarray, "n 2"]
    two_sided: bool = True
    opacity: float = 1.0


@dataclass(frozen=True)
class Strands:
    """Polylines drawn as camera-facing ribbons: hair, brows, beard.

    `width` is the full width in head-space units at the root; a width narrows towards the tip by the
    share `taper` (0 keeps it, 1 ends in a point).
    `softness`, in [0, 1] per strand, is how far the tip lags behind a moving head (0 is rigid).
    """

    label: Label
    material: Material
    binding: Binding
    points: Float32[np.ndarray, "s k 3"]
    width: Float32[np.ndarray, " s"]
    colours: Float32[np.ndarray, "s 3"]
    taper: float = 0.75
    softness: Float32[np.ndarray, " s"] = field(default_factory=lambda: np.zeros(1, np.float32))

    def __post_init__(self) -> None:
        if self.softness.shape != self.width.shape:
            softness = np.broadcast_to(self.softness, self.width.shape).astype(np.float32)
            object.__setattr__(self, "softness", softness)


@dataclass(frozen=True)
class Painted:
    """What an attribute paints on the skin of the head: scalp under hair, stubble, face paint.

    `texture` holds linear RGB and alpha; column j of W is at longitude -pi + 2 pi (j + 0.5) / W and row i
    of H at latitude -pi/2 + pi (i + 0.5) / H, so row 0 is at the chin's side. Alpha is not premultiplied.
    """

    label: Label
    texture: Float32[np.ndarray, "h w 4"]


@dataclass(frozen=True)
class AttributeParts:
    """Everything one attribute adds to a person."""

    meshes: tuple[Mesh, ...] = ()
    strands: tuple[Strands, ...] = ()
    painted: tuple[Painted, ...] = ()
