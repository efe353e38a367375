"""Pictures by PyTorch and by OpenVINO, in single and half precision and int8, scored on the benchmark.

    uv run --extra openvino python benchmarks/precision.py CASES --limit 12

CASES is what `durian synth cases --out CASES --split single --size 256` writes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import torch
import typer

sys.path.insert(0, str(Path(__file__).parent))
from strength import Animate, tabulate

from durian.evaluation.cases import case_trials
from durian.pipeline import DurianPipeline


def pipelines(checkpoint: str) -> dict[str, DurianPipeline]:
    """One of each kind."""
    kinds = {
        "PyTorch, fp32": None,
        "OpenVINO, fp32": torch.float32,
        "OpenVINO, bf16": torch.bfloat16,
        "OpenVINO, int8": torch.int8,
    }
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

    def by(pipeline: DurianPipeline) -> Animate:
        return lambda trial: pipeline.animate(trial.request(pipeline.size).inputs)

    ways = {name: by(pipeline) for name, pipeline in pipelines(checkpoint).items()}
    tabulate("by", ways, case_trials(cases, splits=[split])[:limit])


if __name__ == "__main__":
    typer.run(main)
