"""Model sizes. `sd15` is the paper's scale; `mini` is small enough to train and run on a laptop.

Both are presets of the same classes: nothing is written for one of them alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.schedulers.scheduling_ddim import DDIMScheduler

from durian.models.autoencoder import PixelAutoencoder
from durian.models.denoising_unet import DenoisingUNet
from durian.models.detail_net import DetailNet
from durian.models.image_embedding import ArcFaceEncoder, ClipImageEncoder, SmallImageEncoder
from durian.models.keypoint_guider import KeypointGuider
from durian.models.networks import Networks
from durian.models.position_reader import PositionReader
from durian.models.reference_net import ReferenceNet
from durian.models.scheduler import GuessDDIMScheduler

_CLASSES = {
    "denoising_unet": DenoisingUNet,
    "reference_net": ReferenceNet,
    "keypoint_guider": KeypointGuider,
    "position_reader": PositionReader,
    "detail_net": DetailNet,
}


@dataclass(frozen=True)
class Preset:
    """Shapes of all networks of a model.

    Attributes:
        size: side of its square images in pixels.
        scheduler_class, scheduler: of the noise, and its arguments.
        unet: what DNet and the ReferenceNets share.
        denoising_unet: DNet alone. reference_net: PRNet and ARNet.
        keypoint_guider, vae, attribute_encoder, identity_encoder: their arguments.
        vae_class, attribute_encoder_class, identity_encoder_class: what they are.
        position_reader: its arguments; None for none (the paper's model).
        detail_net: `DetailNet`'s, for when it is trained: the networks are built without; None for none.
        joint_references: one ReferenceNet reads portrait and attribute, their channels side by side, in
            place of PRNet and ARNet (the paper's ablation).
        sampling_steps: steps of sampling by default.
    """

    size: int
    unet: dict[str, Any]
    denoising_unet: dict[str, Any]
    reference_net: dict[str, Any]
    keypoint_guider: dict[str, Any]
    scheduler: dict[str, Any]
    scheduler_class: type = DDIMScheduler
    vae_class: type = AutoencoderKL
    vae: dict[str, Any] = field(default_factory=dict)
    attribute_encoder_class: type = ClipImageEncoder
    attribute_encoder: dict[str, Any] = field(default_factory=dict)
    identity_encoder_class: type = ArcFaceEncoder
    identity_encoder: dict[str, Any] = field(default_factory=dict)
    position_reader: dict[str, Any] | None = None
    detail_net: dict[str, Any] | None = None
    joint_references: bool = False
    sampling_steps: int = 20

    def changed(self, changes: Mapping[str, Any]) -> Preset:
        """This preset with some fields changed; of a field that holds arguments, some arguments.

        Raises:
            ValueError: naming a field or an argument that there is not.
        """
        new: dict[str, Any] = {}
        for name, value in changes.items():
            if name not in {field.name for field in fields(self)}:
                raise ValueError(f"there is no {name!r} in a preset")
            old = getattr(self, name)
            if isinstance(old, dict) and isinstance(value, Mapping):
                cls = _CLASSES.get(name) or getattr(self, f"{name}_class", None)
                known = old if cls is None else inspect.signature(cls.__init__).parameters
                if odd := sorted(set(value) - set(known)):
                    raise ValueError(f"there is no {odd[0]!r} in {name}")
                value = {**old, **value}
            elif isinstance(old, dict) and not (name in ("position_reader", "detail_net") and value is None):
                raise ValueError(f"{name!r} must be a mapping of arguments")
            new[name] = value
        return replace(self, **new)

    def build_detail(self, networks: Networks) -> DetailNet:
        """A `DetailNet` for networks of this preset, untrained.

        Raises:
            ValueError: the preset has none, or the networks copy nothing.
        """
        copies = networks.denoising_unet.config
        if self.detail_net is None or not copies["copy_heads"]:
            raise ValueError("there is no detail_net for networks that copy nothing from their references")
        return DetailNet(heads=copies["copy_heads"], factor=copies["copy_factor"], **self.detail_net)

    def build(self, temporal: bool) -> Networks:
        """All networks with random weights; without `temporal`, DNet has no motion modules (stage 1)."""
        vae = self.vae_class(**self.vae)
        channels = self.unet.get("latent_channels", 4)
        shared = {key: value for key, value in self.unet.items() if key != "latent_channels"}
        heads = shared.pop("num_attention_heads")
        down, up = shared.pop("down_blocks"), shared.pop("up_blocks")
        denoising_unet = DenoisingUNet(
            in_channels=channels,
            out_channels=channels,
            down_block_types=tuple(f"{name}Motion" for name in down),
            up_block_types=tuple(f"{name}Motion" for name in up),
            num_attention_heads=heads,
            temporal=temporal,
            joint_references=self.joint_references,
            **shared,
            **self.denoising_unet,
        )
        seen = channels + int(self.reference_net.get("mask_channel", True))
        reference = {
            "in_channels": 2 * seen if self.joint_references else seen,
            "out_channels": channels,
            "down_block_types": tuple(f"{name}2D" for name in down),
            "up_block_types": tuple(f"{name}2D" for name in up),
            "attention_head_dim": heads,  # diffusers' old name for the number of heads
            **shared,
            **self.reference_net,
        }
        return Networks(
            vae=vae,
            denoising_unet=denoising_unet,
            portrait_net=ReferenceNet(**reference),
            attribute_net=None if self.joint_references else ReferenceNet(**reference),
            keypoint_guider=KeypointGuider(**self.keypoint_guider),
            attribute_encoder=self.attribute_encoder_class(**self.attribute_encoder),
            identity_encoder=self.identity_encoder_class(**self.identity_encoder),
            position_reader=None if self.position_reader is None else PositionReader(**self.position_reader),
        )


SD15 = Preset(
    size=512,
    unet={
        "latent_channels": 4,
        "sample_size": 64,
        "down_blocks": ("CrossAttnDownBlock",) * 3 + ("DownBlock",),
        "up_blocks": ("UpBlock",) + ("CrossAttnUpBlock",) * 3,
        "block_out_channels": (320, 640, 1280, 1280),
        "layers_per_block": 2,
        "cross_attention_dim": 768,
        "num_attention_heads": 8,
    },
    denoising_unet={},
    reference_net={},
    keypoint_guider={"out_channels": 320, "block_out_channels": (16, 32, 96, 256)},
    vae={
        "block_out_channels": (128, 256, 512, 512),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 2,
        "latent_channels": 4,
        "sample_size": 512,
        "scaling_factor": 0.18215,
    },
    attribute_encoder={
        "clip_config": {
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "patch_size": 14,
            "image_size": 224,
            "projection_dim": 768,
        }
    },
    identity_encoder={"cross_attention_dim": 768},
    scheduler={
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "linear",  # AnimateDiff's
        "clip_sample": False,
        "prediction_type": "epsilon",
        "steps_offset": 1,
    },
    sampling_steps=20,
)

# 80 cases of `single`, 1 step, 256×256: PSNR 20.28, in the attribute 16.98 (warp and paste 17.18 / 14.68), by
# `durian evaluate cases cases --split single`, cases of `--size 256`; DNet's own pictures at 128×128 (with
# `--no-detail`) 20.89 and 17.52 (17.71 / 15.26): docs/results.md. Training took 1,401 minutes of a core or
# two in several runs, of which configs/mini-*.yaml are the last: docs/mini.md.
MINI = Preset(
    size=128,
    unet={
        "latent_channels": 48,
        "sample_size": 32,
        "down_blocks": ("CrossAttnDownBlock",) * 3,
        "up_blocks": ("CrossAttnUpBlock", "CrossAttnUpBlock", "UpBlock"),
        "block_out_channels": (64, 112, 128),
        "layers_per_block": 1,
        "norm_num_groups": 16,
        "cross_attention_dim": 128,
        "num_attention_heads": (2, 4, 4),
        "use_linear_projection": True,
    },
    denoising_unet={
        "position_frequencies": 5,
        "pixel_values": True,
        "copy_heads": 4,
        "copy_factor": 4,
        "copy_tones": True,
        "copy_polish": 16,
        "copy_choice": 16,
        "copy_steady": True,
        "motion_num_attention_heads": 4,
    },
    reference_net={"position_frequencies": 5, "drop_masked_tokens": True, "masked_margin": 2},
    keypoint_guider={"out_channels": 64, "block_out_channels": (32, 64), "fold": 2},
    vae_class=PixelAutoencoder,
    vae={"factor": 4, "scaling_factor": 2.0},
    attribute_encoder_class=SmallImageEncoder,
    attribute_encoder={"cross_attention_dim": 128},
    identity_encoder_class=SmallImageEncoder,
    identity_encoder={"cross_attention_dim": 128},
    position_reader={"grid": 32, "factor": 4},
    detail_net={"scale": 2, "channels": 32, "agree": 3.0},
    scheduler_class=GuessDDIMScheduler,
    scheduler={
        "beta_schedule": "squaredcos_cap_v2",
        "prediction_type": "sample",
        "rescale_betas_zero_snr": True,
        "timestep_spacing": "trailing",
        "clip_sample": False,
    },
    sampling_steps=1,
)

PRESETS = {"sd15": SD15, "mini": MINI}
