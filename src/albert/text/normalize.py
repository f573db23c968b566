"""Google's text preprocessing, with a map from every output character to its place in the input.

Source: google-research/albert, tokenization.py, `preprocess_text`. In this order: collapse white space, apply NFKD,
drop combining characters, lower-case.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

import numpy as np

_MOST_FOLDS = 0x10000  # the most code points that are kept, so that no text makes the table large


class _Folds(dict[int, str]):
    """NFKD of each character without combining characters, computed when the character first occurs.

    NFKD of a whole text also sorts marks in a row, in time quadratic in their number. All marks are removed, so their
    order does not matter, and working character by character gives the same result.
    """

    def __missing__(self, code: int) -> str:
        parts = unicodedata.normalize("NFKD", chr(code))
        fold = "".join(char for char in parts if not unicodedata.combining(char))
        if code < _MOST_FOLDS:
            self[code] = fold
        return fold


_FOLDS = _Folds()


@dataclass(frozen=True)
class NormalizedText:
    """Normalised `text`. Character i came from `original[starts[i]:ends[i]]`; None means the same index."""

    text: str
    starts: np.ndarray | None = None
    ends: np.ndarray | None = None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """[start, end) in the original of characters [start, end) of the normalised text."""
        if self.starts is None or self.ends is None:
            return start, end
        if start >= end:
            position = int(self.starts[start]) if start < len(self.starts) else int(self.ends[-1])
            return position, position
        return int(self.starts[start]), int(self.ends[end - 1])

    def part(self, start: int, end: int) -> NormalizedText:
        """Characters [start, end) without the white space around them, with their places in the original."""
        rest = self.text[start:end]
        start += len(rest) - len(rest.lstrip())
        text = rest.strip()
        end = start + len(text)
        starts = np.arange(start, end) if self.starts is None else self.starts[start:end]
        ends = np.arange(start + 1, end + 1) if self.ends is None else self.ends[start:end]
        return NormalizedText(text, starts, ends)

    def made_from(self, source: NormalizedText) -> NormalizedText:
        """The same text, with its map extended to the text that `source` was made from. `source.text` is this text's
        original.
        """
        if source.starts is None or source.ends is None:
            return self
        starts = np.arange(len(self.text)) if self.starts is None else self.starts
        ends = starts + 1 if self.ends is None else self.ends
        return NormalizedText(self.text, source.starts[starts], source.ends[ends - 1])


@dataclass(frozen=True)
class Normalizer:
    """The preprocessing with which the published uncased checkpoints were trained.

    `keep_accents` leaves out NFKD and the removal of combining characters. `lower` folds case. `quotes` maps `` and ''
    to " as the transformers port does; Google's code does not.
    """

    lower: bool = True
    keep_accents: bool = False
    quotes: bool = False

    def text(self, original: str) -> str:
        """Only the normalised text, for work without offsets (training a vocabulary)."""
        text = " ".join(original.split())
        if self.quotes:
            text = text.replace("``", '"').replace("''", '"')
        if not self.keep_accents and not text.isascii():
            text = text.translate(_FOLDS)
        return text.lower() if self.lower else text

    def __call__(self, original: str) -> NormalizedText:
        """The normalised text with its offsets into `original`."""
        text = self.text(original)
        if len(text) == len(original) and original.isascii():
            return NormalizedText(text)  # in ASCII each character becomes one character, unless some were removed
        return self._aligned(original, text)

    def _aligned(self, original: str, expected: str) -> NormalizedText:
        length = 0
        starts: list[int] = []
        ends: list[int] = []
        position = 0
        while position < len(original):
            begin = position
            position += 1
            if original[begin].isspace():
                while position < len(original) and original[position].isspace():
                    position += 1
                width = 1 if begin > 0 and position < len(original) else 0
            elif self.quotes and original[begin : begin + 2] in ("``", "''"):
                position += 1
                width = 1
            else:
                width = len(self._fold(original[begin]))
                if width == 0 and ends and ends[-1] == begin:
                    ends[-1] = position  # a dropped mark belongs to the letter before it
            starts.extend([begin] * width)
            ends.extend([position] * width)
            length += width
        # The characters come from the form for whole strings: only this form handles final sigma.
        assert length == len(expected), "character-wise and whole-string normalisation differ in length"
        return NormalizedText(expected, np.asarray(starts, np.int64), np.asarray(ends, np.int64))

    def _fold(self, char: str) -> str:
        if char.isascii():
            return char.lower() if self.lower else char
        if not self.keep_accents:
            char = _FOLDS[ord(char)]
        return char.lower() if self.lower else char
