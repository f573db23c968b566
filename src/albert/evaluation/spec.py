"""Checks of a TOML file's content, with errors that name the line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from albert.data.sources import Problems

_TYPE_NAMES = {str: "a string", list: "a list", dict: "a table", int: "a whole number", float: "a number"}


class SpecError(Exception):
    """A fault of a key's value. `near` is a text on the line in question."""

    def __init__(
        self, key: str, what: str, *, expected: str | None = None, got: str | None = None, near: str = ""
    ) -> None:
        super().__init__(what)
        self.key, self.what, self.expected, self.got, self.near = key, what, expected, got, near

    def tell(self, problems: Problems, number: int) -> None:
        """Adds the fault to the problems of the file, at a line."""
        problems.add(number, f"{self.key}: {self.what}", expected=self.expected, got=self.got)


class Lines:
    """The lines of keys and texts in the file. tomllib does not report them."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        headers = [i for i, line in enumerate(self.lines) if re.match(r"\s*\[\[\s*test\s*\]\]", line)]
        self.starts = [0, *headers, len(self.lines)]

    def find(self, test: int | None, error: SpecError) -> int:
        """The line of the text or key that an error names, in the test with this number or above all tests."""
        block = 0 if test is None else test + 1
        bounds = self.starts[block : block + 2]
        start, end = bounds if len(bounds) == 2 else (0, len(self.lines))  # tests in another form than [[test]]
        wanted = [re.escape(error.near)] if error.near else []
        for pattern in (*wanted, rf"^\s*\[*\s*{re.escape(error.key)}\b"):
            for index in range(start, end):
                if re.search(pattern, self.lines[index]):
                    return index + 1
        return start + 1


def check_keys(table: dict[str, Any], known: Mapping[str, Any], *, required: Collection[str]) -> None:
    """Raises `SpecError` unless every key is `known` and has the right type, and no required key is missing."""
    for key, value in table.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise SpecError(key, f"no such key here{hint}", expected="one of " + ", ".join(known))
        if not isinstance(value, known[key]) or isinstance(value, bool):
            kinds = known[key] if isinstance(known[key], tuple) else (known[key],)
            wanted = " or ".join(_TYPE_NAMES[kind] for kind in kinds)
            raise SpecError(key, "its value", expected=wanted, got=type(value).__name__)
    for key in required:
        if key not in table:
            raise SpecError(key, "is missing", expected="keys " + ", ".join(required))


def check_choice(key: str, value: Any, known: Sequence[Any]) -> None:
    """Raises `SpecError` unless the value is one of `known`. None among them allows a missing key."""
    if value not in known:
        names = [str(name) for name in known if name is not None]
        raise SpecError(key, "not known", expected="one of " + ", ".join(names) if names else "none", got=repr(value))


def strings(key: str, value: Any) -> tuple[str, ...]:
    """A string, or a list of at least one string, as a tuple. Raises `SpecError` for anything else."""
    items = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else ()
    if not items or not all(isinstance(item, str) for item in items):
        raise SpecError(key, "its value", expected="a string or a list of strings", got=str(value)[:80])
    return items
