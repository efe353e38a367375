"""The scheme of the peers, to be measured against: the same networks and weights, the work done their way.

Written from its description (Animate Anyone, Champ and what follows them), not from their code. The
ReferenceNets run once and leave a bank of hidden states; keys and values are projected from it again in
every call of DNet, for every frame, beside the frame's own; all guidance rows (two for one scale, three for
two) are one batch in which every row attends to everything, and the rows that are to know less are then done
again; all latents of the video are held, and decoded at once. It makes the frames of `DurianPipeline`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from jaxtyping import Float
from torch import Tensor, nn

from durian.models.autoencoder import decode_latents, encode_latents, spatial_factor
from durian.models.networks import MaskedReference
from durian.models.spatial_attention import (
    EmbeddingAttention,
    ReferenceCache,
    ReferenceFeatures,
    References,
    SpatialAttention,
    spatial_layers,
)
from durian.pipeline import DurianPipeline
from durian.pipeline.conditioning import keypoint_tensor, reference_tensors
from durian.pipeline.sampling import seam_shifts
from durian.pipeline.windows import Windows
from durian.portrait.inputs import AnimationInputs, Reference
from durian.portrait.keypoints import draw_keypoints


@dataclass
class Bank:
    """What the attention layers look up: features of each reference, and for each guidance row how many of
    the references it knows."""

    features: list[ReferenceFeatures]
    known: list[int]


class BankAttention(nn.Module):
    """Spatial attention that projects the bank's hidden states in every call, for every frame."""

    def __init__(self, ours: SpatialAttention, bank: Bank):
        super().__init__()
        self.ours, self.bank = ours, bank

    def __call__(
        self,
        attn: Any,
        hidden_states: Float[Tensor, "RF N C"],
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        context: object = None,
    ) -> Float[Tensor, "RF N C"]:
        rows = len(self.bank.known)
        frames, count = len(hidden_states) // rows, hidden_states.shape[1]
        positions = getattr(context, "positions", None)
        query, key, value = attn.to_q(hidden_states), attn.to_k(hidden_states), attn.to_v(hidden_states)
        if self.ours.position_dim and positions is not None:
            query = query + self.ours.position_to_q(positions[count])
            key = key + self.ours.position_to_own_k(positions[count])
        keys, values = [key], [value]
        for features in self.bank.features:
            key, value = self._project(attn, features, len(hidden_states))
            keys.append(key)
            values.append(value)
        out = _attend(attn, query, torch.cat(keys, 1), torch.cat(values, 1))
        for row, known in enumerate(self.bank.known):
            if known < len(self.bank.features):
                part = slice(row * frames, (row + 1) * frames)
                own = (
                    torch.cat([each[part] for each in tokens[: known + 1]], 1) for tokens in (keys, values)
                )
                out[part] = _attend(attn, query[part], *own)
        return attn.to_out[1](attn.to_out[0](out))

    def _project(self, attn: Any, features: Any, frames: int) -> tuple[Tensor, Tensor]:
        tokens = features.tokens[self.ours.layer]
        count, kept = tokens.shape[1], None
        if features.keep is not None:
            kept = features.keep[count][0]

        def repeated(values: Tensor) -> Tensor:
            return (values if kept is None else values[:, kept]).expand(frames, -1, -1)

        hidden = repeated(tokens).contiguous()
        key, value = attn.to_k(hidden), attn.to_v(hidden)
        if self.ours.position_dim and features.positions is not None:
            key = key + self.ours.position_to_k(repeated(features.positions[count]))
        if self.ours.pixel_channels and features.pixels is not None:
            value = value + self.ours.pixels_to_v(repeated(features.pixels[count]))
        return key, value


class RepeatedAttention(AttnProcessor2_0):
    """Cross-attention with the embeddings' keys and values projected again in every call, for every frame."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Float[Tensor, "RF N C"],
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        context: object = None,
    ) -> Float[Tensor, "RF N C"]:
        frames = len(hidden_states) // len(encoder_hidden_states)
        return super().__call__(attn, hidden_states, encoder_hidden_states.repeat_interleave(frames, 0))


def _attend(attn: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    split = (each.unflatten(2, (attn.heads, -1)).transpose(1, 2) for each in (query, key, value))
    return F.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2)


class Yardstick:
    """Animates as the peers do.

    Args:
        pipeline: whose networks and scheduler are used; it is left as it is.
    """

    def __init__(self, pipeline: DurianPipeline):
        self.pipeline = pipeline
        self.networks = pipeline.networks
        self.bank = Bank([], [])
        self.unet = copy.deepcopy(self.networks.denoising_unet)
        layers = spatial_layers(self.unet)
        self.finest = next(iter(layers))
        for attn in layers.values():
            attn.set_processor(cast(Any, BankAttention(cast(SpatialAttention, attn.processor), self.bank)))
        for module in self.unet.modules():
            if isinstance(module, Attention) and isinstance(module.processor, EmbeddingAttention):
                module.set_processor(RepeatedAttention())

    @torch.no_grad()
    def latents(
        self, inputs: AnimationInputs, steps: int, scales: tuple[float, float] = (1.0, 1.0), seed: int = 0
    ) -> Float[Tensor, "1 c F h w"]:
        """The latents of all frames."""
        networks, guided = self.networks, scales != (1.0, 1.0)
        references = {"portrait": inputs.portrait, **inputs.attributes}
        embeddings = self._read(references)
        portrait_alone = [1] if scales[0] != scales[1] else []
        self.bank.known[:] = [len(references), *portrait_alone, 0] if guided else [len(references)]
        rows = len(self.bank.known)
        embedding = torch.cat([embeddings] + [torch.zeros_like(embeddings)] * (rows - 1))

        images = np.stack([draw_keypoints(points, self.pipeline.size) for points in inputs.keypoints])
        drawn = keypoint_tensor(images, self.pipeline.device)
        dtype = networks.working_dtype
        features = networks.keypoint_guider(drawn.to(dtype))
        positions = {n: place.to(dtype) for n, place in networks.frame_positions(drawn, None).items()}

        scheduler = type(self.pipeline.scheduler).from_config(self.pipeline.scheduler.config)
        scheduler.set_timesteps(steps)
        frames = len(inputs.keypoints)
        windows = Windows().within(self.unet.config["motion_max_seq_length"])
        noise = torch.Generator().manual_seed(seed)
        cells = features.shape[-1]
        shape = (1, self.unet.config["in_channels"], 1, cells, cells)
        latents = torch.cat([torch.randn(shape, generator=noise) for _ in range(frames)], 2).to(drawn)
        for timestep, shift in zip(scheduler.timesteps, seam_shifts(windows, steps), strict=True):
            seen = scheduler.scale_model_input(latents, timestep)
            prediction = torch.zeros_like(latents)
            done = 0
            for start, stop in spans(frames, windows, shift):
                part = slice(start, stop)
                predicted = self.unet(
                    seen[:, :, part].repeat(rows, 1, 1, 1, 1).to(dtype),
                    timestep,
                    embedding,
                    keypoint_features=features[part].repeat(rows, 1, 1, 1),
                    references=self._copies(rows * (stop - start)),
                    positions={n: place[part].repeat(rows, 1, 1) for n, place in positions.items()},
                )
                predicted = predicted.to(latents)
                if guided:
                    full, *portrait, none = predicted.chunk(rows)
                    predicted = none + scales[1] * (full - none)
                    if portrait:
                        predicted = predicted + (scales[0] - scales[1]) * (portrait[0] - none)
                fade = min(windows.fade, done)
                first = done - fade
                for frame in range(first, stop):
                    weight = 1.0
                    if frame < done:
                        weight = math.sin(math.pi / 2 * (frame - first + 0.5) / fade) ** 2
                    old, new = prediction[:, :, frame], predicted[:, :, frame - start]
                    prediction[:, :, frame] = old + weight * (new - old)
                done = stop
            latents = scheduler.step(prediction, timestep, latents, return_dict=False)[0]
        return latents

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, "1 c F h w"]) -> np.ndarray:
        """All frames at once, uint8 (F, H, W, 3)."""
        images = decode_latents(self.networks.vae, latents[0].transpose(0, 1).to(self.pipeline.dtype)).float()
        return ((images + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()

    def _read(self, references: Mapping[str, Reference]) -> Float[Tensor, "1 L D"]:
        """Fill the bank; the attributes' embeddings."""
        networks: Any = self.networks
        grid = networks.attention_grid(self.pipeline.size // spatial_factor(networks.vae))
        self.bank.features.clear()
        embeddings = []
        for name, reference in references.items():
            role = "portrait" if name == "portrait" else "attribute"
            given = reference_tensors(reference, role, grid, self.pipeline.device)
            visible = given.visible.to(networks.working_dtype)
            masked = MaskedReference(given.image.to(visible) * visible, visible, given.canonical)
            encoder = networks.identity_encoder if role == "portrait" else networks.attribute_encoder
            net = networks.portrait_net if role == "portrait" else networks.attribute_net
            latents = encode_latents(networks.vae, masked.image)
            embedding = encoder(masked.image.to(next(encoder.parameters()).dtype)).to(visible)
            features = net(latents, masked.visible, embedding, masked.canonical)
            if self.unet.config["copy_heads"]:
                unfolded = F.pixel_shuffle(latents, self.unet.config["copy_factor"])
                alpha = F.interpolate(masked.visible, unfolded.shape[-2:], mode="area")
                features = replace(features, image=torch.cat([unfolded, alpha], 1))
            self.bank.features.append(features)
            if role == "attribute":
                embeddings.append(embedding)
        return torch.cat(embeddings, 1)

    def _copies(self, frames: int) -> References | None:
        """What there is to copy from, projected again for every frame; None in a model without copies."""
        copier = self.unet.reference_copy
        if copier is None:
            return None
        sources = []
        rows = len(self.bank.known)
        for index, features in enumerate(self.bank.features):
            tokens = features.tokens[self.finest].repeat(frames, 1, 1)
            count = tokens.shape[1]
            place = None if features.positions is None else features.positions[count].repeat(frames, 1, 1)
            exact = copier.to_k.weight
            tokens, place = tokens.to(exact), None if place is None else place.to(exact)
            source = copier.project(tokens, place, cast(Tensor, features.image).repeat(frames, 1, 1, 1))
            kept = torch.arange(count) if features.keep is None else features.keep[count][0].nonzero()[:, 0]
            hidden = torch.tensor([known <= index for known in self.bank.known]).repeat_interleave(
                frames // rows
            )
            bias = torch.zeros(frames, 1, 1, len(kept)).masked_fill(hidden[:, None, None, None], -math.inf)
            kept = kept.to(tokens.device).expand(frames, -1)
            sources.append(source.select(kept, bias.to(tokens) if hidden.any() else None))
        source = type(sources[0]).concatenate(sources)
        return References((ReferenceCache({}, {}, source=source),))


def spans(frames: int, windows: Windows, shift: int) -> Sequence[tuple[int, int]]:
    """The windows of one step over a whole video, as `durian.pipeline.windows.slide` lays them."""
    stops = [min(windows.length, frames)]
    while stops[-1] < frames:
        move = shift if shift and len(stops) == 1 else windows.stride
        stops.append(min(stops[-1] + move, frames))
    return [(max(0, stop - windows.length), stop) for stop in stops]
