"""Sentences with slots: "The {food} was {good}." and lists of words become every sentence, or a sample of them."""

from __future__ import annotations

import math
import random
import string
from collections.abc import Mapping, Sequence


def slot_names(text: str) -> list[str]:
    """The names in braces. "{{" is a brace. Raises `ValueError` for braces without a plain name in them."""
    found = [(name, spec, conversion) for _, name, spec, conversion in string.Formatter().parse(text)]
    for name, spec, conversion in found:
        if name is not None and (spec or conversion or not name.isidentifier()):
            raise ValueError(f"expected a name in braces, got {{{name}}}")
    return [name for name, *_ in found if name is not None]


def fill(texts: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """The texts by key, with values in their slots."""
    return {key: text.format_map(values) for key, text in texts.items()}


def assignments(
    texts: Sequence[str],
    slots: Mapping[str, Sequence[str]],
    *,
    most: int,
    rng: random.Random,
    leave: str | None = None,
) -> list[dict[str, str]]:
    """Values for the slots of texts that belong together: all combinations, or `most` of them, drawn at random.

    `{name1}` and `{name2}` take different values of the slot `name`. `leave` is a slot that stays open. Raises
    `ValueError` for a slot that does not exist or has too few values.
    """
    fields: dict[str, list[str]] = {}
    for name in dict.fromkeys(name for text in texts for name in slot_names(text)):
        if name != leave:
            fields.setdefault(_slot_of(name, slots), []).append(name)
    sizes = [math.perm(len(slots[slot]), len(names)) for slot, names in fields.items()]
    if 0 in sizes:
        slot, names = list(fields.items())[sizes.index(0)]
        raise ValueError(f"slot {slot!r} has too few values for {', '.join(names)}")
    found = []
    for number in _numbers(math.prod(sizes), most, rng):
        values: dict[str, str] = {}
        for (slot, names), size in zip(fields.items(), sizes, strict=True):
            number, index = divmod(number, size)
            values.update(zip(names, _arrangement(index, slots[slot], len(names)), strict=True))
        found.append(values)
    return found


def _slot_of(name: str, slots: Mapping[str, Sequence[str]]) -> str:
    for slot in (name, name.rstrip("0123456789")):
        if slot in slots:
            return slot
    raise ValueError(f"no slot {name!r} among {', '.join(slots) or 'no slots'}")


def _numbers(size: int, most: int, rng: random.Random) -> Sequence[int]:
    """All numbers below `size`, or `most` of them drawn one by one, because `size` may be too large for a list."""
    if size <= most:
        return range(size)
    drawn: set[int] = set()
    while len(drawn) < most:
        drawn.add(rng.randrange(size))
    return sorted(drawn)


def _arrangement(number: int, values: Sequence[str], length: int) -> list[str]:
    """The arrangement with this number among those of `length` different values."""
    rest = list(values)
    chosen = []
    for left in reversed(range(length)):
        index, number = divmod(number, math.perm(len(rest) - 1, left))
        chosen.append(rest.pop(index))
    return chosen
