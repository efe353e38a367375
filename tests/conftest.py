"""Fixtures shared by the tests."""

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, MotionAdapter
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SegformerImageProcessor,
)

from durian.data.clips import Clip
from durian.models import presets
from tiny import tiny_preset, tiny_unet
from tiny_runs import make_clip

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Trial data beside the checkout; tests that need it skip where it is missing."""
    if not SHARED.is_dir():
        pytest.skip("needs the trial data beside the checkout")
    return SHARED


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, str]:
    """Stable Diffusion, AnimateDiff, VAE and CLIP as they lie on a hub, tiny."""
    torch.manual_seed(0)
    tiny_unet().save_pretrained(tmp_path / "sd" / "unet")
    MotionAdapter(
        block_out_channels=(8, 16),
        motion_layers_per_block=1,
        motion_num_attention_heads=2,
        motion_norm_num_groups=4,
        use_motion_mid_block=False,
    ).save_pretrained(tmp_path / "adapter")
    AutoencoderKL(
        block_out_channels=(4, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=2,
    ).save_pretrained(tmp_path / "vae")
    CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=8,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            image_size=16,
            patch_size=8,
            projection_dim=12,
        )
    ).save_pretrained(tmp_path / "clip")
    return {
        "unet": str(tmp_path / "sd"),
        "motion_adapter": str(tmp_path / "adapter"),
        "vae": str(tmp_path / "vae"),
        "clip": str(tmp_path / "clip"),
    }


@pytest.fixture
def clips() -> list[Clip]:
    """Four clips to train on."""
    return [make_clip(f"{i:05d}", 30 * i) for i in range(4)]


@pytest.fixture
def tiny_mini(monkeypatch) -> None:
    """The preset `mini` is tiny in this test."""
    monkeypatch.setitem(presets.PRESETS, "mini", tiny_preset())


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A tiny segmentation network as it lies on a hub, which sees hair everywhere."""
    names = ["background", "hair", "eye_g", "nose"]
    config = SegformerConfig(
        num_encoder_blocks=2,
        depths=[1, 1],
        sr_ratios=[2, 1],
        hidden_sizes=[4, 8],
        patch_sizes=[7, 3],
        strides=[4, 2],
        num_attention_heads=[1, 1],
        mlp_ratios=[1, 1],
        decoder_hidden_size=8,
        id2label=dict(enumerate(names)),
        label2id={name: index for index, name in enumerate(names)},
    )
    parser = SegformerForSemanticSegmentation(config)
    with torch.no_grad():
        parser.decode_head.classifier.weight.zero_()
        parser.decode_head.classifier.bias.copy_(torch.tensor([0.0, 9.0, 0.0, 0.0]))
    parser.save_pretrained(tmp_path / "parser")
    SegformerImageProcessor(size={"height": 64, "width": 64}).save_pretrained(tmp_path / "parser")
    return tmp_path / "parser"
