"""Pictures of a run on people that it never saw."""

from __future__ import annotations

import numpy as np
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from jaxtyping import Float, UInt8
from torch import Tensor

from durian.models.autoencoder import decode_latents, encode_latents
from durian.models.networks import Networks
from durian.models.spatial_attention import References
from durian.pipeline.sampling import sample_latents
from durian.training.detail import known_places, shrunk
from durian.training.objective import Batch, kept_guidance
from durian.training.references import read_references


@torch.no_grad()
def reconstruct(networks: Networks, scheduler: DDIMScheduler, batch: Batch, steps: int = 4) -> Tensor:
    """Sample the targets of a batch, (B, F, 3, H, W) in [-1, 1]; with detail where they are larger than
    what DNet makes."""
    device = networks.denoising_unet.device
    batch = {key: value.to(device) for key, value in batch.items()}
    scale = batch["targets"].shape[-1] // batch["keypoints"].shape[-1]
    if scale > 1:
        batch = shrunk(batch, scale)
    references = read_references(networks, batch)
    keypoints = batch["keypoints"].flatten(0, 1)
    features = networks.keypoint_guider(keypoints)
    places = networks.frame_places(keypoints, batch["target_positions"].flatten(0, 1))
    positions = {} if places is None else networks.denoising_unet.encode_positions(places)
    guidance = kept_guidance(batch["guidance"])
    count, frames = batch["targets"].shape[:2]
    shape = encode_latents(networks.vae, batch["targets"].flatten(0, 1)).unflatten(0, (count, frames))
    noise = torch.randn(shape.transpose(1, 2).shape, generator=torch.Generator().manual_seed(0)).to(device)
    attended = References((references.cache,))
    left = None

    def denoise(latents: Tensor, timestep: Tensor) -> Tensor:
        nonlocal left
        prediction, left = networks.predict(
            latents,
            timestep,
            attended,
            references.embedding,
            features,
            positions,
            guidance,
            references.embedding_keep,
        )
        return prediction

    latents = sample_latents(
        denoise,
        type(scheduler).from_config(scheduler.config),
        noise,
        steps,
    )
    if scale > 1:
        assert left is not None  # there is at least one step
        latents = networks.detail(latents, left, attended, places, known_places(networks, batch))
    images = decode_latents(networks.vae, latents.transpose(1, 2).flatten(0, 1))
    return images.unflatten(0, (count, frames))


def draw_sheet(batch: Batch, result: Float[Tensor, "B F 3 H W"]) -> UInt8[np.ndarray, "h w 3"]:
    """A row for each example: masked portrait | masked attributes | each target above its reconstruction."""
    portrait = batch["portrait"] * (1 - batch["portrait_mask"])
    attributes = batch["attributes"] * batch["attribute_masks"]
    rows = []
    for i in range(len(result)):
        references = [portrait[i], *attributes[i]]
        rows.append(torch.cat([*references, *batch["targets"][i]], 2))
        rows.append(torch.cat([*references, *result[i]], 2))
    sheet = torch.cat(rows, 1)
    return ((sheet.permute(1, 2, 0).numpy() + 1) * 127.5).round().clip(0, 255).astype(np.uint8)
