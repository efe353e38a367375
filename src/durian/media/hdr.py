"""From high dynamic range to 8-bit sRGB."""

from __future__ import annotations

from functools import cache

import numpy as np
from jaxtyping import Float, UInt8, UInt16

_WHITE = 203.0  # nits of diffuse white in HDR video (ITU-R BT.2408)
_KNEE = 0.8  # what is darker stays as it is
_HLG_PEAK, _HLG_GAMMA = 1000.0, 1.2
_LUMA_2020 = np.array([0.2627, 0.6780, 0.0593], np.float32)
_FROM_2020_TO_709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)


def tone_map(linear: Float[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """Linear light with diffuse white at 1 to sRGB.

    Up to the knee nothing changes; highlights bend smoothly towards white, of all channels by one factor,
    so that hues stay. What is not finite or negative is black.
    """
    linear = np.nan_to_num(linear.astype(np.float32), nan=0.0, posinf=1e6, neginf=0.0).clip(0, 1e6)
    peak = linear.max(-1, keepdims=True)
    room = 1 - _KNEE
    over = np.maximum(peak - _KNEE, 0)
    bent = np.where(over > 0, _KNEE + room * over / (over + room), peak)
    linear = linear * (bent / np.maximum(peak, 1e-9))
    # The curve of sRGB from a table: fine enough for 8 bits, and ten times faster than the power.
    return _srgb_table()[(linear * (len(_srgb_table()) - 1) + 0.5).astype(np.int32)]


def from_pq(signal: UInt16[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """BT.2020 with the PQ curve (SMPTE ST 2084, HDR10) to sRGB."""
    return tone_map(_to_709(_pq_table()[signal] / np.float32(_WHITE)))


def from_hlg(signal: UInt16[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """BT.2020 with the HLG curve (ARIB STD-B67), as a display of 1000 nits shows it, to sRGB."""
    scene = _hlg_table()[signal]
    luminance = (scene @ _LUMA_2020)[..., None]
    display = _HLG_PEAK * luminance ** (_HLG_GAMMA - 1) * scene
    return tone_map(_to_709(display / np.float32(_WHITE)))


def _to_709(linear: np.ndarray) -> np.ndarray:
    return linear @ _FROM_2020_TO_709.T


@cache
def _srgb_table() -> np.ndarray:
    x = np.linspace(0, 1, 1 << 16)
    y = np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
    return np.round(y * 255).astype(np.uint8)


@cache
def _pq_table() -> np.ndarray:
    """Nits of each 16-bit value (ST 2084, equation 4.1)."""
    power = np.linspace(0, 1, 1 << 16) ** (1 / 78.84375)
    light = np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)
    return (10000 * light ** (1 / 0.1593017578125)).astype(np.float32)


@cache
def _hlg_table() -> np.ndarray:
    """Scene light in [0, 1] of each 16-bit value (BT.2100, table 5)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    x = np.linspace(0, 1, 1 << 16)
    return np.where(x <= 0.5, x**2 / 3, (np.exp((x - c) / a) + b) / 12).astype(np.float32)
