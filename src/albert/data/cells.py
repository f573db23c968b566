"""Lists in cells of a table, in the forms of JSON, Python, numpy and our own predictions."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from typing import Any

_NUMPY_NUMBERS = re.compile(r"\[\s*(?:\d+\.?\d*(?:\s+\d+\.?\d*)*)?\s*\]")  # [1 0 0 1], [1. 0.]
_NUMPY_WORDS = re.compile(r"""\[\s*(?:'[^']*'|"[^"]*")(?:\s+(?:'[^']*'|"[^"]*"))+\s*\]""")  # ['a' 'b']
_BRACKETS = {"[": "]", "(": ")", "{": "}"}


def list_in(cell: Any) -> list[Any] | None:
    """The list that a value is or that a cell spells out. None for any other value."""
    if isinstance(cell, (list, tuple)):
        return list(cell)
    if not isinstance(cell, str) or not _is_bracketed(cell):
        return None
    cell = cell.strip()
    if _NUMPY_NUMBERS.fullmatch(cell):
        return [_number(word) for word in cell[1:-1].split()]
    if _NUMPY_WORDS.fullmatch(cell):  # Python reads 'a' 'b' as one string
        return [a or b for a, b in re.findall(r"""'([^']*)'|"([^"]*)\"""", cell)]
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(cell)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(value, (list, tuple)):
            return list(value)
        if isinstance(value, (set, frozenset)):
            return sorted(value, key=str)  # a set has no order to keep
    return None


def is_many_hot(items: Sequence[Any]) -> bool:
    """Whether the items are a zero or one for each label."""
    return len(items) > 1 and all(isinstance(item, (int, float)) and item in (0, 1) for item in items)


def _is_bracketed(cell: str) -> bool:
    cell = cell.strip()
    return len(cell) > 1 and _BRACKETS.get(cell[0]) == cell[-1]


def _number(word: str) -> int | float:
    return int(word) if word.isdecimal() else float(word)
