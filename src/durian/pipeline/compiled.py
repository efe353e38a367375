"""DNet compiled, with a way back."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor
from torch._dynamo.exc import TorchDynamoException
from torch._inductor.exc import InductorError

from durian.models.denoising_unet import DeepFeatures
from durian.models.networks import Networks


class CompiledPredict:
    """`Networks.predict` by `torch.compile`, each shape of inputs once.

    The first call of every shape compiles, which takes minutes on a CPU and gains little there
    (docs/speed.md); a video has one shape, one more for each kind of row that guidance needs, and
    as many again for calls that reuse deep features. Where
    nothing can be compiled (no C++ compiler, no Triton) it warns once and goes on uncompiled.

    Args:
        backend: one of `torch.compile`'s.
    """

    def __init__(self, networks: Networks, backend: str = "inductor"):
        self._plain = networks.predict
        self._compiled = torch.compile(networks.predict, dynamic=False, backend=backend)
        self._works = True

    def __call__(self, *args: Any) -> tuple[Tensor, DeepFeatures]:
        if not self._works:
            return self._plain(*args)
        try:
            return self._compiled(*args)
        except (TorchDynamoException, InductorError) as error:
            self._works = False
            cause = getattr(error, "inner_exception", error)  # else the first line says no more than that
            reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
            warnings.warn(f"the network cannot be compiled here ({reason}): going on without", stacklevel=2)
            return self._plain(*args)
