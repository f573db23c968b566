"""Whether the first row of a table names its columns: known names decide, then the rows below."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from albert.data.reading import missing

# Names that a column of a labelled table commonly has (GLUE, Kaggle, the hub); lower case.
TEXT_NAMES = (
    "text", "sentence", "review", "message", "comment", "tweet", "content", "body", "document",
    "description", "utterance", "question", "title",
)  # fmt: skip
PAIR_NAMES = (
    ("sentence1", "sentence2"), ("text1", "text2"), ("text_a", "text_b"), ("text", "text_pair"),
    ("question1", "question2"), ("premise", "hypothesis"), ("question", "sentence"), ("question", "context"),
    ("article", "question"), ("query", "passage"), ("sent1", "sent2"),
)  # fmt: skip
LABEL_NAMES = (
    "label", "labels", "class", "category", "target", "gold_label", "sentiment", "intent", "topic",
    "score", "rating", "stars", "is_duplicate", "spans", "entities", "answers", "answer",
)  # fmt: skip
CHOICES_NAMES = ("choices", "options", "endings", "choice")  # a column of lists
# Of tables of texts and what is made of them: translations, summaries, answers in other words.
REWRITE_NAMES = (
    ("source", "target"), ("src", "tgt"), ("input", "output"), ("text", "summary"), ("document", "summary"),
    ("article", "summary"), ("article", "highlights"), ("source", "translation"), ("text", "translation"),
    ("text", "target"), ("prompt", "completion"), ("input", "target"),
)  # fmt: skip
_OTHER_NAMES = ("id", "idx", "index", "guid", "timestamp", "date", "url", "split", "lang", "prediction", "predictions")
KNOWN_NAMES = frozenset(
    (
        *TEXT_NAMES,
        *LABEL_NAMES,
        *CHOICES_NAMES,
        *_OTHER_NAMES,
        *itertools.chain.from_iterable(PAIR_NAMES),
        *itertools.chain.from_iterable(REWRITE_NAMES),
    )
)
UNNAMED = "index"  # the first column of tables from pandas and R
_PANDAS_UNNAMED = re.compile(r"Unnamed: \d+")
_FIGURES = re.compile(r"[\d\s.,:/%€$£+-]*\d[\d\s.,:/%€$£TZAPM+-]*")  # numbers, dates and times
_NEEDED = 2  # the least evidence for a header
_QUESTION = 20  # a name this long above shorter answers is a question
_MANY = 8  # the fewest rows for a meaningful longest and shortest text
_REPEATED = 4  # the fewest rows in which values can repeat


@dataclass(frozen=True)
class Header:
    """Whether the first row is a header, and whether that is certain."""

    there: bool
    sure: bool = False


def judge(first: Sequence[str], below: Sequence[Sequence[str]], wanted: Collection[str] = ()) -> Header:
    """Judges a first row by its cells and the rows below it. `wanted` are the names of columns that were asked for.

    A row with all wanted names is a header, and so is one that names a column of texts and one of labels, or several
    known columns whose names do not occur below. If columns are asked for by number, it is not. Otherwise each column
    gives evidence.
    """
    known = [is_known(name) or name in wanted for name in first]
    rows = [row for row in below if list(row) != list(first)] if any(known) else below  # joined files
    columns = [[row[place].strip() for row in rows if place < len(row)] for place in range(len(first))]
    if _counts(first):
        above_words = any(values and not any(map(_is_figures, values)) for values in columns)
        return Header(above_words)
    numbers = bool(wanted) and all(map(str.isdecimal, wanted))
    if wanted and not numbers and set(wanted) <= set(first):
        return Header(True, sure=True)
    against = any(_is_value(name, values) for name, values in zip(first, columns, strict=True))
    if _names_text_and_label(first) or (sum(known) > 1 and not against):
        return Header(True, sure=True)
    if numbers:
        return Header(False)
    return Header(_index(first[0], columns[0]) + sum(map(_evidence, first, known, columns)) >= _NEEDED)


def is_known(name: str) -> bool:
    """Whether columns commonly have this name."""
    return _spelled(name) in KNOWN_NAMES or _PANDAS_UNNAMED.fullmatch(name) is not None


def _spelled(name: str) -> str:
    """A name as the lists above spell it."""
    return name.lower().replace(" ", "_")


def named(first: Sequence[str]) -> tuple[str, ...]:
    """The names of columns. A first one without a name is "index"; others get their number."""
    names: list[str] = []
    for place, name in enumerate(first):
        if not name:
            name = UNNAMED if place == 0 and UNNAMED not in first else str(place + 1)
            while name in (*names, *first):
                name += "_"
        names.append(name)
    return tuple(names)


def numbered(count: int) -> tuple[str, ...]:
    """The names of columns without a header: "1", "2", …"""
    return tuple(str(place + 1) for place in range(count))


def _counts(first: Sequence[str]) -> bool:
    """Whether cells are pandas' default names: 0, 1, … (or from 1), after an empty cell for an index or not."""
    cells = list(first[1:] if first and not first[0] else first)
    return len(cells) > 1 and any(cells == [str(start + place) for place in range(len(cells))] for start in (0, 1))


def _names_text_and_label(first: Sequence[str]) -> bool:
    """Whether a row has the common names of a column of texts and of one of labels, even if a text or label is one."""
    names = set(map(_spelled, first))
    return not names.isdisjoint(TEXT_NAMES) and not names.isdisjoint(LABEL_NAMES)


def _is_value(name: str, below: Sequence[str]) -> bool:
    """Whether a word occurs again below itself, as a label does."""
    return name != "" and name in below and not _is_figures(name)


def _index(name: str, below: Sequence[str]) -> int:
    """The evidence for a header from a first column that has no name and numbers its rows."""
    numbers = bool(below) and all(map(str.isdecimal, below)) and len(set(below)) == len(below)
    return 2 if not name and numbers else 0


def _evidence(name: str, known: bool, below: Sequence[str]) -> int:
    """The evidence of a column: above 0 for a header, below 0 for a first row of data."""
    values = [value for value in below if value and missing(value) is None]
    if missing(name) is not None or not any(map(str.isalnum, name)):
        return 0
    if _is_value(name, values):
        return -3
    evidence = 2 * known
    if values and _is_figures(name):
        return evidence - (all(map(_is_figures, values)) and _within(name, values))
    if values and all(map(_is_figures, values)):
        return evidence + 3
    if len(values) >= _REPEATED and len(set(values)) <= len(values) / 2:
        return evidence + 2 + (len(name) > max(_QUESTION, 2 * max(map(len, values))))
    return evidence + (_as_text(name, values) if values else 0)


def _as_text(name: str, values: Sequence[str]) -> int:
    """The evidence of a cell above a column of different texts: a sentence as long as they are is one of them."""
    lengths = sorted(map(len, values))
    sentence = (len(name.split()) > 3 or name[-1] in ".!,;") and name[-1] not in "?:*"
    if lengths[0] <= len(name) <= lengths[-1]:
        return -sentence
    return int(len(values) >= _MANY and not sentence)


def _is_figures(cell: str) -> bool:
    return _FIGURES.fullmatch(cell) is not None or is_number(cell)


def is_number(cell: str) -> bool:
    """Whether a cell is a number in Python's syntax."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _within(name: str, values: Sequence[str]) -> bool:
    """Whether a number is between the smallest and largest below. True if those are no plain numbers."""
    if not (is_number(name) and all(map(is_number, values))):
        return True
    numbers = list(map(float, values))
    return min(numbers) <= float(name) <= max(numbers)
