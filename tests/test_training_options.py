"""Options of a run beside the paper's: warm starts, portraits at rest, weights for eyes and mouth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from durian.data.augmentation import Augmentation
from durian.data.reconstruction import ReconstructionSampler
from durian.errors import DurianError
from durian.models.presets import MINI
from durian.pipeline.checkpoint import save_checkpoint
from durian.training.build import take_weights
from durian.training.checks import check_config
from durian.training.config import load_config
from durian.training.reader import train_reader
from tiny import tiny_preset
from tiny_runs import config_with, make_clip


def test_a_warm_start_takes_what_fits(tmp_path: Path) -> None:
    plain = tiny_preset(copy_heads=0)
    torch.manual_seed(1)
    old = plain.build(temporal=True)
    scheduler = plain.scheduler_class(**plain.scheduler)
    save_checkpoint(tmp_path / "old", old, scheduler, plain, dtype=torch.float32)
    torch.manual_seed(2)
    new = tiny_preset().build(temporal=False)
    before = {name: value.clone() for name, value in new.state_dict().items()}
    taken = take_weights(new, str(tmp_path / "old"))
    theirs = old.state_dict()
    shared = [name for name in before if name in theirs]
    assert taken == sum(before[name].numel() for name in shared)
    for name, value in new.state_dict().items():
        expected = theirs[name] if name in theirs else before[name]
        torch.testing.assert_close(value, expected, msg=name)
    assert any("reference_copy" in name for name in set(before) - set(shared))


def test_a_warm_start_from_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    plain = tiny_preset()
    networks = plain.build(temporal=False)
    save_checkpoint(tmp_path / "other", networks, plain.scheduler_class(**plain.scheduler), plain)
    for file in (tmp_path / "other").glob("*/*.safetensors"):
        save_file({"weight": torch.zeros(1)}, file)
    with pytest.raises(DurianError, match=r"warm_start: no weight of .*other fits"):
        take_weights(networks, str(tmp_path / "other"))
    with pytest.raises(DurianError, match="nowhere"):
        take_weights(networks, str(tmp_path / "nowhere"))


def test_a_warm_start_is_not_for_what_has_weights(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="warm_start"):
        config_with(tmp_path, warm_start="mini", init_from="mini")


def test_a_still_portrait_is_where_its_frame_is() -> None:
    clips = [make_clip("a", 200), make_clip("b", 20)]
    sampler = ReconstructionSampler(clips, 2, 8, augmentation=Augmentation(still=1.0, mask_expansion=0))
    for seed in range(4):
        example = sampler.draw(np.random.default_rng(seed))
        frames = [f.transpose(2, 0, 1) / 127.5 - 1 for clip in clips for f in clip.frames]
        assert min(np.abs(example.portrait - frame).max() for frame in frames) < 1e-5
        # The attribute is moved all the same.
        assert min(np.abs(example.attributes[0] - frame).max() for frame in frames) > 0.1


def test_without_the_option_nothing_is_still() -> None:
    clips = [make_clip("a", 200), make_clip("b", 20)]
    drawn = ReconstructionSampler(clips, 2, 8).draw(np.random.default_rng(0))
    frames = [f.transpose(2, 0, 1) / 127.5 - 1 for clip in clips for f in clip.frames]
    assert min(np.abs(drawn.portrait - frame).max() for frame in frames) > 0.1


def test_edges_are_of_pixels_alone(tmp_path: Path) -> None:
    (tmp_path / "clips.tar").write_bytes(b"")
    config = config_with(tmp_path, preset="sd15", edge_loss_weight=0.1)
    with pytest.raises(DurianError, match="edge_loss_weight"):
        check_config(config)


def test_minis_configuration_asks_for_what_the_preset_has() -> None:
    config = load_config(Path(__file__).parents[1] / "configs" / "mini-stage1.yaml")
    assert config.shape() == MINI


def test_the_reader_learns_before_the_first_step() -> None:
    clips = [make_clip("a", 200), make_clip("b", 20)]
    errors: dict[int, float] = {}
    done: list[int] = []
    for steps in (20, 150):
        torch.manual_seed(0)
        reader = tiny_preset().build(temporal=False).position_reader
        assert reader is not None
        errors[steps] = train_reader(reader, clips, steps, progress=lambda n, error: done.append(n))
    assert done == [*range(1, 21), *range(1, 151)]
    assert errors[150] < 0.7 * errors[20]


def test_the_reader_is_the_same_for_the_same_seed() -> None:
    weights = []
    for _ in range(2):
        torch.manual_seed(0)
        reader = tiny_preset().build(temporal=False).position_reader
        assert reader is not None
        train_reader(reader, [make_clip("a", 200)], 3, seed=5)
        weights.append(reader.state_dict())
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], rtol=0, atol=0)


def test_reader_steps_need_a_reader(tmp_path: Path) -> None:
    (tmp_path / "clips.tar").write_bytes(b"")
    with pytest.raises(DurianError, match="reader_steps"):
        check_config(config_with(tmp_path, preset="sd15", reader_steps=3))
    with pytest.raises(DurianError, match="reader_steps: stage 2"):
        check_config(config_with(tmp_path, stage=2, reader_steps=3))
