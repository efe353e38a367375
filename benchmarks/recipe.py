"""All of `mini`'s recipe (docs/mini.md) within so many minutes: clips, stages, mixes, detail.

    uv run python benchmarks/recipe.py OUT --minutes 60
    uv run python benchmarks/recipe.py OUT --minutes 8 --batch 32 --workers 12 --start mini     # on a GPU

Each stage has a share of the time, for which its configuration has ten times its steps, so that the time
ends it; the learning rate falls as the configuration says. Rendering is not counted. The same command goes on
where it was stopped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console

from durian.pipeline.mix import mix_checkpoints
from durian.synth.dataset import ClipSettings, write_clips
from durian.training.config import load_config, merge
from durian.training.run import train
from durian.work import available_cores

CONFIGS = Path(__file__).parents[1] / "configs"
CLIPS = {
    "takes": (
        1.0,
        ClipSettings(
            frames=12, takes=12, relit=3, unshaded=True, free_hats=0.3, free_forms=0.5, donors=4, before=3
        ),
    ),
    "following": (0.16, ClipSettings(relit=3, unshaded=True)),
    "large": (0.1, ClipSettings(size=256, takes=4, relit=3, unshaded=True, donors=3, before=2)),
}
"""By name, for each person asked for how many there are, and of what kind."""

MANY, HELD_OUT = 10, 8
console = Console(stderr=True)


class Recipe:
    """Stages in `out`, each a run of a configuration in configs/."""

    def __init__(self, out: Path, minutes: float, batch: int, workers: int):
        self.out, self.minutes, self.batch, self.workers = out, minutes, batch, workers

    def stage(self, name: str, share: float, clips: str, batch: int, **changes: Any) -> Path:
        """Train `name`.yaml for a share of the time; the checkpoint."""
        console.print(f"{name}: {share * self.minutes:.1f} minutes")
        base = load_config(CONFIGS / f"{name}.yaml")
        steps = {"steps": MANY * base.steps, "optimizer": {"decay_steps": MANY * base.optimizer.decay_steps}}
        own = {
            "extends": str(CONFIGS / f"{name}.yaml"),
            "output": str(self.out / name),
            "data": {"clips": str(self.out / clips), "workers": self.workers, "held_out": HELD_OUT},
            "batch_size": max(1, batch),
            "sample_every": 200,
        }
        path = self.out / f"{name}.yaml"
        path.write_text(yaml.safe_dump(merge(merge(own, steps), changes)))
        return train(path, minutes=share * self.minutes)

    def mix(self, first: Path, second: Path, share: float, name: str) -> Path:
        """The mean of two checkpoints, once."""
        output = self.out / name
        if not output.exists():
            mix_checkpoints(first, second, share, output)
        return output


def main(
    out: Annotated[Path, typer.Argument(help="Folder of clips and runs.")],
    minutes: Annotated[float, typer.Option(min=0.1, help="Of training, all stages together.")] = 60.0,
    people: Annotated[int, typer.Option(min=100, help="Clips of takes; of others fewer.")] = 2400,
    batch: Annotated[int, typer.Option(min=1, help="Examples a step, in stage 1.")] = 1,
    workers: Annotated[int, typer.Option(min=0, help="Processes that draw examples.")] = 0,
    start: Annotated[str | None, typer.Option(help="A checkpoint to begin with, for example mini.")] = None,
    seed: Annotated[int, typer.Option(help="Of the people.")] = 0,
) -> None:
    """Render, train and mix; the last line says where the checkpoint is."""
    out = out.resolve()
    for number, (name, (part, settings)) in enumerate(CLIPS.items()):
        kind = ClipSettings(**{**vars(settings), "seed": seed + number})
        write_clips(out / name, max(2 * HELD_OUT, round(part * people)), kind, available_cores())
    recipe = Recipe(out, minutes, batch, workers)
    few = batch // 4
    begin = {} if start is None else {"warm_start": start, "reader_steps": 0}
    one = recipe.stage("mini-stage1", 0.42, "takes", batch, **begin, data={"unshaded": 0.7})
    two = recipe.stage("mini-stage2", 0.06, "following", few, init_from=str(one))
    crisp = recipe.stage("mini-crisp", 0.24, "takes", batch, init_from=str(one), data={"unshaded": 0.7})
    mixed = recipe.mix(two, crisp, 0.75, "mixed")
    steady = recipe.stage("mini-steady", 0.1, "following", few, init_from=str(mixed))
    calm = recipe.mix(mixed, steady, 0.5, "calm")
    detail = recipe.stage("mini-detail", 0.1, "large", few, init_from=str(calm))
    blend = recipe.stage("mini-blend", 0.08, "large", few, init_from=str(detail))
    typer.echo(f"Wrote {blend}: score it with durian evaluate cases CASES --checkpoint {blend}")


if __name__ == "__main__":
    typer.run(main)
