"""What an evaluation found: report.json, tables, a page with pictures, and one report against another."""

from durian.evaluation.report.build import build_report
from durian.evaluation.report.comparison import Comparison, compare, compare_markdown
from durian.evaluation.report.contest import contest_markdown
from durian.evaluation.report.media import write_media
from durian.evaluation.report.page import html
from durian.evaluation.report.schema import CaseScores, Cell, Loss, Method, MetricInfo, Report, Skipped
from durian.evaluation.report.store import read_report, report_json, write_report
from durian.evaluation.report.tables import markdown

__all__ = [
    "CaseScores",
    "Cell",
    "Comparison",
    "Loss",
    "Method",
    "MetricInfo",
    "Report",
    "Skipped",
    "build_report",
    "compare",
    "compare_markdown",
    "contest_markdown",
    "html",
    "markdown",
    "read_report",
    "report_json",
    "write_media",
    "write_report",
]
