"""A run without data, weights or hub: does it fit, and how fast would it be?"""

from __future__ import annotations

import copy
import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from durian.errors import DurianError
from durian.models.autoencoder import spatial_factor
from durian.models.networks import Networks
from durian.models.presets import Preset
from durian.training.build import parameters_to_train, picture_scale, with_detail
from durian.training.checks import check_options
from durian.training.config import TrainConfig, load_config
from durian.training.memory import account, peak_memory
from durian.training.noise import NUMBER
from durian.training.objective import Batch
from durian.training.run import make_accelerator, make_objective, make_run
from durian.training.scores import score_held_out
from durian.training.step import TrainingStep

GB = 1e9


@dataclass(frozen=True)
class DryRunReport:
    """What was seen.

    Attributes:
        parameters, trained: numbers of all and of those that train.
        account: bytes of weights and all that is kept of them (`durian.training.memory.account`).
        step_seconds: of each training step; the first is slower. sample_seconds: of one sampling step of one
            example.
        peaks: the most memory in bytes that was held by the end of each part.
        device: where.
    """

    parameters: int
    trained: int
    account: dict[str, int]
    step_seconds: list[float]
    sample_seconds: float
    peaks: dict[str, int]
    device: str

    def __str__(self) -> str:
        rows = [(f"{name}", f"{size / GB:.2f} GB") for name, size in self.account.items()]
        rows.append(("together", f"{sum(self.account.values()) / GB:.2f} GB"))
        rows += [(f"peak after {name}", f"{size / GB:.2f} GB") for name, size in self.peaks.items()]
        rows += [(f"step {i + 1}", f"{s:.2f} s") for i, s in enumerate(self.step_seconds)]
        rows.append(("one sampling step of one example", f"{self.sample_seconds:.2f} s"))
        title = (
            f"{self.trained / 1e6:.1f} M of {self.parameters / 1e6:.1f} M parameters train, on {self.device}"
        )
        return "\n".join([title, *(f"  {name:<42}{value:>12}" for name, value in rows)])


def dry_run(config_path: Path, size: int | None = None, steps: int = 2) -> DryRunReport:
    """Build everything with random weights, make some steps on random data and sample once. Writes nothing.

    Args:
        size: side of the images in pixels, in place of the preset's.

    Raises:
        DurianError: the configuration is not usable, or needs more memory than there is.
    """
    config = load_config(config_path)
    check_options(config)
    preset = _resized(config.shape(), size)
    with torch.device("meta"):
        shapes = with_detail(preset.build(temporal=config.stage == 2), config)
    sizes = account(shapes, config)
    accelerator = make_accelerator(config)
    device = accelerator.device
    needed, free = sum(sizes.values()), _free_memory(device)
    if needed > free:
        raise DurianError(
            f"weights, gradients and moments need {needed / GB:.1f} GB and {free / GB:.1f} GB are free on "
            f"{device}: see docs/training.md for the options that save memory"
        )
    trained = sum(parameter.numel() for parameter in parameters_to_train(shapes, config).values())
    with device:  # random numbers of billions of weights take a CPU a minute
        networks = with_detail(preset.build(temporal=config.stage == 2), config)
    run = make_run(config, accelerator, Console(stderr=True), preset, networks)
    batch = random_batch(config, run.networks, preset.size, config.batch_size)
    on_device = {key: value.to(device) for key, value in batch.items()}
    peaks = {"building": peak_memory(device)}
    objective = make_objective(run, lambda: copy.deepcopy(run.networks.denoising_unet))
    prepared, optimizer = accelerator.prepare(objective, run.optimizer)
    parameters = list(run.parameters.values())
    make_step = TrainingStep(accelerator, prepared, optimizer, parameters, config, run.critic)
    seconds = []
    for step in range(steps):
        started = time.monotonic()
        make_step([on_device] * config.gradient_accumulation)
        run.average.update(step + 1)
        seconds.append(time.monotonic() - started)
        peaks[f"step {step + 1}"] = peak_memory(device)
    started = time.monotonic()
    with run.average.applied(), accelerator.autocast():
        score_held_out(run.networks, run.scheduler, {key: value[:1] for key, value in batch.items()}, 1)
    sampled = time.monotonic() - started
    peaks["sampling"] = peak_memory(device)
    total = sum(parameter.numel() for parameter in run.networks.parameters())
    return DryRunReport(total, trained, sizes, seconds, sampled, peaks, str(device))


def random_batch(config: TrainConfig, networks: Networks, size: int, count: int) -> Batch:
    """Noise in the shape of `count` examples of a configuration."""
    latent = size // spatial_factor(networks.vae)
    grid, attributes, frames = networks.attention_grid(latent), config.data.attributes, config.data.targets
    channels = networks.denoising_unet.config["guidance_channels"]

    small, size = size, size * picture_scale(networks, config)

    def image(*leading: int) -> torch.Tensor:
        return torch.rand(count, *leading, 3, size, size) * 2 - 1

    def mask(*leading: int) -> torch.Tensor:
        masks = torch.zeros(count, *leading, 1, size, size)
        masks[..., : size // 2, :] = 1
        return masks

    def positions(*leading: int) -> torch.Tensor:
        return torch.rand(count, *leading, grid, grid, 2) * 3 - 1.5

    return {
        "portrait": image(),
        "portrait_mask": mask(),
        "portrait_positions": positions(),
        "attributes": image(attributes),
        "attribute_masks": mask(attributes),
        "attribute_positions": positions(attributes),
        "worn": torch.ones(count, attributes, dtype=torch.bool),
        "targets": image(frames),
        "target_masks": mask(frames),
        "target_positions": positions(frames),
        "keypoints": torch.rand(count, frames, 3, small, small),
        "guidance": torch.rand(count, frames, channels, latent, latent),
        "known": torch.rand(count, frames, 3, size, size),
        NUMBER: torch.arange(count),
    }


def _resized(preset: Preset, size: int | None) -> Preset:
    if size is None:
        return preset
    unit = preset.size // preset.unet["sample_size"] * 2 ** (len(preset.unet["block_out_channels"]) - 1)
    if size < unit or size % unit:
        raise DurianError(f"--size: {size} is not a multiple of {unit}")
    latent = preset.unet["sample_size"] * size // preset.size
    changes = {"unet": {"sample_size": latent}}
    if preset.position_reader is not None:
        changes["position_reader"] = {"grid": preset.position_reader["grid"] * size // preset.size}
    return dataclasses.replace(preset.changed(changes), size=size)


def _free_memory(device: torch.device) -> int:
    """In bytes; on a CPU with what the kernel would give back. Very large where it cannot be known."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 1 << 62
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
