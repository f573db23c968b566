"""`--set name=value`: each name belongs to the one component that has it."""

from __future__ import annotations

import dataclasses
import difflib
import json
from typing import Any

from albert.errors import AlbertError, ErrorKind

_NOT_SETTABLE = {"id2label", "problem_type", "extra", "vocab_size", "decoder"}


def parse_setting(text: str) -> tuple[str, Any]:
    """ "lr=3e-5" -> ("lr", 3e-5). Values are JSON if possible, else strings; commas make a list.

    Raises `AlbertError` (usage) without an equals sign.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise AlbertError(ErrorKind.USAGE, f"--set {text}", expected="name=value")
    name = name.strip().replace("-", "_")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def settable(component: type) -> list[dataclasses.Field[Any]]:
    """The fields of a component that `--set` takes."""
    return [field for field in dataclasses.fields(component) if field.name not in _NOT_SETTABLE]


def divide_settings(settings: dict[str, Any], *components: type) -> list[dict[str, Any]]:
    """Gives each setting to the component with that field: keyword arguments for each component, in their order.

    Raises `AlbertError` (bad-config) for an unknown name or a value of the wrong type.
    """
    parts: dict[type, dict[str, Any]] = {component: {} for component in components}
    owners = {field.name: (owner, field) for owner in components for field in settable(owner)}
    for name, value in settings.items():
        if name not in owners:
            near = difflib.get_close_matches(name, owners, n=1)
            raise AlbertError(
                ErrorKind.CONFIG,
                f"unknown setting {name!r}",
                hint=f"did you mean {near[0]!r}?" if near else "known: " + ", ".join(sorted(owners)),
            )
        owner, field = owners[name]
        parts[owner][name] = _converted(name, value, field.default)
    return list(parts.values())


def _converted(name: str, value: Any, default: Any) -> Any:
    """The value in the type of its default. A whole number may stand for a fraction."""
    if isinstance(default, tuple):
        if isinstance(value, (str, int)) and not isinstance(value, bool):
            value = value.split(",") if isinstance(value, str) else [value]
        if isinstance(value, (list, tuple)):
            return tuple(value)
        raise AlbertError(ErrorKind.CONFIG, f"setting {name}", expected="a list, like 1,2 or [1,2]", got=repr(value))
    wanted = type(default)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise AlbertError(
            ErrorKind.CONFIG,
            f"setting {name}",
            expected=f"{wanted.__name__}, like {default!r}",
            got=repr(value),
        )
    return value
