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


def test_mini_beats_copying_and_uses_its_references(mini, shared_dir: Path):
    report = evaluate_cross(shared_dir / "data" / "portraits-v0" / "cases", mini, limit=6)
    scores = {name: report[name]["overall"] for name in ("model", "copy_portrait", "warp_paste")}
    assert scores["model"]["psnr"] > scores["copy_portrait"]["psnr"] + 2
    assert scores["model"]["psnr_attribute"] > scores["copy_portrait"]["psnr_attribute"] + 3
    assert report["dependence"]["attribute_removed"] > 1
    assert report["dependence"]["keypoints_and_positions_swapped"] > 0.5
