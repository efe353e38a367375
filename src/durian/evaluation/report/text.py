"""Numbers and cells as text."""

from __future__ import annotations

from typing import Any

from durian.evaluation.report.schema import Cell, MetricInfo

NOTHING = "–"
ARROWS = {"higher": "↑", "lower": "↓"}


def heading(info: MetricInfo) -> str:
    """A metric's title, unit and an arrow that says which way is good: `PSNR, dB ↑`."""
    unit = f", {info.unit}" if info.unit else ""
    return f"{info.title}{unit} {ARROWS[info.better]}"


def number(value: float | None, digits: int, signed: bool = False) -> str:
    """A number as it is shown, with a true minus sign; a rounded zero has no sign."""
    if value is None:
        return NOTHING
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    if not text.strip("+-0."):
        text = text.lstrip("+-")
    return text.replace("-", "−")


def span(cell: Any, digits: int, signed: bool = False) -> str:
    """The interval: `[low, high]`, or nothing where there is none."""
    if cell.low is None or cell.high is None:
        return ""
    return f"[{number(cell.low, digits, signed)}, {number(cell.high, digits, signed)}]"


def escape(text: Any) -> str:
    """Text for one cell of a Markdown table or a line of prose: nothing in it is taken for markup."""
    flat = " ".join(str(text).split())
    for sign in "\\`*_[]<>|#~":
        flat = flat.replace(sign, "\\" + sign)
    return flat.replace("&", "&amp;")


def table(header: list[str], rows: list[list[str]], left: int = 1) -> list[str]:
    """Lines of a Markdown table; the first `left` columns to the left, the others to the right."""
    rule = ["---" if column < left else "---:" for column in range(len(header))]
    return [f"| {' | '.join(row)} |" for row in (header, rule, *rows)]


def cell_text(cell: Cell | None, info: MetricInfo, cases: int, bold: bool) -> str:
    """Mean, interval, and the number of cases where it is not that of the group."""
    if cell is None or cell.mean is None:
        return NOTHING
    mean = number(cell.mean, info.digits)
    parts = [f"**{mean}**" if bold else mean, span(cell, info.digits)]
    if cell.count != cases:
        parts.append(f"(n {cell.count})")
    return " ".join(filter(None, parts))
