"""Makes hostile text readable before ALBERT's own preprocessing: removes invisible characters and folds look-alikes.

docs/decisions/005 has the reason for each rule. Off for published checkpoints, on for models that `albert train` makes.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from albert.errors import AlbertError, ErrorKind
from albert.text.hardening import bidi
from albert.text.hardening.lookalikes import LOOKALIKE, MEETING, OTHER, SMALL, Judge, Share, Spell, words
from albert.text.normalize import NormalizedText

VERSION = 1
MOST_MARKS = 30  # marks in a row: normalising a flood of them takes quadratic time
_EXPANSION = 4  # how much longer NFKD may make the text; beyond this, expanding characters are removed
_ROUNDS = 4  # a removal may expose more for the next round; no known attack needs more than two

# --- patterns ------------------------------------------------------------------------------------------------

_ARABIC_INDIC = (
    "\u0600-\u08ff\u0900-\u109f\u1780-\u18af\u19e0-\u19ff\u1a00-\u1aff\u1b00-\u1c4f\ua840-\ua87f\ua8e0-\ua9ff"
    "\uaa60-\uaadf\uabc0-\uabff\ufb50-\ufdff\ufe70-\ufefc\U00010a60-\U00010aff\U00011000-\U0001157f\U0001e900-\U0001e95f"
)
_NO_SPACES = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aad\ua9e0-\ua9ff\uaa60-\uaadf"
_EMOJI = "\u00a9\u00ae\u203c-\u2bff\u3030\u303d\u3297\u3299\ufe0f\U0001f000-\U0001faff"
_JAMO = "\u1100-\u115e\u1161-\u11ff\ua960-\ua97f\ud7b0-\ud7fb"
_NO_VARIANTS = "\x00-\xa8\xaa-\xad\xaf-\u058f\u1d00-\u1fff\u2000-\u200f"  # Western letters and spaces
_TAG = "\U000e0020-\U000e007f"
_VARIATION = "\ufe00-\ufe0f\U000e0100-\U000e01ef"

# A flag's tags match first, so that they do not count as hidden text.
INVISIBLE = re.compile(
    f"(?P<flag>\U0001f3f4[\U000e0030-\U000e007a]{{2,6}}\U000e007f)"
    "|[\u00ad\u2060-\u2064\u206a-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\U000e0001]"
    f"|(?<![{_NO_SPACES}])\u200b(?![{_NO_SPACES}])"
    f"|(?<![{_ARABIC_INDIC}])[\u200c\u200d](?![{_ARABIC_INDIC}])(?:(?<![{_EMOJI}].)|(?![{_EMOJI}]))"
    f"|(?<![\u0590-\u05ff])\u034f(?![\u0590-\u05ff])"
    "|(?<![\u1800-\u18af])[\u180b-\u180f](?![\u1800-\u18af])"
    f"|(?<![{_JAMO}])[\u115f\u1160](?![{_JAMO}])"
    f"|(?:(?<=[{_NO_VARIANTS}{_VARIATION}])|^)[{_VARIATION}]+(?!\u20e3)"
    f"|[{_TAG}]+",
    re.DOTALL,
)
BIDI = re.compile("[" + "".join(sorted(bidi.CONTROLS)) + "]")
CONTROL = re.compile("[\x00-\x07\x0e-\x1b\x7f]")  # white space stays (as in str.isspace), and \b is applied
_BACKSPACE = "\b"
_READ_RIGHTWARDS = re.compile("[A-Za-z0-9]")
_STYLED = {chr(first + letter): chr(ord("a") + letter) for first in (0x1F150, 0x1F170) for letter in range(26)}
_STYLES = "\U0001f150-\U0001f169\U0001f170-\U0001f189"
# Alone, this letter is an emoji: a blood type, a car park.
_STYLED_RUN = re.compile(f"[{_STYLES}]{{2,}}|(?<=[A-Za-z])[{_STYLES}]|[{_STYLES}](?=[A-Za-z])")
# What a rule may change in ASCII text, and in other text. A text without any of these stays as it is.
_ASCII_SUSPECT = re.compile("[\x00-\x08\x0e-\x1b\x7f]")
_SUSPECT = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f\u00ad\u034f\u061c\u115f\u1160\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff\ufdfa\ufdfb\u321d\u321e\u327c\u3300-\u33af"
    f"\U000e0001-\U000e01ef{_STYLES}{SMALL.pattern[1:]}"
)
SURROGATE = re.compile("[\ud800-\udfff]")


@cache
def _floods() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """More marks in a row than any language writes, and the superfluous ones among them.

    A mark here is a character whose NFKD form begins with one that normalisation sorts.
    """
    marks = [
        char
        for char in map(chr, (*range(0x300, 0xD800), *range(0xE000, 0x1F000)))
        if unicodedata.combining(char)
        or (unicodedata.decomposition(char) and unicodedata.combining(unicodedata.normalize("NFKD", char)[0]))
    ]
    mark = character_class(marks)
    # The first search has one range for all marks beyond U+FFFF: many ranges make it twenty times slower.
    likely = character_class(char for char in marks if char <= "\uffff")[:-1] + "\U00010000-\U0001efff]"
    return (
        re.compile(f"{likely}{likely}{{{MOST_MARKS}}}"),
        re.compile(f"(?<={mark}{{{MOST_MARKS}}}){mark}+"),
    )


def without_floods(text: str) -> str:
    """The text with at most `MOST_MARKS` marks in a row. Unicode's normal forms take quadratic time otherwise."""
    return _floods()[1].sub("", text) if _floods()[0].search(text) else text


def mark_flood(text: str) -> int:
    """The number of marks in the first run that is longer than any language writes; 0 without one."""
    kept = _floods()[1].search(text)
    return MOST_MARKS + len(kept[0]) if kept else 0


# --- the layer -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hardening:
    """How a model's texts are hardened. `whole_words` also folds words made entirely of look-alikes.

    Use it only for texts in Latin letters: Russian has such words ("а", "сор").
    """

    whole_words: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The entries of a tokenizer's configuration; the inverse of `hardening_of`."""
        return {"hardening": VERSION, **({"hardening_whole_words": True} if self.whole_words else {})}


def hardening_of(settings: Mapping[str, Any], source: str) -> Hardening | None:
    """The hardening in a tokenizer's configuration; None without the key.

    Raises `AlbertError` (bad-model) for a version that this package does not have.
    """
    version = settings.get("hardening", 0)
    if version in (0, None, False):
        return None
    if version != VERSION or isinstance(version, bool):
        raise AlbertError(
            ErrorKind.MODEL,
            f"{source}: hardening",
            expected=f"version {VERSION}, or none",
            got=repr(version),
            hint="the model is of a later version of this package",
        )
    return Hardening(whole_words=bool(settings.get("hardening_whole_words", False)))


@dataclass(frozen=True)
class Hardened(NormalizedText):
    """A hardened text with its map to the original, and how many characters or words each rule changed.

    Every character has a span of at least one character. Characters that directional overrides moved share the span of
    the whole stretch, from its first control to its last.
    """

    counts: Mapping[str, int] = field(default_factory=dict)


class Hardener:
    """Hardens texts by the rules of version 1. `spell` gives the pieces of a word in a vocabulary (see `Judge`)."""

    def __init__(self, hardening: Hardening | None = None, *, spell: Spell | None = None) -> None:
        self.hardening = hardening or Hardening()
        self._judge = Judge(spell, whole_words=self.hardening.whole_words)

    def text(self, original: str) -> str:
        """Only the hardened text, for work without offsets. Raises as `__call__`."""
        return self(original).text if self._concerns(original) else original

    def __call__(self, original: str) -> Hardened:
        """The hardened text, in linear time. Raises `AlbertError` (bad-data) for lone surrogates."""
        if not self._concerns(original):
            return Hardened(original)
        draft = _Draft(original)
        for _ in range(_ROUNDS):
            before = draft.text
            self._round(draft)
            if draft.text == before:
                break
        counts = {rule: count for rule, count in draft.counts.items() if count}
        if draft.text == original:
            return Hardened(original, counts=counts)
        return Hardened(draft.text, draft.starts, draft.ends, counts)

    def _concerns(self, text: str) -> bool:
        """Whether a rule might change the text. This costs almost nothing for plain text."""
        if text.isascii():
            return not text.isprintable() and _ASCII_SUSPECT.search(text) is not None
        return bool(_SUSPECT.search(text) or self._may_fold(text) or _floods()[0].search(text))

    def _may_fold(self, text: str) -> bool:
        meeting = OTHER.search(text) and MEETING.search(text)
        return bool(meeting or (self.hardening.whole_words and LOOKALIKE.search(text)))

    def _round(self, draft: _Draft) -> None:
        """Applies every rule once."""
        if _SUSPECT.search(draft.text):
            if SURROGATE.search(draft.text):
                raise invalid_unicode(draft.text)
            draft.delete((match.span() for match in CONTROL.finditer(draft.text)), "control")
            draft.delete((match.span() for match in INVISIBLE.finditer(draft.text) if not match["flag"]), "invisible")
            draft.reorder(_displayed(draft.text), "reordered")
            draft.delete((match.span() for match in BIDI.finditer(draft.text)), "bidi")
            if _BACKSPACE in draft.text:
                draft.delete(_backspaced(draft.text), "backspace")
            draft.delete(_expanding(draft.text), "expanding")
            runs = _STYLED_RUN.finditer(draft.text)
            draft.replace([(run.start(), "".join(_STYLED[char] for char in run[0])) for run in runs], "styled")
        if not draft.text.isascii():
            if _floods()[0].search(draft.text):
                draft.delete((match.span() for match in _floods()[1].finditer(draft.text)), "mark")
            self._fold(draft)

    def _fold(self, draft: _Draft) -> None:
        text = draft.text
        draft.counts["mixed"] = 0
        if not (SMALL.search(text) or self._may_fold(text)):
            return
        share = Share.of(text)
        changes = []
        for match in words(text):
            if match[0].isascii():
                continue
            judgement = self._judge.judge(match[0], share)
            if judgement.word != match[0]:
                changes.append((match.start(), judgement.word))
            draft.counts["mixed"] += judgement.mixed
        draft.replace(changes, "lookalike")


def invalid_unicode(text: str) -> AlbertError:
    """The error for a text with a lone surrogate."""
    return AlbertError(ErrorKind.DATA, "text is not valid Unicode", expected="no lone surrogates", got=f"{text[:60]!a}")


def character_class(chars: Iterable[str]) -> str:
    """The characters as a class of a regular expression, in ranges: single ones beyond U+FFFF are slow to look up."""
    ranges: list[list[int]] = []
    for code in sorted(map(ord, chars)):
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "[" + "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in ranges) + "]"


# --- rules ---------------------------------------------------------------------------------------------------


class _Draft:
    """A text during hardening: the remaining characters, and where each came from."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.starts = np.arange(len(text))
        self.ends = self.starts + 1
        self.counts: Counter[str] = Counter()

    def delete(self, spans: Iterable[tuple[int, int]], rule: str) -> None:
        """Removes spans, which are in order and do not overlap, and counts their characters."""
        parts, keep, last = [], None, 0
        for start, end in spans:
            if keep is None:
                keep = np.ones(len(self.text), bool)
            keep[start:end] = False
            parts.append(self.text[last:start])
            self.counts[rule] += end - start
            last = end
        if keep is not None:
            self.text = "".join(parts) + self.text[last:]
            self.starts, self.ends = self.starts[keep], self.ends[keep]

    def replace(self, changes: Iterable[tuple[int, str]], rule: str) -> None:
        """Replaces characters by as many others, at places in order. Each change counts as one."""
        parts, last = [], 0
        for start, new in changes:
            parts += [self.text[last:start], new]
            last = start + len(new)
            self.counts[rule] += 1
        if parts:
            self.text = "".join(parts) + self.text[last:]

    def reorder(self, stretches: Iterable[tuple[int, int, list[int]]], rule: str) -> None:
        """Puts the characters of each stretch in another order. Characters missing from that order are removed."""
        order: list[np.ndarray] = []
        last = 0
        for start, end, places in stretches:
            # moved characters share the span of the whole stretch, so that offsets never decrease
            self.starts[start:end], self.ends[start:end] = self.starts[start], self.ends[end - 1]
            order += [np.arange(last, start), np.asarray(places, np.int64)]
            self.counts[rule] += len(places)
            last = end
        if order:
            every = np.concatenate([*order, np.arange(last, len(self.text))])
            self.text = "".join(map(self.text.__getitem__, every.tolist()))
            self.starts, self.ends = self.starts[every], self.ends[every]


def _displayed(text: str) -> Iterable[tuple[int, int, list[int]]]:
    """Stretches with overrides and Latin letters or digits, and their characters in display order."""
    if bidi.OVERRIDES.isdisjoint(text):
        return
    for start, end in bidi.regions(text):
        if _READ_RIGHTWARDS.search(stretch := text[start:end]):
            yield start, end, [start + index for index in bidi.displayed(stretch)]


def _backspaced(text: str) -> list[tuple[int, int]]:
    """Each backspace and the character that it deletes, with its marks. Line breaks are never deleted."""
    kept: list[int] = []
    gone = np.zeros(len(text), bool)
    for index, char in enumerate(text):
        if char != _BACKSPACE:
            kept.append(index)
            continue
        gone[index] = True
        while kept and text[kept[-1]] not in "\r\n":
            last = kept.pop()
            gone[last] = True
            if not unicodedata.combining(text[last]):
                break
    return [(int(index), int(index) + 1) for index in np.flatnonzero(gone)]


@cache
def _wide() -> re.Pattern[str]:
    """Characters that become more than four under NFKD: U+FDFA becomes 18."""
    candidates = map(chr, (*range(0x3200, 0x3400), *range(0xFB00, 0xFE00)))
    wide = (char for char in candidates if len(unicodedata.normalize("NFKD", char)) > _EXPANSION)
    return re.compile(character_class(wide))


def _expanding(text: str) -> list[tuple[int, int]]:
    """These characters, if the text would become more than four times as long."""
    places = [match.span() for match in _wide().finditer(text)]
    return places if len(places) > 1 and _expanded(text) > _EXPANSION * len(text) else []


def _expanded(text: str) -> int:
    """The length of the text under NFKD, from its characters, because floods of marks are still in it."""
    return sum(count * len(unicodedata.normalize("NFKD", char)) for char, count in Counter(text).items())
