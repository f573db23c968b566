"""Labels of other data than the training data's."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from albert.data.examples import Example
from albert.data.sources import Problems


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
            expected="one of " + ", ".join(labels[:10]) + (", …" if len(labels) > 10 else ""),
            got=f"{label!r}" + (f" (did you mean {near[0]!r}?)" if near else ""),
        )
    if problems:
        problems.raise_if_any()
