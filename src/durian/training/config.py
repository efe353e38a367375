"""What a training run is: one YAML file, checked before the first step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from durian.errors import DurianError
from durian.models.presets import PRESETS, Preset

Part = Literal["all", "attention", "pixels", "detail", "blend"]
Attribute = Literal["hair", "glasses", "beard", "hat"]
Weight = Annotated[float, Field(ge=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(_Strict):
    """Where clips come from and how examples are drawn from them (docs/self-reconstruction.md).

    `attributes` is the most that one example has. `attribute_weights` by name, "natural" (as often as
    worn) or "balanced": kinds and known styles are drawn as often as worn to the power `balance_power`.
    Without `hair_under_hats` the hair of clips that show a hat is not drawn as an attribute.
    `mask_bank` and `outpainted` are folders of `durian mask-bank` and `durian outpaint`. `workers` are
    processes that draw examples beside the training; with 0 they are drawn in between. The rest are the
    strengths of `durian.data.augmentation.Augmentation`.
    """

    clips: Path
    limit: int | None = Field(None, ge=1)
    held_out: int = Field(16, ge=0)
    targets: int = Field(6, ge=1)
    attributes: int = Field(1, ge=1, le=4)
    attribute_weights: Literal["balanced", "natural"] | dict[Attribute, Weight] | None = None
    balance_power: float = Field(0.0, ge=0, le=1)
    hair_under_hats: bool = True
    mask_bank: Path | None = None
    outpainted: Path | None = None
    shift: float = Field(0.06, ge=0)
    scale: float = Field(0.12, ge=0)
    rotation: float = Field(8.0, ge=0)
    colour: float = Field(0.12, ge=0)
    mask_expansion: float = Field(0.85, ge=0, le=1)
    mask_draws: int = Field(1, ge=1)
    mask_radius: float = Field(0.03, ge=0)
    light: float = Field(0.0, ge=0)
    still: float = Field(0.0, ge=0, le=1)
    relit: float = Field(0.0, ge=0, le=1)
    unshaded: float = Field(0.0, ge=0, le=1)
    donors: float = Field(0.0, ge=0, le=1)
    before: float = Field(0.0, ge=0, le=1)
    workers: int = Field(0, ge=0)


class OptimizerConfig(_Strict):
    """A warm-up, a constant stretch and a linear decay to zero over the last steps.

    `muon` is for the matrices inside the UNets, with `momentum`; the rest is AdamW's, with `betas`.
    `adamw8bit` keeps its moments in 8 bits.
    """

    name: Literal["adamw", "adamw8bit", "muon"] = "adamw"
    learning_rate: float = Field(6e-4, gt=0)
    betas: tuple[float, float] = (0.9, 0.95)
    momentum: float = Field(0.95, ge=0, lt=1)
    weight_decay: float = Field(0.01, ge=0)
    warmup_steps: int = Field(100, ge=0)
    decay_steps: int = Field(0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)


class DistillationConfig(_Strict):
    """A student of `init_from` that needs fewer steps (`durian.training.distillation`).

    `teacher_steps` is how many the teacher's sampler makes, of which the student learns to skip, and
    `sampling_steps` the student's own default. `portrait_scale` and `attribute_scale` are guidance that
    the student has built in; at 1 it keeps condition dropout, and guidance stays possible.
    """

    teacher_steps: int = Field(50, ge=2)
    sampling_steps: int = Field(4, ge=1)
    portrait_scale: float = Field(1.0, ge=0)
    attribute_scale: float = Field(1.0, ge=0)

    @property
    def guided(self) -> bool:
        """Whether the teacher is asked more than once."""
        return (self.portrait_scale, self.attribute_scale) != (1, 1)


class CriticConfig(_Strict):
    """A critic that learns beside the networks to tell their pictures from true ones.

    `weight` is of what it holds against a picture, beside the mean error of all else, `penalty` of the
    slope of its scores, `channels` its width (`durian.training.critic`). `eye_weight` is added to the weight
    of 1 that each patch has, where the eyes are. It looks at squares of `crop` pixels a side, another one in
    each example; None are whole pictures, which at 256×256 take most of a step of DetailNet's on a CPU.
    """

    weight: float = Field(0.05, gt=0)
    learning_rate: float = Field(1e-3, gt=0)
    penalty: float = Field(0.01, ge=0)
    channels: int = Field(16, ge=1)
    eye_weight: float = Field(0.0, ge=0)
    crop: int | None = Field(None, ge=16, multiple_of=8)


class TrainConfig(_Strict):
    """One run of one stage.

    With `minutes` the run ends after so many, if it has not made all `steps` by then, and the learning rate
    falls as it would have over all of them.

    `drop_portrait` and `drop_attribute` are how often an example goes without (condition dropout, for
    guidance on each apart); `drop_both` is the part of `drop_portrait` in which the attributes go as well.
    `attribute_loss_weight` is added to the loss's weight of 1 where the attribute is; where it has less than
    `attribute_loss_area` of the picture, as much more as if it had. `colour_loss_weight`
    weighs a further term, the error of each latent cell's mean hue, which squared error learns last and the
    eye sees first, `edge_loss_weight` another, the error of edges, `contrast_loss_weight` one more, that of
    local contrast, `grid_loss_weight` and `zigzag_loss_weight` those of a stipple that repeats from cell
    to cell and of dither, to which a critic tempts, and `flicker_loss_weight` that of errors that
    change from frame to frame, in stage 2 (all for pixel latents and "sample" prediction only).
    `match_loss_weight` weighs how far from the true place copies are taken, of clips that know it
    (`durian synth clips --surface`), and `paint_loss_weight` the error of what DNet itself paints under
    the copies, which otherwise makes up for them. `expression_loss_weight`
    is added where eyes and mouth are. `position_loss_weight` weighs the error of the position reader,
    where the preset has one; `reader_steps` train it alone beforehand. `timestep_shift` draws more of the
    noisy timesteps, t = s·u / (1 + (s - 1)·u) with u uniform. `loss_weighting` "min_snr" is Hang et al.'s
    (2023), with `min_snr_gamma`. `networks` changes
    the preset's fields (`durian.models.presets.Preset`), for ablations. `trained` "detail" trains a
    `DetailNet` alone, on clips `detail_net.scale` times as large as the preset's pictures, and "blend"
    its `CopyBlend` alone. `init_from` is a
    checkpoint; without one `mini` starts from random weights and `sd15` from public ones, where `sources`
    says in place of the hub. `warm_start` is a checkpoint of other networks: those of its weights that fit
    are taken. `frozen_precision` is of the weights that do not train, `ema_device` of the moving average
    ("same" as the weights'); `sample_steps` of previews and scores, by default as many as the preset's.
    docs/training.md says what they save. `critic` asks for pictures that look true, where all other terms
    ask for the mean of what is possible (pixel latents and "sample" prediction only). `distillation` trains
    all of DNet, in either stage, to be as good in few steps as `init_from` is in many.
    """

    preset: Literal["sd15", "mini"]
    networks: dict[str, Any] = {}
    stage: Literal[1, 2]
    init_from: str | None = None
    warm_start: str | None = None
    sources: dict[Literal["unet", "motion_adapter", "vae", "clip", "arcface"], str] | None = None
    output: Path
    data: DataConfig
    optimizer: OptimizerConfig = OptimizerConfig()
    distillation: DistillationConfig | None = None
    critic: CriticConfig | None = None
    steps: int = Field(ge=1)
    minutes: float | None = Field(None, gt=0)
    batch_size: int = Field(2, ge=1)
    gradient_accumulation: int = Field(1, ge=1)
    gradient_checkpointing: bool = False
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    trained: Part = "all"
    frozen_precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
    ema_device: Literal["same", "cpu"] = "same"
    ema_decay: float = Field(0.999, ge=0, lt=1)
    drop_portrait: float = Field(0.05, ge=0, le=1)
    drop_attribute: float = Field(0.05, ge=0, le=1)
    drop_both: float = Field(0.0, ge=0, le=1)
    attribute_loss_weight: float = Field(0.0, ge=0)
    attribute_loss_area: float = Field(0.0, ge=0, lt=1)
    absolute_loss_weight: float = Field(0.0, ge=0)
    colour_loss_weight: float = Field(0.0, ge=0)
    edge_loss_weight: float = Field(0.0, ge=0)
    contrast_loss_weight: float = Field(0.0, ge=0)
    grid_loss_weight: float = Field(0.0, ge=0)
    zigzag_loss_weight: float = Field(0.0, ge=0)
    flicker_loss_weight: float = Field(0.0, ge=0)
    match_loss_weight: float = Field(0.0, ge=0)
    paint_loss_weight: float = Field(0.0, ge=0)
    expression_loss_weight: float = Field(0.0, ge=0)
    position_loss_weight: float = Field(1.0, ge=0)
    reader_steps: int = Field(0, ge=0)
    timestep_shift: float = Field(1.0, gt=0)
    loss_weighting: Literal["constant", "min_snr"] = "constant"
    min_snr_gamma: float = Field(5.0, gt=0)
    save_every: int = Field(500, ge=1)
    sample_every: int = Field(500, ge=1)
    sample_steps: int | None = Field(None, ge=1)
    seed: int = 0

    @model_validator(mode="after")
    def _check_networks(self) -> TrainConfig:
        if self.init_from is not None and self.networks:
            raise ValueError("networks: a checkpoint (init_from) has its own, they can't be changed")
        if self.preset == "sd15" and (odd := set(self.networks) - {"denoising_unet", "reference_net"}):
            raise ValueError(f"networks: {', '.join(sorted(odd))} of sd15 can't be changed")
        if self.drop_both > self.drop_portrait:
            raise ValueError("drop_both: is a part of drop_portrait, and can't be larger")
        if self.warm_start is not None and (self.init_from is not None or self.preset == "sd15"):
            raise ValueError("warm_start: only for networks that would start from random weights")
        self.shape()
        return self

    @property
    def enlarges(self) -> bool:
        """Whether what trains makes pictures larger than DNet's, which stays as it is."""
        return self.trained in ("detail", "blend")

    def shape(self) -> Preset:
        """The preset with the changes of `networks`."""
        return PRESETS[self.preset].changed(self.networks)


def load_config(path: Path, overrides: dict[str, object] | None = None) -> TrainConfig:
    """Read a YAML file; relative paths in it are relative to the working directory.

    `extends: OTHER.yaml` (relative to the file) starts from another file, of which what is given here
    replaces single entries, at any depth.

    Raises:
        DurianError: naming the file and each offending key.
    """
    values = {**_read(Path(path)), **(overrides or {})}
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise DurianError(f"{path}: {problems}") from error


def _read(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DurianError(f"cannot read the configuration {path}: {str(error).splitlines()[0]}") from error
    if not isinstance(values, dict):
        raise DurianError(f"the configuration {path} is empty or not a mapping of keys to values")
    if "extends" not in values:
        return values
    base = path.parent / str(values.pop("extends"))
    if base.resolve() in (*seen, path.resolve()):
        raise DurianError(f"the configuration {path} extends itself through {base}")
    return merge(_read(base, (*seen, path.resolve())), values)


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the entries of `changes` in their places; mappings are merged entry by entry."""
    merged = dict(base)
    for key, value in changes.items():
        below = merged.get(key)
        nested = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(below, value) if nested else value
    return merged
