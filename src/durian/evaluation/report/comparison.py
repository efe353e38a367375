"""Two reports against each other, case by case."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isclose
from typing import Any

from durian.errors import DurianError
from durian.evaluation.report.build import values
from durian.evaluation.report.schema import ALL, CaseScores, Report
from durian.evaluation.report.tables import plain
from durian.evaluation.report.text import NOTHING, escape, heading, number, span, table
from durian.evaluation.statistics import Paired, interval, paired

_SAME = 1e-3  # of the facts of a case, relative: processors round differently
_EXACT = 1e-6  # of a baseline's scores, relative: nothing but the cases and the metrics is in them


@dataclass(frozen=True)
class Row:
    """One metric of one pair of methods over the common cases of a group.

    Attributes:
        a, b: names of the methods, in the first and in the second report.
        mean_a, mean_b: over the cases in which both have a value; None where there is none.
        paired: of b − a, its verdict on b.
    """

    group: str
    a: str
    b: str
    metric: str
    mean_a: float | None
    mean_b: float | None
    paired: Paired


@dataclass(frozen=True)
class Moved:
    """A case, its two scores and how far it went: b − a, in the metric's unit."""

    id: str
    before: float
    after: float
    by: float


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes:
        pairs: (method of a, method of b), models first.
        common: ids of the cases in both. only_a, only_b: ids of the others. changed: ids in both whose cases
            are not the same (attributes, frames or facts differ), which are left out.
        warnings: why the two may not be comparable, one sentence each; none where nothing speaks against it.
        differences: of settings and versions: (name, in a, in b).
        rows: by group, pair and metric.
        of_sets: (pair, metric, value in a, value in b) of metrics of whole sets, which cannot be paired; only
            where the two are of the same cases.
        moved: by (pair, metric), the cases that went furthest, furthest first.
    """

    a: Report
    b: Report
    pairs: tuple[tuple[str, str], ...]
    common: tuple[str, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    changed: tuple[str, ...]
    warnings: tuple[str, ...]
    differences: tuple[tuple[str, str, str], ...]
    rows: tuple[Row, ...]
    of_sets: tuple[tuple[tuple[str, str], str, float, float], ...]
    moved: dict[tuple[tuple[str, str], str], tuple[Moved, ...]]

    def is_equal(self, pair: tuple[str, str]) -> bool:
        """Whether no case's score of the two differs, in any metric."""
        return not any(moves for (moved, _), moves in self.moved.items() if moved == pair)


def compare(
    a: Report, b: Report, *, pairs: Sequence[tuple[str, str]] | None = None, most: int = 10
) -> Comparison:
    """Compare the methods of two reports on the cases that both hold.

    Args:
        a, b: the earlier and the later; every difference is b − a and every verdict on b.
        pairs: (method of a, method of b); None takes the methods of the same name, and where each report has
            just one model, these two whatever they are called.
        most: how many of the cases that went furthest are listed.

    Raises:
        DurianError: different protocols, no case or metric in common, or no such method.
    """
    if a.protocol != b.protocol:
        raise DurianError(
            f"the reports are of different protocols, {a.protocol!r} and {b.protocol!r}: "
            "compare two of one protocol"
        )
    chosen = _pairs(a, b, pairs)
    metrics = [
        name
        for name, info in a.metrics.items()
        if name in b.metrics and (info.better, info.unit) == (b.metrics[name].better, b.metrics[name].unit)
    ]
    if not metrics:
        raise DurianError("the reports have no metric in common: make both with the same metrics")
    cases_a, cases_b = ({case.id: case for case in report.cases} for report in (a, b))
    in_both = [name for name in cases_a if name in cases_b]
    changed = tuple(name for name in in_both if not _same_case(cases_a[name], cases_b[name]))
    common = tuple(name for name in in_both if name not in changed)
    if not common:
        why = f" ({changed[0]} differs in attributes, frames or facts)" if changed else ""
        raise DurianError(f"the reports have no case in common{why}: make both from the same cases")
    both = [(cases_a[name], cases_b[name]) for name in common]

    return Comparison(
        a=a,
        b=b,
        pairs=chosen,
        common=common,
        only_a=tuple(name for name in cases_a if name not in cases_b),
        only_b=tuple(name for name in cases_b if name not in cases_a),
        changed=changed,
        warnings=tuple(_warnings(a, b, both, changed, metrics)),
        differences=tuple(_differences(a, b)),
        rows=tuple(_rows(a, b, chosen, metrics, both)),
        of_sets=tuple(_of_sets(a, b, chosen, metrics)) if len(both) == len(a.cases) == len(b.cases) else (),
        moved={(pair, metric): _moved(both, pair, metric)[:most] for pair in chosen for metric in metrics},
    )


def compare_markdown(comparison: Comparison) -> str:
    """The comparison as Markdown: warnings first, then means, differences and verdicts, then the cases."""
    a, b = comparison.a, comparison.b
    lines = [f"# {escape(b.title)} against {escape(a.title)}", ""]
    lines += [
        f"{len(comparison.common)} common cases. A is {escape(a.title)} ({len(a.cases)} cases), B is "
        f"{escape(b.title)} ({len(b.cases)} cases). Differences are B − A, paired by case, with their 95 % "
        "bootstrap interval; the verdict is on B. Of twenty differences that are none, about one is told "
        "apart by chance.",
        "",
    ]
    lines += [f"> **Warning.** {escape(warning)}\n" for warning in comparison.warnings]
    if comparison.differences:
        lines += ["## Made differently", ""]
        shown = [[escape(cell) for cell in entry] for entry in comparison.differences]
        lines += [*table(["", "A", "B"], shown, left=3), ""]
    equal = [pair for pair in comparison.pairs if comparison.is_equal(pair)]
    lines += ["## All common cases", "", *_verdicts(comparison, equal), ""]
    if equal:
        names = ", ".join(_pair_title(comparison, pair) for pair in equal)
        lines += [f"Equal in every case and metric: {names}.", ""]
    if comparison.of_sets:
        lines += ["## Of the whole set, without interval or verdict", "", *_set_lines(comparison), ""]
    groups = list(dict.fromkeys(row.group for row in comparison.rows if row.group != ALL))
    models = [
        pair
        for pair in comparison.pairs
        if a.methods[pair[0]].kind == "model" and not comparison.is_equal(pair)
    ]
    if groups and models:
        lines += ["## By group", ""]
        lines += ["B − A, its interval, and whether B is better (✓), worse (✗) or not told apart (·).", ""]
        for pair in models:
            lines += [f"### {_pair_title(comparison, pair)}", "", *_by_group(comparison, pair, groups), ""]
    lines += _moved_lines(comparison)
    for title, names in (
        ("Only in A", comparison.only_a),
        ("Only in B", comparison.only_b),
        ("In both, but not the same case", comparison.changed),
    ):
        if names:
            lines += [f"## {title} ({len(names)})", "", ", ".join(map(escape, names)), ""]
    return "\n".join(lines).rstrip() + "\n"


def _pairs(a: Report, b: Report, pairs: Sequence[tuple[str, str]] | None) -> tuple[tuple[str, str], ...]:
    if pairs is not None:
        for names, report, which in ((0, a, "first"), (1, b, "second")):
            for pair in pairs:
                if pair[names] not in report.methods:
                    known = ", ".join(report.methods)
                    raise DurianError(
                        f"the {which} report has no method {pair[names]!r}: choose from {known}"
                    )
        return tuple((first, second) for first, second in pairs)
    models_a, models_b = (
        [name for name, method in report.methods.items() if method.kind == "model"] for report in (a, b)
    )
    same = [(name, name) for name in a.methods if name in b.methods and a.methods[name].kind != "truth"]
    if len(models_a) == len(models_b) == 1 and models_a != models_b:
        same.insert(0, (models_a[0], models_b[0]))
    if not same:
        raise DurianError("the reports have no method in common: say which to compare with which")
    return tuple(sorted(same, key=lambda pair: a.methods[pair[0]].kind != "model"))


def _same_case(a: CaseScores, b: CaseScores) -> bool:
    facts = a.facts.keys() & b.facts.keys()
    return (
        sorted(a.attributes) == sorted(b.attributes)
        and a.frames == b.frames
        and all(isclose(a.facts[name], b.facts[name], rel_tol=_SAME, abs_tol=_SAME) for name in facts)
    )


def _warnings(
    a: Report,
    b: Report,
    both: Sequence[tuple[CaseScores, CaseScores]],
    changed: Sequence[str],
    metrics: Sequence[str],
) -> list[str]:
    warnings = []
    if len(both) < max(len(a.cases), len(b.cases)):
        warnings.append(
            f"The reports are of different cases: {len(both)} are common, of {len(a.cases)} in A and "
            f"{len(b.cases)} in B. Only the common ones are compared, so means differ from the reports'."
        )
    if changed:
        warnings.append(
            f"{len(changed)} cases of the same name are not the same case (attributes, frames or facts "
            f"differ), such as {changed[0]}. They are left out."
        )
    for name, info in a.metrics.items():
        if name not in b.metrics or name in metrics:
            continue
        warnings.append(f"The metric {info.title} is not the same in both (way or unit). It is left out.")
    for name, method in a.methods.items():
        # Without weights or noise of its own, a baseline says whether cases and metrics are still the same.
        if method.kind not in ("baseline", "truth") or name not in b.methods:
            continue
        gaps = [gap for metric in metrics if (gap := _largest_gap(both, name, metric)) is not None]
        if any(far for far, _ in gaps):
            worst = max((case for far, case in gaps if far), default="")
            warnings.append(
                f"{method.title}, which has no weights, has other scores in A than in B (case {worst}): "
                "pictures, metrics or the method itself changed between the two, and the differences below "
                "hold that too."
            )
    if any(name.startswith("settings.") for name, _, _ in _differences(a, b)):
        warnings.append("The reports were made with different settings, listed below.")
    if any(name.startswith("environment.") for name, _, _ in _differences(a, b)):
        warnings.append(
            "The reports were made with different versions or on different platforms, listed below."
        )
    return warnings


def _largest_gap(
    both: Sequence[tuple[CaseScores, CaseScores]], method: str, metric: str
) -> tuple[bool, str] | None:
    """Whether any case's score differs beyond rounding, and the case whose differs most."""
    gaps = [
        (abs(x - y) / max(abs(x), abs(y), 1e-3), first.id)
        for first, second in both
        if (x := first.scores.get(method, {}).get(metric)) is not None
        and (y := second.scores.get(method, {}).get(metric)) is not None
    ]
    if not gaps:
        return None
    gap, case = max(gaps)
    return gap > _EXACT, case


def _differences(a: Report, b: Report) -> list[tuple[str, str, str]]:
    found = []
    for part in ("settings", "environment"):
        of_a, of_b = (_flat(getattr(report, part)) for report in (a, b))
        for name in dict.fromkeys([*of_a, *of_b]):
            if name != "command" and of_a.get(name) != of_b.get(name):
                before, after = (plain(of[name]) if name in of else NOTHING for of in (of_a, of_b))
                found.append((f"{part}.{name}", before, after))
    return found


def _flat(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings under dotted names, so that only what differs is listed."""
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _rows(
    a: Report,
    b: Report,
    pairs: Sequence[tuple[str, str]],
    metrics: Sequence[str],
    both: Sequence[tuple[CaseScores, CaseScores]],
) -> list[Row]:
    rows = []
    for group in a.groups:
        if group not in b.groups:
            continue
        members = [
            pair for pair in both if group == ALL or (group in pair[0].groups and group in pair[1].groups)
        ]
        if not members:
            continue
        for first, second in pairs:
            for metric in metrics:
                before = values([case for case, _ in members], first, metric)
                after = values([case for _, case in members], second, metric)
                found = paired(after, before, a.metrics[metric].better)
                if found.difference.count == 0:
                    continue
                held = [x is not None and y is not None for x, y in zip(before, after, strict=True)]
                means = [
                    interval([value for value, keep in zip(column, held, strict=True) if keep]).mean
                    for column in (before, after)
                ]
                rows.append(Row(group, first, second, metric, *means, found))
    return rows


def _of_sets(
    a: Report, b: Report, pairs: Sequence[tuple[str, str]], metrics: Sequence[str]
) -> Iterator[tuple[tuple[str, str], str, float, float]]:
    for pair in pairs:
        for metric in metrics:
            cells = [report.cell(ALL, name, metric) for report, name in zip((a, b), pair, strict=True)]
            means = [cell.mean for cell in cells if cell is not None and cell.mean is not None]
            by_case = [*values(a.cases, pair[0], metric), *values(b.cases, pair[1], metric)]
            if len(means) == 2 and by_case.count(None) == len(by_case):
                yield pair, metric, means[0], means[1]


def _moved(
    both: Sequence[tuple[CaseScores, CaseScores]], pair: tuple[str, str], metric: str
) -> tuple[Moved, ...]:
    moves = []
    for first, second in both:
        before = first.scores.get(pair[0], {}).get(metric)
        after = second.scores.get(pair[1], {}).get(metric)
        if before is not None and after is not None and before != after:
            moves.append(Moved(first.id, before, after, after - before))
    return tuple(sorted(moves, key=lambda move: -abs(move.by)))


def _pair_title(comparison: Comparison, pair: tuple[str, str]) -> str:
    first, second = comparison.a.methods[pair[0]].title, comparison.b.methods[pair[1]].title
    return escape(first if first == second else f"{second} (B) against {first} (A)")


def _verdicts(comparison: Comparison, equal: Sequence[tuple[str, str]]) -> list[str]:
    rows = []
    for row in comparison.rows:
        if row.group != ALL or (row.a, row.b) in equal:
            continue
        info = comparison.a.metrics[row.metric]
        difference, digits = row.paired.difference, info.digits
        share = NOTHING if row.paired.share is None else f"{row.paired.share:.0%}"
        rows.append(
            [
                _pair_title(comparison, (row.a, row.b)),
                escape(heading(info)),
                number(row.mean_a, digits),
                number(row.mean_b, digits),
                number(difference.mean, digits, signed=True),
                span(difference, digits, signed=True),
                str(difference.count),
                share,
                f"**{row.paired.verdict}**",
            ]
        )
    header = ["method", "metric", "A", "B", "B − A", "95 % interval", "cases", "B better in", "verdict"]
    return table(header, rows, left=2)


def _set_lines(comparison: Comparison) -> list[str]:
    rows = []
    for pair, metric, before, after in comparison.of_sets:
        info = comparison.a.metrics[metric]
        shown = [number(value, info.digits) for value in (before, after)]
        moved = number(after - before, info.digits, signed=True)
        rows.append([_pair_title(comparison, pair), escape(heading(info)), *shown, moved])
    return table(["method", "metric", "A", "B", "B − A"], rows, left=2)


def _by_group(comparison: Comparison, pair: tuple[str, str], groups: Sequence[str]) -> list[str]:
    cells = {(row.group, row.metric): row.paired for row in comparison.rows if (row.a, row.b) == pair}
    shown = [name for name in comparison.a.metrics if any((group, name) in cells for group in groups)]
    marks = {"better": "✓", "worse": "✗", "not told apart": "·"}
    rows = []
    for group in groups:
        texts = []
        for metric in shown:
            found, digits = cells.get((group, metric)), comparison.a.metrics[metric].digits
            if found is None:
                texts.append(NOTHING)
                continue
            mean = number(found.difference.mean, digits, True)
            texts.append(
                f"{mean} {span(found.difference, digits, True)} {marks[found.verdict]}".replace("  ", " ")
            )
        rows.append([escape(group), *texts])
    return table(["group", *(escape(heading(comparison.a.metrics[name])) for name in shown)], rows)


def _moved_lines(comparison: Comparison) -> list[str]:
    """Of the first pair, by its first metric: enough to know where to look."""
    for pair in comparison.pairs:
        for metric, info in comparison.a.metrics.items():
            moves = comparison.moved.get((pair, metric), ())
            if moves:
                shown = [
                    [escape(move.id)]
                    + [number(value, info.digits) for value in (move.before, move.after)]
                    + [number(move.by, info.digits, True)]
                    for move in moves
                ]
                title = f"## Cases that moved most: {_pair_title(comparison, pair)}, {escape(heading(info))}"
                return [title, "", *table(["case", "A", "B", "B − A"], shown), ""]
    return []
