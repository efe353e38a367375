"""Metrics of whole sets: Fréchet distances between the features of results and of true frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from durian.evaluation.judge import Task, features_path
from durian.evaluation.perceptual import frechet_distance

_ALL = "all"


def set_scores(
    task: Task, cases: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, dict[str, float | None]]]:
    """By group, method and metric, from the features that the trials left; empty where none did."""
    if task.weights.inception is None and task.weights.video is None:
        return {}
    groups: dict[str, list[str]] = {_ALL: []}
    for case in cases:
        for group in (_ALL, *case["groups"]):
            groups.setdefault(group, []).append(case["id"])
    truth = next((method.name for method in task.methods if method.kind == "truth"), None)
    if truth is None:
        return {}
    scored = [method.name for method in task.methods if method.kind in ("model", "baseline")]
    return {
        group: {method: _distances(task, ids, method, truth) for method in scored}
        for group, ids in groups.items()
    }


def _distances(task: Task, ids: Sequence[str], method: str, truth: str) -> dict[str, float | None]:
    paths = [tuple(features_path(task.folder, name, each) for each in (method, truth)) for name in ids]
    pairs = [(_read(ours), _read(theirs)) for ours, theirs in paths if ours.is_file() and theirs.is_file()]
    names = sorted({name for pair in pairs for name in pair[0].keys() & pair[1].keys()})
    return {name: frechet_distance(_stack(pairs, 0, name), _stack(pairs, 1, name)) for name in names}


def _stack(pairs: Sequence[tuple[dict, dict]], side: int, name: str) -> np.ndarray:
    return np.concatenate([pair[side][name] for pair in pairs if name in pair[0] and name in pair[1]])


def _read(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)
