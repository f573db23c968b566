"""Where words begin and end: in running text, for labels per word, and in a vocabulary."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache

import numpy as np

_CJK = "\u2e80-\u9fff\uf900-\ufaff"  # scripts without spaces: each character is a word, as in BERT's tokenizer
_SPACELESS = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
_INNER = "-./:&@+"  # these belong to a word if letters follow: Coca-Cola, U.S, AT&T, http://a.b


@cache
def _pattern() -> re.Pattern[str]:
    """A CJK character, or letters and digits with their joining characters, or one other character; each with its
    marks.

    Characters without width count as marks, because a tokenizer gives no piece to them alone.
    """
    categories = ("Mn", "Mc", "Me", "Cf")
    marks = "".join(char for char in map(chr, range(0x80, 0x10000)) if unicodedata.category(char) in categories)
    marks = f"[{marks}]*"
    run = rf"(?:(?![{_CJK}])\w{marks})+"
    return re.compile(rf"[{_CJK}]{marks}|{run}(?:[{_INNER}]+{run})*|[^\w\s]{marks}")


def words(text: str) -> list[tuple[int, int]]:
    """[start, end) of each word. Every character except white space is in a word.

    Words are divided as in annotated corpora. Punctuation at a word's edge is a word of its own: "Berlin." is two
    words, and an entity can end before the full stop. Punctuation within a word is part of it, except for apostrophes.
    """
    return [match.span() for match in _pattern().finditer(text)]


def word_starts(vocabulary: Sequence[str]) -> np.ndarray:
    """Whether each piece starts a word, [vocab].

    A piece does if it has the space mark, has no letter or digit, or belongs to a script without spaces.
    """
    return np.array([_starts_word(piece) for piece in vocabulary])


def _starts_word(piece: str) -> bool:
    if piece.startswith("▁") or not any(char.isalnum() for char in piece):
        return True
    return any(unicodedata.name(char, "").startswith(_SPACELESS) for char in piece)
