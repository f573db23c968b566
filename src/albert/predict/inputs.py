"""What a predictor may be called with."""

from __future__ import annotations

from typing import Any

from albert.data.examples import Example
from albert.errors import AlbertError, ErrorKind

Input = str | tuple[str, str] | dict[str, Any]
_KEYS = (("text", "question"), ("text_pair", "context"))


def as_example(item: Input) -> Example:
    """A text, a pair or a dict of them. Raises `AlbertError` (usage) for a dict without a text."""
    if isinstance(item, str):
        return Example(item)
    if isinstance(item, dict):
        text, pair = (item.get(name, item.get(other)) for name, other in _KEYS)
        if not isinstance(text, str):
            raise AlbertError(ErrorKind.USAGE, "input", expected='{"text": …}', got=", ".join(map(str, item)))
        return Example(text, pair, choices=tuple(item.get("choices", ())))
    return Example(*item)
