"""PNG, AVIF and HEIC pictures that say that their values are those of a PQ or HLG curve.

What Pillow gives of them are the curve's values in 8 bits, which would look pale and grey.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from durian.media.hdr import from_hlg, from_pq

_CURVES = {16: from_pq, 18: from_hlg}  # transfer characteristics of ITU-T H.273
_HEAD = 1 << 16  # bytes: both kinds of mark lie before the picture


def hdr_transfer(path: Path) -> int | None:
    """H.273's number of the curve, 16 (PQ) or 18 (HLG); None for any other picture."""
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    transfer = None
    if head.startswith(b"\x89PNG"):
        transfer = _png_transfer(head)
    elif head[4:8] == b"ftyp":
        # ISO/IEC 23008-12: a `colr` box of kind `nclx`, then primaries and transfer of two bytes each.
        place = head.find(b"colrnclx")
        transfer = None if place < 0 else int.from_bytes(head[place + 10 : place + 12], "big")
    return transfer if transfer in _CURVES else None


def hdr_to_srgb(values: UInt8[np.ndarray, "H W 3"], transfer: int) -> UInt8[np.ndarray, "H W 3"]:
    """Tone-map a picture of BT.2020 primaries whose curve is `transfer`."""
    return _CURVES[transfer](values.astype(np.uint16) * 257)


def _png_transfer(head: bytes) -> int | None:
    """Of the chunk cICP (PNG, third edition, 11.3.2.6): primaries, transfer, matrix, range."""
    place = 8
    while place + 8 <= len(head):
        length, kind = int.from_bytes(head[place : place + 4], "big"), head[place + 4 : place + 8]
        if kind == b"cICP" and place + 10 <= len(head):
            return head[place + 9]
        if kind == b"IDAT":
            break
        place += 12 + length
    return None
