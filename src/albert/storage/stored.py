"""Reads stored JSON, from plain files only, and checks the type of each value before it is used."""

from __future__ import annotations

import contextlib
import json
import math
import re
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from albert.errors import AlbertError, ErrorKind

Made = TypeVar("Made")
_MOST_BYTES = 1 << 28  # the largest JSON file; the largest tokenizers have a tenth of it
_DEEPEST = 100  # the deepest nesting of lists and objects
_GREATEST = 2**63 - 1
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")  # one half of a surrogate pair
_NAMES = {int: "a whole number from 0", float: "a number", str: "a string", bool: "true or false",
          dict: "an object", list: "a list"}  # fmt: skip


def read_plain(path: Path, *, kind: ErrorKind = ErrorKind.MODEL) -> bytes:
    """The bytes of a file. Pipes and devices, which might never end, are not opened.

    Raises `AlbertError` (`kind`) for a path that is missing, not a file, or unreadable.
    """
    try:
        if path.is_file():
            return path.read_bytes()
        got = "something else" if path.exists() else "no such file"
    except OSError as error:
        got = error.strerror or str(error)
    raise AlbertError(kind, str(path), expected="a file that can be read", got=got)


def read_object(path: Path, *, kind: ErrorKind = ErrorKind.MODEL, finite: bool = True) -> dict[str, Any]:
    """The JSON object in a file. Raises `AlbertError` (`kind`) for anything else, as `parse` does."""
    found = parse(read_plain(path, kind=kind), str(path), kind=kind, finite=finite)
    if not isinstance(found, dict):
        raise AlbertError(kind, str(path), expected="a JSON object", got=type(found).__name__)
    return found


def parse(raw: bytes, place: str, *, kind: ErrorKind = ErrorKind.MODEL, finite: bool = True) -> Any:
    """The value of a JSON text in UTF-8.

    Raises `AlbertError` (`kind`) for any other text; for lone surrogates; for a key with two values; for values nested
    too deeply; and, with `finite`, for NaN and infinity, which JSON does not have.
    """
    try:
        if len(raw) > _MOST_BYTES:
            raise ValueError(f"{len(raw):,} bytes")
        rules: dict[str, Any] = {"parse_constant": _refuse_constant, "parse_float": _finite} if finite else {}
        found = json.loads(raw.decode("utf-8"), object_pairs_hook=_distinct, **rules)
        _require_usable(found, raw)
        return found
    except (ValueError, RecursionError) as error:
        raise AlbertError(kind, place, expected="JSON", got=str(error)[:200]) from None


@dataclass(frozen=True)
class _Record:
    step: int
    loss: float | None = None
    mlm: float | None = None
    seconds: float | None = None
    dev: dict[str, float] | None = None


def read_records(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """The lines of a `metrics.jsonl`, as text and as parsed records. Lines that are not a record of a step are left
    out.
    """
    for line in read_plain(path, kind=ErrorKind.DATA).splitlines(keepends=True):
        with contextlib.suppress(AlbertError):
            record = parse(line, str(path), finite=False)
            typed(_Record, record, str(path))
            yield line, record


def typed(wanted: type[Made], value: Any, place: str, *, kind: ErrorKind = ErrorKind.MODEL) -> Made:
    """A JSON value as a dataclass, whose annotations give the types of its entries. Unknown keys are left out.

    Whole numbers are counts, from 0. Raises `AlbertError` (`kind`) with the first value that does not fit.
    """
    try:
        made: Made = _fitted(wanted, value, "")
    except _MisfitError as error:
        where, expected, got = error.args
        raise AlbertError(kind, f"{place}{where and f': {where}'}", expected=expected, got=f"{got!r:.80}") from None
    return made


class _MisfitError(Exception):
    """The place of a value, what is expected there, and the value."""


def _fitted(wanted: Any, value: Any, where: str) -> Any:
    origin, parts = get_origin(wanted), get_args(wanted)
    if wanted is Any:
        return value
    if origin in (Union, types.UnionType):
        others = [part for part in parts if part is not types.NoneType]
        return None if value is None and len(others) < len(parts) else _fitted(others[0], value, where)
    if origin is Literal:
        return value if value in parts else _misfit(where, " or ".join(map(repr, parts)), value)
    if is_dataclass(wanted):
        return _made(wanted, value, where)
    if origin in (list, tuple):
        _require(list, value, where)
        return origin(_fitted(parts[0], item, f"{where}[{number}]") for number, item in enumerate(value))
    if origin is dict:
        _require(dict, value, where)
        return {key: _fitted(parts[1], item, _below(where, key)) for key, item in value.items()}
    _require(wanted, value, where)
    return float(value) if wanted is float else value


def _made(wanted: Any, value: Any, where: str) -> Any:
    _require(dict, value, where)
    hints, given = _hints(wanted), {}
    for part in fields(wanted):
        if part.name in value:
            given[part.name] = _fitted(hints[part.name], value[part.name], _below(where, part.name))
        elif part.default is MISSING and part.default_factory is MISSING:
            _misfit(_below(where, part.name), "a value", None)
    return wanted(**given)


@cache
def _hints(wanted: type) -> Mapping[str, Any]:
    return get_type_hints(wanted)


def _require(wanted: type, value: Any, where: str) -> None:
    right = isinstance(value, (int, float) if wanted is float else wanted)
    if wanted is not bool and isinstance(value, bool):
        right = False
    if right and wanted is int:
        right = 0 <= value <= _GREATEST
    if right and wanted is float:
        right = isinstance(value, float) or abs(value) <= _GREATEST
    if not right:
        _misfit(where, _NAMES[wanted], value)


def _misfit(where: str, expected: str, value: Any) -> None:
    raise _MisfitError(where, expected, value)


def _below(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name}, which is no number in JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]}")
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object. Raises `ValueError` for a key that occurs twice with two values."""
    found = dict(pairs)
    if len(found) < len(pairs):
        for key, value in pairs:
            if found[key] != value:
                raise ValueError(f"the key {key!r:.60} with two values")
    return found


def _require_usable(value: Any, raw: bytes) -> None:
    """Raises `ValueError` for values nested too deeply and for strings that cannot be written."""
    level = [value]
    for _ in range(_DEEPEST + 1):
        level = [part for item in level if isinstance(item, (list, dict)) for part in _parts(item)]
    if level:
        raise ValueError(f"more than {_DEEPEST} lists or objects within each other")
    if _HALF.search(raw):
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # raises ValueError if the other half is missing


def _parts(item: list[Any] | dict[str, Any]) -> Iterable[Any]:
    return item.values() if isinstance(item, dict) else item
