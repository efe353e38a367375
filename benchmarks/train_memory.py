"""Memory of a training step, computed: nothing is allocated, so it can be asked for any GPU on any machine.

    uv run python benchmarks/train_memory.py configs/sd15-stage1.yaml configs/sd15-stage1-24gb.yaml

Weights, gradients, moments and averages follow from the parameters' shapes. Activations are those that the
forward and backward pass hold at their peak: both run on torch's fake tensors, which have shapes and no
content, and every storage is counted while it lives. Attention counts as a fused kernel's, which keeps its
inputs, its output and a number for each query; normalisation in 32 bits, as autocast has it on a GPU.
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
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from durian.training.build import prepare_networks
from durian.training.config import TrainConfig, load_config
from durian.training.dry_run import random_batch
from durian.training.memory import account
from durian.training.objective import ReconstructionObjective

_HALF = {"no": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class LiveMemory(TorchDispatchMode):
    """Bytes of all storages that operations make within this context, now and at most."""

    def __init__(self) -> None:
        super().__init__()
        self.live: dict[int, int] = {}
        self.now = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self._count(leaf.untyped_storage())
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
    """Attention and normalisation as autocast to `dtype` has them on a GPU."""

    def __init__(self, dtype: torch.dtype | None):
        super().__init__()
        self.dtype = dtype

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention:
            return FusedAttention.apply(*(each.to(self.dtype or each.dtype) for each in args[:3]))
        if func in (F.group_norm, F.layer_norm) and self.dtype is not None:
            args = (args[0].float(), *args[1:])
        return func(*args, **(kwargs or {}))


def activations(config: TrainConfig) -> int:
    """Bytes that a micro-batch's forward and backward pass hold at most, beside weights and gradients."""
    dtype = _HALF[config.mixed_precision]
    with FakeTensorMode(allow_non_fake_inputs=True):
        preset = config.shape()
        networks = preset.build(temporal=config.stage == 2)
        parameters = prepare_networks(networks, config, "cpu")
        batch = random_batch(config, networks, preset.size, config.batch_size)
        objective = ReconstructionObjective(networks, preset.scheduler_class(**preset.scheduler), config)
        for parameter in parameters.values():  # gradients are there already, as in all but the first step
            parameter.grad = torch.empty_like(parameter)
        with LiveMemory() as memory, AsOnGpu(dtype):
            cache = not config.gradient_checkpointing
            with torch.autocast("cpu", dtype or torch.bfloat16, dtype is not None, cache_enabled=cache):
                loss = objective(batch)
            loss.backward()
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
        sizes = {**account(shapes, config), "activations": activations(config)}
        print(f"{path}: {config.batch_size} × {config.data.targets} frames at once")
        for name, size in {**sizes, "together": sum(sizes.values())}.items():
            print(f"  {name:<44}{size / 1e9:8.2f} GB", flush=True)


if __name__ == "__main__":
    typer.run(main)
