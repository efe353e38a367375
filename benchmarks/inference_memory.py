"""Memory of an animation on a GPU, computed: nothing is allocated, so it can be asked for on any machine.

    uv run python benchmarks/inference_memory.py sd15
    uv run python benchmarks/inference_memory.py sd15 --scale 1.5 --tiny-decoder

Torch's fake tensors say that they are on a GPU, and have shapes and no content; every storage is counted
while it lives. Attention counts as a fused kernel's. Left out: the workspaces of libraries, fragmentation,
and CUDA's own half gigabyte.
"""

from __future__ import annotations

from enum import StrEnum
from itertools import cycle
from typing import Annotated

import numpy as np
import torch
import typer
from arithmetic import Model
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from speed import sample_inputs
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from train_memory import AsOnGpu, LiveMemory

from durian.models.autoencoder import decode_pixels, latent_channels
from durian.models.presets import PRESETS
from durian.pipeline import Windows
from durian.pipeline.conditioner import Conditioner, Guidance
from durian.portrait.attributes import ATTRIBUTES
from durian.portrait.keypoints import draw_keypoints


class Precision(StrEnum):
    """Of weights and computation."""

    fp32 = "float32"
    bf16 = "bfloat16"


def weights(*modules: nn.Module | None) -> int:
    """Bytes of them."""
    tensors = [each for module in modules if module is not None for each in module.state_dict().values()]
    return sum(each.nbytes for each in tensors)


def put_on_fake_gpu(module: nn.Module) -> None:
    """Parameters and buffers of the same shapes."""
    for part in module.modules():
        for name, value in part.named_parameters(recurse=False):
            fake = torch.empty_like(value, device="cuda")
            setattr(part, name, nn.Parameter(fake, requires_grad=False))
        for name, value in part.named_buffers(recurse=False):
            setattr(part, name, torch.empty_like(value, device="cuda"))


def main(
    model: Model,
    dtype: Precision = Precision.bf16,
    scale: Annotated[float, typer.Option(help="Of guidance, on portrait and attribute.")] = 1.0,
    attributes: Annotated[int, typer.Option(min=1, max=len(ATTRIBUTES))] = 1,
    tiny_decoder: Annotated[bool, typer.Option("--tiny-decoder", help="TAESD's in the VAE's place.")] = False,
) -> None:
    """Print bytes by part, at the peak of each phase, and together, with everything on the GPU and with
    --offload."""
    preset, windows, precision = PRESETS[model], Windows(), getattr(torch, dtype)
    inputs = sample_inputs(preset.size, windows.length)
    worn = dict(zip(ATTRIBUTES[:attributes], cycle(inputs.attributes.values()), strict=False))
    drawn = np.stack([draw_keypoints(each, preset.size) for each in inputs.keypoints])
    with torch.device("meta"):
        networks = preset.build(temporal=True).eval().lower_precision(precision)
        decoder = AutoencoderTiny().to(precision) if tiny_decoder else networks.vae
    # Which tokens a mask leaves is not known on paper: all.
    for net in (networks.portrait_net, networks.attribute_net):
        if net is not None:
            net.register_to_config(drop_masked_tokens=False)

    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad(), AsOnGpu(None):
        put_on_fake_gpu(networks)
        put_on_fake_gpu(decoder)
        with LiveMemory() as reading:
            conditioner = Conditioner(networks, preset.size, inputs.portrait, worn)
        kept, side = reading.now, conditioner.latent_size
        latents = torch.empty(1, latent_channels(networks.vae), windows.length, side, side, device="cuda")
        timestep = torch.zeros((), dtype=torch.long)
        with LiveMemory() as sampling:
            frames = list(conditioner.frames(inputs.keypoints, drawn, [1.0] * windows.length))
            conditioner.predict(latents, timestep, frames, Guidance(scale, scale), scale != 1)
        with LiveMemory() as decoding:
            decode_pixels(decoder, latents[0, :, :4].transpose(0, 1).to(precision))

    always = {
        "weights of DNet and of what reads keypoints": weights(
            networks.denoising_unet, networks.keypoint_guider, networks.position_reader
        ),
        "of the autoencoder": weights(networks.vae) + (weights(decoder) if tiny_decoder else 0),
        "what is kept of the references": kept,
    }
    readers = {
        "weights of the ReferenceNets": weights(networks.portrait_net, networks.attribute_net),
        "of the image encoders": weights(networks.attribute_encoder, networks.identity_encoder),
    }
    phases = {
        "reading references, at most": reading.peak,
        f"a window of {windows.length} frames in DNet, at most": sampling.peak,
        "decoding four frames, at most": decoding.peak,
    }
    whole = sum(always.values()) + sum(readers.values()) + max(phases.values())
    at_once = weights(networks.attribute_net or networks.portrait_net, networks.attribute_encoder)
    apart = sum(always.values()) + max(at_once + reading.peak, sampling.peak, decoding.peak)
    for name, size in {**always, **readers, **phases, "together": whole, "with --offload": apart}.items():
        print(f"{name:<44}{size / 1e9:8.2f} GB")


if __name__ == "__main__":
    typer.run(main)
