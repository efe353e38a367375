"""What a model asks of a machine, on paper: products of every part, counted on torch's meta device.

    uv run python benchmarks/arithmetic.py sd15 --steps 4 --fps 25 --peak 989
    uv run python benchmarks/arithmetic.py mini --steps 4 --fps 8 --peak 0.12

Nothing is computed, so any model can be asked for on any machine. FLOPs are two for a multiply-add, of
matrix products, convolutions and attention; normalisation and activations are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

import torch
import typer
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from torch.utils.flop_counter import FlopCounterMode

from durian.models.autoencoder import decode_latents, latent_channels, spatial_factor
from durian.models.presets import PRESETS
from durian.models.spatial_attention import References
from durian.pipeline import Windows


class Model(StrEnum):
    """The presets."""

    sd15 = "sd15"
    mini = "mini"


def flops(work: Callable[[], Any]) -> int:
    """Of one call."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def main(
    model: Model,
    steps: int = 4,
    fps: Annotated[float, typer.Option(help="Frames a second that are wanted.")] = 25.0,
    peak: Annotated[float, typer.Option(help="Of the machine, in TFLOP/s.")] = 989.0,
    attributes: int = 1,
    tiny_decoder: Annotated[bool, typer.Option("--tiny-decoder", help="TAESD's in the VAE's place.")] = False,
    cache_interval: Annotated[int, typer.Option(help="Of steps in which all layers run.")] = 1,
) -> None:
    """Print GFLOPs by part, and the share of the machine's peak that the wanted speed takes."""
    preset, windows = PRESETS[model], Windows()
    with torch.device("meta"), torch.no_grad():
        networks = preset.build(temporal=True).eval()
        factor = spatial_factor(networks.vae)
        side, frames = preset.size // factor, windows.length
        grid = networks.attention_grid(side)
        image, visible = (
            torch.empty(1, 3, preset.size, preset.size),
            torch.empty(1, 1, preset.size, preset.size),
        )
        canonical = torch.empty(1, grid, grid, 2)
        # Which tokens a mask leaves is not known on paper: all.
        for net in (networks.portrait_net, networks.attribute_net):
            if net is not None:
                net.register_to_config(drop_masked_tokens=False)
        fine = None
        if preset.detail_net is not None:
            networks.detail_net = preset.build_detail(networks)
            larger = preset.size * networks.detail_scale
            fine = torch.empty(1, 3, larger, larger), torch.empty(1, 1, larger, larger)
        person = networks.encode_reference("portrait", image, visible, canonical, fine)
        worn = [networks.encode_reference("attribute", image, visible, canonical, fine)] * attributes
        cache, embedding = networks.compose(person, worn)
        drawn = torch.empty(frames, 3, preset.size, preset.size)
        positions = networks.frame_positions(drawn, canonical.expand(frames, -1, -1, -1))
        features = networks.keypoint_guider(drawn)
        latents = torch.empty(1, latent_channels(networks.vae), frames, side, side)
        timestep = torch.empty((), dtype=torch.long)

        def references() -> None:
            networks.encode_reference("portrait", image, visible, canonical)
            for _ in range(attributes):
                networks.encode_reference("attribute", image, visible, canonical)

        def keypoints() -> None:
            networks.frame_positions(drawn, canonical.expand(frames, -1, -1, -1))
            networks.keypoint_guider(drawn)

        told = (latents, timestep, References((cache,)), embedding, features, positions)
        deep = networks.predict(*told)[1]

        once = flops(references)
        given = flops(keypoints) / frames
        step = flops(lambda: networks.predict(*told)) / frames
        outer = flops(lambda: networks.predict(*told, deep=deep)) / frames
        decoder = AutoencoderTiny() if tiny_decoder else networks.vae
        decoded = flops(lambda: decode_latents(decoder, latents[:, :, 0]))
        detailed = 0.0
        if fine is not None:
            detailed = flops(lambda: networks.detail(latents, deep, References((cache,)))) / frames
    repeated = windows.length / windows.stride  # frames that two windows share are computed twice
    full = len(range(0, steps, cache_interval))
    frame = given + (full * step + (steps - full) * outer) * repeated + detailed + decoded
    parts = {
        "references, once": once,
        "keypoints, a frame": given,
        "DNet, a frame and step": step,
        "its outermost layer on deep features of another step": outer,
        "detail at the results' size, a frame": detailed,
        "decoding, a frame": decoded,
        f"a frame of {steps} steps ({full} full), windows of {windows.length} by {windows.stride}": frame,
    }
    side = preset.size * networks.detail_scale
    print(f"{model}, {side}×{side} pixels, {attributes} attribute(s), no guidance")
    for name, value in parts.items():
        print(f"  {name:<60}{value / 1e9:12.2f} GFLOP")
    wanted = frame * fps / 1e12
    print(f"  {fps:g} frames/s take {wanted:.3f} TFLOP/s, {wanted / peak:.1%} of {peak:g} TFLOP/s")


if __name__ == "__main__":
    typer.run(main)
