"""The checkpoint that is in the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from durian.evaluation.cases import case_trials
from durian.evaluation.judge import Task
from durian.evaluation.methods import list_methods
from durian.evaluation.run import evaluate
from durian.pipeline import DurianPipeline
from durian.pipeline.checkpoint import resolve_checkpoint


@pytest.fixture(scope="module")
def mini() -> DurianPipeline:
    return DurianPipeline.from_pretrained("mini", device="cpu")


def test_mini_is_small_safetensors_alone():
    files = [path for path in resolve_checkpoint("mini").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".safetensors"}
    assert sum(path.stat().st_size for path in files) <= 45e6


def test_mini_is_a_video_model(mini):
    assert mini.size == 256
    assert mini.networks.denoising_unet.motion_modules()


def test_mini_beats_the_baselines_and_uses_what_it_is_given(mini, shared_dir: Path, tmp_path: Path):
    refs = case_trials(shared_dir / "data" / "portraits-v0" / "cases", limit=4)
    task = Task(tmp_path, tuple(list_methods({"mini": "mini"})), device="cpu", media=False)
    report = evaluate(refs, task, protocol="cases", title="mini", animators={"mini": mini})
    ours, copied, pasted = (report.table["all"][name] for name in ("mini", "copy_portrait", "warp_paste"))
    assert ours["psnr"].mean > copied["psnr"].mean + 3
    assert ours["psnr_attribute"].mean > pasted["psnr_attribute"].mean
    losses = {title: loss.mean for title, loss in report.dependence["mini"].items()}
    wanted = ("attribute removed", "attribute swapped", "keypoint images swapped")
    assert min(losses[title] for title in wanted) > 1
