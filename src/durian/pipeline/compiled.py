"""Parts of the pipeline compiled, with a way back."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch._dynamo.exc import TorchDynamoException
from torch._inductor.exc import InductorError


class Compiled:
    """A function of networks by `torch.compile`, each shape of inputs once.

    The first call of every shape compiles, which of DNet takes minutes on a CPU and gains little there
    (docs/speed.md); a video has one shape, one more for each kind of row that guidance needs, and
    as many again for calls that reuse deep features. Where
    nothing can be compiled (no C++ compiler, no Triton) it warns once and goes on uncompiled.

    Args:
        plain: `Networks.predict` or what decodes latents.
        backend: one of `torch.compile`'s.
    """

    def __init__(self, plain: Callable[..., Any], backend: str = "inductor"):
        self._plain = plain
        self._compiled = torch.compile(plain, dynamic=False, backend=backend)
        self.works = True

    def __call__(self, *args: Any) -> Any:
        if not self.works:
            return self._plain(*args)
        try:
            return self._compiled(*args)
        except (TorchDynamoException, InductorError) as error:
            self.works = False
            cause = getattr(error, "inner_exception", error)  # else the first line says no more than that
            reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
            warnings.warn(f"the network cannot be compiled here ({reason}): going on without", stacklevel=2)
            return self._plain(*args)
