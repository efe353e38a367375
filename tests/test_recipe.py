"""The recipe as one command: its stages in order, each on what came before, in the time that there is."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from durian.training.config import TrainConfig, load_config

FILE = Path(__file__).parents[1] / "benchmarks" / "recipe.py"


@pytest.fixture
def recipe() -> ModuleType:
    spec = importlib.util.spec_from_file_location("recipe", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_stage_begins_with_the_one_before_and_the_time_is_shared_out(
    recipe, monkeypatch, tmp_path: Path
):
    runs: list[tuple[TrainConfig, float]] = []
    mixes: list[tuple[str, str, float]] = []

    def train(path: Path, minutes: float) -> Path:
        runs.append((load_config(path), minutes))
        return runs[-1][0].output / "checkpoint"

    monkeypatch.setattr(recipe, "train", train)
    monkeypatch.setattr(recipe, "write_clips", lambda *arguments: None)
    monkeypatch.setattr(
        recipe,
        "mix_checkpoints",
        lambda a, b, share, out: mixes.append((a.parent.name, b.parent.name, share)),
    )
    recipe.main(tmp_path, minutes=40.0, people=200, batch=8, workers=3, start="mini")
    configs = {config.output.name: config for config, _ in runs}
    assert sum(minutes for _, minutes in runs) == pytest.approx(40)
    stages = ["mini-stage1", "mini-stage2", "mini-crisp", "mini-steady", "mini-detail", "mini-blend"]
    assert list(configs) == stages
    begins = {
        name: Path(c.init_from).relative_to(tmp_path).parts[0] for name, c in configs.items() if c.init_from
    }
    assert begins == {
        "mini-stage2": "mini-stage1",
        "mini-crisp": "mini-stage1",
        "mini-steady": "mixed",
        "mini-detail": "calm",
        "mini-blend": "mini-detail",
    }
    assert configs["mini-stage1"].warm_start == "mini"
    assert mixes == [("mini-stage2", "mini-crisp", 0.75), (tmp_path.name, "mini-steady", 0.5)]
    assert [c.batch_size for c in configs.values()] == [8, 2, 8, 2, 2, 2]
    assert all(c.data.workers == 3 for c in configs.values())
    assert configs["mini-detail"].data.clips == tmp_path / "large"
