"""Every method of one report against one of them, case by case."""

from __future__ import annotations

from collections.abc import Sequence

from durian.errors import DurianError
from durian.evaluation.report.build import values
from durian.evaluation.report.schema import ALL, Report
from durian.evaluation.report.text import NOTHING, escape, heading, number, span, table
from durian.evaluation.statistics import paired

_SIGNS = {"better": "▲", "worse": "▼", "not told apart": ""}


def contest_markdown(
    report: Report, against: str, groups: Sequence[str] = (ALL,), metrics: Sequence[str] = ("psnr",)
) -> str:
    """A table of means, and of differences to `against` with 95 % intervals, paired by case.

    ▲ and ▼ mark those whose interval leaves out 0, the better and the worse.

    Args:
        against: a method's name.
        groups, metrics: the columns, each group with each metric.

    Raises:
        DurianError: a name that the report does not have.
    """
    for what, names, known in (
        ("method", [against], report.methods),
        ("group", groups, report.groups),
        ("metric", metrics, report.metrics),
    ):
        if odd := [name for name in names if name not in known]:
            raise DurianError(f"the report has no {what} {odd[0]!r}: choose from {', '.join(known)}")
    columns = [(group, metric) for group in groups for metric in metrics]
    header = [f"against {escape(report.methods[against].title)}"]
    header += [f"{escape(group)}: {heading(report.metrics[metric])}" for group, metric in columns]
    rows = []
    for name in dict.fromkeys([against, *report.contestants()]):
        title = escape(report.methods[name].title)
        cells = [_cell(report, name, against, group, metric) for group, metric in columns]
        rows.append([f"**{title}**" if name == against else title, *cells])
    return "\n".join(table(header, rows)) + "\n"


def _cell(report: Report, name: str, against: str, group: str, metric: str) -> str:
    info, cell = report.metrics[metric], report.cell(group, name, metric)
    if cell is None or cell.mean is None:
        return NOTHING
    mean = number(cell.mean, info.digits)
    if name == against:
        return mean
    cases = [case for case in report.cases if group in (ALL, *case.groups)]
    found = paired(values(cases, name, metric), values(cases, against, metric), info.better)
    if found.difference.mean is None:
        return mean
    difference = number(found.difference.mean, info.digits, signed=True)
    parts = [difference, span(found.difference, info.digits, signed=True), _SIGNS[found.verdict]]
    return f"{mean} ({' '.join(filter(None, parts))})"
