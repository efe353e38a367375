"""Several processes and micro-batches make the steps of one large batch."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from durian.training.noise import draw, example_generators
from durian.training.run import train
from people import write_shard
from tiny_runs import make_clip, tiny_changes, write_config

SCRIPT = Path(sysconfig.get_path("scripts")) / "durian"


@pytest.fixture
def options(tmp_path: Path) -> dict[str, object]:
    """Of a run whose examples have very different weights in the loss."""
    clips = [make_clip(f"{i:05d}", 30 * i, cap=2 + 3 * i) for i in range(4)]
    write_shard(tmp_path / "clips-000.tar", clips)
    data = {"clips": tmp_path, "targets": 2, "held_out": 0}
    critic = {"weight": 0.05, "channels": 4, "crop": 16}
    made: dict[str, object] = {"networks": tiny_changes(), "data": data, "critic": critic}
    return {**made, "steps": 2, "attribute_loss_weight": 8.0}


def moments_and_losses(run: Path) -> tuple[dict[str, torch.Tensor], list[float]]:
    moments = load_file(run / "state" / "optimizer.safetensors")
    # The first moments are sums of gradients; weights after AdamW's steps hang on the signs of tiny ones.
    gradients = {key: value for key, value in moments.items() if key.endswith("/exp_avg")}
    return gradients, [json.loads(line)["loss"] for line in (run / "curve.jsonl").open()]


def assert_same(run: Path, reference: Path) -> None:
    (a, losses), (b, expected) = moments_and_losses(run), moments_and_losses(reference)
    assert losses == pytest.approx(expected, rel=1e-4)
    assert a.keys() == b.keys()
    scale = torch.cat([value.flatten() for value in b.values()]).abs().mean()
    difference = torch.cat([(a[key] - b[key]).flatten() for key in b]).abs()
    assert difference.mean() < 1e-3 * scale
    assert difference.max() < 0.3 * scale


@pytest.fixture
def large(options: dict[str, object], tmp_path: Path) -> Path:
    return train(write_config(tmp_path, **options, batch_size=4), output=tmp_path / "large").parent


def test_accumulated_gradients_are_those_of_the_large_batch(options, large: Path, tmp_path: Path):
    config = write_config(tmp_path, **options, batch_size=1, gradient_accumulation=4)
    assert_same(train(config, output=tmp_path / "parts").parent, large)
    # Were each part divided by its own weights, this would be seen.
    (a, _), (b, _) = (
        moments_and_losses(large),
        moments_and_losses(
            train(
                write_config(tmp_path, **{**options, "attribute_loss_weight": 0.0}, batch_size=4),
                output=tmp_path / "other",
            ).parent
        ),
    )
    assert any((a[key] - b[key]).abs().max() > 1e-2 * b[key].abs().max() for key in b)


def test_two_processes_make_the_steps_of_one(options, large: Path, tmp_path: Path):
    config = write_config(tmp_path, **options, batch_size=1, gradient_accumulation=2)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*launch, str(SCRIPT), "train", str(config), "--output", str(tmp_path / "two")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert_same(tmp_path / "two", large)
    taught, expected = (load_file(run / "state" / "critic.safetensors") for run in (tmp_path / "two", large))
    for key in (key for key in expected if key.endswith("/exp_avg_sq")):
        torch.testing.assert_close(taught[key], expected[key], rtol=1e-2, atol=1e-9)
    assert json.loads((tmp_path / "two" / "run.json").read_text())["starts"][0]["processes"] == 2
    assert (tmp_path / "two" / "checkpoint" / "model_index.json").is_file()


def test_an_example_has_its_noise_in_every_batch():
    shape = (4, 2, 3, 3)
    together = draw((3, *shape), 2, example_generators(7, torch.tensor([4, 5, 6])))
    alone = draw((1, *shape), 2, example_generators(7, torch.tensor([5])))
    for name in ("time", "noise", "portrait", "attributes"):
        assert torch.equal(getattr(together, name)[1:2], getattr(alone, name))
    other = draw((1, *shape), 2, example_generators(8, torch.tensor([5])))
    assert not torch.equal(other.noise, alone.noise)
    with pytest.raises(ValueError, match="3 generators for 2 examples"):
        draw((2, *shape), 2, example_generators(7, torch.arange(3)))
