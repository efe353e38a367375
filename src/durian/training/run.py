"""The training loop of both stages."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import yaml
from accelerate import Accelerator, DistributedDataParallelKwargs
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.training_utils import EMAModel
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from durian.data.clips import Clip, read_clips
from durian.data.example import Example
from durian.data.reconstruction import ReconstructionSampler, split_clips
from durian.errors import DurianError
from durian.models.autoencoder import spatial_factor
from durian.models.networks import Networks
from durian.models.presets import Preset
from durian.training.config import TrainConfig, load_config
from durian.training.objective import Batch, ReconstructionObjective
from durian.training.optimizer import build_optimizer, learning_rate
from durian.training.preview import save_preview
from durian.training.sampler import sampler_of
from durian.training.state import load_state, save_state, state_folder


class ExampleDataset(Dataset):
    """Examples by number; the same number gives the same example on every run and machine."""

    def __init__(self, sampler: ReconstructionSampler, start: int, stop: int, seed: int):
        self.sampler, self.start, self.stop, self.seed = sampler, start, stop, seed

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return draw_example(self.sampler, self.seed, self.start + index)


def draw_example(sampler: ReconstructionSampler, seed: int, index: int) -> dict[str, np.ndarray]:
    """Example number `index` of a run as a dict, as collating wants it."""
    example: Example = sampler.draw(np.random.default_rng([seed, index]))
    return {field.name: getattr(example, field.name) for field in dataclasses.fields(example)}


def trainable_parameters(networks: Networks, stage: int) -> dict[str, nn.Parameter]:
    """Stage 1 trains everything that is not frozen but the temporal layers; stage 2 these alone."""
    return {
        name: parameter
        for name, parameter in networks.named_parameters()
        if parameter.requires_grad
        and not name.startswith("vae.")
        and (".motion_modules." in name) == (stage == 2)
    }


def load_clips(config: TrainConfig, console: Console) -> tuple[list[Clip], list[Clip]]:
    """Training and held-out clips, all in memory."""
    with console.status("reading clips") as status:
        clips = list(
            read_clips(config.data.clips, config.data.limit, lambda n: status.update(f"reading clips: {n}"))
        )
    size = starting_preset(config).size
    for clip in clips:
        if clip.frames.shape[1:3] != (size, size):
            height, width = clip.frames.shape[1:3]
            raise DurianError(
                f"clip {clip.name} is {width}×{height} pixels and {config.preset} wants {size}×{size}"
            )
    if len(clips) <= config.data.held_out:
        raise DurianError(f"{config.data.clips} has {len(clips)} clips, and data.held_out takes all of them")
    return split_clips(clips, config.data.held_out, seed=0)


def starting_preset(config: TrainConfig) -> Preset:
    """The shape of what is trained; size and sampling steps are those of the checkpoint it starts from."""
    from durian.pipeline.checkpoint import SETTINGS, read_index, resolve_checkpoint

    if config.init_from is None:
        return config.shape()
    index = read_index(resolve_checkpoint(config.init_from))
    return dataclasses.replace(config.shape(), **{key: index[key] for key in SETTINGS})


def build_networks(config: TrainConfig) -> Networks:
    """The preset's networks, from scratch, from public weights or from a checkpoint.

    Stage 2 adds motion modules to a checkpoint of stage 1: `sd15`'s from AnimateDiff, `mini`'s silent.
    """
    from durian.pipeline.checkpoint import build_sd15, load_motion_adapter, load_networks

    torch.manual_seed(config.seed)
    sources = {str(key): value for key, value in (config.sources or {}).items()}
    if config.init_from is None:
        if config.preset == "sd15":
            return build_sd15(sources, temporal=config.stage == 2, **config.networks)
        return config.shape().build(temporal=config.stage == 2)
    networks = load_networks(config.init_from)
    if config.stage == 2:
        adapter = load_motion_adapter(sources) if config.preset == "sd15" else None
        networks.denoising_unet = networks.denoising_unet.with_motion(adapter)
    return networks


def train(
    config_path: Path, output: Path | None = None, fresh: bool = False, steps: int | None = None
) -> Path:
    """Train as a configuration says, going on from the run folder's state if there is one.

    Args:
        config_path: YAML file of a `TrainConfig`.
        output, steps: in place of the configuration's.
        fresh: start over, though the run folder has a state.

    Returns:
        The folder of the checkpoint: the moving average of the weights.

    Raises:
        DurianError: the configuration or the data are not usable.
    """
    overrides = {"output": output, "steps": steps}
    config = load_config(config_path, {k: v for k, v in overrides.items() if v is not None})
    accelerator = Accelerator(
        mixed_precision=config.mixed_precision,
        gradient_accumulation_steps=config.gradient_accumulation,
        # A ReferenceNet's very last layer comes after what DNet attends to: it has no gradient.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    console = Console(quiet=not accelerator.is_main_process)
    run = Path(config.output)
    run.mkdir(parents=True, exist_ok=True)
    (run / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))

    training_clips, held_out = load_clips(config, console)
    networks = build_networks(config)
    preset = starting_preset(config)
    scheduler = preset.scheduler_class(**preset.scheduler)
    if config.gradient_checkpointing:
        for network in (networks.denoising_unet, networks.portrait_net, networks.attribute_net):
            if network is not None:
                network.enable_gradient_checkpointing()
    parameters = trainable_parameters(networks, config.stage)
    for name, parameter in networks.named_parameters():
        parameter.requires_grad_(name in parameters)
    # Convolutions on a CPU read channels last without reordering.
    networks.to(accelerator.device).to(memory_format=torch.channels_last)
    optimizer = build_optimizer(config.optimizer, parameters)
    ema = EMAModel(parameters.values(), decay=config.ema_decay)
    averages = dict(zip(parameters, ema.shadow_params, strict=True))

    step = 0
    state = None if fresh else state_folder(run)
    if state is not None:
        step = ema.optimization_step = load_state(state, parameters, averages, optimizer)
        console.print(f"resuming {run} at step {step}")

    sampler = make_sampler(config, training_clips, networks, preset.size)
    console.print(sampler.summary())
    examples_per_step = config.batch_size * config.gradient_accumulation * accelerator.num_processes
    dataset = ExampleDataset(sampler, step * examples_per_step, config.steps * examples_per_step, config.seed)
    loader = DataLoader(dataset, config.batch_size, shuffle=False)
    objective = ReconstructionObjective(networks, scheduler, config).train()
    objective, optimizer, loader = accelerator.prepare(objective, optimizer, loader)
    preview = preview_batch(config, held_out, networks, preset.size)

    started, first, running = time.monotonic(), step, []
    batches = iter(loader)
    with _progress(console) as bar, (run / "curve.jsonl").open("a") as curve:
        task = bar.add_task("training", total=config.steps, completed=step, loss=float("nan"))
        while step < config.steps:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(config, step)
            losses = [
                _backward(accelerator, objective, optimizer, parameters, batch, config, step, micro)
                for micro, batch in enumerate(_take(batches, config.gradient_accumulation))
            ]
            ema.step(parameters.values())
            step += 1
            running.append(float(np.mean(losses)))
            bar.update(task, completed=step, loss=float(np.mean(running[-50:])))
            if not accelerator.is_main_process:
                continue
            if step % 20 == 0 or step == config.steps:
                rate = (step - first) / (time.monotonic() - started)
                record = {"step": step, "loss": float(np.mean(running[-20:])), "steps_per_second": rate}
                curve.write(json.dumps(record) + "\n")
                curve.flush()
            if step % config.save_every == 0 or step == config.steps:
                save_state(run / "state", step, parameters, averages, optimizer.optimizer)
            if step % config.sample_every == 0 or step == config.steps:
                with swapped(parameters, averages):
                    save_preview(run / "previews" / f"{step:06d}.png", networks, scheduler, preview)
    return export(run, preset, networks, scheduler, parameters, averages)


def make_sampler(
    config: TrainConfig, clips: list[Clip], networks: Networks, size: int
) -> ReconstructionSampler:
    """The sampler that a configuration asks for, of what the networks take."""
    latent_size = size // spatial_factor(networks.vae)
    return sampler_of(
        config.data,
        clips,
        networks.attention_grid(latent_size),
        consecutive=config.stage == 2,
        guidance_size=latent_size if networks.denoising_unet.config["guidance_channels"] else None,
    )


def preview_batch(
    config: TrainConfig, held_out: list[Clip], networks: Networks, size: int, count: int = 6
) -> Batch | None:
    """A fixed batch of people that training never sees."""
    if not held_out:
        return None
    sampler = make_sampler(config, held_out, networks, size)
    examples = [draw_example(sampler, 1, index) for index in range(count)]
    per_frame = ("targets", "target_masks", "target_positions", "keypoints", "guidance")
    return {
        key: torch.from_numpy(np.stack([e[key][:4] if key in per_frame else e[key] for e in examples]))
        for key in examples[0]
    }


def export(
    run: Path,
    preset: Preset,
    networks: Networks,
    scheduler: DDIMScheduler,
    parameters: dict[str, nn.Parameter],
    averages: dict[str, Tensor],
) -> Path:
    """Write the moving average as a checkpoint that `DurianPipeline.from_pretrained` reads."""
    from durian.pipeline.checkpoint import save_checkpoint

    with swapped(parameters, averages):
        save_checkpoint(run / "checkpoint", networks, scheduler, preset)
    return run / "checkpoint"


class swapped:
    """Within this context the parameters have the values of their moving averages."""

    def __init__(self, parameters: dict[str, nn.Parameter], averages: dict[str, Tensor]):
        self.parameters, self.averages = parameters, averages

    def __enter__(self) -> None:
        self.kept = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        self._copy(self.averages)

    def __exit__(self, *exception: object) -> None:
        self._copy(self.kept)

    @torch.no_grad()
    def _copy(self, values: dict[str, Tensor]) -> None:
        for name, parameter in self.parameters.items():
            parameter.copy_(values[name])


def _backward(
    accelerator: Accelerator,
    objective: nn.Module,
    optimizer: torch.optim.Optimizer,
    parameters: dict[str, nn.Parameter],
    batch: Batch,
    config: TrainConfig,
    step: int,
    micro: int,
) -> float:
    generator = torch.Generator(accelerator.device)
    key = [config.seed, step, micro, accelerator.process_index]
    generator.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1))
    with accelerator.accumulate(objective):
        loss = objective(batch, generator)
        accelerator.backward(loss)
        if accelerator.sync_gradients:
            accelerator.clip_grad_norm_(parameters.values(), config.optimizer.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
    return float(loss.detach())


def _take(batches: Iterator[Batch], count: int) -> Iterator[Batch]:
    for _ in range(count):
        yield next(batches)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"),
        TimeRemainingColumn(),
        console=console,
    )
