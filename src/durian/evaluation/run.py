"""A whole evaluation: trials in parallel, resumable, and the report of what they scored."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from durian.errors import DurianError
from durian.evaluation.judge import Judge, Task, read_record
from durian.evaluation.methods import Animator
from durian.evaluation.report import Report, build_report, write_report
from durian.evaluation.report.sheet import write_sheet
from durian.evaluation.set_scores import set_scores
from durian.evaluation.trial import TrialRef
from durian.work import available_cores, run_jobs

if TYPE_CHECKING:
    from durian.portrait.landmarks import LandmarkDetector

_PACKAGES = ("durian", "torch", "diffusers", "mediapipe", "opencv-python-headless", "numpy")
_PARTNERS = 5


def environment() -> dict[str, str]:
    """Versions and platform, which decide whether numbers can be reproduced exactly."""
    return {
        **{name: version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
    }


def evaluate(
    refs: Sequence[TrialRef],
    task: Task,
    *,
    protocol: str,
    title: str,
    settings: Mapping[str, Any] | None = None,
    workers: int = 1,
    animators: Mapping[str, Animator] | None = None,
    detector: LandmarkDetector | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Score trials and write report and contact sheet into the task's folder, going on from what it holds.

    Args:
        refs: the trials.
        task: methods, metrics and the folder.
        protocol, title, settings: of the report.
        workers: processes; models are loaded in each.
        animators, detector: as `Judge` takes them; only with one worker.
        progress: called with trials done and trials in all.

    Raises:
        DurianError: no trial could be scored, or the folder cannot be written to.
    """
    try:
        task.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DurianError(f"{task.folder}: the folder cannot be made: {error}") from error
    if progress is not None:
        progress(0, len(refs))
    jobs = [(task, ref, _partners(refs, index), workers) for index, ref in enumerate(refs)]
    if workers == 1:
        with Judge(task, animators, detector) as judge:
            for done, (_, ref, partners, _) in enumerate(jobs, 1):
                judge.score(ref, partners)
                if progress is not None:
                    progress(done, len(refs))
    else:
        for done, _ in enumerate(run_jobs(_score, jobs, workers), 1):
            if progress is not None:
                progress(done, len(refs))
    report = collect(refs, task, protocol=protocol, title=title, settings=settings)
    write_report(task.folder, report)
    if task.media:
        write_sheet(task.folder, report)
    return report


def collect(
    refs: Sequence[TrialRef],
    task: Task,
    *,
    protocol: str,
    title: str,
    settings: Mapping[str, Any] | None = None,
) -> Report:
    """The report of what the folder's records hold."""
    cases, skipped = [], []
    names = [method.name for method in task.methods]
    for ref in refs:
        record = read_record(task.folder, ref)
        if "methods" not in record:
            skipped.append({"id": ref.id, "reason": record.get("skipped", "was not scored")})
            continue
        entries = {name: record["methods"][name] for name in names if name in record["methods"]}
        entries = {name: entry for name, entry in entries.items() if entry["scores"] is not None}
        fields = ("id", "groups", "attributes", "frames", "facts")
        shown = {"inputs", "truth", *names}
        cases.append(
            {field: record[field] for field in fields}
            | {
                "seconds": {name: entry["seconds"] for name, entry in entries.items()},
                "scores": {name: entry["scores"] for name, entry in entries.items()},
                "media": {name: path for name, path in record["media"].items() if name in shown},
            }
        )
    return build_report(
        protocol=protocol,
        title=title,
        methods={method.name: method.describe() for method in task.methods},
        metrics=task.metrics(),
        cases=cases,
        skipped=skipped,
        set_scores=set_scores(task, cases),
        settings=dict(settings or {}),
        environment=environment(),
    )


def _partners(refs: Sequence[TrialRef], index: int) -> list[TrialRef]:
    """The next trials, going round, of other people: first those that transfer the same attributes."""
    own = refs[index]
    plain = [ref for ref in (*refs[index + 1 :], *refs[:index]) if "@" not in ref.id and ref.attributes]
    others = [ref for ref in plain if not own.id.startswith(ref.id)]
    alike = [ref for ref in others if ref.attributes == own.attributes]
    unlike = [ref for ref in others if ref.attributes != own.attributes]
    return [*alike[:_PARTNERS], *unlike[:_PARTNERS]]


def _score(task: Task, ref: TrialRef, partners: Sequence[TrialRef], workers: int) -> None:
    _judge(task, workers).score(ref, partners)


@lru_cache(maxsize=1)
def _judge(task: Task, workers: int) -> Judge:
    """This process's own, kept for the next trial; the cores are shared among the processes."""
    import cv2
    import torch

    threads = max(1, available_cores() // workers)
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    return Judge(task)
