"""How far from the true places a checkpoint takes its copies, and what copying from the true ones would give.

    uv run durian synth clips --out CLIPS --clips 150 --frames 12 --takes 12 --relit 3 --seed 21 --surface
    uv run python benchmarks/places.py CHECKPOINT CLIPS [--examples 40]

On examples as `configs/mini-stage1.yaml` draws them, at one sampling step. Distances are in cells of the grid
(4 pixels of `mini`), a copy counting by how much of it is used, over cells whose match is known. "Copied
exactly" are the reference's own pixels at the true places; "in the right light" is after the best gain and
shift of each colour in each frame.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from durian.models.autoencoder import decode_latents
from durian.pipeline.durian import DurianPipeline
from durian.training.build import load_clips
from durian.training.config import load_config
from durian.training.dataset import draw_example, make_sampler, stack
from durian.training.objective import Batch, ReconstructionObjective

console = Console(width=110)
Scores = dict[str, list[float]]


def main(
    checkpoint: str,
    clips: Annotated[Path, typer.Argument(help="A folder of shards with --surface.")],
    examples: int = 40,
    config: Path = Path("configs/mini-stage1.yaml"),
) -> None:
    """Print distances and PSNR, for what is the attribute's and for the rest."""
    pipeline = DurianPipeline.from_pretrained(checkpoint)
    given = load_config(config).model_dump()
    changes = {"data": {**given["data"], "clips": clips, "held_out": 0}, "match_loss_weight": 1.0}
    settings = load_config(config, {**changes, "networks": {}, "output": clips})
    objective = ReconstructionObjective(pipeline.networks.eval(), pipeline.scheduler, settings)
    sampler = make_sampler(settings, load_clips(settings, pipeline.size)[0], pipeline.networks, pipeline.size)
    exact = make_sampler(settings, sampler.clips, pipeline.networks, pipeline.size)
    exact.match_size = pipeline.size
    scores: Scores = defaultdict(list)
    for number in track(range(examples), "examples", console=console):
        batch = stack([draw_example(sampler, 1, number)])
        finest = stack([draw_example(exact, 1, number)])
        measure(objective, batch, finest, scores)
    table = Table("", "mean", "examples or frames")
    for name, each in scores.items():
        table.add_row(name, f"{np.mean(each):.2f}", str(len(each)))
    console.print(table)


@torch.inference_mode()
def measure(objective: ReconstructionObjective, batch: Batch, finest: Batch, scores: Scores) -> None:
    """Add an example's scores; `finest` is the same with a match for each pixel."""
    latents = objective._latents(batch)
    noisiest = torch.full(latents.shape[:3:2], objective.scheduler.config["num_train_timesteps"] - 1)
    positions = objective.read_positions(batch)[0]
    made, features, _ = objective.denoise(batch, 0 * latents, noisiest, positions, None, None)
    found, side = features.found[0], latents.shape[-1]
    assert features.shares is not None
    matches = torch.cat([batch["portrait_matches"], batch["attribute_matches"][:, 0]])[:, :, None]
    apart = (found.place - matches[:, :, :, :2].permute(1, 2, 0, 3, 4, 5)) * (side / 2)
    distance = apart.square().sum(3).sqrt()  # (F, heads, R, h, w)
    used = F.adaptive_avg_pool2d(features.shares[:, :-1].exp(), side)[:, :, None] * found.mass
    worn = F.adaptive_avg_pool2d(batch["target_masks"][0], side)[:, 0] > 0.5
    for name, reference, region in (("attribute", 1, worn), ("rest", 0, ~worn)):
        known = region & (matches[reference, :, 0, 2] > 0)
        weight = used[:, :, reference] * known[:, None]
        if known.any():
            away = (weight * distance[:, :, reference]).sum(1) / weight.sum(1).clamp(min=1e-6)
            mean = (weight * distance[:, :, reference]).sum() / weight.sum()
            scores[f"{name}: cells away"].append(float(mean))
            scores[f"{name}: share of more than a cell"].append(float((away[known] > 1).float().mean()))
    frames = decode_latents(objective.networks.vae, made.transpose(1, 2).flatten(0, 1))
    _score_pixels(frames, finest, scores)


def _score_pixels(made: Tensor, finest: Batch, scores: Scores) -> None:
    worn = finest["target_masks"][0, :, 0] > 0.5
    references = {
        "attribute": (finest["attributes"][0, 0], finest["attribute_matches"][0, 0], worn),
        "rest": (finest["portrait"][0], finest["portrait_matches"][0], ~worn),
    }
    for name, (image, matches, region) in references.items():
        places = matches[:, :2].permute(0, 2, 3, 1)
        copied = F.grid_sample(image.expand(len(made), -1, -1, -1), places, align_corners=False)
        for index, target in enumerate(finest["targets"][0]):
            known = region[index] & (matches[index, 2] > 0)
            if known.sum() < 100:
                continue
            true = target[:, known]
            for kind, frames in (("copied exactly", copied), ("made", made)):
                pixels = frames[index][:, known]
                scores[f"{name}, {kind}: PSNR"].append(_psnr(pixels, true))
                scores[f"{name}, {kind}, in the right light: PSNR"].append(_psnr(_lit(pixels, true), true))


def _lit(pixels: Tensor, true: Tensor) -> Tensor:
    """With the gain and the shift of each colour that come nearest to the truth."""
    seen = torch.stack([pixels, torch.ones_like(pixels)], 2)
    return (seen @ torch.linalg.lstsq(seen, true[..., None]).solution)[..., 0]


def _psnr(pixels: Tensor, true: Tensor) -> float:
    return float(-10 * torch.log10(((pixels - true) / 2).square().mean().clamp(min=1e-6)))


if __name__ == "__main__":
    typer.run(main)
