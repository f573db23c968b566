"""The one error type that users meet: a kind with an exit code, what went wrong, and the next step."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from enum import Enum
from typing import Any


class ErrorKind(Enum):
    """The kind of an error for calling scripts: a stable name and a process exit code (after sysexits.h)."""

    USAGE = ("usage", 2)
    DATA = ("bad-data", 65)
    MODEL = ("bad-model", 66)
    INTERNAL = ("internal", 70)
    MEMORY = ("out-of-memory", 71)
    LOCKED = ("locked", 73)
    DISK = ("disk", 74)
    PREEMPTED = ("pre-empted", 75)
    UNSAFE = ("unsafe", 77)
    CONFIG = ("bad-config", 78)
    INTERRUPTED = ("interrupted", 130)

    def __init__(self, code: str, exit_code: int) -> None:
        self.code = code
        self.exit_code = exit_code


class AlbertError(ValueError):
    """A mistake outside our code. Text: `error[CODE] what: expected, got. hint: …`; the kind gives the exit code.

    Each of `lines` stands on a line of its own. Line breaks and other characters that are not printable, such as those
    of a hostile file name, are shown as escapes.
    """

    def __init__(
        self,
        kind: ErrorKind,
        what: str,
        *,
        expected: str | None = None,
        got: str | None = None,
        hint: str | None = None,
        lines: Sequence[str] = (),
    ) -> None:
        self.kind = kind
        self.what = what
        self.expected = expected
        self.got = got
        self.hint = hint
        self.lines = tuple(lines)
        super().__init__(str(self))

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors cross processes by pickle, which would call the class with the message alone."""
        return _rebuilt, (self.kind, self.what, self.expected, self.got, self.hint, self.lines)

    def __str__(self) -> str:
        facts = []
        if self.expected is not None:
            facts.append(f"expected {self.expected}")
        if self.got is not None:
            facts.append(f"got {self.got}")
        text = f"error[{self.kind.code}] {self.what}"
        if facts:
            text += ": " + ", ".join(facts)
        hint = [f"hint: {self.hint}"] if self.hint else []
        if not self.lines:
            return _printable(". ".join([text, *hint]))
        return "\n".join(map(_printable, [text, *(f"  {line}" for line in self.lines), *hint]))


def require_ranges(owner: object, *ranges: tuple[str, float, float]) -> None:
    """Raises `AlbertError` (bad-config) unless each named attribute of `owner` is within [low, high]."""
    for name, low, high in ranges:
        if not low <= getattr(owner, name) <= high:
            raise AlbertError(ErrorKind.CONFIG, name, expected=f"{low:g} to {high:g}", got=repr(getattr(owner, name)))


def require_whole(owner: object, *ranges: tuple[str, int, int]) -> None:
    """Raises `AlbertError` (usage) unless each named attribute of `owner` is a whole number within [low, high]."""
    for name, low, high in ranges:
        value = getattr(owner, name)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise AlbertError(
                ErrorKind.USAGE, name, expected=f"a whole number from {low:,} to {high:,}", got=repr(value)
            )


def require_share(name: str, value: float) -> None:
    """Raises `AlbertError` (usage) unless the value is from 0 to 1."""
    if not 0 <= value <= 1:  # NaN is neither
        raise AlbertError(ErrorKind.USAGE, name, expected="a number from 0 to 1", got=repr(value))


def require_extra(module: str, extra: str) -> Any:
    """Imports a module that only an extra of the package installs. Raises `AlbertError` (bad-config) without it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise AlbertError(
            ErrorKind.CONFIG,
            f"this needs {module.split('.')[0]}",
            got="it is not installed",
            hint=f"pip install '.[{extra}]' in the project's folder",
        ) from error


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _rebuilt(
    kind: ErrorKind, what: str, expected: str | None, got: str | None, hint: str | None, lines: tuple[str, ...]
) -> AlbertError:
    return AlbertError(kind, what, expected=expected, got=got, hint=hint, lines=lines)
