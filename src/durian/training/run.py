"""The training loop of both stages."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import torch
from accelerate import Accelerator, AutocastKwargs, DistributedDataParallelKwargs
from accelerate.utils import DataLoaderConfiguration
from rich.console import Console
from torch import nn
from torch.utils.data import DataLoader

from durian.data.clips import Clip
from durian.models.denoising_unet import DenoisingUNet
from durian.models.networks import Networks
from durian.models.presets import Preset
from durian.sheet import save_sheet
from durian.training.average import MovingAverage
from durian.training.build import (
    build_networks,
    load_clips,
    picture_scale,
    prepare_networks,
    round_frozen,
    starting_preset,
)
from durian.training.checks import check_config
from durian.training.config import TrainConfig, load_config
from durian.training.critic import CriticStep, build_critic_step
from durian.training.dataset import ExampleDataset, make_sampler, preview_batch
from durian.training.detail import DetailObjective
from durian.training.distillation import DistillationObjective
from durian.training.folder import RunFolder
from durian.training.interruption import Interruption, TrainingStopped
from durian.training.objective import AdversarialObjective, Batch, ReconstructionObjective
from durian.training.optimizer import build_optimizer, learning_rate
from durian.training.pace import Pace
from durian.training.progress import TrainingProgress
from durian.training.reader import train_reader
from durian.training.scores import score_held_out
from durian.training.state import load_state, save_state, state_folder
from durian.training.step import TrainingStep


@dataclass
class Run:
    """What the loop works with; `critic` and `preview` are None where there are none."""

    config: TrainConfig
    accelerator: Accelerator
    console: Console
    preset: Preset
    networks: Networks
    scheduler: Any
    parameters: dict[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    average: MovingAverage
    critic: CriticStep | None = None
    preview: Batch | None = None

    @property
    def folder(self) -> Path:
        return self.config.output

    def save(self, step: int) -> None:
        """Keep the state, to go on from."""
        if self.accelerator.is_main_process:
            averages = self.average.values
            save_state(self.folder / "state", step, self.parameters, averages, self.optimizer, self.critic)

    def sample(self, step: int, record: RunFolder) -> None:
        """Reconstruct people that training never sees, with the averaged weights."""
        if self.preview is None:
            return
        steps = self.config.sample_steps or self.preset.sampling_steps
        with self.average.applied(), self.accelerator.autocast():
            scores, sheet = score_held_out(self.networks, self.scheduler, self.preview, steps)
        previews = self.folder / "previews"
        previews.mkdir(exist_ok=True)
        save_sheet(previews / f"{step:06d}.png", sheet)
        record.write_scores(step, scores, sheet)


def train(
    config_path: Path,
    output: Path | None = None,
    fresh: bool = False,
    steps: int | None = None,
    minutes: float | None = None,
) -> Path:
    """Train as a configuration says, going on from the run folder's state if there is one.

    Args:
        config_path: YAML file of a `TrainConfig`.
        output, steps, minutes: in place of the configuration's.
        fresh: start over, though the run folder has a state.

    Returns:
        The folder of the checkpoint: the moving average of the weights.

    Raises:
        DurianError: the configuration or the data are not usable.
        TrainingStopped: SIGINT or SIGTERM came; the state is saved.
    """
    overrides = {"output": output, "steps": steps, "minutes": minutes}
    config = load_config(config_path, {k: v for k, v in overrides.items() if v is not None})
    check_config(config)
    accelerator = make_accelerator(config)
    console = Console(stderr=True, quiet=not accelerator.is_main_process)
    preset = starting_preset(config)
    networks = build_networks(config)
    with console.status("reading clips") as status:
        size = preset.size * picture_scale(networks, config)
        clips, held_out = load_clips(config, size, lambda n: status.update(f"reading clips: {n}"))
    state = None if fresh else state_folder(config.output)
    if state is None and config.reader_steps:
        _train_reader(networks, clips, config, accelerator, console)
    run = make_run(config, accelerator, console, preset, networks)
    step = 0
    if state is not None:
        step = load_state(state, run.parameters, run.average.values, run.optimizer, run.critic)
        console.print(f"going on with {run.folder} after step {step}")
    _loop(run, clips, held_out, step)
    if accelerator.is_main_process:
        export(run)
    accelerator.wait_for_everyone()
    return run.folder / "checkpoint"


def _train_reader(
    networks: Networks, clips: list[Clip], config: TrainConfig, accelerator: Accelerator, console: Console
) -> None:
    assert networks.position_reader is not None  # checked with the configuration
    networks.position_reader.to(accelerator.device)
    steps = config.reader_steps
    with console.status("training the position reader") as status:
        error = train_reader(
            networks.position_reader,
            clips,
            steps,
            config.seed,
            lambda done, error: status.update(f"position reader: {done} of {steps} steps, error {error:.3f}"),
        )
    console.print(f"position reader: mean error {error:.3f} of the eyes' distance after {steps} steps")


def make_accelerator(config: TrainConfig) -> Accelerator:
    """Devices and processes as the environment (torchrun's, accelerate's) says."""
    handlers = [
        # A ReferenceNet's very last layer comes after what DNet attends to: it has no gradient.
        # Gradients are views of what is sent, or there would be two of each.
        DistributedDataParallelKwargs(find_unused_parameters=True, gradient_as_bucket_view=True),
        # Half-precision copies of weights are made again where activations are computed again.
        AutocastKwargs(cache_enabled=not config.gradient_checkpointing),
    ]
    return Accelerator(
        # Unless told so, accelerate takes no notice of torchrun's processes where there is no GPU.
        cpu=not torch.accelerator.is_available(),
        mixed_precision=config.mixed_precision,
        kwargs_handlers=handlers,
        # Batches come in pinned memory where there is a GPU, and need not be waited for.
        dataloader_config=DataLoaderConfiguration(non_blocking=True),
    )


def make_run(
    config: TrainConfig, accelerator: Accelerator, console: Console, preset: Preset, networks: Networks
) -> Run:
    """Everything but the data, at step 0."""
    parameters = prepare_networks(networks, config, accelerator.device)
    device = "cpu" if config.ema_device == "cpu" else None
    return Run(
        config,
        accelerator,
        console,
        preset,
        networks,
        preset.scheduler_class(**preset.scheduler),
        parameters,
        build_optimizer(config.optimizer, parameters),
        MovingAverage(parameters, config.ema_decay, device),
        None if config.critic is None else build_critic_step(accelerator, config.critic, config.seed),
    )


def make_objective(run: Run, teacher: Callable[[], DenoisingUNet]) -> ReconstructionObjective:
    """What is minimised; `teacher` makes the DNet that a student learns from."""
    if run.critic is not None and run.config.enlarges:
        return DetailObjective(run.networks, run.critic.critic, run.scheduler, run.config)
    if run.critic is not None:
        return AdversarialObjective(run.networks, run.critic.critic, run.scheduler, run.config)
    if run.config.distillation is None:
        return ReconstructionObjective(run.networks, run.scheduler, run.config)
    frozen = teacher().to(run.accelerator.device).requires_grad_(False)
    if run.config.frozen_precision == "bf16":
        round_frozen(frozen)
    return DistillationObjective(run.networks, frozen, run.scheduler, run.config)


def _loop(run: Run, clips: list[Clip], held_out: list[Clip], step: int) -> None:
    config, accelerator = run.config, run.accelerator
    sampler = make_sampler(config, clips, run.networks, run.preset.size)
    run.console.print(sampler.summary())
    per_step = config.batch_size * config.gradient_accumulation * accelerator.num_processes
    numbers = (step * per_step, config.steps * per_step)
    dataset = ExampleDataset(sampler, *numbers, config.seed, motion=config.flicker_loss_weight > 0)
    loader = DataLoader(
        dataset,
        config.batch_size,
        num_workers=config.data.workers,
        pin_memory=accelerator.device.type == "cuda",
        worker_init_fn=_alone,
    )
    objective = make_objective(run, lambda: build_networks(config).denoising_unet)
    prepared, optimizer, batches = accelerator.prepare(objective, run.optimizer, loader)
    parameters = list(run.parameters.values())
    make_step = TrainingStep(accelerator, prepared, optimizer, parameters, config, run.critic)

    record = None
    if accelerator.is_main_process:
        if held_out:
            run.preview = preview_batch(make_sampler(config, held_out, run.networks, run.preset.size))
        record = RunFolder(run.folder, step)
        trained = sum(parameter.numel() for parameter in run.parameters.values())
        record.started(config, processes=accelerator.num_processes, trained_parameters=trained)
    seconds = [each["seconds"] for each in record.records if "seconds" in each] if record else []
    iterator = iter(batches)
    pace = Pace(config, accelerator, sum(seconds))
    every = min(100, config.save_every)
    bar = TrainingProgress(run.console, config.steps, step, seconds, every, pace.left)
    done = pace.done(step)
    with bar, Interruption() as interruption:
        while done < config.steps:
            started = time.monotonic()
            rate = learning_rate(config, step, done)
            for group in optimizer.param_groups:
                group["lr"] = rate
            result = make_step([next(iterator) for _ in range(config.gradient_accumulation)])
            step += 1
            run.average.update(step)
            stop = interruption.agreed(accelerator)
            done = pace.done(step)
            due = done >= config.steps
            if record is not None:
                values = {**result.values(), "learning_rate": rate}
                values["seconds"] = time.monotonic() - started
                bar.advance(result.loss, values["seconds"])
                record.write_step(step, values, per_step)
                if due or step % config.sample_every == 0:
                    run.sample(step, record)
            if due or stop or step % config.save_every == 0:
                run.save(step)
            if stop:
                break
    if record is not None:
        record.close()
    if done < config.steps:
        raise TrainingStopped(step, stop)


def _alone(worker: int) -> None:
    """A process that draws examples has one core: there are others beside it."""
    cv2.setNumThreads(1)


def export(run: Run) -> None:
    """Write the moving average as a checkpoint that `DurianPipeline.from_pretrained` reads."""
    from durian.pipeline.checkpoint import save_checkpoint

    networks, average = run.networks, run.average
    if run.config.frozen_precision != "fp32":  # what was rounded is taken from where it came from
        networks = build_networks(run.config)
        parameters = dict(networks.named_parameters())
        average = MovingAverage({name: parameters[name] for name in run.parameters}, 0.0)
        average.values = run.average.values
    with average.applied():
        save_checkpoint(run.folder / "checkpoint", networks, run.scheduler, run.preset)
