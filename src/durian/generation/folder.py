"""Folders that long commands fill: one set of settings, each file whole or not there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from durian.errors import DurianError
from durian.files import replacing


def claim(manifest: Path, settings: Mapping[str, Any]) -> None:
    """Take the folder of `manifest` for results of these settings, or go on in one that has them.

    Raises:
        DurianError: it cannot be written to, or holds results of other settings.
    """
    wanted = json.loads(json.dumps(settings))
    try:
        if manifest.is_file():
            found = json.loads(manifest.read_text("utf-8"))
            if found != wanted:
                odd = sorted(key for key in {*found, *wanted} if found.get(key) != wanted.get(key))
                raise DurianError(
                    f"{manifest.parent} was made with another {', '.join(odd)}: choose another folder"
                )
            return
        manifest.parent.mkdir(parents=True, exist_ok=True)
        put(manifest, (json.dumps(wanted, indent=1) + "\n").encode())
    except (OSError, ValueError) as error:
        raise DurianError(f"cannot write into {manifest.parent}: {error}") from error


def put(path: Path, data: bytes) -> None:
    """Write a file that appears when it is complete.

    Raises:
        DurianError: the folder cannot be written to.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data)
