"""A mixed checkpoint is the weighted mean of two."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler

from durian.cli import main
from durian.models import DetailNet, Networks
from durian.pipeline import DurianPipeline
from durian.pipeline.checkpoint import load_networks
from tiny import tiny_networks, tiny_preset


def write(folder: Path, networks: Networks) -> str:
    preset = tiny_preset()
    scheduler = DDIMScheduler(**preset.scheduler)
    DurianPipeline(networks, scheduler, preset.size, 3).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_every_weight_is_the_mean_and_what_only_the_first_has_is_kept(tmp_path: Path, share: float):
    a, b = tiny_networks(seed=1), tiny_networks(seed=2, temporal=False)
    a.detail_net = DetailNet(2)
    first, second, out = write(tmp_path / "a", a), write(tmp_path / "b", b), tmp_path / "c"
    assert main(["mix", first, second, "--share", str(share), "--output", str(out)]) == 0
    mixed, own, other = load_networks(out).state_dict(), a.state_dict(), b.state_dict()
    assert mixed.keys() == own.keys()
    alone = [name for name in own if name not in other]
    for kept in (".motion_modules.", "detail_net."):
        assert any(kept in name for name in alone)
    assert all(".motion_modules." in name or name.startswith("detail_net.") for name in alone)
    for name, value in mixed.items():
        expected = own[name] if name not in other else (1 - share) * own[name] + share * other[name]
        torch.testing.assert_close(value, expected.to(value), rtol=1e-3, atol=1e-3)  # halves on the disk
    assert DurianPipeline.from_pretrained(out).sampling_steps == 3


def test_what_is_no_checkpoint_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    first = write(tmp_path / "a", tiny_networks())
    (tmp_path / "own").mkdir()
    for kept in (tmp_path / "own" / "letter.txt", tmp_path / "file"):
        kept.write_text("mine")
    for output in (tmp_path / "own", tmp_path / "file"):
        assert main(["mix", first, first, "--output", str(output)]) == 2
        assert "exists and is no checkpoint" in capsys.readouterr().err
    assert (tmp_path / "own" / "letter.txt").read_text() == (tmp_path / "file").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    for output in (tmp_path / "empty", tmp_path / "a"):  # an old checkpoint is replaced
        assert main(["mix", first, first, "--output", str(output)]) == 0


def test_different_networks_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    first = write(tmp_path / "a", tiny_networks(temporal=False))
    second, out = write(tmp_path / "b", tiny_networks()), tmp_path / "c"
    assert main(["mix", first, second, "--output", str(out)]) == 2
    message = capsys.readouterr().err
    assert "different networks" in message
    assert message.count("\n") == 1
    assert main(["mix", first, str(tmp_path / "no"), "--output", str(out)]) == 2
    assert not out.exists()
