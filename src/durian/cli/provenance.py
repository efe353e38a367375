"""`durian provenance`: what a file says about its origin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from durian.errors import DurianError


def provenance(
    file: Annotated[Path, typer.Argument(help="A picture or a video.")],
) -> None:
    """Read what a picture or video says about its origin. Saying nothing proves nothing."""
    from durian.provenance import read_provenance
    from durian.signing import read_manifest

    if file.is_dir():
        raise DurianError(f"{file}: is a folder: give one of its files")
    told = read_provenance(file)
    lines = {"comment": told.comment, "source type": told.source_type, "C2PA": read_manifest(file)}
    for name, text in lines.items():
        typer.echo(f"{name}: {text or 'none'}")
