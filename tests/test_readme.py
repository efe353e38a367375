"""The README's commands and code are real."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup

from durian.cli import app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def _commands() -> list[str]:
    lines = "".join(text for language, text in BLOCKS if language == "bash").replace("\\\n", " ").splitlines()
    return [" ".join(line.split()) for line in lines if line.strip()]


def test_the_readme_names_the_two_first_commands() -> None:
    assert {"uv run durian demo", "uv run pytest"} <= set(_commands())


def test_ci_runs_the_tests_as_the_readme_says() -> None:
    assert re.search(r"\buv run pytest\b *(\||$)", (ROOT / ".ci" / "run").read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("command", _commands())
def test_every_command_parses(command: str) -> None:
    runner, *arguments = shlex.split(command)
    assert (runner, arguments.pop(0)) == ("uv", "run")
    program = arguments.pop(0)
    if program == "pytest":
        assert not arguments
        return
    assert program == "durian"
    parser = typer.main.get_command(app)
    while isinstance(parser, TyperGroup):
        parser = parser.commands[arguments.pop(0)]
    context = parser.make_context(program, arguments)
    for value in context.params.values():
        if isinstance(value, Path) and value.parts[0] in ("configs", "docs", "benchmarks"):
            assert (ROOT / value).exists(), f"{command}: {value} is not in the repository"


def test_links_into_the_repository_work() -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_python_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    examples = [text for language, text in BLOCKS if language == "python"]
    assert examples
    for text in examples:
        exec(compile(text, "README.md", "exec"), {})
    assert (tmp_path / "first.png").stat().st_size > 0


def test_the_demo_runs_and_says_nothing_needless(tmp_path: Path) -> None:
    # A process of its own: libraries keep the stderr that they found when they were imported.
    program = Path(sys.executable).parent / "durian"
    command = [str(program), "demo", "--output", str(tmp_path / "demo"), "--frames", "4"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert len(list((tmp_path / "demo").iterdir())) == 4
