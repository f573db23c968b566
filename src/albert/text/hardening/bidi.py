"""The order in which a reader sees text with directional controls: UAX #9 for a stretch within a left-to-right line.

N0 (paired brackets) and L1 (white space at line ends) are left out, because they move no letters. Source: Unicode
Standard Annex #9; comments name its rules.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

_EMBED = {"\u202a": (0, None), "\u202b": (1, None), "\u202d": (0, "L"), "\u202e": (1, "R")}
_ISOLATE = {"\u2066": 0, "\u2067": 1, "\u2068": 0}
_POP_EMBED, _POP_ISOLATE = "\u202c", "\u2069"
OPENING = frozenset(_EMBED) | frozenset(_ISOLATE)
OVERRIDES = frozenset("\u202d\u202e")
CONTROLS = OPENING | {_POP_EMBED, _POP_ISOLATE, "\u200e", "\u200f", "\u061c"}
_MAX_DEPTH = 125
_NEUTRAL = frozenset(("B", "S", "WS", "ON", "LRI", "RLI", "FSI", "PDI"))


def regions(text: str) -> list[tuple[int, int]]:
    """[start, end) of each outermost embedding or isolate that contains an override, to its end or that of its line."""
    found: list[tuple[int, int]] = []
    open_: list[str] = []
    start, overridden, isolates = 0, False, 0
    for index, char in enumerate(text):
        if char in OPENING:
            if not open_:
                start, overridden, isolates = index, False, 0
            open_.append(char)
            isolates += char in _ISOLATE
            overridden = overridden or char in OVERRIDES
        elif char == _POP_EMBED and open_ and open_[-1] in _EMBED:
            open_.pop()
        elif char == _POP_ISOLATE and open_ and isolates:
            isolates -= 1
            while open_.pop() not in _ISOLATE:
                pass
        elif unicodedata.bidirectional(char) == "B":
            if open_ and overridden:
                found.append((start, index))
            open_ = []
            continue
        if overridden and not open_ and char in (_POP_EMBED, _POP_ISOLATE):
            found.append((start, index + 1))
            overridden = False
    if open_ and overridden:
        found.append((start, len(text)))
    return found


def displayed(text: str) -> list[int]:
    """Indices of the characters in display order, from left to right, without the controls."""
    levels, types, matches = _explicit(text)
    for sequence in _sequences(text, levels, matches):
        _resolve(sequence, levels, types)
    places = _reordered([index for index, level in enumerate(levels) if level >= 0], levels)
    return [index for index in places if text[index] not in CONTROLS]


@dataclass(frozen=True)
class _Status:
    level: int
    override: str | None
    isolate: bool


def _explicit(text: str) -> tuple[list[int], list[str], dict[int, int]]:
    """X1 to X8: levels (-1 for characters that X9 removes), types after overrides, and where each isolate ends."""
    stack = [_Status(0, None, False)]
    levels, types, matches, opened = [], [], {}, []
    lost_isolates = lost_embeddings = 0
    for index, char in enumerate(text):
        top = stack[-1]
        kind = unicodedata.bidirectional(char) or "L"
        if char in _EMBED:
            odd, override = _EMBED[char]
            level = _next(top.level, odd)
            if level <= _MAX_DEPTH and not lost_isolates and not lost_embeddings:
                stack.append(_Status(level, override, False))
            elif not lost_isolates:
                lost_embeddings += 1
            levels.append(-1)
        elif char in _ISOLATE:
            levels.append(top.level)
            kind = top.override or kind
            # looking ahead only where needed keeps the cost linear: at most 125 times, the limit of nesting
            lost = lost_isolates or lost_embeddings or top.level + 2 > _MAX_DEPTH
            odd = _first_strong(text, index + 1) if char == "\u2068" and not lost else _ISOLATE[char]
            level = _next(top.level, odd)
            if level <= _MAX_DEPTH and not lost_isolates and not lost_embeddings:
                stack.append(_Status(level, None, True))
                opened.append(index)
            else:
                lost_isolates += 1
        elif char == _POP_ISOLATE:
            if lost_isolates:
                lost_isolates -= 1
            elif opened:
                lost_embeddings = 0
                while not stack.pop().isolate:
                    pass
                matches[opened.pop()] = index
            levels.append(stack[-1].level)
            kind = stack[-1].override or kind
        elif char == _POP_EMBED:
            if lost_embeddings and not lost_isolates:
                lost_embeddings -= 1
            elif not lost_isolates and len(stack) > 1 and not top.isolate:
                stack.pop()
            levels.append(-1)
        else:
            levels.append(-1 if kind == "BN" else top.level)
            kind = top.override or kind
        types.append(kind)
    return levels, types, matches


def _next(level: int, odd: int) -> int:
    """The lowest level above this one that is odd, or even."""
    return level + 1 if (level + 1) % 2 == odd else level + 2


def _first_strong(text: str, start: int) -> int:
    """P2 and P3 within an isolate: 1 if its first strong character is right-to-left."""
    depth = 0
    for index in range(start, len(text)):
        char = text[index]
        if char in _ISOLATE:
            depth += 1
        elif char == _POP_ISOLATE:
            depth -= 1
            if depth < 0:
                return 0
        elif depth == 0 and (kind := unicodedata.bidirectional(char)) in ("L", "R", "AL"):
            return int(kind != "L")
    return 0


def _sequences(text: str, levels: Sequence[int], matches: dict[int, int]) -> list[tuple[list[int], str, str]]:
    """BD13 and X10: isolating run sequences, each with the directions at its beginning and end."""
    places = [index for index, level in enumerate(levels) if level >= 0]
    runs: list[list[int]] = []
    for index in places:
        if runs and levels[runs[-1][-1]] == levels[index]:
            runs[-1].append(index)
        else:
            runs.append([index])
    by_start = {run[0]: run for run in runs}
    number = {index: place for place, index in enumerate(places)}
    continued = set(matches.values())
    found = []
    for run in runs:
        if run[0] in continued and text[run[0]] == _POP_ISOLATE:
            continue
        sequence = list(run)
        while (end := matches.get(sequence[-1])) is not None:
            sequence += by_start[end]
        level = levels[sequence[0]]
        before, after = number[sequence[0]] - 1, number[sequence[-1]] + 1
        unmatched = text[sequence[-1]] in _ISOLATE
        left = levels[places[before]] if before >= 0 else 0
        right = levels[places[after]] if after < len(places) and not unmatched else 0
        found.append((sequence, _direction(max(level, left)), _direction(max(level, right))))
    return found


def _direction(level: int) -> str:
    return "R" if level % 2 else "L"


def _resolve(sequence: tuple[list[int], str, str], levels: list[int], types: list[str]) -> None:
    """W1 to W7, N1, N2, I1 and I2, in place."""
    places, before, after = sequence
    kinds = _weak([types[place] for place in places], before)
    embedding = _direction(levels[places[0]])
    index = 0
    while index < len(kinds):
        end = index
        while end < len(kinds) and kinds[end] in _NEUTRAL:
            end += 1
        if end > index:
            left = "L" if index and kinds[index - 1] == "L" else "R" if index else before
            right = ("L" if kinds[end] == "L" else "R") if end < len(kinds) else after
            kinds[index:end] = [left if left == right else embedding] * (end - index)
        index = end + 1
    for place, kind in zip(places, kinds, strict=True):
        if levels[place] % 2:
            levels[place] += kind != "R"
        else:
            levels[place] += {"L": 0, "R": 1}.get(kind, 2)


def _weak(kinds: list[str], before: str) -> list[str]:
    """W1 to W7."""
    strong, previous = before, before
    for index, kind in enumerate(kinds):
        if kind == "NSM":  # W1
            kind = "ON" if previous in ("LRI", "RLI", "FSI", "PDI") else previous
        elif kind == "EN" and strong == "AL":  # W2
            kind = "AN"
        previous = kinds[index] = kind
        if kind in ("L", "R", "AL"):
            strong = kind
    kinds = ["R" if kind == "AL" else kind for kind in kinds]  # W3
    for index in range(1, len(kinds) - 1):  # W4
        left, right = kinds[index - 1], kinds[index + 1]
        joined = {"CS": ("EN", "AN"), "ES": ("EN",)}.get(kinds[index], ())
        if left == right and left in joined:
            kinds[index] = left
    index = 0
    while index < len(kinds):  # W5
        end = index
        while end < len(kinds) and kinds[end] == "ET":
            end += 1
        if end > index and ((index and kinds[index - 1] == "EN") or (end < len(kinds) and kinds[end] == "EN")):
            kinds[index:end] = ["EN"] * (end - index)
        index = end + 1
    kinds = ["ON" if kind in ("ES", "ET", "CS") else kind for kind in kinds]  # W6
    strong = before
    for index, kind in enumerate(kinds):  # W7
        if kind in ("L", "R"):
            strong = kind
        elif kind == "EN" and strong == "L":
            kinds[index] = "L"
    return kinds


def _reordered(places: list[int], levels: Sequence[int]) -> list[int]:
    """L2: from the highest level down to the lowest odd one, reverses each run of that level or higher."""
    used = sorted({levels[place] for place in places}, reverse=True)
    odd = [level for level in used if level % 2]
    for level in range(used[0], min(odd) - 1, -1) if odd else ():
        start = 0
        while start < len(places):
            end = start
            while end < len(places) and levels[places[end]] >= level:
                end += 1
            places[start:end] = places[start:end][::-1]
            start = max(end, start + 1)
    return places
