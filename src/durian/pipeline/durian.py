"""DurianPipeline: references once, then frames denoised in windows, decoded in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from durian.errors import DurianError
from durian.models.autoencoder import decode_latents, latent_channels, spatial_factor
from durian.models.networks import EncodedReference, Networks
from durian.models.presets import Preset
from durian.models.spatial_attention import References
from durian.pipeline.checkpoint import (
    load_networks,
    load_scheduler,
    read_index,
    resolve_checkpoint,
    save_checkpoint,
)
from durian.pipeline.conditioning import (
    draw_all,
    keypoint_tensor,
    position_tensor,
    reference_tensors,
)
from durian.pipeline.sampling import sample_latents
from durian.pipeline.windows import frame_windows, window_weights
from durian.portrait.guidance import aligned_guidance
from durian.portrait.inputs import AnimationInputs, Reference

WINDOW = 16
"""Frames denoised together, as in AnimateDiff."""
OVERLAP = 4
"""Frames that neighbouring windows share."""


@dataclass(frozen=True)
class DurianOutput:
    """The animation: one RGB image a frame."""

    frames: list[Image.Image]


@dataclass(frozen=True)
class Conditions:
    """What DNet is told in one call: of both references, of the portrait alone, or of none.

    `shown` says of portrait and attributes whether aligned guidance, where the model has it, shows them.
    """

    references: References | None
    embedding: Float[Tensor, "1 L D"]
    shown: tuple[bool, bool]


class DurianPipeline:
    """Animates a portrait that wears attributes of other pictures.

    Args:
        networks: the model.
        scheduler: one of diffusers', as the model was trained for.
        size: side of its square images in pixels.
        sampling_steps: its default number of sampling steps.
    """

    def __init__(self, networks: Networks, scheduler: Any, size: int, sampling_steps: int):
        self.networks = networks.eval().requires_grad_(False)
        self.scheduler = scheduler
        self.size = size
        self.sampling_steps = sampling_steps

    @classmethod
    def from_pretrained(
        cls,
        checkpoint: str | Path = "mini",
        device: str | torch.device | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> DurianPipeline:
        """Load a checkpoint: `mini`, which is in the package, a folder, or a hub id.

        Args:
            device: a GPU if there is one, else the CPU.
            dtype: of weights and computation.

        Raises:
            DurianError: the checkpoint or the device is not there, or the checkpoint is damaged.
        """
        chosen = choose_device(device)
        folder = resolve_checkpoint(checkpoint)
        index = read_index(folder)
        networks = load_networks(folder).to(chosen, dtype)
        return cls(networks, load_scheduler(folder), index["size"], index["sampling_steps"])

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype = torch.float32) -> None:
        """Write a checkpoint that `from_pretrained` reads."""
        settings = Preset(self.size, {}, {}, {}, {}, {}, sampling_steps=self.sampling_steps)
        save_checkpoint(Path(folder), self.networks, self.scheduler, settings, dtype)

    @property
    def device(self) -> torch.device:
        return self.networks.denoising_unet.device

    @property
    def dtype(self) -> torch.dtype:
        return self.networks.denoising_unet.dtype

    @property
    def moves_by_image(self) -> bool:
        """Whether all that the model is told of the motion are the keypoint images."""
        config = self.networks.denoising_unet.config
        reads = self.networks.position_reader is not None or not config["position_frequencies"]
        return reads and not config["guidance_channels"]

    def __call__(
        self,
        portrait: Image.Image,
        attributes: Mapping[str, Image.Image],
        driving: Iterable[Image.Image],
        *,
        attribute_masks: Mapping[str, Image.Image] | None = None,
        portrait_mask: Image.Image | None = None,
        num_inference_steps: int | None = None,
        portrait_scale: float = 1.0,
        attribute_scale: float = 1.0,
        seed: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ) -> DurianOutput:
        """From pictures to an animation.

        Args:
            portrait: whose person is animated.
            attributes: by name (hair, glasses, beard, hat), a picture of somebody who wears it.
            driving: the frames of the driving video.
            attribute_masks: where the attribute is in its picture, white on black; found if not given.
            portrait_mask: the portrait's own attributes, which give way (`M_init`); found if not given.
            The others are those of `animate`.

        Raises:
            DurianError: no face in one of the pictures, or no mask to be found.
        """
        from durian.portrait.prepare import prepare

        masks = {name: _mask_array(mask) for name, mask in (attribute_masks or {}).items()}
        inputs = prepare(
            _rgb_array(portrait),
            {name: _rgb_array(image) for name, image in attributes.items()},
            (_rgb_array(frame) for frame in driving),
            size=self.size,
            attribute_masks=masks,
            portrait_mask=None if portrait_mask is None else _mask_array(portrait_mask),
        )
        frames = self.animate(
            inputs,
            num_inference_steps=num_inference_steps,
            portrait_scale=portrait_scale,
            attribute_scale=attribute_scale,
            seed=seed,
            progress=progress,
        )
        return DurianOutput([Image.fromarray(frame) for frame in frames])

    @torch.no_grad()
    def animate(
        self,
        inputs: AnimationInputs,
        *,
        num_inference_steps: int | None = None,
        portrait_scale: float = 1.0,
        attribute_scale: float = 1.0,
        seed: int = 0,
        interpolate_to: Mapping[str, Reference] | None = None,
        interpolation: float | Float[np.ndarray, " F"] = 1.0,
        drop_attribute_tokens: bool = False,
        keypoint_images: UInt8[np.ndarray, "F H W 3"] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> UInt8[np.ndarray, "F H W 3"]:
        """Generate the frames of prepared inputs.

        Args:
            inputs: at the model's size.
            num_inference_steps: the checkpoint's own default if not given.
            portrait_scale, attribute_scale: guidance on each reference; 1 is none and costs nothing.
            seed: of the noise. The same seed gives the same frames on the same machine.
            interpolate_to: attributes to blend towards (section 3.4).
            interpolation: α in [0, 1]: 0 gives `inputs.attributes` alone and 1 `interpolate_to`; an array
                changes it over the frames.
            drop_attribute_tokens: leave the attributes out of spatial attention (an ablation).
            keypoint_images: drawn in place of the keypoints' own (an ablation).
            progress: called with (steps done, steps in all).

        Raises:
            DurianError: inputs of another size, no attribute, no frame, or fewer than one step.
        """
        steps = self.sampling_steps if num_inference_steps is None else num_inference_steps
        self._check(inputs, steps)
        grid = self.networks.attention_grid(self._latent_size)
        portrait = self._encode("portrait", inputs.portrait, grid)
        attributes = [self._encode("attribute", a, grid) for a in inputs.attributes.values()]
        others = [self._encode("attribute", a, grid) for a in (interpolate_to or {}).values()]
        images = draw_all(inputs.keypoints, self.size) if keypoint_images is None else keypoint_images
        keypoints = keypoint_tensor(images, self.device).to(self.dtype)

        frames = len(inputs.keypoints)
        length = min(WINDOW, self.networks.denoising_unet.config["motion_max_seq_length"])
        windows = frame_windows(frames, length, min(OVERLAP, length // 2))
        weights = window_weights(windows)
        noise = self._noise(frames, seed)
        alpha = np.broadcast_to(np.asarray(interpolation, np.float32), (frames,))
        total, done = steps * len(windows), 0
        result = np.zeros((frames, self.size, self.size, 3), np.float32)
        for (start, stop), weight in zip(windows, weights, strict=True):
            span = slice(start, stop)
            blend = torch.from_numpy(np.stack([1 - alpha[span], alpha[span]])).to(self.device)
            latents = sample_latents(
                self._denoiser(
                    self._conditions(portrait, attributes, others, blend, drop_attribute_tokens),
                    keypoints[span],
                    inputs,
                    span,
                    (portrait_scale, attribute_scale),
                ),
                type(self.scheduler).from_config(self.scheduler.config),
                noise[:, :, span],
                steps,
                None if progress is None else lambda step, before=done: progress(before + step, total),
            )
            done += steps
            decoded = self._decode(latents)
            result[span] += decoded * weight[:, None, None, None]
        return np.clip(np.round(result), 0, 255).astype(np.uint8)

    def _check(self, inputs: AnimationInputs, steps: int) -> None:
        if steps < 1:
            raise DurianError(f"{steps} sampling steps: at least 1 is needed")
        if len(inputs.keypoints) == 0:
            raise DurianError("the driving video has no frames")
        if not inputs.attributes:
            raise DurianError("no attribute given: name at least one, for example hair")
        for name, reference in {"portrait": inputs.portrait, **inputs.attributes}.items():
            if reference.image.shape != (self.size, self.size, 3):
                raise DurianError(
                    f"the {name} is {reference.image.shape[1]}×{reference.image.shape[0]} pixels and this "
                    f"checkpoint wants {self.size}×{self.size}"
                )

    @property
    def _latent_size(self) -> int:
        return self.size // spatial_factor(self.networks.vae)

    def _encode(self, role: Any, reference: Reference, grid: int) -> EncodedReference:
        tensors = reference_tensors(reference, role, grid, self.device)
        return self.networks.encode_reference(
            role,
            tensors.image.to(self.dtype),
            tensors.visible.to(self.dtype),
            tensors.canonical.to(self.dtype),
        )

    def _noise(self, frames: int, seed: int) -> Float[Tensor, "1 c F h w"]:
        # Drawn on the CPU frame by frame, so that neither the device nor the length changes a frame's noise.
        generator = torch.Generator().manual_seed(seed)
        shape = (1, latent_channels(self.networks.vae), 1, self._latent_size, self._latent_size)
        noise = [torch.randn(shape, generator=generator) for _ in range(frames)]
        return torch.cat(noise, 2).to(self.device, self.dtype)

    def _conditions(
        self,
        portrait: EncodedReference,
        attributes: Sequence[EncodedReference],
        others: Sequence[EncodedReference],
        blend: Float[Tensor, "2 F"],
        drop_attributes: bool,
    ) -> dict[str, Conditions]:
        """The conditions of the full model and of the two unconditional ones of guidance.

        These are what condition dropout shows in training (`durian.training.references`).
        """
        cache, embedding = self.networks.compose(portrait, attributes)
        alone, _ = self.networks.compose(portrait, ())
        nothing = torch.zeros_like(embedding)
        full = Conditions(References((cache,)), embedding, (True, True))
        if drop_attributes:
            full = replace(full, references=References((alone,)))
        elif others:
            other_cache, other_embedding = self.networks.compose(portrait, others)
            alpha = blend[1].mean().to(embedding)
            # Embeddings of unlike numbers of attributes can't be added; both ends are then attended to.
            if other_embedding.shape == embedding.shape:
                mixed = (1 - alpha) * embedding + alpha * other_embedding
            else:
                mixed = torch.cat([(1 - alpha) * embedding, alpha * other_embedding], 1)
            full = Conditions(References((cache, other_cache), blend), mixed, (True, True))
        # Not None: the networks have been shown hidden references, and what is not in attention may use them.
        never = torch.zeros(1, dtype=torch.bool, device=self.device)
        nobody, _ = self.networks.compose(portrait, (), keep_portrait=never)
        return {
            "full": full,
            "portrait": Conditions(References((alone,)), nothing, (True, False)),
            "none": Conditions(References((nobody,)), nothing, (False, False)),
        }

    def _denoiser(
        self,
        conditions: dict[str, Conditions],
        keypoints: Float[Tensor, "F 3 H W"],
        inputs: AnimationInputs,
        span: slice,
        scales: tuple[float, float],
    ) -> Callable[[Tensor, Tensor], Tensor]:
        unet = self.networks.denoising_unet
        grid = self.networks.attention_grid(self._latent_size)
        features = self.networks.keypoint_guider(keypoints)
        canonical = guidance = None
        if unet.config["position_frequencies"] and self.networks.position_reader is None:
            canonical = position_tensor(inputs.keypoints[span], self.size, grid, self.device).to(self.dtype)
        positions = self.networks.frame_positions(keypoints, canonical)
        if unet.config["guidance_channels"]:
            warped = aligned_guidance(
                inputs.portrait, inputs.attributes.values(), inputs.keypoints[span], self._latent_size
            )
            guidance = torch.from_numpy(warped).to(self.device, self.dtype)

        def predict(latents: Tensor, timestep: Tensor, name: str) -> Tensor:
            c = conditions[name]
            shown = None
            if guidance is not None:
                halves = torch.tensor(c.shown, device=self.device).repeat_interleave(guidance.shape[1] // 2)
                shown = guidance * halves[:, None, None]
            return self.networks.denoise(
                latents, timestep, c.references, c.embedding, features, positions, shown
            )

        portrait_scale, attribute_scale = scales

        def denoise(latents: Tensor, timestep: Tensor) -> Tensor:
            # Guidance on each reference apart, as Brooks et al. (2023) do for an image and a text:
            # e(∅) + s_port (e(port) - e(∅)) + s_attr (e(port, attr) - e(port)).
            full = predict(latents, timestep, "full")
            if portrait_scale == 1 and attribute_scale == 1:
                return full
            portrait = predict(latents, timestep, "portrait")
            guided = portrait + attribute_scale * (full - portrait)
            if portrait_scale == 1:
                return guided
            none = predict(latents, timestep, "none")
            return guided + (portrait_scale - 1) * (portrait - none)

        return denoise

    def _decode(self, latents: Float[Tensor, "1 c F h w"]) -> Float[np.ndarray, "F H W 3"]:
        frames = [decode_latents(self.networks.vae, latents[:, :, i]) for i in range(latents.shape[2])]
        images = torch.cat(frames).float().permute(0, 2, 3, 1).cpu().numpy()
        return (images + 1) * 127.5


def choose_device(device: str | torch.device | None) -> torch.device:
    """The device asked for, else a GPU if there is one.

    Raises:
        DurianError: there is no such device.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise DurianError(f"no device {str(device)!r} here: leave --device out or give 'cpu'") from error
    return chosen


def _rgb_array(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))


def _mask_array(mask: Image.Image) -> np.ndarray:
    return np.asarray(mask.convert("L"), np.float32) / 255
