"""Rows of Arrow tables as Python values, also where Python's types are less exact than Arrow's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from albert.errors import require_extra

_SECOND = 10**9  # nanoseconds


def rows_of(batch: Any) -> Iterator[dict[str, Any]]:
    """The rows of a record batch. Times that Python cannot hold, such as those with nanoseconds, become texts."""
    names = batch.schema.names
    for values in zip(*map(_values, batch.columns), strict=True):
        yield dict(zip(names, values, strict=True))


def _values(column: Any) -> list[Any]:
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError, KeyError):  # nanoseconds, years beyond 9999, an unknown time zone
        return [_value(scalar) for scalar in column]


def _value(scalar: Any) -> Any:
    arrow = require_extra("pyarrow", "data")
    kind = scalar.type
    if not scalar.is_valid:
        return None
    if arrow.types.is_dictionary(kind):
        return _value(scalar.value)
    if arrow.types.is_struct(kind):
        return {field.name: _value(scalar[field.name]) for field in kind}
    if arrow.types.is_map(kind):
        return [(_value(pair["key"]), _value(pair["value"])) for pair in scalar.values]
    if arrow.types.is_nested(kind):
        return [_value(item) for item in scalar.values]
    try:
        return scalar.as_py()
    except (ValueError, OverflowError, KeyError):
        exact = getattr(kind, "unit", "") == "ns"
        return _nanoseconds(arrow, scalar) if exact else str(scalar.cast(arrow.string()).as_py())


def _nanoseconds(arrow: Any, scalar: Any) -> str:
    """A time in ISO 8601, with nanoseconds."""
    seconds, rest = divmod(scalar.value, _SECOND)
    if arrow.types.is_duration(scalar.type):
        return f"PT{seconds}.{rest:09d}S" if seconds >= 0 else f"-PT{-seconds - bool(rest)}.{-rest % _SECOND:09d}S"
    if arrow.types.is_time(scalar.type):
        kind, digits = arrow.time32("s"), len("00:00:00")
    else:
        kind, digits = arrow.timestamp("s", scalar.type.tz), len("0000-00-00T00:00:00")
    whole = arrow.scalar(seconds, kind).as_py().isoformat()
    return f"{whole[:digits]}.{rest:09d}{whole[digits:]}"
