"""A GPU in pretence: tensors that say that they are on one and hold their values on the CPU.

Networks, sampling and training run as they do on a GPU wherever they ask a tensor for its device. What mixes
devices fails as it would there, values are those of the CPU, and every copy back to the CPU, for which a GPU
has to be waited for, is counted. Kernels, autocast and streams of CUDA are not pretended.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch._C import DisableTorchFunctionSubclass
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

import durian

GPU = torch.device("cuda", 0)
_PACKAGE = str(Path(durian.__file__).parent)
_TO_NUMBERS = {"item", "tolist", "__bool__", "__int__", "__float__", "__index__", "equal"}
_OF_UNKNOWN_SIZE = {"nonzero", "masked_select", "unique"}
_TO_ARRAYS = {"numpy", "__array__"}
_BETWEEN = {"to", "copy_", "_has_compatible_shallow_copy_type"}  # which may see tensors of both


class OnGPU(Tensor):
    """A tensor that says so."""


class _Generator(torch.Generator):
    """Of random numbers, on either device."""

    def __new__(cls, device: str | torch.device = "cpu") -> _Generator:
        made = super().__new__(cls)
        made.on_gpu = torch.device(device).type == "cuda"
        return made


class PretendedGPU(TorchFunctionMode):
    """Within this context there is a device `cuda`.

    Attributes:
        waits: how often the GPU would have been waited for, by where this project asked for it (file and
            function).
        calls: how often each function was called with tensors on the GPU.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self._patch = patch("torch.Generator", _Generator)

    def __enter__(self) -> PretendedGPU:
        self._patch.start()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._patch.stop()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.device, torch._C._nn._parse_to):
            return func(*args, **kwargs)
        name = getattr(func, "__name__", str(func))
        leaves = tree_leaves((args, kwargs))
        held = [each for each in leaves if isinstance(each, Tensor)]
        on_gpu = any(isinstance(each, OnGPU) for each in held)
        if getattr(func, "__self__", None) is Tensor.data and name == "__set__":
            return _moved_in_place(*args)
        if name == "__get__" and on_gpu and (told := _told(func)) is not None:
            return told
        if on_gpu and name in _TO_ARRAYS:
            raise TypeError("can't convert cuda:0 device type tensor to numpy: copy it to the CPU first")
        asked = _devices(leaves, args, kwargs) if name != "as_subclass" else []
        if name in ("cpu", "cuda"):
            asked = [torch.device(name)]
        if not asked and name not in _BETWEEN:
            _check(name, held)
        self.calls[name] += on_gpu
        if on_gpu and _waits(name, held, asked):
            self.waits[_asker()] += 1
        if asked:
            on_gpu = any(each.type == "cuda" for each in asked)
        elif name == "to" and held:
            on_gpu = isinstance(held[-1], OnGPU)
        elif name in ("copy_", "__getitem__", "__setitem__"):
            on_gpu = isinstance(held[0], OnGPU)
        given = kwargs.get("generator")
        if isinstance(given, _Generator) and given.on_gpu != on_gpu:
            raise RuntimeError("expected a generator of the device on which random numbers are wanted")
        with DisableTorchFunctionSubclass():
            if asked:
                args, kwargs = _on_cpu(args), _on_cpu(kwargs)
            made = _OWN.get(name, func)(*args, **kwargs)
            copied = bool(asked) or name == "to"
            if isinstance(made, Tensor):  # of most calls, and quicker
                return _marked(made, on_gpu, copied)
            return tree_map(lambda each: _marked(each, on_gpu, copied), made)


def _waits(name: str, held: list[Tensor], asked: list[torch.device]) -> bool:
    """Whether the CPU needs to know what the GPU has computed."""
    chosen = name in ("__getitem__", "__setitem__") and any(each.dtype == torch.bool for each in held[1:])
    to_cpu = any(each.type == "cpu" for each in asked)
    to_cpu |= name == "copy_" and not isinstance(held[0], OnGPU)
    return name in _TO_NUMBERS or name in _OF_UNKNOWN_SIZE or chosen or to_cpu


def _told(func: Any) -> Any:
    """What a property of a tensor on a GPU says, None if it says what that of any tensor does."""
    of = getattr(func, "__self__", None)
    return {Tensor.device: GPU, Tensor.is_cuda: True, Tensor.is_cpu: False}.get(of)


def _moved_in_place(target: Tensor, data: Tensor) -> None:
    """`module.to` gives parameters new data; they stay what they are."""
    with DisableTorchFunctionSubclass():
        target.data = data
    is_parameter = isinstance(target, nn.Parameter)
    if isinstance(data, OnGPU):
        target.__class__ = OnGPU
        target._is_param = is_parameter
    else:
        target.__class__ = nn.Parameter if is_parameter else Tensor


def _marked(value: Any, on_gpu: bool, copied: bool) -> Any:
    if not isinstance(value, Tensor) or isinstance(value, OnGPU) == on_gpu:
        return value
    # A copy to another device does not share memory with where it came from.
    value = value.clone() if copied else value
    return value.as_subclass(OnGPU if on_gpu else Tensor)


def _devices(leaves: list[Any], args: Any, kwargs: Any) -> list[torch.device]:
    """Which devices a function is asked for."""
    found = [each for each in leaves if isinstance(each, torch.device)]
    return found + [torch.device(each) for each in _names((*args, *kwargs.values()))]


def _names(values: Iterable[Any]) -> list[str]:
    return [each for each in values if isinstance(each, str) and each.split(":")[0] in ("cpu", "cuda")]


def _on_cpu(values: Any) -> Any:
    def moved(value: Any) -> Any:
        asked = isinstance(value, torch.device | str) and str(value).startswith("cuda")
        return torch.device("cpu") if asked else value

    return tree_map(moved, values)


def _check(name: str, held: list[Tensor]) -> None:
    """As a GPU's kernels do: of the CPU they take single numbers alone, and indices."""
    if name in ("__getitem__", "__setitem__") and isinstance(held[0], OnGPU):
        held = [each for each in held if each.dtype not in (torch.long, torch.bool)]
    kinds = {isinstance(each, OnGPU) for each in held if each.dim()}
    if len(kinds) > 1:
        shapes = [(tuple(each.shape), "cuda" if isinstance(each, OnGPU) else "cpu") for each in held]
        raise RuntimeError(f"{name}: expected all tensors to be on the same device, found {shapes}")


def _asker() -> str:
    frame = sys._getframe()
    while frame := frame.f_back:
        code = frame.f_code
        if code.co_filename.startswith(_PACKAGE):
            return f"{Path(code.co_filename).relative_to(_PACKAGE).as_posix()}: {code.co_name}"
    return "elsewhere"


def _flash(query: Tensor, key: Tensor, value: Tensor, *, scale: float) -> tuple[Tensor, Tensor]:
    """CUDA's fused attention: half precision alone, and widths of multiples of 8."""
    if query.dtype not in (torch.float16, torch.bfloat16):
        raise RuntimeError(f"flash attention takes half precision alone, not {query.dtype}")
    if query.shape[-1] % 8 or query.shape[-1] > 256:
        raise RuntimeError(f"flash attention takes no heads of {query.shape[-1]} channels")
    scores = query.float() @ key.float().mT * scale
    sums = scores.logsumexp(-1)
    return ((scores - sums[..., None]).exp() @ value.float()).to(query), sums


def _pinned(tensor: Tensor, *_: Any) -> Tensor:
    return tensor


_OWN = {"_scaled_dot_product_flash_attention": _flash, "pin_memory": _pinned}
