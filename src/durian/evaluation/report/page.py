"""A report as one page that needs nothing but the pictures and videos beside it."""

from __future__ import annotations

import json
import re
from html import escape
from importlib.resources import files

from durian.evaluation.report.schema import Report


def html(report: Report) -> str:
    """The page: style, script and numbers are in it, and its policy forbids requests to anywhere else.

    Summary tables, losses, groups, and the cases, worst first. The address after # holds the view, such as
    `index.html#case=single%2F000_hair&metric=ssim`, so that a case can be linked to.
    """
    package = files("durian.evaluation.report")
    parts = {
        "title": escape(report.title),
        "style": package.joinpath("page.css").read_text("utf-8"),
        "script": package.joinpath("page.js").read_text("utf-8"),
        "data": _script_safe(report),
    }
    page = package.joinpath("page.html").read_text("utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], page)


def _script_safe(report: Report) -> str:
    """JSON in which nothing can end the script element that holds it."""
    text = json.dumps(
        report.model_dump(mode="json"), ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
