"""What is refused before the first step, and all of it at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from durian.errors import DurianError
from durian.models.presets import MINI
from durian.training import checks
from durian.training.checks import check_clips, check_config
from durian.training.run import train
from people import write_shard
from tiny_runs import config_with, make_clip, write_config


def test_a_usable_configuration_is_not_refused(clips, tmp_path: Path):
    write_shard(tmp_path / "clips-000.tar", clips)
    check_config(config_with(tmp_path))
    check_clips(config_with(tmp_path), clips, 32)


def test_all_problems_are_named_at_once(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    (tmp_path / "run").write_text("")
    config = config_with(
        tmp_path,
        preset="sd15",
        init_from=str(tmp_path),
        mixed_precision="fp16",
        frozen_precision="bf16",
        colour_loss_weight=1.0,
        flicker_loss_weight=1.0,
        match_loss_weight=1.0,
        paint_loss_weight=1.0,
        optimizer={"name": "adamw8bit"},
        data={
            "clips": tmp_path / "nowhere",
            "limit": 3,
            "held_out": 3,
            "mask_bank": tmp_path / "bank",
            "outpainted": tmp_path / "run",
        },
    )
    with pytest.raises(DurianError) as caught:
        check_config(config)
    keys = ["mixed_precision", "frozen_precision", "optimizer.name", "data.limit", "colour_loss_weight"]
    keys += ["flicker_loss_weight", "flicker_loss_weight", "match_loss_weight", "paint_loss_weight"]
    keys += ["data.clips", "data.mask_bank", "data.outpainted", "output", "init_from"]
    problems = str(caught.value).split("; ")
    assert [problem.split(":")[0] for problem in problems] == keys
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_the_other_preset_is_refused(tmp_path: Path, clips):
    write_shard(tmp_path / "clips-000.tar", clips)
    with pytest.raises(DurianError, match="init_from: mini is no sd15: its autoencoder is PixelAutoencoder"):
        check_config(config_with(tmp_path, preset="sd15", init_from="mini"))
    check_config(config_with(tmp_path, init_from="mini"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "data.clips: clip 00000 is 32×32 pixels and mini wants 128×128"),
        ({"data": {"clips": ".", "held_out": 4}}, "data.held_out: .* has 4 clips, and all of them"),
        (
            {"stage": 2, "data": {"clips": ".", "targets": 6}},
            "data.targets: 6, but the longest clip has 5 frames",
        ),
        ({"match_loss_weight": 0.1}, "match_loss_weight: the clips of .* don't say which point .*--surface"),
    ],
)
def test_clips_that_do_not_fit_are_refused(clips, tmp_path: Path, changes: dict, message: str):
    with pytest.raises(DurianError, match=message):
        check_clips(config_with(tmp_path, **changes), clips, MINI.size)


def test_nothing_is_written_for_a_run_that_is_refused(tmp_path: Path):
    write_shard(tmp_path / "clips-000.tar", [make_clip("a", 1)])
    with pytest.raises(DurianError, match=r"data\.held_out"):
        train(write_config(tmp_path), output=tmp_path / "run")
    assert not (tmp_path / "run").exists()
