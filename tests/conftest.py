"""Fixtures shared by the tests."""

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, MotionAdapter
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from tiny import tiny_unet

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
