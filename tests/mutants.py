"""Stored files made wrong: JSON with other values, and bytes with other bits."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

# Values of every kind, and those at which readers fail: too large, too deep, of half a character.
ODD: list[Any] = [
    None, True, False, 0, 1, -1, 2, 10**30, 2**63, 0.5, -0.5, 1e300, "", "x", "0", "../x", "a\0b", "é", [], [0], ["x"],
    [[]], {}, {"x": 1}, {"0": "a"}, [None], {"": None}, [1, "a"], "x" * 5000, "{x",
]  # fmt: skip
DEEP, HALF, NAN, TWICE, LONG = "\x00deep", "\x00half", "\x00nan", "\x00twice", "\x00long"  # made in the text
_TEXTS = {
    DEEP: "[" * 3000 + "]" * 3000, HALF: '"\\ud800"', NAN: "NaN", TWICE: '{"a": 1, "a": 2}', LONG: "9" * 6000,
}  # fmt: skip


def mutated_json(raw: bytes, rng: random.Random) -> bytes:
    """A JSON text with one value, key or byte changed."""
    if rng.random() < 0.2:
        return mutated_bytes(raw, rng)
    value = json.loads(raw)
    place = _somewhere(value, rng)
    new = rng.choice([*ODD, DEEP, HALF, NAN, TWICE, LONG])
    if place is None:
        value = new
    else:
        holder, key = place
        if rng.random() < 0.15:
            del holder[key]
        elif rng.random() < 0.1 and isinstance(holder, dict):
            holder[f"{key}x"] = holder.pop(key)
        else:
            holder[key] = copy.deepcopy(new)
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5)
    for mark, written in _TEXTS.items():
        text = text.replace(json.dumps(mark), written)
    return text.encode()


def mutated_bytes(raw: bytes, rng: random.Random) -> bytes:
    """Bytes with one bit flipped, cut, or with something put in or behind."""
    at = rng.randrange(max(len(raw), 1))
    kind = rng.randrange(5)
    if kind == 0:
        return raw[:at]
    if kind == 1:
        return raw[:at] + bytes([rng.randrange(256)]) + raw[at:]
    if kind == 2:
        return raw + rng.choice([b"\0", b"}", b"x", raw[:10]])
    return flipped(raw, at * 8 + rng.randrange(8))


def flipped(raw: bytes, bit: int) -> bytes:
    """Bytes with one bit flipped."""
    changed = bytearray(raw)
    if changed:
        changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def _somewhere(value: Any, rng: random.Random) -> tuple[Any, Any] | None:
    """A list or object anywhere within a value, and a key of it; None for the value itself."""
    holder: Any = None
    key: Any = None
    while isinstance(value, (list, dict)) and value and (holder is None or rng.random() < 0.6):
        holder, key = value, rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
        value = holder[key]
    return None if holder is None else (holder, key)
