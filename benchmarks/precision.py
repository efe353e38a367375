"""Pictures by PyTorch and by OpenVINO, in single and in half precision, scored on the benchmark.

    uv run --extra openvino python benchmarks/precision.py CASES --limit 12

CASES is what `durian synth cases --out CASES --split single --size 256` writes.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))
from strength import METRICS

from durian.cli.progress import progress_bars
from durian.evaluation.cases import case_trials
from durian.evaluation.metrics import pixel_scores
from durian.evaluation.temporal import Motion, temporal_scores
from durian.pipeline import DurianPipeline


def pipelines(checkpoint: str) -> dict[str, DurianPipeline]:
    """One of each kind."""
    kinds = {"PyTorch, fp32": None, "OpenVINO, fp32": torch.float32, "OpenVINO, bf16": torch.bfloat16}
    made = {}
    for name, dtype in kinds.items():
        made[name] = DurianPipeline.from_pretrained(checkpoint, device="cpu")
        if dtype is not None:
            made[name].use_openvino(dtype)
    return made | {
        "PyTorch, bf16": DurianPipeline.from_pretrained(checkpoint, device="cpu", dtype=torch.bfloat16)
    }


def main(
    cases: Annotated[Path, typer.Argument(help="Folder of cases.")],
    checkpoint: Annotated[str, typer.Option(help="As for `durian animate`.")] = "mini",
    split: str = "single",
    limit: Annotated[int | None, typer.Option(help="Cases of the split.")] = None,
) -> None:
    """Score a checkpoint in every precision."""
    kinds = pipelines(checkpoint)
    refs = case_trials(cases, splits=[split])[:limit]
    rows: dict[str, list[dict[str, float | None]]] = defaultdict(list)
    with progress_bars() as report:
        for done, ref in enumerate(refs, start=1):
            trial = ref.load()
            assert trial.targets is not None
            motion = Motion.of(trial.targets)
            for name, pipeline in kinds.items():
                frames = pipeline.animate(trial.request(pipeline.size).inputs)
                rows[name].append({**pixel_scores(frames, trial), **temporal_scores(frames, trial, motion)})
            report("cases", done, len(refs))
    table = Table("by", *METRICS.values(), title=f"{len(refs)} cases")
    for name, scores in rows.items():
        means = (np.mean([row[key] for row in scores if row[key] is not None]) for key in METRICS)
        table.add_row(name, *(f"{mean:.3f}" for mean in means))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
