"""A report as Markdown."""

from __future__ import annotations

import json
from typing import Any

from durian.evaluation.report.schema import ALL, Report
from durian.evaluation.report.text import cell_text, escape, heading, number, span, table


def markdown(report: Report) -> str:
    """Tables by group, dependence, skipped cases, and what the numbers were made with."""
    lines = [f"# {escape(report.title)}", ""]
    lines += [
        f"{len(report.cases)} cases, protocol `{report.protocol}`. Bold is the best mean among models and "
        "baselines; in brackets the 95 % bootstrap interval over cases. Methods in italics (the truth, "
        "ablations) are out of the contest.",
        "",
    ]
    for group, count in report.groups.items():
        lines += [f"## {escape('All cases' if group == ALL else group)} ({count})", ""]
        lines += [*_group_table(report, group, count), ""]
    if report.dependence:
        lines += ["## What is lost when a condition is taken away", "", *_dependence(report), ""]
    lines += ["## Metrics", ""]
    measured = [report.metrics[name] for name in report.measured()]
    lines += [f"- **{escape(heading(info))}**: {escape(info.about)}" for info in measured]
    lines += ["", "## Methods", ""]
    for method in report.methods.values():
        about = [
            method.about.rstrip("."),
            *(f"{key}: {plain(v)}" for key, v in (method.model_extra or {}).items()),
        ]
        lines.append(
            f"- **{escape(method.title)}** ({method.kind}): {escape('; '.join(filter(None, about)))}"
        )
    if report.skipped:
        lines += ["", f"## Skipped cases ({len(report.skipped)})", ""]
        lines += [f"- {escape(entry.id)}: {escape(entry.reason)}" for entry in report.skipped]
    lines += ["", "## Made with", ""]
    command = report.settings.get("command")
    if command:
        lines += ["```bash", str(command), "```", ""]
    described = {**{k: v for k, v in report.settings.items() if k != "command"}, **report.environment}
    lines += table(
        ["", ""], [[escape(key), escape(plain(value))] for key, value in described.items()], left=2
    )
    return "\n".join(lines).rstrip() + "\n"


def plain(value: Any) -> str:
    """A setting as text: a string as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _group_table(report: Report, group: str, count: int) -> list[str]:
    shown = [m for m in report.metrics if any(report.cell(group, name, m) for name in report.methods)]
    best = {metric: report.best(group, metric) for metric in shown}
    rows = []
    for name, method in report.methods.items():
        if name not in report.table.get(group, {}):
            continue
        title = escape(method.title)
        if method.of is not None:  # two models have the same ablations
            title = f"{escape(report.methods[method.of].title)}, {title}"
        if name not in report.contestants():
            title = f"*{title}*"
        cells = [
            cell_text(report.cell(group, name, metric), report.metrics[metric], count, name in best[metric])
            for metric in shown
        ]
        rows.append([title, *cells])
    return table(["method", *(escape(heading(report.metrics[metric])) for metric in shown)], rows)


def _dependence(report: Report) -> list[str]:
    rows = []
    for model, losses in report.dependence.items():
        for title, loss in losses.items():
            info = report.metrics[loss.metric]
            lost = f"{number(loss.mean, info.digits)} {info.unit}".strip()
            rows.append(
                [
                    escape(report.methods[model].title),
                    escape(title),
                    escape(info.title),
                    lost,
                    span(loss, info.digits),
                    str(loss.count),
                ]
            )
    return table(["model", "taken away", "metric", "lost", "95 % interval", "cases"], rows, left=3)
