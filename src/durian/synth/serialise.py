"""Nested frozen dataclasses to JSON and back, strictly.

Supported fields: int, float, bool, str, tuples, dataclasses, and any of these or None.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from functools import cache
from typing import Any, TypeVar

from durian.errors import DurianError

T = TypeVar("T")


def to_json(value: Any) -> str:
    """The JSON text of a dataclass; numbers are written so that they read back exactly."""
    return json.dumps(dataclasses.asdict(value), indent=1, allow_nan=False)


def from_json(kind: type[T], text: str) -> T:
    """Read what `to_json` wrote.

    Raises:
        DurianError: not JSON, or a key that is unknown, missing or of the wrong type; the message names it.
    """
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise DurianError(f"not JSON: {error}") from error
    return _read(kind, data, kind.__name__)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _read(kind: Any, data: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if dataclasses.is_dataclass(kind):
        return _read_dataclass(kind, data, where)
    if origin in (typing.Union, types.UnionType):
        return _read_union(typing.get_args(kind), data, where)
    if origin is tuple:
        return _read_tuple(typing.get_args(kind), data, where)
    if origin is typing.Literal:
        if data not in typing.get_args(kind):
            raise _wrong(where, f"one of {', '.join(map(str, typing.get_args(kind)))}", data)
        return data
    if kind is float and isinstance(data, int | float) and not isinstance(data, bool):
        return float(data)
    if kind in (int, bool, str) and type(data) is kind:
        return data
    raise _wrong(where, getattr(kind, "__name__", str(kind)), data)


def _read_dataclass(kind: Any, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise _wrong(where, "an object", data)
    hints = _hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    for key in data:
        if key not in names:
            raise DurianError(f"{where}: unknown key {key!r}")
    for name in names:
        if name not in data:
            raise DurianError(f"{where}: missing key {name!r}")
    return kind(**{name: _read(hints[name], data[name], f"{where}.{name}") for name in names})


def _read_union(kinds: tuple[Any, ...], data: Any, where: str) -> Any:
    if data is None and type(None) in kinds:
        return None
    rest = [kind for kind in kinds if kind is not type(None)]
    if len(rest) != 1:
        raise TypeError(f"{where}: only one type or None can be read")
    return _read(rest[0], data, where)


def _read_tuple(kinds: tuple[Any, ...], data: Any, where: str) -> tuple:
    if not isinstance(data, list):
        raise _wrong(where, "a list", data)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(data)
    if len(kinds) != len(data):
        raise _wrong(where, f"a list of {len(kinds)}", data)
    return tuple(
        _read(k, value, f"{where}[{i}]") for i, (k, value) in enumerate(zip(kinds, data, strict=True))
    )


def _wrong(where: str, expected: str, data: Any) -> DurianError:
    return DurianError(f"{where}: expected {expected}, found {json.dumps(data)[:60]}")
