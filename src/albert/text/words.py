"""Where the words of running text stand, for labels that are given word by word."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

_CJK = "\u2e80-\u9fff\uf900-\ufaff"  # written without spaces: a character is a word, as in BERT's tokenizer
_INNER = "-./:&@+"  # these belong to a word when letters follow: Coca-Cola, U.S, AT&T, http://a.b


@cache
def _pattern() -> re.Pattern[str]:
    """A CJK character, letters and digits with what joins them, or one other character; marks go with each.

    Characters without width count as marks: a tokenizer gives no piece to them alone.
    """
    categories = ("Mn", "Mc", "Me", "Cf")
    marks = "".join(char for char in map(chr, range(0x80, 0x10000)) if unicodedata.category(char) in categories)
    marks = f"[{marks}]*"
    run = rf"(?:(?![{_CJK}])\w{marks})+"
    return re.compile(rf"[{_CJK}]{marks}|{run}(?:[{_INNER}]+{run})*|[^\w\s]{marks}")


def words(text: str) -> list[tuple[int, int]]:
    """[start, end) of each word, so that every character but white space is in one.

    As annotated corpora divide: punctuation at the edge of a word is apart ("Berlin." is two words, and an
    entity can end before the full stop), that within it is not, but for apostrophes.
    """
    return [match.span() for match in _pattern().finditer(text)]
