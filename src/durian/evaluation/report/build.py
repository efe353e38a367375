"""From the scores of cases to a report: means, intervals and losses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from pydantic import ValidationError

from durian.errors import DurianError
from durian.evaluation.report.schema import ALL, CaseScores, Cell, Loss, Method, MetricInfo, Report, Skipped
from durian.evaluation.statistics import interval, paired
from durian.evaluation.trial import Metric


def build_report(
    *,
    protocol: str,
    title: str,
    methods: Mapping[str, Method | Mapping[str, Any]],
    metrics: Iterable[Metric],
    cases: Iterable[CaseScores | Mapping[str, Any]],
    skipped: Iterable[Skipped | Mapping[str, str]] = (),
    set_scores: Mapping[str, Mapping[str, Mapping[str, float | None]]] | None = None,
    settings: Mapping[str, Any] | None = None,
    environment: Mapping[str, Any] | None = None,
) -> Report:
    """Put the scores of cases together.

    Args:
        protocol: such as "cases"; only reports of one protocol can be compared.
        title: of the page.
        methods: by name, in the order to be shown. An ablation that says what it is `of` and which `metric`
            it is judged by gets a line in the report's `dependence`.
        metrics: in the order to be shown.
        cases: as `CaseScores`, or the same as plain dictionaries, such as were read from JSON.
        skipped: cases without scores, each with "id" and "reason".
        set_scores: metrics of whole sets, such as FID, by group, method and metric. They have no case's
            score, hence no interval.
        settings: what the numbers were made with; "command" is shown as the command line.
        environment: versions and platform.

    Raises:
        DurianError: no case, or something that does not fit the schema (an undeclared method or metric, a
            number that is not finite, the same case twice …).
    """
    try:
        described = {name: Method.model_validate(method) for name, method in methods.items()}
        scored = [CaseScores.model_validate(_listed(case)) for case in cases]
        infos = {metric.name: MetricInfo(**_without(asdict(metric), "name")) for metric in metrics}
        left_out = [Skipped.model_validate(entry) for entry in skipped]
        if not scored:
            reason = f": {left_out[0].id}: {left_out[0].reason}" if left_out else ""
            raise DurianError(f"there is no report without a case{reason}")
        groups = _groups(scored)
        return Report(
            protocol=protocol,
            title=title,
            settings=dict(settings or {}),
            environment=dict(environment or {}),
            methods=described,
            metrics=infos,
            groups={name: len(members) for name, members in groups.items()},
            table={
                name: _table(members, described, infos, (set_scores or {}).get(name, {}))
                for name, members in groups.items()
            },
            dependence=_dependence(scored, described, infos),
            cases=scored,
            skipped=left_out,
        )
    except ValidationError as error:
        raise DurianError(f"the scores do not make a report: {first_problem(error)}") from error


def first_problem(error: ValidationError) -> str:
    """The first of a validation's complaints in one line: where and what."""
    problem = error.errors()[0]
    place = ".".join(map(str, problem["loc"]))
    message = problem["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


def values(cases: Iterable[CaseScores], method: str, metric: str) -> list[float | None]:
    """One metric of one method, case by case."""
    return [case.scores.get(method, {}).get(metric) for case in cases]


def _groups(cases: list[CaseScores]) -> dict[str, list[CaseScores]]:
    """Cases by group, each group behind the one that it begins like: single; single, hair; multi."""
    groups: dict[str, list[CaseScores]] = {}
    for case in cases:
        for name in dict.fromkeys(case.groups):
            groups.setdefault(name, []).append(case)
    first = {name: index for index, name in enumerate(groups)}

    def place(name: str) -> list[int]:
        parts = name.split(", ")
        prefixes = [", ".join(parts[: end + 1]) for end in range(len(parts))]
        return [first.get(prefix, first[name]) for prefix in prefixes]

    return {ALL: cases} | {name: groups[name] for name in sorted(groups, key=place) if name != ALL}


def _table(
    cases: list[CaseScores],
    methods: Mapping[str, Method],
    metrics: Mapping[str, MetricInfo],
    set_scores: Mapping[str, Mapping[str, float | None]],
) -> dict[str, dict[str, Cell]]:
    table = {}
    for method in methods:
        scored = sum(method in case.scores for case in cases)
        if not scored:
            continue
        cells = {
            metric: Cell(**asdict(found))
            for metric in metrics
            if (found := interval(values(cases, method, metric))).count
        }
        of_set = {
            metric: Cell(mean=value, low=None, high=None, count=scored)
            for metric, value in set_scores.get(method, {}).items()
            if value is not None
        }
        table[method] = cells | of_set
    return table


def _dependence(
    cases: list[CaseScores], methods: Mapping[str, Method], metrics: Mapping[str, MetricInfo]
) -> dict[str, dict[str, Loss]]:
    losses: dict[str, dict[str, Loss]] = {}
    for name, method in methods.items():
        model, metric = method.of, method.metric
        if method.kind != "ablation" or model is None or metric is None or metric not in metrics:
            continue
        full, ablated = (values(cases, which, metric) for which in (model, name))
        if metrics[metric].better == "lower":
            full, ablated = ablated, full
        lost = paired(full, ablated).difference
        if lost.count:
            losses.setdefault(model, {})[method.title] = Loss(**asdict(lost), metric=metric)
    return losses


def _listed(case: CaseScores | Mapping[str, Any]) -> CaseScores | dict[str, Any]:
    """Tuples, which a record has until it was read from JSON, as lists."""
    if isinstance(case, CaseScores):
        return case
    return {key: list(value) if isinstance(value, tuple) else value for key, value in case.items()}


def _without(fields: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key != name}
