"""Options of what is taken from a driver and of how the result is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from durian.errors import DurianError

if TYPE_CHECKING:
    from durian.signing import Signing

Fps = Annotated[
    float | None,
    typer.Option(min=1, max=240, help="Frames a second of the result.", show_default="the driver's own"),
]
Start = Annotated[float, typer.Option(min=0, help="Leave out so many seconds of the driver.")]
Duration = Annotated[
    float | None,
    typer.Option(min=0.001, help="Use only so many seconds of the driver.", show_default="all"),
]
Mark = Annotated[bool, typer.Option("--mark", help="Lay a small badge “AI-generated” over the corner.")]
C2paCert = Annotated[
    Path | None,
    typer.Option(help="Sign the result (C2PA): PEM file of certificates, the signer's first."),
]
C2paKey = Annotated[Path | None, typer.Option(help="PEM file of the signer's private key.")]


def make_signing(certificates: Path | None, key: Path | None, output: Path) -> Signing | None:
    """Who signs the output, tried out; None if nobody is asked to.

    Raises:
        DurianError: one of the files without the other, or they cannot sign.
    """
    if certificates is None and key is None:
        return None
    if certificates is None or key is None:
        raise DurianError("--c2pa-cert and --c2pa-key belong together: give both")
    from durian.signing import Signing

    signing = Signing(certificates, key)
    signing.check(output)
    return signing
