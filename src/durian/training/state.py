"""What a run needs to go on exactly where it stopped, in safetensors alone.

Examples, noise and dropout are functions of the seed and the step, so no random state has to be kept.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from durian.errors import DurianError
from durian.training.critic import CriticStep

STEP = "step"
_CRITIC = "critic.safetensors"


def save_state(
    folder: Path,
    step: int,
    parameters: Mapping[str, nn.Parameter],
    ema: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    critic: CriticStep | None = None,
) -> None:
    """Write weights, moving averages and optimiser moments beside, then put them in the place of the last.

    Args:
        critic: whose weights and moments are kept as well.
    """
    temporary = folder.with_name(folder.name + ".new")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    count = {STEP: torch.tensor(step)}
    save_file(
        {k: v.detach().contiguous() for k, v in parameters.items()} | count, temporary / "weights.safetensors"
    )
    save_file({k: v.contiguous() for k, v in ema.items()}, temporary / "ema.safetensors")
    kind = {"optimizer": type(optimizer).__name__}
    save_file(_moments(parameters, optimizer), temporary / "optimizer.safetensors", metadata=kind)
    if critic is not None:
        own = dict(critic.critic.named_parameters())
        weights = {name: value.detach().contiguous() for name, value in own.items()}
        save_file(weights | _moments(own, critic.optimizer), temporary / _CRITIC)
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(temporary, folder)
    shutil.rmtree(old, ignore_errors=True)


@torch.no_grad()
def load_state(
    folder: Path,
    parameters: Mapping[str, nn.Parameter],
    ema: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    critic: CriticStep | None = None,
) -> int:
    """Restore what `save_state` wrote, strictly, and return the step.

    Args:
        critic: stays as it is where the state has none: it was not in the configuration then.

    Raises:
        DurianError: the state is of other parameters, of another optimiser or of another critic.
    """
    weights = load_file(folder / "weights.safetensors")
    step = int(weights.pop(STEP))
    averages = load_file(folder / "ema.safetensors")
    for name, found in (("weights", weights), ("moving averages", averages)):
        if found.keys() != parameters.keys():
            odd = sorted(found.keys() ^ parameters.keys())
            raise DurianError(
                f"the {name} in {folder} are of other networks ({len(odd)} names differ, as {odd[0]}): go on "
                "with the configuration that they were trained with, or begin anew with --fresh"
            )
    for name, parameter in parameters.items():
        parameter.copy_(weights[name])
        ema[name].copy_(averages[name])
    with safe_open(folder / "optimizer.safetensors", "pt") as file:
        written_by = (file.metadata() or {}).get("optimizer", "AdamW")
    if written_by != type(optimizer).__name__:
        raise DurianError(
            f"the state in {folder} is of {written_by}, not {type(optimizer).__name__}: start from the run's "
            "checkpoint with init_from, or begin anew with --fresh"
        )
    _load_moments(load_file(folder / "optimizer.safetensors"), parameters, optimizer)
    if critic is not None and (folder / _CRITIC).is_file():
        _load_critic(folder / _CRITIC, critic)
    return step


def _load_critic(file: Path, critic: CriticStep) -> None:
    stored, own = load_file(file), dict(critic.critic.named_parameters())
    found = {key: value for key, value in stored.items() if "/" not in key}
    if {k: v.shape for k, v in found.items()} != {k: v.shape for k, v in own.items()}:
        raise DurianError(
            f"{file} is of a critic of another size: go on with the critic.channels that it was trained "
            "with, or begin anew with --fresh"
        )
    for name, parameter in own.items():
        parameter.copy_(found[name])
    moments = {key: value for key, value in stored.items() if "/" in key}
    _load_moments(moments, own, critic.optimizer)


def _moments(parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{name}/{key}": _storable(value, parameter)
        for name, parameter in parameters.items()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def _load_moments(
    moments: Mapping[str, Tensor], parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> None:
    for key, value in moments.items():
        name, kind = key.rsplit("/", 1)
        parameter = parameters[name]
        if not value.is_floating_point() and not value.ndim:
            value = int(value)
        elif value.shape == parameter.shape and kind != STEP:
            # In the parameter's memory format, which a fused optimiser takes for granted.
            value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        elif kind != STEP:
            value = value.to(parameter.device)
        optimizer.state.setdefault(parameter, {})[kind] = value


def _storable(value: Tensor | float, parameter: nn.Parameter) -> Tensor:
    tensor = torch.as_tensor(value).contiguous()
    # 8-bit moments share their maps in memory, which safetensors does not store.
    return tensor if tensor.shape == parameter.shape else tensor.clone()


def state_folder(run: Path) -> Path | None:
    """The newest complete state of a run, if there is one."""
    for name in ("state", "state.old"):
        if (run / name / "optimizer.safetensors").is_file():
            return run / name
    return None
