"""Time, memory and arithmetic of the pipeline beside the peers' scheme (`yardstick.py`), at equal frames.

    uv run python benchmarks/speed.py mini thin-sd15
    uv run python benchmarks/speed.py mini --steps 1 --compile
    uv run python benchmarks/speed.py mini --steps 1 --openvino
    uv run python benchmarks/speed.py mini --steps 1 --detail
    uv run python benchmarks/speed.py sd15 --device cuda --dtype bf16 --frames 16 --steps 4 --parts

Both run in turn in this process on the same inputs; ratios are medians over the rounds, and they are what to
compare: seconds, and frames a second, depend on what else the machine does. CPU times are processor times.
With `--openvino` Durian runs by OpenVINO, in `--dtype`, and the yardstick by PyTorch in single precision.
With `--detail` Durian's frames are also brought to the results' size, which the yardstick knows nothing of.
With `--parts` the seconds of Durian's parts are printed too, each by itself.
Memory is that of all tensors alive at once beyond the weights, counted in a run apart (on a GPU: the
allocator's peak). FLOPs are torch's count of products, two for a multiply-add.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parent))
from train_memory import LiveMemory
from yardstick import Yardstick

from durian.demo import SAMPLES
from durian.models.autoencoder import decode_latents, latent_channels
from durian.models.presets import PRESETS, SD15, Preset
from durian.pipeline import AnimationOptions, DurianPipeline
from durian.pipeline.conditioner import Conditioner, Guidance
from durian.portrait.geometry import face_template
from durian.portrait.inputs import AnimationInputs, Reference
from durian.video import read_image

TOLERANCE = 1e-3
THIN = SD15.changed(
    {
        "size": 256,
        "unet": {"sample_size": 32, "block_out_channels": (64, 128, 256, 256)},
        "keypoint_guider": {"out_channels": 64},
        "vae": {"block_out_channels": (32, 64, 128, 128), "sample_size": 256},
        "attribute_encoder": {
            "clip_config": {
                "hidden_size": 128,
                "intermediate_size": 512,
                "num_hidden_layers": 4,
                "num_attention_heads": 4,
                "patch_size": 14,
                "image_size": 224,
                "projection_dim": 768,
            }
        },
    }
)
"""`sd15` with a fifth of its widths, at 256×256."""


class Model(StrEnum):
    """What can be measured."""

    mini = "mini"
    thin = "thin-sd15"
    sd15 = "sd15"


@dataclass
class Measured:
    """One way of working: seconds and processor seconds of each round, bytes, FLOPs."""

    wall: list[float]
    cpu: list[float]
    memory: int = 0
    flops: int = 0


def load(model: Model, device: str, dtype: torch.dtype) -> DurianPipeline:
    """The packaged `mini`, or a random network: speed does not depend on weights."""
    if model is Model.mini:
        return DurianPipeline.from_pretrained("mini", device=device, dtype=dtype, detail=False)
    preset: Preset = {Model.thin: THIN, Model.sd15: PRESETS["sd15"]}[model]
    torch.manual_seed(0)
    with torch.device(device):
        networks = preset.build(temporal=True)
    for parameter in networks.parameters():  # layers that start at zero would hide differences
        if not parameter.detach().any():
            torch.nn.init.normal_(parameter, std=0.02)
    scheduler = preset.scheduler_class(**preset.scheduler)
    return DurianPipeline(networks.lower_precision(dtype), scheduler, preset.size, preset.sampling_steps)


def sample_inputs(size: int, frames: int) -> AnimationInputs:
    """The packaged pictures with landmarks of the mean face, which moves to the right."""

    def reference(name: str, low: float, high: float) -> Reference:
        from PIL import Image

        image = np.asarray(Image.fromarray(read_image(SAMPLES / f"{name}.png")).resize((size, size)))
        mask = np.zeros((size, size), np.float32)
        mask[int(low * size) : int(high * size)] = 1
        landmarks = face_template() * size / 4
        landmarks[:, :2] += size / 2
        return Reference(image, mask, landmarks.astype(np.float32))

    portrait, hair = reference("portrait", 0, 0.25), reference("hair", 0, 0.3)
    steps = np.zeros((frames, 1, 3), np.float32)
    steps[:, 0, 0] = np.linspace(0, size / 10, frames)
    return AnimationInputs(portrait, {"hair": hair}, portrait.landmarks[None] + steps)


def matrix_throughput(device: str, dtype: torch.dtype) -> float:
    """FLOPs a second of products of square matrices; on a CPU of processor seconds."""
    side = 1024 if device == "cpu" else 8192
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = 0.0
    for _ in range(10):
        begin = _clock(device)
        for _ in range(5):
            a @ b
        best = max(best, 5 * 2 * side**3 / (_clock(device) - begin))
    return best


def _clock(device: str) -> float:
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def measure(work: Callable[[], Any], device: str, into: Measured) -> None:
    """One round."""
    wall, cpu = time.perf_counter(), _clock(device)
    work()
    into.cpu.append(_clock(device) - cpu)
    into.wall.append(time.perf_counter() - wall)


def measure_memory(work: Callable[[], Any], device: str) -> int:
    if device != "cpu":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return torch.cuda.max_memory_allocated() - before
    with LiveMemory() as memory:
        work()
    return memory.peak


@torch.no_grad()
def parts(pipeline: DurianPipeline, inputs: AnimationInputs, device: str, rounds: int) -> dict[str, float]:
    """Median seconds of each part of the work on one window, after a first time that does not count."""
    networks, count = pipeline.networks, len(inputs.keypoints)

    def told() -> Conditioner:
        return Conditioner(
            networks, pipeline.size, inputs.portrait, inputs.attributes, predict=pipeline._predict
        )

    def keypoints() -> list[Any]:
        drawn = np.stack([pipeline.draw_keypoints(each) for each in inputs.keypoints])
        return list(conditioner.frames(inputs.keypoints, drawn, [1.0] * count))

    conditioner = told()
    frames, side = keypoints(), conditioner.latent_size
    latents = torch.randn(1, latent_channels(networks.vae), count, side, side, device=device)
    timestep = torch.tensor(500)
    works: dict[str, Callable[[], Any]] = {
        "references": told,
        f"keypoints of {count} frames": keypoints,
        f"one step of {count} frames": lambda: conditioner.predict(
            latents, timestep, frames, Guidance(), False
        ),
        f"decoding {count} frames": lambda: list(pipeline._decode(latents.split(1, 2))),
    }
    seconds = {}
    for name, work in works.items():
        work()
        into = Measured([], [])
        for _ in range(rounds):
            measure(work, device, into)
        seconds[name] = statistics.median(into.wall)
    return seconds


def compare(
    model: Model,
    frames: int,
    steps: int,
    scales: tuple[float, float],
    cache_interval: int,
    rounds: int,
    device: str,
    dtype: torch.dtype,
    compile: bool,
    openvino: bool,
    detail: bool,
    split: bool = False,
) -> tuple[str, ...]:
    """One row of the table."""
    loaded = torch.float32 if openvino else dtype
    pipeline = load(model, device, loaded)
    inputs = sample_inputs(pipeline.size, frames)
    result, asked = pipeline, inputs
    if detail:
        result = DurianPipeline.from_pretrained(model.value, device=device, dtype=loaded)
        asked = sample_inputs(result.size, frames)
    other = Yardstick(pipeline)
    options = AnimationOptions(
        num_inference_steps=steps,
        portrait_scale=scales[0],
        attribute_scale=scales[1],
        cache_interval=cache_interval,
    )

    def ours() -> Any:
        return result.animate(asked, **options)

    def theirs() -> Any:
        return other.decode(other.latents(inputs, steps, scales))

    def latents() -> Tensor:
        made = pipeline.latents_iter(inputs.portrait, inputs.attributes, inputs.keypoints, **options)
        return torch.cat(list(made), 2)

    with FlopCounterMode(display=False) as counter:
        ours_latents = latents()
    flops = counter.get_total_flops()
    with FlopCounterMode(display=False) as counter:
        wanted = other.latents(inputs, steps, scales)
    mine, peers = Measured([], [], flops=flops), Measured([], [], flops=counter.get_total_flops())
    mine.memory, peers.memory = measure_memory(ours, device), measure_memory(theirs, device)
    if compile or openvino:
        for each in {id(pipeline): pipeline, id(result): result}.values():
            each.compile() if compile else each.use_openvino(dtype)
        begin = time.perf_counter()
        ours_latents = latents()
        print(f"the first frames took {time.perf_counter() - begin:.0f} s", file=sys.stderr, flush=True)
        if device != "cpu":
            ours()  # decoding is compiled as well
    difference = _difference(pipeline, ours_latents, wanted)
    if dtype == torch.float32 and cache_interval == 1 and difference > TOLERANCE:
        raise SystemExit(f"{model}: frames differ by {difference:.2g}, more than {TOLERANCE:g}")
    for _ in range(rounds):
        measure(ours, device, mine)
        measure(theirs, device, peers)
    if split:
        for name, seconds in parts(pipeline, inputs, device, rounds).items():
            print(f"{name}: {seconds * 1e3:.1f} ms", file=sys.stderr, flush=True)
    kinds = {"compiled": compile, "OpenVINO": openvino, "detail": detail}
    per_frame = statistics.median(mine.cpu) / frames
    reached = (
        mine.flops
        / frames
        / per_frame
        / matrix_throughput(device, torch.bfloat16 if dtype == torch.int8 else dtype)
    )
    return (
        ", ".join([model, *(name for name, on in kinds.items() if on)]),
        str(steps),
        " ".join(f"{each:g}" for each in dict.fromkeys(scales)),
        f"{difference:.1e}",
        f"{_ratio(peers.cpu, mine.cpu):.2f}",
        f"{_ratio(peers.wall, mine.wall):.2f}",
        "not known" if openvino else f"{peers.memory / mine.memory:.2f}",  # which keeps its own
        f"{peers.flops / mine.flops:.2f}",
        f"{mine.flops / frames / 1e9:.1f}",
        f"{per_frame * 1e3:.0f}",
        f"{reached:.0%}",
        f"{frames / statistics.median(mine.wall):.1f}",
    )


@torch.no_grad()
def _difference(pipeline: DurianPipeline, a: Tensor, b: Tensor) -> float:
    """The largest between two videos' frames, of pixels in [0, 1]."""
    pairs = zip(a.unbind(2), b.unbind(2), strict=True)
    images = (
        [decode_latents(pipeline.networks.vae, each.to(pipeline.dtype)) for each in pair] for pair in pairs
    )
    return max(float((first - second).abs().max()) / 2 for first, second in images)


def _ratio(theirs: list[float], ours: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(theirs, ours, strict=True))


def main(
    models: Annotated[list[Model], typer.Argument()],
    frames: int = 8,
    steps: int = 1,
    scale: Annotated[list[float] | None, typer.Option(help="Of guidance; repeat.")] = None,
    attribute_scale: Annotated[float | None, typer.Option(help="Of the attributes, if another.")] = None,
    cache_interval: Annotated[int, typer.Option(help="Above 1, frames differ.")] = 1,
    rounds: int = 3,
    device: str = "cpu",
    dtype: str = "fp32",
    threads: int = 1,
    compile: Annotated[bool, typer.Option("--compile")] = False,
    openvino: Annotated[bool, typer.Option("--openvino", help="For Durian, in this dtype.")] = False,
    detail: Annotated[bool, typer.Option("--detail", help="For mini.")] = False,
    split: Annotated[bool, typer.Option("--parts", help="Of at most one window.")] = False,
) -> None:
    """Print a row for each model and guidance scale."""
    torch.set_num_threads(threads)
    kinds = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "int8": torch.int8}
    kind = kinds[dtype]
    columns = ("model", "steps", "scale", "frames differ", "time", "wall time", "memory", "FLOPs")
    own = ("GFLOP/frame", "ms/frame", "of matmul", "frames/s")
    table = Table(*columns, *own, title="yardstick ÷ durian, then durian", title_justify="left")
    for model in models:
        for each in scale or [1.0, 1.5]:
            scales = (each, each if attribute_scale is None else attribute_scale)
            options = (steps, scales, cache_interval, rounds, device, kind, compile, openvino, detail, split)
            row = compare(model, frames, *options)
            print(*row, sep="\t", file=sys.stderr, flush=True)
            table.add_row(*row)
    Console(width=150).print(table)


if __name__ == "__main__":
    typer.run(main)
