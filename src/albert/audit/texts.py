"""Faults of the texts: characters that do not belong, markup, almost no content, more pieces than fit."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from albert.audit.findings import Finding, Place, Severity, canonical, excerpt, found, labels_of, texts_of
from albert.data.examples import Example
from albert.text.encodings import Tokenizer
from albert.text.hardening.hardener import BIDI, INVISIBLE, mark_flood
from albert.text.hardening.lookalikes import mixed_words

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_MARKUP = re.compile(
    r"&(?:[a-zA-Z]{2,8}|#\d{2,6}|#x[0-9a-fA-F]{2,5});"
    r"|</?(?:a|b|blockquote|body|br|code|div|em|font|h[1-6]|hr|i|img|li|ol|p|pre|script|span|strong|style|table|td|th"
    r"|tr|u|ul)(?:\s[^<>]*|/)?>",
    re.IGNORECASE,
)
_FOREIGN = re.compile(r"[^\x00-\x7f]{2,}|\ufffd")
_LONG_SHARE = 0.05  # the share of cut texts above which the finding is a warning
_UNKNOWN_SHARE = 0.1  # the share of a text's pieces
_PORTION = 1024


def text_findings(examples: Sequence[Example]) -> list[Finding]:
    """Suspicious characters and texts without content, of one or more files together."""
    return [
        *_matching(examples, "mojibake", "texts that were decoded with a wrong encoding", _mojibake),
        *_matching(examples, "hidden-characters", "texts with invisible characters", _hidden),
        *_matching(examples, "bidi-controls", "texts with directional controls", _pattern(BIDI)),
        *_matching(examples, "control-characters", "texts with control characters", _pattern(_CONTROL)),
        *_matching(examples, "lookalikes", "words with look-alikes from another script", _lookalike),
        *_matching(examples, "mark-floods", "texts with more marks in a row than any language has", _marks),
        *_matching(examples, "markup", "texts with HTML tags or entities", _markup),
        *_wordless(examples),
        *_label_as_text(examples),
    ]


def _matching(examples: Sequence[Example], kind: str, message: str, look: Callable[[str], str | None]) -> list[Finding]:
    places = []
    for example in examples:
        seen = next(filter(None, map(look, texts_of(example))), None)
        if seen is not None:
            places.append(Place.of(example, f"{seen} in {excerpt(example.text)}"))
    return found(kind, Severity.WARNING, message, places)


def _named(char: str) -> str:
    return f"U+{ord(char):04X} {unicodedata.name(char, '')}".rstrip()


def _hidden(text: str) -> str | None:
    """An invisible character that hardening would remove. Those that scripts and emoji need do not count."""
    if text.isascii():
        return None
    return next((_named(match[0][0]) for match in INVISIBLE.finditer(text) if match["flag"] is None), None)


def _lookalike(text: str) -> str | None:
    """A word that mixes scripts, and its foreign letters."""
    if not (mixed := mixed_words(text)):
        return None
    foreign = (_named(char) for char in dict.fromkeys(mixed[0]) if char.isalpha() and not char.isascii())
    return f"{mixed[0]!r} with {', '.join(foreign)}"


def _marks(text: str) -> str | None:
    count = 0 if text.isascii() else mark_flood(text)
    return f"{count} marks in a row" if count else None


def _pattern(pattern: re.Pattern[str]) -> Callable[[str], str | None]:
    """A function that finds one of the pattern's characters and names it."""

    def look(text: str) -> str | None:
        match = pattern.search(text)
        return match and _named(match[0])

    return look


def _markup(text: str) -> str | None:
    match = _MARKUP.search(text) if "&" in text or "<" in text else None
    return match and match[0][:40]


def _mojibake(text: str) -> str | None:
    """Characters that are UTF-8 read in Windows' or ISO's Western encoding, and the right characters."""
    if text.isascii():
        return None
    for match in _FOREIGN.finditer(text):
        if match[0] == "\ufffd":
            return "U+FFFD, which stands for a lost character,"
        if (meant := _decoded_again(match[0])) is not None:
            return f"{match[0]!r} for {meant!r}"
    return None


def _decoded_again(run: str) -> str | None:
    try:
        # cp1252 leaves five bytes undefined; they then appear as ISO's control characters
        raw = b"".join(bytes([ord(char)]) if ord(char) < 0x100 else char.encode("cp1252") for char in run)
        return raw.decode("utf-8")
    except UnicodeError:
        return None


def _wordless(examples: Sequence[Example]) -> list[Finding]:
    places = [
        Place.of(example, excerpt(text))
        for example in examples
        for text in texts_of(example)
        if not any(map(str.isalnum, text))
    ]
    return found("no-words", Severity.WARNING, "texts without a letter or digit", places)


def _label_as_text(examples: Sequence[Example]) -> list[Finding]:
    places = [
        Place.of(example, repr(label))
        for example in examples
        for label in labels_of(example.gold)
        if example.text_pair is None and canonical(label) == canonical(example.text)
    ]
    return found("label-as-text", Severity.WARNING, "texts that are their own label", places)


# --- pieces ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PieceCounts:
    """The number of pieces of each example, with special tokens, and the number of unknown ones."""

    lengths: np.ndarray  # [examples]
    unknown: np.ndarray  # [examples]

    @classmethod
    def of(cls, examples: Sequence[Example], tokenizer: Tokenizer) -> PieceCounts:
        """Counts the pieces of these examples."""
        rows = list(_piece_counts(examples, tokenizer))
        table = np.asarray(rows, np.int64).reshape(-1, 2)
        return cls(table[:, 0], table[:, 1])

    @property
    def unknown_rate(self) -> float:
        return float(self.unknown.sum() / max(self.lengths.sum(), 1))

    def longer_than(self, limit: int) -> int:
        """The number of examples with more pieces."""
        return int((self.lengths > limit).sum())

    def percentiles(self) -> dict[str, int]:
        """The lengths that half, 95 % and 99 % of the examples do not exceed, and the largest length."""
        at = np.percentile(self.lengths, [50, 95, 99, 100], method="inverted_cdf").astype(int).tolist()
        return dict(zip(("median", "95 %", "99 %", "longest"), at, strict=True))

    def histogram(self) -> list[tuple[int, int]]:
        """(upper bound, examples up to it). The bounds are powers of two."""
        last = int(self.lengths.max()) - 1
        bounds = [1 << power for power in range(3, max(last.bit_length(), 3) + 1)]
        counts = np.bincount(np.searchsorted(bounds, self.lengths), minlength=len(bounds))
        return list(zip(bounds, counts.tolist(), strict=True))


def _piece_counts(examples: Sequence[Example], tokenizer: Tokenizer) -> Iterable[tuple[int, int]]:
    for start in range(0, len(examples), _PORTION):
        portion = [texts_of(example) for example in examples[start : start + _PORTION]]
        ids = iter(tokenizer.ids([text for texts in portion for text in texts]))
        for texts in portion:
            parts = [next(ids) for _ in texts]
            specials = len(parts) + 1  # [CLS] A [SEP] (B [SEP])
            yield specials + sum(map(len, parts)), sum(int((part == tokenizer.special.unk).sum()) for part in parts)


def piece_findings(
    examples: Sequence[Example], pieces: PieceCounts, *, max_length: int, fate: str = "cut"
) -> list[Finding]:
    """Texts longer than `max_length`, the longest first, and texts that the vocabulary cannot spell.

    `fate` says how longer texts are handled. It is a warning if many of them are cut.
    """
    order = np.argsort(-pieces.lengths, kind="stable")[: pieces.longer_than(max_length)].tolist()
    long = [Place.of(examples[i], f"{pieces.lengths[i]:,} pieces: {excerpt(examples[i].text)}") for i in order]
    many = fate == "cut" and len(long) > _LONG_SHARE * len(examples)
    foreign = np.flatnonzero(pieces.unknown > _UNKNOWN_SHARE * pieces.lengths).tolist()
    unknown = [
        Place.of(examples[i], f"{pieces.unknown[i]} of {pieces.lengths[i]} pieces: {excerpt(examples[i].text)}")
        for i in foreign
    ]
    return [
        *found(
            "long-texts",
            Severity.WARNING if many else Severity.NOTE,
            f"texts of more than {max_length} pieces, which are {fate}",
            long,
        ),
        *found("unknown-pieces", Severity.WARNING, "texts with more than a tenth of unknown pieces", unknown),
    ]
