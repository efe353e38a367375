"""What is scored: the answer itself, the baselines, models, and models with a condition taken away."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from jaxtyping import Float, UInt8

from durian.errors import DurianError
from durian.evaluation.baselines import BASELINES, baseline_frames
from durian.evaluation.cases import resize
from durian.evaluation.sequence import LONG
from durian.evaluation.trial import Frames, Request, Trial, TrialRef
from durian.portrait.inputs import AnimationInputs


class Animator(Protocol):
    """What a model is here: `durian.pipeline.DurianPipeline`, or anything that animates like it."""

    @property
    def size(self) -> int:
        """Side of its images in pixels."""
        ...

    @property
    def moves_by_image(self) -> bool:
        """Whether all that it is told of the motion are the keypoint images."""
        ...

    def draw_keypoints(self, keypoints: Float[np.ndarray, "478 3"]) -> UInt8[np.ndarray, "H W 3"]:
        """Landmarks, in pixels of its images, as it is shown them."""
        ...

    def animate(self, inputs: AnimationInputs, **options: Any) -> UInt8[np.ndarray, "F size size 3"]:
        """The animation of `inputs`; options as `DurianPipeline.animate` has them."""
        ...


@dataclass(frozen=True)
class Dependence:
    """A condition that is taken from a model, to see whether it was in use.

    A model that pastes well and never looks at its attribute tokens or at the keypoint image has good
    scores and loses nothing.
    """

    title: str
    metric: str
    about: str


DEPENDENCE = {
    "attribute_removed": Dependence(
        "attribute removed", "psnr_attribute", "without the attribute's attention tokens"
    ),
    "attribute_swapped": Dependence(
        "attribute swapped", "psnr_attribute", "with another trial's attribute of the same kind; M_port stays"
    ),
    "keypoints_swapped": Dependence(
        "keypoint images swapped", "psnr", "with only the keypoint images drawn from another trial's motion"
    ),
    "motion_swapped": Dependence(
        "motion swapped", "psnr", "with another trial's motion altogether, face coordinates included"
    ),
}
"""What is taken away, and by which metric's loss it is judged."""


@dataclass(frozen=True)
class Method:
    """One column of a report; a value, so that it can be sent to another process.

    Attributes:
        name: unique in the report.
        kind: as in `durian.evaluation.report.schema`.
        checkpoint: of a model, and of an ablation the model's.
        of, dependence: of an ablation, the model's name and a key of `DEPENDENCE`.
        steps: denoising steps; None is the checkpoint's default.
        cache_interval: as in `durian.pipeline.AnimationOptions`.
        detail: as in `durian.pipeline.DurianPipeline.from_pretrained`.
        fingerprint: of the weights.
    """

    name: str
    kind: Literal["truth", "baseline", "model", "ablation"]
    checkpoint: str | None = None
    of: str | None = None
    dependence: str | None = None
    steps: int | None = None
    cache_interval: int = 1
    detail: bool = True
    fingerprint: str = ""

    def describe(self) -> dict[str, Any]:
        """As a report describes it."""
        if self.kind == "truth":
            return {"title": "truth", "kind": "truth", "about": "the true frames, scored like a result"}
        if self.kind == "baseline":
            about = str(BASELINES[self.name].__doc__).splitlines()[0]
            return {"title": self.name.replace("_", " "), "kind": "baseline", "about": about}
        settings: dict[str, Any] = {"checkpoint": self.checkpoint, "steps": self.steps}
        settings["weights"] = self.fingerprint[:12]
        if self.cache_interval > 1:
            settings["cache_interval"] = self.cache_interval
        if not self.detail:
            settings["detail"] = False
        if self.dependence is None:
            return {"title": self.name, "kind": "model", **settings}
        lost = DEPENDENCE[self.dependence]
        about = f"{self.of} {lost.about}"
        extra = {"of": self.of, "metric": lost.metric, "about": about}
        return {"title": lost.title, "kind": "ablation", **extra, **settings}


def list_methods(
    checkpoints: dict[str, str],
    *,
    steps: int | None = None,
    cache_interval: int = 1,
    detail: bool = True,
    dependence: bool = True,
    truth: bool = True,
) -> list[Method]:
    """Models, baselines and, where asked for, the truth and the models' ablations.

    Args:
        checkpoints: by the model's name: "mini", a folder or a hub id.
        steps, cache_interval, detail: of all models, see `Method`.
        dependence, truth: whether ablations and the truth are among them.

    Raises:
        DurianError: a checkpoint is not there, or two methods would have one name.
    """
    from durian.pipeline.checkpoint import resolve_checkpoint

    models = []
    for name, checkpoint in checkpoints.items():
        fingerprint = weights_hash(resolve_checkpoint(checkpoint))
        model = Method(name, "model", checkpoint, fingerprint=fingerprint)
        models.append(replace(model, steps=steps, cache_interval=cache_interval, detail=detail))
    methods = [*models, *(Method(name, "baseline") for name in BASELINES)]
    if truth:
        methods.append(Method("truth", "truth"))
    for model in models if dependence else ():
        methods += [ablation(model, name) for name in DEPENDENCE]
    names = [method.name for method in methods]
    if twice := {name for name in names if names.count(name) > 1}:
        raise DurianError(f"{twice.pop()!r} cannot be a model's name: another method is called so")
    return methods


def ablation(model: Method, dependence: str) -> Method:
    """A model without one of the conditions of `DEPENDENCE`."""
    name = f"{model.name}, {DEPENDENCE[dependence].title}"
    return replace(model, name=name, kind="ablation", of=model.name, dependence=dependence)


def swapped_images(method: Method) -> Method:
    """Of the ablation whose whole motion is swapped, that in which the keypoint images alone are."""
    return ablation(replace(method, name=method.of or method.name), "keypoints_swapped")


def weights_hash(folder: Path) -> str:
    """Of all files of a checkpoint; equal for equal weights wherever they lie."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in (".json", ".safetensors"):
            digest.update(path.relative_to(folder).as_posix().encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def run_method(
    method: Method, trial: Trial, animator: Animator | None, partners: Sequence[TrialRef] = ()
) -> Frames | None:
    """The method's frames at the trial's size; None where it has nothing to say of such a trial.

    Args:
        animator: of a model or an ablation.
        partners: trials to take swapped conditions from; the first that fits and can be read is taken.
    """
    if method.kind == "truth":
        return trial.targets
    if method.kind == "baseline":
        return baseline_frames(method.name, trial.request(trial.size))
    assert animator is not None
    request = trial.request(animator.size)
    options: dict[str, Any] = {
        "num_inference_steps": method.steps,
        "cache_interval": method.cache_interval,
        "seed": trial.seed,
    }
    inputs = request.inputs
    if method.dependence is not None:
        changed = _without(method.dependence, trial, request, animator, partners)
        if changed is None:
            return None
        inputs, extra = changed
        options |= extra
    elif request.interpolate_to is not None:
        options |= {
            "interpolate_to": request.interpolate_to,
            "portrait_to": request.portrait_to,
            "interpolation": request.interpolation,
        }
    frames = animator.animate(inputs, **options)
    return np.stack([resize(frame, trial.size) for frame in frames])


def _without(
    what: str, trial: Trial, request: Request, animator: Animator, partners: Sequence[TrialRef]
) -> tuple[AnimationInputs, dict[str, Any]] | None:
    """Inputs and options of an ablation; None where several attributes, or two blended, are transferred, and
    of long clips, which would tell the same at great cost."""
    inputs = request.inputs
    if len(trial.attributes) != 1 or request.interpolate_to is not None or len(trial.keypoints) >= LONG:
        return None
    if what == "attribute_removed":
        return inputs, {"drop_attribute_tokens": True}
    same_kind = what == "attribute_swapped"
    wanted = [ref for ref in partners if not same_kind or ref.attributes == trial.attributes]
    other = next(_readable(wanted), None)
    if other is None:
        return None
    theirs = other.request(animator.size).inputs
    if same_kind:
        return replace(inputs, attributes=theirs.attributes), {}
    motion = np.stack(list(islice(cycle(theirs.keypoints), len(inputs.keypoints))))
    if what == "motion_swapped":
        return replace(inputs, keypoints=motion), {}
    return inputs, {"keypoint_images": np.stack([animator.draw_keypoints(each) for each in motion])}


def _readable(refs: Sequence[TrialRef]) -> Iterator[Trial]:
    for ref in refs:
        try:
            yield ref.load()
        except DurianError:  # reported as skipped when its own turn comes
            continue
