"""Where the words of running text stand, for labels that are given word by word."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

_CJK = "\u2e80-\u9fff\uf900-\ufaff"  # written without spaces: a character is a word, as in BERT's tokenizer


@cache
def _pattern() -> re.Pattern[str]:
    """A CJK character, a run of letters and digits, or one other character, each with the marks upon it.

    Characters without width count as marks: a tokenizer gives no piece to them alone.
    """
    categories = ("Mn", "Mc", "Me", "Cf")
    marks = "".join(char for char in map(chr, range(0x80, 0x10000)) if unicodedata.category(char) in categories)
    marks = f"[{marks}]*"
    return re.compile(rf"[{_CJK}]{marks}|(?:(?![{_CJK}])\w{marks})+|[^\w\s]{marks}")


def words(text: str) -> list[tuple[int, int]]:
    """[start, end) of each word, so that every character but white space is in one.

    Punctuation is apart ("Berlin." is two words), so an entity can end before it.
    """
    return [match.span() for match in _pattern().finditer(text)]
