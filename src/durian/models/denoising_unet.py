"""DNet: the denoising UNet with motion modules and spatial attention to the references."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from diffusers.configuration_utils import register_to_config
from diffusers.models.controlnets.controlnet import zero_module
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D, MotionAdapter, UNetMotionModel
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from durian.models.autocast import autocast_holds
from durian.models.positions import encode_positions, position_dim
from durian.models.reference_copy import Found, ReferenceCopy, relight
from durian.models.spatial_attention import (
    ReferenceCache,
    ReferenceFeatures,
    References,
    SpatialContext,
    blend_copies,
    install_spatial_attention,
    project_references,
)


class NoMotion(nn.Module):
    """Stands where a motion module would be in a network of single frames (training stage 1)."""

    def forward(self, hidden_states: Tensor, *args: object, **kwargs: object) -> Tensor:
        return hidden_states


@dataclass(frozen=True)
class DeepFeatures:
    """What a call of DNet leaves for calls at nearby noise levels: all but its outermost layer (Ma et al.,
    2024, DeepCache).

    Attributes:
        hidden: what enters the last layer of the last block.
        copies: what `ReferenceCopy` has found, where DNet has one.
        found: where it has, for each branch of the references.
        shares: logarithms of what each pixel takes of each head's copy, and last of DNet's own.
        tones: the light that copies were brought into, where the network has learned any.
        painted: what DNet itself makes, under the copies, in calls of which gradients are wanted.

    The last three no other call reuses: `DetailNet` takes the first two, and `found` as well, and training
    the last.
    """

    hidden: Float[Tensor, "BF C h w"]
    copies: Float[Tensor, "BF heads c H W"] | None = None
    found: Sequence[Found] = ()
    shares: Float[Tensor, "BF heads+1 H W"] | None = None
    tones: Float[Tensor, "BF heads 2 colours h w"] | None = None
    painted: Float[Tensor, "BF c h w"] | None = None

    def frame(self, index: int) -> DeepFeatures:
        """Those of one frame."""
        one = slice(index, index + 1)

        def of(part: Tensor | None) -> Tensor | None:
            return None if part is None else part[one]

        found = [Found(each.mass[one], each.place[one]) for each in self.found]
        return DeepFeatures(self.hidden[one], of(self.copies), found, of(self.shares), of(self.tones))

    @staticmethod
    def of_frames(frames: Sequence[DeepFeatures]) -> DeepFeatures:
        """Those of several frames together."""

        def together(parts: Iterable[Tensor | None]) -> Tensor | None:
            there = [part for part in parts if part is not None]
            return torch.cat(there) if there else None

        found = [
            Found(torch.cat([each.mass for each in branch]), torch.cat([each.place for each in branch]))
            for branch in zip(*(frame.found for frame in frames), strict=True)
        ]
        return DeepFeatures(
            torch.cat([frame.hidden for frame in frames]),
            together(frame.copies for frame in frames),
            found,
            together(frame.shares for frame in frames),
            together(frame.tones for frame in frames),
        )


@dataclass(frozen=True, eq=False)  # torch.compile of torch 2.11 asks for the hash before the fields are there
class _UpLayer:
    """One layer of an up block, in diffusers' order."""

    resnet: nn.Module
    attention: nn.Module | None
    motion: nn.Module

    def __call__(
        self, hidden: Tensor, skip: Tensor, temb: Tensor, num_frames: int, told: dict[str, Any]
    ) -> Tensor:
        hidden = self.resnet(torch.cat([hidden, skip], 1), temb)
        if self.attention is not None:
            hidden = self.attention(hidden, **told, return_dict=False)[0]
        return self.motion(hidden, num_frames=num_frames)


class DenoisingUNet(UNetMotionModel):
    """diffusers' `UNetMotionModel` whose forward pass takes keypoint features and references.

    Without references, keypoint features and the options, it computes exactly what diffusers' own model
    computes, and its parameters have the same names, so that Stable Diffusion 1.5 and AnimateDiff weights
    load strictly.

    Args (beyond those of `UNetMotionModel`):
        temporal: whether the motion modules are there. Stage 1 trains without them.
        position_frequencies: octaves of landmark-canonical positions; 0 is the paper's model.
        guidance_channels: channels of the aligned guidance, 0 without (the paper's model).
        pixel_values: whether the attention's values also hold the references' own latents and masks, and
            a linear path past the last normalisation brings what they add to the output. The paper's
            model has neither; a small one trained from scratch learns colours much sooner with them.
        joint_references: whether one ReferenceNet reads portrait and attribute together, so that what its
            tokens stand for are the latents and masks of both.
        copy_heads: heads of `ReferenceCopy`, for models that predict the clean sample; 0 is the paper's
            model. copy_factor: pixels a side that a latent cell unfolds to, of a lossless autoencoder.
            copy_tones, copy_polish, copy_choice, copy_shifts, copy_steady: its `tones`, `polish_channels`,
            `choice_channels`, `shifts` and, where there are motion modules, `steady`.
    """

    @register_to_config
    def __init__(
        self,
        sample_size: int | None = None,
        in_channels: int = 4,
        out_channels: int = 4,
        down_block_types: tuple[str, ...] = (
            "CrossAttnDownBlockMotion",
            "CrossAttnDownBlockMotion",
            "CrossAttnDownBlockMotion",
            "DownBlockMotion",
        ),
        up_block_types: tuple[str, ...] = (
            "UpBlockMotion",
            "CrossAttnUpBlockMotion",
            "CrossAttnUpBlockMotion",
            "CrossAttnUpBlockMotion",
        ),
        block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280),
        layers_per_block: int = 2,
        norm_num_groups: int = 32,
        norm_eps: float = 1e-5,
        cross_attention_dim: int = 768,
        use_linear_projection: bool = False,
        num_attention_heads: int | tuple[int, ...] = 8,
        motion_max_seq_length: int = 32,
        motion_num_attention_heads: int | tuple[int, ...] = 8,
        use_motion_mid_block: bool = False,
        temporal: bool = True,
        position_frequencies: int = 0,
        guidance_channels: int = 0,
        pixel_values: bool = False,
        joint_references: bool = False,
        copy_heads: int = 0,
        copy_factor: int = 1,
        copy_tones: bool = False,
        copy_polish: int = 0,
        copy_choice: int = 0,
        copy_shifts: bool = False,
        copy_steady: bool = False,
    ):
        super().__init__(
            sample_size=sample_size,
            in_channels=in_channels,
            out_channels=out_channels,
            down_block_types=down_block_types,
            up_block_types=up_block_types,
            block_out_channels=block_out_channels,
            layers_per_block=layers_per_block,
            norm_num_groups=norm_num_groups,
            norm_eps=norm_eps,
            cross_attention_dim=cross_attention_dim,
            use_linear_projection=use_linear_projection,
            num_attention_heads=num_attention_heads,
            motion_max_seq_length=motion_max_seq_length,
            motion_num_attention_heads=motion_num_attention_heads,
            use_motion_mid_block=use_motion_mid_block,
        )
        # Values hold latents and mask, which is one channel.
        pixel_channels = (in_channels + 1) * (2 if joint_references else 1) if pixel_values else 0
        install_spatial_attention(self, position_dim(position_frequencies), pixel_channels)
        self.conv_linear = nn.Conv2d(block_out_channels[0], out_channels, 1) if pixel_values else None
        self.reference_copy = None
        if copy_heads:
            self.reference_copy = ReferenceCopy(
                block_out_channels[0],
                in_channels,
                copy_heads,
                copy_factor,
                position_dim(position_frequencies),
                norm_num_groups,
                copy_tones,
                copy_polish,
                copy_choice,
                copy_shifts,
                copy_steady and temporal,  # frames of stage 1 do not follow each other
            )
        self.conv_guidance = None
        if guidance_channels:
            # The same as further zero-initialised input channels of conv_in (Zhang et al., 2023), but
            # conv_in keeps the shape of the weights it is initialised from.
            self.conv_guidance = zero_module(
                nn.Conv2d(guidance_channels, block_out_channels[0], 3, padding=1)
            )
        for module in self.motion_modules().values():
            project = cast(nn.Module, module.proj_in)
            project.register_forward_pre_hook(_in_one_piece, with_kwargs=True)
        if not temporal:
            for block in (*self.down_blocks, *self.up_blocks, self.mid_block):
                modules = getattr(block, "motion_modules", ())
                if len(modules):
                    block.motion_modules = nn.ModuleList(NoMotion() for _ in modules)

    def motion_modules(self) -> dict[str, nn.Module]:
        """The temporal layers by name (empty in a network of single frames)."""
        return {
            name: module
            for name, module in self.named_modules()
            if isinstance(module, AnimateDiffTransformer3D)
        }

    def with_motion(self, motion_adapter: MotionAdapter | None = None) -> DenoisingUNet:
        """This network with motion modules, for training stage 2; a temporal network returns itself.

        New modules start silent: their last projection is zero, so that the video model starts as the
        image model that it extends. With `motion_adapter` they start from AnimateDiff's weights instead.
        """
        if self.config["temporal"]:
            return self
        config = {**self.config, "temporal": True}
        if motion_adapter is not None:
            for key in ("use_motion_mid_block", "motion_max_seq_length", "motion_num_attention_heads"):
                config[key] = motion_adapter.config[key]
        model = DenoisingUNet(**own_config(DenoisingUNet, config))
        weights = self.state_dict()
        if motion_adapter is not None:
            weights |= motion_adapter.state_dict()
        else:
            new = model.state_dict()
            weights |= {key: value for key, value in new.items() if ".motion_modules." in key}
            for key in weights:
                if ".motion_modules." in key and ".proj_out." in key:
                    weights[key] = torch.zeros_like(weights[key])
        model.load_state_dict(weights, strict=True)
        return model.to(self.device, self.dtype)

    @classmethod
    def from_stable_diffusion(
        cls, unet: UNet2DConditionModel, motion_adapter: MotionAdapter | None = None, **options: object
    ) -> DenoisingUNet:
        """Build from Stable Diffusion's UNet and, for the video model, an AnimateDiff motion adapter.

        Every weight of both must find its place and every place must be filled, but for the new layers
        that `options` (position_frequencies, guidance_channels, pixel_values) ask for.

        Raises:
            ValueError: naming the keys that are missing or unexpected.
        """
        config = UNetMotionModel.from_unet2d(unet, motion_adapter, load_weights=False).config
        config = {**config, **options, "temporal": motion_adapter is not None}
        model = cls(**own_config(cls, config))
        weights = dict(unet.state_dict())
        if motion_adapter is not None:
            weights |= motion_adapter.state_dict()
        new = tuple(
            key
            for key in model.state_dict()
            if ".processor." in key or key.startswith(("conv_guidance.", "conv_linear.", "reference_copy."))
        )
        load_strictly(model, weights, new_keys=new)
        return model

    def project_references(self, features: ReferenceFeatures) -> ReferenceCache:
        """Keys and values of one reference, to be computed once per animation."""
        return project_references(self, features)

    def encode_positions(self, canonical: Float[Tensor, "B g g 2"]) -> dict[int, Float[Tensor, "B N P"]]:
        """Encoded positions of the tokens of every level; empty if the option is off."""
        if not self.config["position_frequencies"]:
            return {}
        return encode_positions(
            canonical, self.config["position_frequencies"], len(self.config["block_out_channels"])
        )

    def forward(self, *args: Any, **kwargs: Any) -> Float[Tensor, "B C F h w"]:
        """`predict` without what it leaves for other calls."""
        return self.predict(*args, **kwargs)[0]

    def predict(
        self,
        sample: Float[Tensor, "B C F h w"],
        timestep: Float[Tensor, "B ..."] | float | int,
        encoder_hidden_states: Float[Tensor, "B L D"],
        keypoint_features: Float[Tensor, "BF C0 h w"] | None = None,
        references: References | None = None,
        positions: dict[int, Float[Tensor, "BF N P"]] | None = None,
        guidance: Float[Tensor, "BF G h w"] | None = None,
        embedding_keep: Bool[Tensor, "B L"] | None = None,
        deep: DeepFeatures | None = None,
    ) -> tuple[Float[Tensor, "B C F h w"], DeepFeatures]:
        """Predict noise, sample or velocity (whatever the scheduler was trained for).

        Args:
            sample: noisy latents.
            timestep: one for all, one a sample, or one a frame.
            encoder_hidden_states: embeddings of the attributes.
            keypoint_features: of `KeypointGuider`, added to the first feature map.
            references: keys and values of the references.
            positions: of `encode_positions`, for the frames.
            guidance: aligned guidance for each frame.
            embedding_keep: which tokens of `encoder_hidden_states` take part, at least one a sample; None
                keeps all.
            deep: of an earlier call for the same frames, reused in place of all layers but the last.

        Returns:
            The prediction, and the deep features that it was made with.
        """
        batch, _, frames = sample.shape[:3]
        timesteps = torch.as_tensor(timestep, device=sample.device).reshape(-1)
        if timesteps.numel() != batch * frames:
            timesteps = timesteps.expand(batch).repeat_interleave(frames)
        emb = self.time_embedding(self.time_proj(timesteps).to(sample.dtype))
        bias = None
        if embedding_keep is not None:
            bias = torch.zeros_like(encoder_hidden_states[:, None, :, 0]).repeat_interleave(frames, 0)
            bias.masked_fill_(~embedding_keep.repeat_interleave(frames, 0)[:, None], -math.inf)
        context = {"context": SpatialContext(references, positions or None, embedding_bias=bias)}
        told = {"encoder_hidden_states": encoder_hidden_states, "cross_attention_kwargs": context}

        first = self.conv_in(sample.transpose(1, 2).flatten(0, 1))
        if keypoint_features is not None:
            first = first + keypoint_features
        if self.conv_guidance is not None and guidance is not None:
            first = first + self.conv_guidance(guidance)

        before_last = self._deep_layers(first, emb, frames, told) if deep is None else deep.hidden
        hidden = self._again(
            self._outer_layers()[-1], hidden=before_last, skip=first, temb=emb, num_frames=frames, told=told
        )

        copies = lit = shares = tones = painted = None
        found: Sequence[Found] = ()
        if self.reference_copy is not None and references is not None:
            exact = self.reference_copy.to_q.weight.dtype
            if exact != self.conv_out.weight.dtype:  # see `Networks.lower_precision`
                hidden = hidden.to(exact)
            if deep is None:
                place = (positions or {}).get(hidden.shape[2] * hidden.shape[3])
                place = None if place is None else place.to(hidden)
                copies, found = blend_copies(self.reference_copy, hidden, place, references, frames)
            else:
                copies, found = deep.copies, deep.found
            hidden, shares = self.reference_copy(hidden, copies)
            tones = self.reference_copy.tones(hidden, frames)
            lit = self._again(relight, copies=copies, tones=tones)

        if hidden.dtype != sample.dtype and not autocast_holds(hidden):
            hidden = hidden.to(sample.dtype)
        out = hidden
        if self.conv_norm_out is not None and self.conv_act is not None:
            out = self.conv_act(self.conv_norm_out(out))
        out = self.conv_out(out)
        if self.conv_linear is not None:
            out = out + self.conv_linear(hidden)
        if self.reference_copy is not None and lit is not None and shares is not None:
            painted = out if torch.is_grad_enabled() else None
            out = self.reference_copy.steady_paint(out, frames)
            shares = self._again(self.reference_copy.choose, made=out, copies=lit, shares=shares)
            shares = self.reference_copy.steady_shares(shares, frames)
            out = self._again(self.reference_copy.compose, made=out, copies=lit, shares=shares)
        return out.unflatten(0, (batch, frames)).transpose(1, 2), DeepFeatures(
            before_last, copies, found, shares, tones, painted
        )

    def _deep_layers(self, hidden: Tensor, emb: Tensor, frames: int, told: dict[str, Any]) -> Tensor:
        """From the first feature map to what enters the last layer of the last block."""
        skips = (hidden,)
        for block in self.down_blocks:
            extra = told if getattr(block, "has_cross_attention", False) else {}
            hidden, block_skips = self._run(block, hidden_states=hidden, temb=emb, num_frames=frames, **extra)
            skips += block_skips

        extra = {"num_frames": frames} if hasattr(self.mid_block, "motion_modules") else {}
        hidden = self._run(self.mid_block, hidden_states=hidden, temb=emb, **told, **extra)

        for block in list(self.up_blocks)[:-1]:
            count = len(cast(nn.ModuleList, block.resnets))
            block_skips, skips = skips[-count:], skips[:-count]
            extra = told if getattr(block, "has_cross_attention", False) else {}
            hidden = self._run(
                block,
                hidden_states=hidden,
                temb=emb,
                res_hidden_states_tuple=block_skips,
                num_frames=frames,
                upsample_size=skips[-1].shape[2:],  # also right for sizes that do not halve evenly
                **extra,
            )
        for layer, skip in zip(self._outer_layers()[:-1], reversed(skips[1:]), strict=True):
            hidden = self._again(layer, hidden=hidden, skip=skip, temb=emb, num_frames=frames, told=told)
        return hidden

    def _outer_layers(self) -> list[_UpLayer]:
        """The layers of the last block one by one, so that the last can run without the others."""
        block = self.up_blocks[-1]
        resnets = cast(nn.ModuleList, block.resnets)
        attends = getattr(block, "has_cross_attention", False)
        attentions = cast(nn.ModuleList, block.attentions) if attends else [None] * len(resnets)
        motion = cast(nn.ModuleList, block.motion_modules)
        return [_UpLayer(*parts) for parts in zip(resnets, attentions, motion, strict=True)]

    def _run(self, block: nn.Module, **inputs: Any) -> Any:
        """One block. Gradient checkpointing is diffusers', which leaves motion modules out, so that of a
        temporal network whole blocks are checkpointed as well."""
        return self._again(block, **inputs) if self.config["temporal"] else block(**inputs)

    def _again(self, part: Callable[..., Any], **inputs: Any) -> Any:
        """A part that is computed again in the backward pass, if gradient checkpointing is on."""
        if torch.is_grad_enabled() and self.is_gradient_checkpointing:  # the latter looks through all parts
            return checkpoint(part, use_reentrant=False, **inputs)
        return part(**inputs)


def _in_one_piece(
    layer: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]
) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
    """Diffusers turns the axes of what it gives the first layer of a motion module, and a linear layer takes
    tokens that do not lie in one piece as many small products, which on a CPU is slow."""
    named = {name: each.contiguous() for name, each in kwargs.items()}
    return tuple(each.contiguous() for each in args), named


def own_config(cls: type, config: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a (larger) diffusers configuration that are arguments of `cls`."""
    names = inspect.signature(cls.__init__).parameters
    return {key: value for key, value in config.items() if key in names and key != "self"}


def load_strictly(model: nn.Module, weights: dict[str, Tensor], new_keys: tuple[str, ...] = ()) -> None:
    """Load `weights`; all of the model's keys but `new_keys` must be there, and nothing else.

    Raises:
        ValueError: naming the keys that are missing or unexpected.
    """
    missing, unexpected = model.load_state_dict(weights, strict=False)
    missing = [key for key in missing if key not in new_keys]
    if missing or unexpected:
        raise ValueError(
            f"weights do not fit {type(model).__name__}: missing {missing[:5]} ({len(missing)} in all), "
            f"unexpected {unexpected[:5]} ({len(unexpected)} in all)"
        )
