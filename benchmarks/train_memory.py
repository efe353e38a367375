"""Memory of a training step, computed: nothing is allocated, so it can be asked for any GPU on any machine.

    uv run python benchmarks/train_memory.py configs/sd15-stage1.yaml configs/sd15-stage1-24gb.yaml

Weights, gradients, moments and averages follow from the parameters' shapes. Activations are those that the
forward and backward pass hold at their peak: both run on torch's meta device, whose tensors have shapes and
no content, and every storage is counted while it lives. Attention counts as a fused kernel's, which keeps
its inputs, its output and a number for each query; precisions are those of autocast on a GPU.
Left out: the workspaces of libraries, fragmentation, and CUDA's own half gigabyte.
"""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
import typer
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from durian.training.build import prepare_networks
from durian.training.config import TrainConfig, load_config
from durian.training.dry_run import random_batch
from durian.training.memory import account
from durian.training.objective import ReconstructionObjective

_HALF = {"no": None, "bf16": torch.bfloat16, "fp16": torch.float16}
# Of autocast's lists what these networks call.
_HALVED = (
    F.linear,
    F.conv2d,
    torch.conv2d,
    torch.einsum,
    torch.matmul,
    torch.bmm,
    torch.baddbmm,
    torch.prelu,
)
_WHOLE = (F.group_norm, F.layer_norm, F.mse_loss)


class LiveMemory(TorchDispatchMode):
    """Bytes of all storages that operations make within this context, now and at most."""

    def __init__(self) -> None:
        super().__init__()
        self.live: dict[int, int] = {}
        self.now = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        # A view of a weight, or what is changed in place, is nothing new.
        known = {id(storage) for storage in _storages((args, kwargs))}
        for storage in _storages(out):
            if id(storage) not in known:
                self._count(storage)
        self.peak = max(self.peak, self.now)
        return out

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = id(storage)
        if key not in self.live:
            self.live[key] = storage.nbytes()
            self.now += self.live[key]
            weakref.finalize(storage, self._free, key)

    def _free(self, key: int) -> None:
        self.now -= self.live.pop(key)


def _storages(tree: Any) -> list[torch.UntypedStorage]:
    return [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


class FusedAttention(torch.autograd.Function):
    """What a fused kernel makes and keeps, without computing it."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out = query.new_empty(*query.shape[:-1], value.shape[-1])
        ctx.save_for_backward(query, key, value, out, query.new_empty(query.shape[:-1], dtype=torch.float32))
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value, *_ = ctx.saved_tensors
        return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)


class AsOnGpu(TorchFunctionMode):
    """Fused attention, and autocast to `dtype`, which there is none of for the meta device."""

    def __init__(self, dtype: torch.dtype | None):
        super().__init__()
        self.dtype = dtype

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return FusedAttention.apply(*(self._cast(each, self.dtype) for each in args[:3]))
        if func in _HALVED or func in _WHOLE:
            to = self.dtype if func in _HALVED or self.dtype is None else torch.float32
            args = [self._cast(each, to) for each in args]
            kwargs = {key: self._cast(each, to) for key, each in kwargs.items()}
        return func(*args, **kwargs)

    @staticmethod
    def _cast(value: Any, dtype: torch.dtype | None) -> Any:
        if dtype is None or not isinstance(value, Tensor) or not value.is_floating_point():
            return value
        return value.to(dtype)


def activations(config: TrainConfig) -> int:
    """Bytes that a micro-batch's forward and backward pass hold at most, beside weights and gradients."""
    preset = config.shape()
    with torch.device("meta"):
        networks = preset.build(temporal=config.stage == 2)
        parameters = prepare_networks(networks, config, "meta")
        batch = random_batch(config, networks, preset.size, config.batch_size)
        objective = ReconstructionObjective(networks, preset.scheduler_class(**preset.scheduler), config)
        for parameter in parameters.values():  # gradients are there already, as in all but the first step
            parameter.grad = torch.empty_like(parameter)
    batch = {key: value.to("meta") for key, value in batch.items()}
    with LiveMemory() as memory, AsOnGpu(_HALF[config.mixed_precision]):
        loss = objective(batch)
        # As `loss.backward()`, within which no mode would hold where it computes again what is checkpointed.
        engine = torch.autograd.Variable._execution_engine
        engine.run_backward(
            (loss,), (torch.ones_like(loss),), False, False, (), allow_unreachable=True, accumulate_grad=True
        )
    return memory.peak


def main(
    configs: Annotated[list[Path], typer.Argument(help="YAML files of runs.")],
    frames: Annotated[int | None, typer.Option(help="Targets of an example, in place of theirs.")] = None,
) -> None:
    """Print an account of each configuration."""
    for path in configs:
        config = load_config(path)
        if frames is not None:
            config = config.model_copy(update={"data": config.data.model_copy(update={"targets": frames})})
        with torch.device("meta"):
            shapes = config.shape().build(temporal=config.stage == 2)
        sizes = account(shapes, config)
        if config.distillation is None:  # of a teacher and a student at once they are not computed
            sizes["activations"] = activations(config)
        print(f"{path}: {config.batch_size} × {config.data.targets} frames at once")
        for name, size in {**sizes, "together": sum(sizes.values())}.items():
            print(f"  {name:<44}{size / 1e9:8.2f} GB", flush=True)


if __name__ == "__main__":
    typer.run(main)
