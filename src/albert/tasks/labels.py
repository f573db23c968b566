"""Checks of labels, also of data other than the training data."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence

from albert.data.examples import Example
from albert.data.sources import Problems
from albert.errors import AlbertError, ErrorKind


def listed(labels: Sequence[str], most: int) -> str:
    """The first labels with commas between; a last "…" says that there are more than `most`."""
    return ", ".join(labels[:most]) + (", …" if len(labels) > most else "")


def require_count(found: Collection[str], most: int, *, column: str, what: str) -> None:
    """Raises `AlbertError` (bad-data) for a column with no labels, or with implausibly many."""
    if not 1 <= len(found) <= most:
        raise AlbertError(
            ErrorKind.DATA,
            f"label column {column!r}",
            expected=f"1 to {most:,} {what}",
            got=f"{len(found):,}",
            hint="check that this is the column you mean; --label COLUMN names another",
        )


def require_known(used: Iterable[tuple[Example, str]], labels: Sequence[str]) -> None:
    """Raises `AlbertError` (bad-data) that lists, by file and line, the labels that are not among `labels`."""
    known = set(labels)
    problems: Problems | None = None
    for example, label in used:
        if label in known:
            continue
        path, _, number = example.source.rpartition(":")
        problems = problems or Problems(path)
        near = difflib.get_close_matches(label, labels, n=1)
        problems.add(
            int(number),
            f"label {label!r} is not in the training data",
            expected="one of " + listed(labels, 10),
            got=f"{label!r}" + (f" (did you mean {near[0]!r}?)" if near else ""),
        )
    if problems:
        problems.raise_if_any()
