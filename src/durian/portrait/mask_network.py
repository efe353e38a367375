"""The network that weighs the evidence for attributes: a small U-Net, computed with NumPy.

`benchmarks/masks.py train` makes its weights, on synthetic people.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import numpy as np
from jaxtyping import Float
from safetensors.numpy import load

Weights = Mapping[str, Float[np.ndarray, "..."]]


def weigh(
    evidence: Float[np.ndarray, "C S S"], weights: Weights | None = None
) -> tuple[Float[np.ndarray, "A S S"], Float[np.ndarray, " A"]]:
    """Logits of `durian.portrait.attributes.ATTRIBUTES` for each pixel, and for the whole picture.

    Args:
        evidence: of `durian.portrait.mask_evidence`; the side a multiple of 16.
        weights: by the names of the layers; the shipped ones by default.
    """
    weights = weights or _weights()
    x = _rectified(_layer(_unshuffled(evidence), weights, "stem"))
    levels: list[np.ndarray] = []
    while f"down.{len(levels)}.0.weight" in weights:
        x = _halved(x) if levels else x
        for layer in range(1 if not levels else 2):
            x = _rectified(_layer(x, weights, f"down.{len(levels)}.{layer}"))
        levels.append(x)
    pooled = np.concatenate([x.mean((1, 2)), x.max((1, 2))])
    whole = _rectified(_dense(pooled, weights, "whole"))
    x = x + _dense(whole, weights, "spread")[:, None, None]
    for depth in range(len(levels) - 2, -1, -1):
        doubled = x.repeat(2, 1).repeat(2, 2)
        x = _rectified(_layer(np.concatenate([levels[depth], doubled]), weights, f"up.{depth}"))
    return _shuffled(_layer(x, weights, "head")), _dense(whole, weights, "presence")


@cache
def _weights() -> Weights:
    data = load((files("durian.portrait") / "mask_network.safetensors").read_bytes())
    return {name: values.astype(np.float32) for name, values in data.items()}


def _layer(x: Float[np.ndarray, "C H W"], weights: Weights, name: str) -> Float[np.ndarray, "D H W"]:
    """A convolution that keeps the size; zeros lie beyond the border."""
    kernel, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    outputs, inputs, side, _ = kernel.shape
    _, height, width = x.shape
    padded = np.pad(x, [(0, 0)] + 2 * [(side // 2, side // 2)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), (1, 2))
    columns = windows.transpose(0, 3, 4, 1, 2).reshape(inputs * side * side, height * width)
    return (kernel.reshape(outputs, -1) @ columns).reshape(outputs, height, width) + bias[:, None, None]


def _dense(x: Float[np.ndarray, " C"], weights: Weights, name: str) -> Float[np.ndarray, " D"]:
    return weights[f"{name}.weight"] @ x + weights[f"{name}.bias"]


def _rectified(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def _halved(x: Float[np.ndarray, "C H W"]) -> Float[np.ndarray, "C h w"]:
    """The largest of every four pixels."""
    channels, height, width = x.shape
    return x.reshape(channels, height // 2, 2, width // 2, 2).max((2, 4))


def _unshuffled(x: Float[np.ndarray, "C H W"]) -> Float[np.ndarray, "D h w"]:
    """Every four pixels as one of four times as many channels."""
    channels, height, width = x.shape
    cells = x.reshape(channels, height // 2, 2, width // 2, 2)
    return cells.transpose(0, 2, 4, 1, 3).reshape(4 * channels, height // 2, width // 2)


def _shuffled(x: Float[np.ndarray, "D h w"]) -> Float[np.ndarray, "C H W"]:
    """`_unshuffled` undone."""
    channels, height, width = x.shape
    cells = x.reshape(channels // 4, 2, 2, height, width)
    return cells.transpose(0, 3, 1, 4, 2).reshape(channels // 4, 2 * height, 2 * width)
