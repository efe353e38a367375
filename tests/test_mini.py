"""The checkpoint that is in the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from durian.evaluation.cross import evaluate_cross
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
    assert mini.size == 128
    assert mini.networks.denoising_unet.motion_modules()


def test_mini_beats_the_baselines_and_uses_what_it_is_given(mini, shared_dir: Path):
    report = evaluate_cross(shared_dir / "data" / "portraits-v0" / "cases", mini, limit=6)
    scores = {name: report[name]["overall"] for name in ("model", "copy_portrait", "warp_paste")}
    assert scores["model"]["psnr"] > scores["copy_portrait"]["psnr"] + 3
    assert scores["model"]["psnr_attribute"] > scores["warp_paste"]["psnr_attribute"]
    dependence = report["dependence"]
    assert (
        min(dependence[name] for name in ("attribute_removed", "attribute_swapped", "keypoints_swapped")) > 1
    )
