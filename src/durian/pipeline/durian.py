"""DurianPipeline: references once, then frames denoised in windows, decoded in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from itertools import chain, count, islice, repeat
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
import torch
from accelerate.hooks import UserCpuOffloadHook
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from durian.errors import DurianError
from durian.models.autoencoder import decode_pixels, latent_channels
from durian.models.denoising_unet import DeepFeatures
from durian.models.networks import READERS, Networks
from durian.models.presets import Preset
from durian.pipeline.checkpoint import (
    load_decoder,
    load_networks,
    load_scheduler,
    read_index,
    resolve_checkpoint,
    save_checkpoint,
)
from durian.pipeline.compiled import Compiled
from durian.pipeline.conditioner import Conditioner, FrameConditions, FrameDeep, Guidance
from durian.pipeline.converted import OpenVINOPredict
from durian.pipeline.offload import offload_readers
from durian.pipeline.sampling import Frame, has_passes, sample_stream, seam_shifts
from durian.pipeline.trial import trial_inputs
from durian.pipeline.windows import Windows
from durian.portrait.blend import shares
from durian.portrait.inputs import AnimationInputs, Reference
from durian.portrait.keypoints import draw_keypoints
from durian.portrait.motion_transfer import WARM_UP, MotionOptions, MotionTransfer, transfer_stream
from durian.portrait.smoothing import LandmarkSmoother
from durian.portrait.tracking import FaceTracker, track_face

LIVE = Windows(length=8, stride=4, fade=0, grows=True)
"""Four frames at once, and the four before them seen again: a delay of three frames."""


class AnimationOptions(TypedDict, total=False):
    """How to generate.

    Attributes:
        num_inference_steps: the checkpoint's own default if not given.
        portrait_scale, attribute_scale: guidance on each reference; 1 is none and costs nothing.
        guidance_interval: the part of the schedule in which guidance holds, 0 its begin and 1 its end.
        cache_interval: every how many steps all layers run; in the others only the outermost does, on deep
            features of the last full step (DeepCache). 1 is exact; more is faster and changes the frames.
        seed: of the noise. The same seed gives the same frames on the same machine.
        interpolate_to: attributes to blend towards (section 3.4).
        portrait_to: the portrait with the mask that goes with these, so that each end is what it would be
            alone; if not given, the portrait's own mask has to leave room for both.
        drop_attribute_tokens: leave the attributes out of spatial attention (an ablation).
    """

    num_inference_steps: int | None
    portrait_scale: float
    attribute_scale: float
    guidance_interval: tuple[float, float]
    cache_interval: int
    seed: int
    interpolate_to: Mapping[str, Reference] | None
    portrait_to: Reference | None
    drop_attribute_tokens: bool


class StreamOptions(AnimationOptions, total=False):
    """How to generate frames one after the other.

    Attributes:
        keypoint_images: drawn in place of the keypoints' own, one for each (an ablation).
        interpolation: α in [0, 1]: 0 gives the attributes alone and 1, the default, `interpolate_to`; one for
            all frames, or one for each.
        progress: called with the number of calls of the network done.
        windows: how the stream is cut; as in training, 16 frames, if not given.
    """

    keypoint_images: Iterable[UInt8[np.ndarray, "H W 3"]] | None
    interpolation: float | Iterable[float]
    progress: Callable[[int], None] | None
    windows: Windows | None


@dataclass(frozen=True)
class DurianOutput:
    """The animation: one RGB image a frame."""

    frames: list[Image.Image]


class DurianPipeline:
    """Animates a portrait that wears attributes of other pictures.

    Args:
        networks: the model.
        scheduler: one of diffusers', as the model was trained for.
        size: side of DNet's square pictures in pixels.
        sampling_steps: its default number of sampling steps.

    Attributes:
        decoded_together: how many frames are decoded at once, where so many are ready. A GPU is waited for
            after each call; a CPU gains nothing.
    """

    def __init__(self, networks: Networks, scheduler: Any, size: int, sampling_steps: int):
        self.networks = networks.eval().requires_grad_(False)
        self.scheduler = scheduler
        self._drawn_size = size
        self.sampling_steps = sampling_steps
        self.decoded_together = 4 if self.device.type == "cuda" else 1
        self._decoder = networks.vae
        self._predict: Callable[..., tuple[Tensor, DeepFeatures]] = networks.predict
        self._decode_pixels: Callable[..., UInt8[Tensor, "B H W 3"]] = decode_pixels
        self._offloaded: list[UserCpuOffloadHook] = []

    @classmethod
    def from_pretrained(
        cls,
        checkpoint: str | Path = "mini",
        device: str | torch.device | None = None,
        dtype: torch.dtype = torch.float32,
        detail: bool = True,
        offload: bool = False,
    ) -> DurianPipeline:
        """Load a checkpoint: `mini`, which is in the package, a folder, or a hub id.

        Args:
            device: a GPU if there is one, else the CPU.
            dtype: of weights and computation.
            detail: whether results have the size that the checkpoint's `DetailNet` brings them to, where
                it has one, or DNet's own.
            offload: keep what reads references in main memory, and on the GPU only while it reads
                (docs/speed.md).

        Raises:
            DurianError: the checkpoint or the device is not there, the checkpoint is damaged, or there is
                no GPU to keep things away from.
        """
        chosen = choose_device(device)
        folder = resolve_checkpoint(checkpoint)
        index = read_index(folder)
        networks = load_networks(folder)
        if not detail:
            networks.detail_net = None
        # Before it is moved: in single precision it might not fit.
        networks.lower_precision(dtype)
        hooks = offload_readers(networks, chosen) if offload else []
        for name, part in networks.components().items():
            if not (offload and name in READERS):
                part.to(chosen)
        pipeline = cls(networks, load_scheduler(folder), index["size"], index["sampling_steps"])
        pipeline._offloaded = hooks
        return pipeline

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype = torch.float32) -> None:
        """Write a checkpoint that `from_pretrained` reads."""
        settings = Preset(self._drawn_size, {}, {}, {}, {}, {}, sampling_steps=self.sampling_steps)
        save_checkpoint(Path(folder), self.networks, self.scheduler, settings, dtype)

    def compile(self) -> None:
        """Compile DNet and, on a GPU, decoding: the first window then takes minutes, and those after it less
        time (docs/speed.md)."""
        self._predict = Compiled(self.networks.predict)
        if self.device.type == "cuda":
            # The order in which a GPU's convolutions read; compiled, what lies between them keeps to it.
            for part in (self.networks, self._decoder):
                part.to(memory_format=torch.channels_last)
            self._decode_pixels = Compiled(decode_pixels)

    def use_openvino(self, dtype: torch.dtype = torch.float32, cache: Path | None = None) -> None:
        """Run DNet by OpenVINO on a CPU (docs/speed.md). It is converted first, for some twenty seconds, and
        what that gives is kept.

        Args:
            dtype: of DNet's computation, or `torch.int8`: products of integers, quicker still, a bit less
                exact (docs/speed.md). The networks themselves are to be in single precision.
            cache: folder for what is kept; the user's own cache if not given.

        Raises:
            DurianError: OpenVINO is not installed (Durian's extra `openvino`), or the networks are not in
                single precision on a CPU.
        """
        self._predict = OpenVINOPredict(self.networks, dtype, cache, self._animate_samples)

    def _animate_samples(self, networks: Networks) -> None:
        """With these networks: guided, so that every kind of row is seen, and at several levels of noise."""
        scheduler = deepcopy(self.scheduler)  # another animation may be under way
        other = DurianPipeline(networks, scheduler, self._drawn_size, self.sampling_steps)
        shown = trial_inputs(other.size, 8)
        options = AnimationOptions(num_inference_steps=4, portrait_scale=1.5, attribute_scale=1.5)
        for _ in other.latents_iter(shown.portrait, shown.attributes, shown.keypoints, **options):
            pass

    def use_decoder(self, source: str | Path) -> None:
        """Decode frames with a small decoder of the same latents, for example `madebyollin/taesd` for `sd15`:
        in an eighteenth of the products, at some cost of detail (docs/speed.md).

        Args:
            source: a folder or a hub id of diffusers' `AutoencoderTiny`.

        Raises:
            DurianError: it is not there, or is of other latents.
        """
        decoder = load_decoder(source, self.networks.vae)
        self._decoder = decoder.to(self.device, self.dtype).eval().requires_grad_(False)

    @property
    def device(self) -> torch.device:
        return self.networks.working_device

    @property
    def dtype(self) -> torch.dtype:
        return self.networks.working_dtype

    @property
    def size(self) -> int:
        """Side of the results, and of the references that it takes, in pixels."""
        return self._drawn_size * self.networks.detail_scale

    @property
    def detail_strength(self) -> float | None:
        """How far detail goes beyond what DNet is sure of, in [0, 1]: more is crisper and more often wrong. A
        checkpoint says its own; None where no `DetailNet` is in use. May be set.

        Raises:
            DurianError: set to another number, or where there is no `DetailNet`.
        """
        net = self.networks.detail_net
        return None if net is None else net.config["strength"]

    @detail_strength.setter
    def detail_strength(self, strength: float) -> None:
        if self.networks.detail_net is None:
            raise DurianError("no strength of detail can be set: there is no DetailNet in use")
        if not 0 <= strength <= 1:
            raise DurianError(f"a detail strength of {strength}: from 0 to 1 is possible")
        self.networks.detail_net.register_to_config(strength=float(strength))

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
        portrait_views: Iterable[Image.Image] = (),
        attribute_views: Mapping[str, Iterable[Image.Image]] | None = None,
        to: Mapping[str, Image.Image] | None = None,
        to_masks: Mapping[str, Image.Image] | None = None,
        blend: tuple[float, float] = (0.0, 1.0),
        progress: Callable[[int, int], None] | None = None,
        **options: Unpack[AnimationOptions],
    ) -> DurianOutput:
        """From pictures to an animation.

        Args:
            portrait: whose person is animated.
            attributes: by name (hair, glasses, beard, hat), a picture of somebody who wears it.
            driving: the frames of the driving video.
            attribute_masks: where the attribute is in its picture, white on black; found if not given.
            portrait_mask: the portrait's own attributes, which give way (`M_init`); found if not given.
            portrait_views: further pictures of the portrait in other poses, by the same camera and in the
                same light.
            attribute_views: further pictures of the attributes, by name.
            to, to_masks: pictures that attributes become (section 3.4), and masks like those above.
            blend: how far they have in the first frame and in the last, 0 not at all and 1 wholly.
            progress: as in `animate`. options: see `AnimationOptions`.

        Raises:
            DurianError: no face in one of the pictures, or no mask to be found.
        """
        from durian.portrait.prepare import prepare_motion, prepare_references
        from durian.portrait.views import View

        references = prepare_references(
            _rgb_array(portrait),
            _each(_rgb_array, attributes),
            size=self.size,
            attribute_masks=_each(_mask_array, attribute_masks),
            portrait_mask=None if portrait_mask is None else _mask_array(portrait_mask),
            portrait_views=[View(_rgb_array(image)) for image in portrait_views],
            attribute_views={
                name: [View(_rgb_array(image)) for image in images]
                for name, images in (attribute_views or {}).items()
            },
            to=_each(_rgb_array, to),
            to_masks=_each(_mask_array, to_masks),
        )
        keypoints = prepare_motion(map(_rgb_array, driving), references.portrait.landmarks)
        alphas = 1.0
        if references.others is not None:
            options["interpolate_to"], options["portrait_to"] = references.others, references.portrait_to
            alphas = shares(blend, len(keypoints))
        inputs = references.animated(keypoints, 25.0)
        frames = self.animate(inputs, interpolation=alphas, progress=progress, **options)
        return DurianOutput([Image.fromarray(frame) for frame in frames])

    def animate(
        self,
        inputs: AnimationInputs,
        *,
        keypoint_images: UInt8[np.ndarray, "F h w 3"] | None = None,
        interpolation: float | Float[np.ndarray, " F"] = 1.0,
        progress: Callable[[int, int], None] | None = None,
        **options: Unpack[AnimationOptions],
    ) -> UInt8[np.ndarray, "F H W 3"]:
        """Generate the frames of prepared inputs, all at once. For long videos, see `animate_iter`.

        Args:
            inputs: at the model's size.
            keypoint_images: drawn in place of the keypoints' own (an ablation), see `draw_keypoints`.
            interpolation: α in [0, 1]: 0 gives `inputs.attributes` alone and 1 `interpolate_to`; an array
                changes it over the frames.
            progress: called with (calls of the network done, calls in all).
            options: see `AnimationOptions`.

        Raises:
            DurianError: inputs of another size, no attribute, no frame, or fewer than one step.
        """
        frames = len(inputs.keypoints)
        if frames == 0:
            raise DurianError("the driving video has no frames")
        told = None
        if progress is not None:
            total = self.network_calls(frames, options.get("num_inference_steps"))
            told = partial(_tell, progress, total)
        made = self.animate_iter(
            inputs.portrait,
            inputs.attributes,
            inputs.keypoints,
            keypoint_images=keypoint_images,
            interpolation=np.broadcast_to(np.asarray(interpolation, np.float32), (frames,)),
            progress=told,
            **options,
        )
        return np.stack(list(made))

    @torch.no_grad()
    def animate_iter(
        self,
        portrait: Reference,
        attributes: Mapping[str, Reference],
        keypoints: Iterable[Float[np.ndarray, "478 3"]],
        **options: Unpack[StreamOptions],
    ) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        """Generate frames one after the other; memory does not grow with the length of the video.

        Args:
            portrait, attributes: at the model's size.
            keypoints: retargeted landmarks of each frame, read as they are needed.
            options: see `StreamOptions` and `AnimationOptions`.

        Raises:
            DurianError: at the first frame: references of another size, no attribute, or less than one step.
        """
        for ready in self._latent_groups(portrait, attributes, keypoints, **options):
            yield from self._decode(ready)

    def draw_keypoints(self, keypoints: Float[np.ndarray, "478 3"]) -> UInt8[np.ndarray, "H W 3"]:
        """Landmarks, in pixels of the results, as DNet sees them."""
        return draw_keypoints(keypoints / self.networks.detail_scale, self._drawn_size)

    @torch.no_grad()
    def latents_iter(
        self,
        portrait: Reference,
        attributes: Mapping[str, Reference],
        keypoints: Iterable[Float[np.ndarray, "478 3"]],
        **options: Unpack[StreamOptions],
    ) -> Iterator[Float[Tensor, "1 c 1 h w"]]:
        """The latents of what `animate_iter` gives, which takes the same arguments."""
        yield from chain.from_iterable(self._latent_groups(portrait, attributes, keypoints, **options))

    def _latent_groups(
        self,
        portrait: Reference,
        attributes: Mapping[str, Reference],
        keypoints: Iterable[Float[np.ndarray, "478 3"]],
        **options: Unpack[StreamOptions],
    ) -> Iterator[Iterable[Float[Tensor, "1 c 1 h w"]]]:
        """The same, those that get ready at once together."""
        steps = options.get("num_inference_steps") or self.sampling_steps
        self._check(portrait, attributes, options)
        interval = options.get("cache_interval", 1)
        if interval < 1:
            raise DurianError(f"a cache interval of {interval}: at least 1 is needed")
        guidance = Guidance(
            options.get("portrait_scale", 1.0),
            options.get("attribute_scale", 1.0),
            options.get("guidance_interval", (0.0, 1.0)),
        )
        conditioner = Conditioner(
            self.networks,
            self.size,
            portrait,
            attributes,
            options.get("interpolate_to"),
            options.get("portrait_to"),
            options.get("drop_attribute_tokens", False),
            self._predict,
        )
        for hook in self._offloaded:
            hook.offload()
        noise_levels = self.scheduler.config["num_train_timesteps"]

        def denoise(
            latents: Tensor,
            timestep: Tensor,
            frames: Sequence[FrameConditions],
            deep: Sequence[FrameDeep] | None,
        ) -> tuple[Tensor, Sequence[FrameDeep]]:
            done = 1 - (float(timestep) + 1) / noise_levels
            guided = guidance.holds(max(done, 0))
            return conditioner.predict(latents, timestep, frames, guidance, guided, deep)

        longest = self.networks.denoising_unet.config["motion_max_seq_length"]
        cut = (options.get("windows") or Windows()).within(longest)
        progress, interpolation = options.get("progress"), options.get("interpolation", 1.0)

        def conditions() -> Iterator[FrameConditions]:
            alphas = interpolation if isinstance(interpolation, Iterable) else repeat(interpolation)
            given = options.get("keypoint_images")
            images = repeat(None) if given is None else given
            for group in cut.batches(zip(keypoints, images, alphas, strict=False)):
                read, pictures, weights = zip(*group, strict=True)
                pairs = zip(read, pictures, strict=True)
                drawn = [self.draw_keypoints(each) if image is None else image for each, image in pairs]
                yield from conditioner.frames(np.stack(read), np.stack(drawn), [*map(float, weights)])

        noise = self._noise(options.get("seed", 0), conditioner.latent_size)
        larger = self.networks.detail_net is not None
        made = sample_stream(
            (Frame(start, given) for given, start in zip(conditions(), noise, strict=False)),
            denoise,
            self.scheduler,
            steps,
            cut,
            None if progress is None else map(progress, count(1)).__next__,
            interval,
            keep_deep=larger,
        )

        def finished(frame: Frame[FrameConditions, FrameDeep]) -> Tensor:
            if not larger:
                return frame.latents
            assert frame.deep is not None
            return conditioner.detail(frame.latents, frame.deep, frame.conditions)

        for ready in made:
            yield map(finished, ready)

    def stream(
        self,
        portrait: Reference,
        attributes: Mapping[str, Reference],
        frames: Iterable[UInt8[np.ndarray, "H W 3"]],
        *,
        windows: Windows = LIVE,
        warm_up: int = WARM_UP,
        tracker: FaceTracker | None = None,
        motion: MotionOptions | None = None,
        smoother: LandmarkSmoother | None = None,
        interpolation: float | Iterable[float] = 1.0,
        **options: Unpack[AnimationOptions],
    ) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        """Live: a driver's frames in one by one, the animation's frames out one by one.

        A frame comes out when at most `windows.delay` further frames have come in, whatever the number of
        steps; only the first `warm_up` frames with a face, from which the driver's rest pose is read, are
        waited for. A frame without a face holds the last motion. Memory does not grow.

        Args:
            portrait, attributes: at the model's size, see `durian.portrait.prepare.prepare`.
            frames: of the driver, as a camera gives them.
            windows: how many frames are made at once and how many are seen again.
            warm_up: at least 1.
            tracker: finds and follows the driver's face; of MediaPipe if not given.
            motion: what of the driver's motion is taken over.
            smoother: steadies the driver's landmarks.
            interpolation: see `StreamOptions`.
            options: see `AnimationOptions`.
        """
        with ExitStack() as stack:
            follow = tracker or stack.enter_context(FaceTracker())
            faces = (face.landmarks for face in track_face(frames, follow, 0, smoother))
            keypoints = transfer_stream(faces, MotionTransfer(portrait.landmarks, motion), warm_up)
            yield from self.animate_iter(
                portrait, attributes, keypoints, windows=windows, interpolation=interpolation, **options
            )

    def network_calls(self, frames: int, steps: int | None = None, windows: Windows | None = None) -> int:
        """How many calls of the network (or, guided, groups of calls) a video of so many frames takes."""
        steps = self.sampling_steps if steps is None else steps
        longest = self.networks.denoising_unet.config["motion_max_seq_length"]
        cut = (windows or Windows()).within(longest)
        if not has_passes(self.scheduler):
            return steps * cut.count(frames)
        return sum(cut.count(frames, shift) for shift in seam_shifts(cut, steps))

    def _check(
        self, portrait: Reference, attributes: Mapping[str, Reference], options: AnimationOptions
    ) -> None:
        steps, ends = options.get("num_inference_steps"), options.get("interpolate_to") or {}
        if steps is not None and steps < 1:
            raise DurianError(f"{steps} sampling steps: at least 1 is needed")
        if not attributes:
            raise DurianError("no attribute given: name at least one, for example hair")
        given = {"portrait": portrait, **attributes, **{f"second {name}": end for name, end in ends.items()}}
        if (other := options.get("portrait_to")) is not None:
            given["second portrait"] = other
        read_alone = self.networks.attribute_net is not None
        for name, reference in given.items():
            if reference.views and not read_alone:
                raise DurianError(f"this checkpoint takes one picture of the {name}, and there are several")
        pictures = [(name, each) for name, one in given.items() for each in (one, *one.views)]
        for name, reference in pictures:
            if reference.image.shape != (self.size, self.size, 3):
                raise DurianError(
                    f"the {name} is {reference.image.shape[1]}×{reference.image.shape[0]} pixels and this "
                    f"checkpoint wants {self.size}×{self.size}"
                )

    def _noise(self, seed: int, latent_size: int) -> Iterator[Float[Tensor, "1 c 1 h w"]]:
        # Drawn on the CPU frame by frame, so that neither the device nor the length changes a frame's noise.
        generator = torch.Generator().manual_seed(seed)
        shape = (1, latent_channels(self.networks.vae), 1, latent_size, latent_size)
        while True:
            yield torch.randn(shape, generator=generator).to(self.device)

    def _decode(self, latents: Iterable[Float[Tensor, "1 c 1 h w"]]) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        waiting = iter(latents)
        while few := list(islice(waiting, self.decoded_together)):
            # Always as many where it is compiled, or each number of frames would be compiled by itself.
            missing = 0 if self._decode_pixels is decode_pixels else self.decoded_together - len(few)
            filled = few + few[-1:] * missing
            stacked = torch.cat([each[:, :, 0] for each in filled]).to(self.dtype)
            yield from self._decode_pixels(self._decoder, stacked)[: len(few)].cpu().numpy()


def _tell(progress: Callable[[int, int], None], total: int, done: int) -> None:
    progress(done, total)


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


def _each(convert: Callable[[Image.Image], np.ndarray], images: Mapping[str, Image.Image] | None) -> dict:
    return {name: convert(image) for name, image in (images or {}).items()}


def _rgb_array(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))


def _mask_array(mask: Image.Image) -> np.ndarray:
    return np.asarray(mask.convert("L"), np.float32) / 255
