"""The options of a user for reading a file. They override what its name and content say."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

# pandas' list of the strings that mean a missing value, without the empty one.
_MISSING = frozenset((
    "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "NaT", "None", "n/a", "nan", "null",
))  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A user's options for a file; where one is None, the content decides.

    `header`: whether a table's first row names its columns. `word_column` and `tag_column` belong to CoNLL files and
    count from 1. With `keep_na`, cells like NA, None and null are values; otherwise they are missing values.
    """

    format: str | None = None
    encoding: str = "utf-8"
    header: bool | None = None
    word_column: int | None = None
    tag_column: int | None = None
    keep_na: bool = False

    def reading(self) -> dict[str, Any]:
        """Only these options, by name: `Table(path, **config.reading())`."""
        return {field.name: getattr(self, field.name) for field in fields(Reading)}


def missing(value: Any, *, keep_na: bool = False) -> str | None:
    """Why a value counts as missing, in words; None if it does not. The task judges the empty string."""
    if value is None:
        return "null"
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    if not keep_na and isinstance(value, str) and value.strip() in _MISSING:
        return f"{value.strip()!r} stands for a missing value; --keep-na takes it as it is"
    return None
