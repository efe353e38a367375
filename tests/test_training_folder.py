"""What a run leaves in its folder, and that stops and crashes leave no trace in it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from durian.cli import main
from durian.training.folder import RunFolder
from durian.training.interruption import TrainingStopped
from durian.training.progress import TrainingProgress
from durian.training.run import train
from durian.training.step import TrainingStep
from people import write_shard
from tiny_runs import write_config


def records(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.open()]


def curve(run: Path) -> list[dict]:
    """What of the curve does not hang on the clock."""
    return [{k: v for k, v in record.items() if k != "seconds"} for record in records(run / "curve.jsonl")]


def at_step(monkeypatch, number: int, action) -> None:
    """Call `action` in the middle of the n-th step that is made from now on."""
    count, step = [0], TrainingStep.__call__

    def acting(self, batches):
        count[0] += 1
        if count[0] == number:
            action()
        return step(self, batches)

    monkeypatch.setattr(TrainingStep, "__call__", acting)


def crash() -> None:
    raise RuntimeError("crash")


def test_stops_and_crashes_leave_the_curves_of_an_unbroken_run(clips, tmp_path: Path, tiny_mini, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)  # other libraries of the process may have put theirs there
    write_shard(tmp_path / "clips-000.tar", clips)
    config = write_config(tmp_path, steps=5, save_every=2, sample_every=2)
    whole = train(config, output=tmp_path / "whole").parent
    parts = tmp_path / "parts"
    with monkeypatch.context() as patch:
        at_step(patch, 4, crash)
        with pytest.raises(RuntimeError, match="crash"):
            train(config, output=parts)
    with (parts / "curve.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')  # and the machine went off
    with monkeypatch.context() as patch:
        at_step(patch, 1, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(TrainingStopped, match="stopped after step 3; run the same command again"):
            train(config, output=parts)
    assert signal.getsignal(signal.SIGTERM) == before
    assert len(curve(parts)) == 3
    train(config, output=parts)

    assert [record["step"] for record in curve(whole)] == [1, 2, 3, 4, 5]
    assert curve(parts) == curve(whole)
    assert records(parts / "scores.jsonl") == records(whole / "scores.jsonl")
    for name in ("weights", "ema", "optimizer"):
        a, b = (load_file(run / "state" / f"{name}.safetensors") for run in (whole, parts))
        assert all(torch.equal(a[key], b[key]) for key in a)
    assert [start["step"] for start in json.loads((parts / "run.json").read_text())["starts"]] == [0, 2, 3]
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = event_accumulator.EventAccumulator(str(parts / "tensorboard"))
    events.Reload()
    losses = {event.step: event.value for event in events.Scalars("train/loss")}
    assert len(losses) == len(events.Scalars("train/loss"))
    assert losses == pytest.approx({record["step"]: record["loss"] for record in curve(whole)}, rel=1e-5)
    assert {
        "train/grad_norm",
        "train/learning_rate",
        "train/steps_per_second",
        "train/examples_per_second",
    } <= {*events.Tags()["scalars"]}
    assert [event.step for event in events.Scalars("held_out/psnr")] == [2, 4, 5]
    assert [event.step for event in events.Images("held_out")] == [2, 4, 5]

    scores = records(whole / "scores.jsonl")
    assert [record["step"] for record in scores] == [2, 4, 5]
    assert all(3 < record["psnr"] < 40 and 3 < record["psnr_attribute"] < 40 for record in scores)
    start = json.loads((whole / "run.json").read_text())["starts"][0]
    assert start["durian"]
    assert torch.__version__.startswith(start["libraries"]["torch"])
    assert (start["seed"], start["processes"]) == (0, 1)
    assert start["trained_parameters"] > 1000

    train(config, output=parts, fresh=True, steps=1)
    assert len(curve(parts)) == 1
    assert len(json.loads((parts / "run.json").read_text())["starts"]) == 1


def test_a_stopped_run_has_an_exit_status_of_its_own(tmp_path: Path, monkeypatch, capsys):
    def stopped(*args: object, **kwargs: object) -> Path:
        raise TrainingStopped(7, signal.SIGTERM)

    monkeypatch.setattr("durian.training.run.train", stopped)
    assert main(["train", str(tmp_path / "config.yaml")]) == 143
    assert "stopped after step 7; run the same command again to go on" in capsys.readouterr().err


def test_a_folder_works_without_tensorboard(tmp_path: Path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    folder = RunFolder(tmp_path / "run", 0)
    folder.write_step(1, {"loss": 1.0, "seconds": 0.5}, 4)
    folder.write_scores(1, {"psnr": 20.0})
    folder.close()
    assert records(tmp_path / "run" / "curve.jsonl") == [{"step": 1, "loss": 1.0, "seconds": 0.5}]
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_rate_and_remaining_time_are_known_from_the_start_of_a_resumed_run():
    from rich.console import Console

    console = Console(quiet=True)
    assert TrainingProgress(console, 10, 0, [], 1).text() == ""
    assert TrainingProgress(console, 100, 40, [0.5] * 40, 1).text() == "2.00 steps/s, 0:00:30 left"
    progress = TrainingProgress(console, 100, 40, [], 1)
    progress.advance(0.25, 4.0)
    assert progress.text() == "loss 0.2500, 4.00 s/step, 0:03:56 left"
    limited = TrainingProgress(console, 100, 40, [0.5] * 40, 1, lambda: 12.0)
    assert limited.text() == "2.00 steps/s, 0:00:12 left"
