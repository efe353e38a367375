"""Pictures by PyTorch and by OpenVINO, in single and half precision and int8, scored on the benchmark.

    uv run --extra openvino python benchmarks/precision.py CASES --limit 12 [--only "PyTorch, fp32" ...]

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

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "int8": torch.int8}
WAYS = ["PyTorch, fp32", "OpenVINO, fp32", "PyTorch, bf16", "OpenVINO, bf16", "OpenVINO, int8"]


def pipeline(way: str, checkpoint: str) -> DurianPipeline:
    """Of one of `WAYS`."""
    library, precision = way.split(", ")
    dtype = DTYPES[precision]
    if library == "PyTorch":
        return DurianPipeline.from_pretrained(checkpoint, device="cpu", dtype=dtype)
    made = DurianPipeline.from_pretrained(checkpoint, device="cpu")
    made.use_openvino(dtype)
    return made


def main(
    cases: Annotated[Path, typer.Argument(help="Folder of cases.")],
    checkpoint: Annotated[str, typer.Option(help="As for `durian animate`.")] = "mini",
    split: str = "single",
    limit: Annotated[int | None, typer.Option(help="Cases of the split.")] = None,
    only: Annotated[list[str], typer.Option(help="One of the rows; again for more.")] = WAYS,
) -> None:
    """Score a checkpoint in every precision."""
    if unknown := [way for way in only if way not in WAYS]:
        raise typer.BadParameter(f"there is no {unknown[0]!r}: choose from {WAYS}", param_hint="--only")

    def by(way: str) -> Animate:
        made = pipeline(way, checkpoint)
        return lambda trial: made.animate(trial.request(made.size).inputs)

    tabulate("by", {way: by(way) for way in only}, case_trials(cases, splits=[split])[:limit])


if __name__ == "__main__":
    typer.run(main)
