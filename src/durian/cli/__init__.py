"""The command line: one thin subcommand for each job.

Nothing heavy is imported here or at the top of the subcommands' modules, so that `--help` is instant.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from durian.cli.animate import animate
from durian.cli.demo import demo
from durian.cli.evaluate import evaluate_app
from durian.cli.examples import examples
from durian.cli.generate import mask_bank, outpaint
from durian.cli.inspect import inspect
from durian.cli.mix import mix
from durian.cli.motion import motion
from durian.cli.prepare import prepare
from durian.cli.provenance import provenance
from durian.cli.synth import synth_app
from durian.cli.train import train
from durian.errors import DurianError
from durian.quiet import quiet_imports

_USAGE_ERROR, _INTERRUPTED = 2, 130

app = typer.Typer(
    name="durian",
    help="Animate a portrait while it wears someone else's hair, eyeglasses, beard or hat.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"durian {version('durian')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    quiet_imports()
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


app.command()(demo)
app.command()(inspect)
app.command()(animate)
app.command()(motion)
app.command()(provenance)
app.command()(prepare)
app.command()(train)
app.command()(examples)
app.command()(mix)
app.command(name="mask-bank")(mask_bank)
app.command()(outpaint)
app.add_typer(evaluate_app, name="evaluate")
app.add_typer(synth_app, name="synth")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Whatever the user can cause is one line on stderr: status 2 for input that cannot be used, 130 after
    an interrupt. Anything else is a defect of the program and keeps its traceback.

    Args:
        arguments: of the command line, without the program's name; None takes them from `sys.argv`.
    """
    try:
        status = app(args=arguments, prog_name="durian", standalone_mode=False) or 0
    except DurianError as error:
        return _fail(str(error), _USAGE_ERROR)
    except typer.TyperException as error:
        return _fail(error.format_message(), error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        status = _INTERRUPTED
    if status == _INTERRUPTED:
        return _fail("interrupted", _INTERRUPTED)
    return status


def _fail(message: str, status: int) -> int:
    print("durian:", " ".join(message.split()), file=sys.stderr)
    return status
