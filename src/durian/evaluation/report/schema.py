"""What report.json holds."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

VERSION = 1
"""Of report.json. A field that changes its meaning is a new version, which older readers refuse."""

ALL = "all"
"""The group that every case is in."""

Kind = Literal["model", "baseline", "truth", "ablation"]
"""What a method is. Models and baselines compete; `truth` is the answer itself scored as if it were a
method, and an `ablation` a model with something taken away."""

CONTEST: tuple[Kind, ...] = ("model", "baseline")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Method(_Strict):
    """A column of numbers. Fields of its own (checkpoint, steps, …) are kept and shown as they are.

    Attributes:
        of, metric: of an ablation, the model it is made from, and the metric whose loss says whether what
            was taken away had been in use. With both, the loss is in the report's `dependence`.
    """

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    title: str
    kind: Kind
    about: str = ""
    of: str | None = None
    metric: str | None = None


class MetricInfo(_Strict):
    """As `durian.evaluation.trial.Metric`, under its name."""

    title: str
    better: Literal["higher", "lower"]
    unit: str = ""
    digits: Annotated[int, Field(ge=0, le=9)] = 3
    about: str = ""


class Cell(_Strict):
    """A mean over cases with its 95 % bootstrap interval, as `durian.evaluation.statistics.Interval`.

    Of a metric of whole sets, such as FID, `mean` is its value and there is no interval.
    """

    mean: FiniteFloat | None
    low: FiniteFloat | None
    high: FiniteFloat | None
    count: Annotated[int, Field(ge=0)]


class Loss(Cell):
    """What a model loses of `metric`, paired by case; positive is a loss whichever way is good."""

    metric: str


class CaseScores(_Strict):
    """One case.

    Attributes:
        frames: how many.
        facts: numbers that say what kind of case it is.
        seconds: that each method took.
        scores: by method and metric; None where the metric does not apply.
        media: files relative to the report's folder, "inputs", "truth" and by method.
    """

    id: str
    groups: list[str]
    attributes: list[str]
    frames: Annotated[int, Field(ge=0)]
    facts: dict[str, FiniteFloat] = {}
    seconds: dict[str, FiniteFloat] = {}
    scores: dict[str, dict[str, FiniteFloat | None]]
    media: dict[str, str] = {}


class Skipped(_Strict):
    """A case that has no scores, and why."""

    id: str
    reason: str


class Report(_Strict):
    """Everything that is shown; `durian.evaluation.report.build_report` makes it from cases.

    Attributes:
        settings: what the numbers were made with; "command" is shown as the command line.
        environment: versions and platform.
        methods, groups: in the order in which they are shown; a group's number is that of its cases.
        table: by group, method and metric.
        dependence: by model, then by what was taken away.
    """

    version: Literal[1] = VERSION
    protocol: str
    title: str
    settings: dict[str, Any] = {}
    environment: dict[str, Any] = {}
    methods: dict[str, Method]
    metrics: dict[str, MetricInfo]
    groups: dict[str, int]
    table: dict[str, dict[str, dict[str, Cell]]]
    dependence: dict[str, dict[str, Loss]] = {}
    cases: list[CaseScores]
    skipped: list[Skipped] = []

    @model_validator(mode="after")
    def _consistent(self) -> Report:
        """Every name that is used is declared, so that pages and comparisons need not ask."""
        _check_known("method", {name for case in self.cases for name in case.scores}, self.methods)
        scored = {name for case in self.cases for scores in case.scores.values() for name in scores}
        _check_known("metric", scored, self.metrics)
        for group, rows in self.table.items():
            _check_known("group", {group}, self.groups)
            _check_known("method", set(rows), self.methods)
            _check_known("metric", {name for row in rows.values() for name in row}, self.metrics)
        _check_known("method", {m.of for m in self.methods.values() if m.of is not None}, self.methods)
        _check_known(
            "metric", {m.metric for m in self.methods.values() if m.metric is not None}, self.metrics
        )
        _check_known("method", set(self.dependence), self.methods)
        _check_known(
            "metric",
            {loss.metric for losses in self.dependence.values() for loss in losses.values()},
            self.metrics,
        )
        twice = [name for name, count in Counter(case.id for case in self.cases).items() if count > 1]
        if twice:
            raise ValueError(f"case {twice[0]!r} is there twice")
        for case in self.cases:
            for path in case.media.values():
                # A page opens these, so a report from elsewhere must not point out of its folder.
                if path.startswith("/") or ":" in path or ".." in path.split("/"):
                    raise ValueError(f"case {case.id!r}: {path!r} is not a path below the report's folder")
        return self

    def contestants(self) -> list[str]:
        """The methods that compete, in order."""
        return [name for name, method in self.methods.items() if method.kind in CONTEST]

    def cell(self, group: str, method: str, metric: str) -> Cell | None:
        """None where the method has no such number."""
        return self.table.get(group, {}).get(method, {}).get(metric)

    def measured(self) -> list[str]:
        """The metrics that any method has a number in, in order."""
        return [name for name in self.metrics if any(self.cell(ALL, each, name) for each in self.methods)]

    def best(self, group: str, metric: str) -> set[str]:
        """The competing methods whose mean is the best, as it is shown: ties to the last digit share it."""
        info = self.metrics[metric]
        means = {
            name: round(cell.mean, info.digits)
            for name in self.contestants()
            if (cell := self.cell(group, name, metric)) is not None and cell.mean is not None
        }
        if len(means) < 2:
            return set()
        top = max(means.values()) if info.better == "higher" else min(means.values())
        return {name for name, mean in means.items() if mean == top}


def _check_known(what: str, used: set[str], known: dict[str, Any]) -> None:
    unknown = sorted(used - set(known))
    if unknown:
        raise ValueError(f"{what} {unknown[0]!r} is used but not described")
