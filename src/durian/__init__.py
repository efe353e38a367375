"""Durian: portrait animation with attribute transfer."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from durian.errors import DurianError
    from durian.pipeline import DurianOutput, DurianPipeline
    from durian.portrait.attributes import ATTRIBUTES
    from durian.portrait.inputs import AnimationInputs, Reference
    from durian.portrait.prepare import prepare

__all__ = [
    "ATTRIBUTES",
    "AnimationInputs",
    "DurianError",
    "DurianOutput",
    "DurianPipeline",
    "Reference",
    "prepare",
]

# Imported at first use: torch alone takes seconds, and the command line's help must not wait for it.
_HOMES = {
    "ATTRIBUTES": "durian.portrait.attributes",
    "AnimationInputs": "durian.portrait.inputs",
    "DurianError": "durian.errors",
    "DurianOutput": "durian.pipeline",
    "DurianPipeline": "durian.pipeline",
    "Reference": "durian.portrait.inputs",
    "prepare": "durian.portrait.prepare",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
