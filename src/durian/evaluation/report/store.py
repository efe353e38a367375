"""Reports on disk."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from durian.errors import DurianError
from durian.evaluation.report.build import first_problem
from durian.evaluation.report.page import html
from durian.evaluation.report.schema import VERSION, Report
from durian.evaluation.report.tables import markdown

REPORT_FILE = "report.json"


def write_report(folder: str | Path, report: Report) -> None:
    """Write report.json, report.md and index.html into `folder`, which is made if it is not there.

    Each file is complete when it appears, and none appears unless all three could be written.

    Raises:
        DurianError: the folder cannot be written to.
    """
    folder = Path(folder)
    texts = {
        REPORT_FILE: report_json(report) + "\n",
        "report.md": markdown(report),
        "index.html": html(report),
    }
    temporaries = {name: folder / f".{name}.{os.getpid()}.new" for name in texts}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            temporaries[name].write_text(text, "utf-8")
        for name, temporary in temporaries.items():
            os.replace(temporary, folder / name)
    except OSError as error:
        raise DurianError(f"{folder}: the report cannot be written: {error}") from error
    finally:
        for temporary in temporaries.values():
            if temporary.parent.is_dir():
                temporary.unlink(missing_ok=True)


def read_report(path: str | Path) -> Report:
    """Read a report.json, or the one in a folder.

    Raises:
        DurianError: not there, not JSON, of another version, or not what such a report holds.
    """
    path = Path(path)
    if path.is_dir():
        path = path / REPORT_FILE
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise DurianError(f"{path}: there is no such file: give a report.json or its folder") from error
    except OSError as error:
        raise DurianError(f"{path} cannot be read: {error}") from error
    except (ValueError, RecursionError) as error:
        raise DurianError(f"{path}: not JSON, or cut short ({error}): make the report again") from error
    version = content.get("version") if isinstance(content, dict) else None
    if version is None:
        raise DurianError(f"{path}: not a report of durian evaluate, which has a version")
    if version != VERSION:
        raise DurianError(
            f"{path}: a report of version {_short(version)}, needed is {VERSION}: "
            "make it again with this version of durian"
        )
    try:
        return Report.model_validate(content)
    except ValidationError as error:
        raise DurianError(f"{path}: a damaged report: {first_problem(error)}") from error


def report_json(report: Report) -> str:
    """The text of report.json."""
    return json.dumps(report.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False)


def _short(value: Any) -> str:
    return repr(value)[:40]
