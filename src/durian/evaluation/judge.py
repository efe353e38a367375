"""Scores of one trial: every method runs, every metric measures, and a record on disk keeps the numbers."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from durian.errors import DurianError
from durian.evaluation.identity import IDENTITY_METRICS, SyntheticIdentity
from durian.evaluation.methods import Animator, Method, run_method, swapped_images
from durian.evaluation.metrics import PIXEL_METRICS, pixel_scores
from durian.evaluation.motion import MOTION_METRICS, MotionFidelity
from durian.evaluation.perceptual import PERCEPTUAL_METRICS, WeightSources
from durian.evaluation.perceptual.sources import METRIC_OF
from durian.evaluation.report import write_media
from durian.evaluation.sequence import SEQUENCE_METRICS, sequence_scores
from durian.evaluation.temporal import TEMPORAL_METRICS, Motion, temporal_scores
from durian.evaluation.trial import Frames, Metric, Scores, Trial, TrialRef

if TYPE_CHECKING:
    from durian.portrait.landmarks import LandmarkDetector

RECORDS, FEATURES = "records", "features"

_VERSION = 1
"""Of the scores. After a change of what a metric or a baseline computes, older records do not count."""


@dataclass(frozen=True)
class Task:
    """What is done with every trial; a value, so that it can be sent to another process.

    Attributes:
        folder: of the records, features and media.
        methods: in the order of the report.
        weights: of the metrics that need published networks.
        device: of models and metrics; None is a GPU if there is one.
        media: whether pictures and videos are kept.
        synthetic: whether the people are synthetic, whose identity the packaged embedding can tell.
    """

    folder: Path
    methods: tuple[Method, ...]
    weights: WeightSources = field(default_factory=WeightSources)
    device: str | None = None
    media: bool = True
    synthetic: bool = False

    def metrics(self) -> list[Metric]:
        """All that is measured, in the order of the report."""
        offline = (*PIXEL_METRICS, *MOTION_METRICS, *TEMPORAL_METRICS, *SEQUENCE_METRICS)
        offline += IDENTITY_METRICS if self.synthetic else ()
        published = {METRIC_OF[name] for name in self.weights.given()}
        return [*offline, *(metric for name, metric in PERCEPTUAL_METRICS.items() if name in published)]

    def key(self, ref: TrialRef, method: Method) -> str:
        """Of a method's scores: an equal key means that they need not be made again."""
        parts = (_VERSION, ref.fingerprint, method, self.weights, sorted(m.name for m in self.metrics()))
        return hashlib.sha256(repr(parts).encode()).hexdigest()


class Judge:
    """Scores trials, one at a time.

    Args:
        task: what is done.
        animators: models by checkpoint, in place of those that the task's checkpoints name, with detail or
            without.
        detector: finds the landmarks of results; None is MediaPipe.

    Raises:
        DurianError: a checkpoint or weights are not there.
    """

    def __init__(
        self,
        task: Task,
        animators: Mapping[str, Animator] | None = None,
        detector: LandmarkDetector | None = None,
    ):
        self.task = task
        given = (animators or {}).items()
        self._animators = {(name, detail): each for name, each in given for detail in (True, False)}
        self._stack = ExitStack()
        self._motion = self._stack.enter_context(MotionFidelity(detector))
        self._identity = SyntheticIdentity() if task.synthetic else None
        self._perceptual = None
        if task.weights.given():
            from durian.evaluation.perceptual.measure import PerceptualMetrics
            from durian.pipeline.durian import choose_device

            self._perceptual = PerceptualMetrics(task.weights, choose_device(task.device))

    def close(self) -> None:
        """Release the landmark detector."""
        self._stack.close()

    def __enter__(self) -> Judge:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def score(self, ref: TrialRef, partners: Sequence[TrialRef] = ()) -> None:
        """Score a trial by each method that its record does not hold yet, and write the record.

        A trial that cannot be read is recorded with the reason, and tried again by the next run.
        """
        record = read_record(self.task.folder, ref)
        known = record.get("methods", {})
        keys = {method.name: self.task.key(ref, method) for method in self.task.methods}
        todo = [m for m in self.task.methods if known.get(m.name, {}).get("key") != keys[m.name]]
        if not todo:
            return
        try:
            trial = ref.load()
            made: dict[str, tuple[Frames | None, float]] = {}
            for method in todo:
                made[method.name] = self._run(method, trial, partners, made)
        except DurianError as error:
            write_record(self.task.folder, ref, {"id": ref.id, "skipped": " ".join(str(error).split())})
            return
        flow = None if trial.targets is None else Motion.of(trial.targets)  # once for all methods
        entries = {
            method.name: {"key": keys[method.name], **self._measure(method, trial, flow, *made[method.name])}
            for method in todo
        }
        content: dict[str, Any] = {
            "id": trial.id,
            "groups": list(trial.groups),
            "attributes": list(trial.attributes),
            "frames": len(trial.keypoints),
            "facts": dict(trial.facts),
            "media": dict(record.get("media", {})),
            "methods": {**known, **entries},
        }
        if self.task.media:
            shown = {
                method.name: frames
                for method in todo
                if method.kind in ("model", "baseline") and (frames := made[method.name][0]) is not None
            }
            content["media"] |= write_media(self.task.folder, trial, shown)
        write_record(self.task.folder, ref, content)

    def _run(
        self,
        method: Method,
        trial: Trial,
        partners: Sequence[TrialRef],
        made: Mapping[str, tuple[Frames | None, float]],
    ) -> tuple[Frames | None, float]:
        animator = None if method.checkpoint is None else self._animator(method.checkpoint, method.detail)
        if method.dependence == "motion_swapped" and animator is not None and animator.moves_by_image:
            same = next((m for m in self.task.methods if m == swapped_images(method)), None)
            if same is not None and same.name in made:  # then the frames are the same too
                return made[same.name]
        started = time.perf_counter()
        frames = run_method(method, trial, animator, partners)
        return frames, time.perf_counter() - started

    def _animator(self, checkpoint: str, detail: bool) -> Animator:
        key = checkpoint, detail
        if key not in self._animators:
            from durian.pipeline import DurianPipeline

            self._animators[key] = DurianPipeline.from_pretrained(
                checkpoint, device=self.task.device, detail=detail
            )
        return self._animators[key]

    def _measure(
        self, method: Method, trial: Trial, flow: Motion | None, frames: Frames | None, seconds: float
    ) -> dict[str, Any]:
        if frames is None:
            return {"scores": None, "seconds": 0.0}
        scores: Scores = {}
        if method.kind != "truth":
            scores |= pixel_scores(frames, trial)
        if method.kind != "ablation":  # which is made for its losses alone
            scores |= temporal_scores(frames, trial, flow) | self._motion.scores(frames, trial)
            scores |= sequence_scores(frames, trial) if method.kind != "truth" else {}
            if self._identity is not None:
                scores |= self._identity.scores(frames, trial)
            if self._perceptual is not None:
                scores |= self._perceptual.scores(frames, trial)
                self._keep_features(method, trial, frames)
        return {"scores": {k: v for k, v in scores.items() if v is not None}, "seconds": seconds}

    def _keep_features(self, method: Method, trial: Trial, frames: Frames) -> None:
        assert self._perceptual is not None
        features = self._perceptual.features(frames)
        if not features:
            return
        path = features_path(self.task.folder, trial.id, method.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        with temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **features)
        os.replace(temporary, path)


def features_path(folder: Path, trial: str, method: str) -> Path:
    """Where the features of a method's frames lie, for the metrics of whole sets."""
    return folder / FEATURES / quote(trial, safe=" @+=,") / f"{quote(method, safe=' ,')}.npz"


def read_record(folder: Path, ref: TrialRef) -> dict[str, Any]:
    """What is known of a trial; empty where nothing is, or where it was cut short."""
    try:
        content = json.loads(_record_path(folder, ref).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_record(folder: Path, ref: TrialRef, content: Mapping[str, Any]) -> None:
    """Write beside, then rename into place."""
    path = _record_path(folder, ref)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(content, allow_nan=False), "utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise DurianError(f"{folder}: the scores cannot be written: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _record_path(folder: Path, ref: TrialRef) -> Path:
    return folder / RECORDS / f"{quote(ref.id, safe=' @+=,')}.json"
