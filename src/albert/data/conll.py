"""CoNLL files: a word and its tag per line, in different columns, and a blank line between sentences."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from albert.data.sources import Problems
from albert.data.spans import OUTSIDE, Interval, Span, begins, spans_over, split_tag
from albert.errors import AlbertError, ErrorKind

_TAG = re.compile(r"O|[BIESLUM]-\S.*")
_DOCUMENT = "-DOCSTART-"
_SHOWN = 10
_MOSTLY = 0.9  # the least share of tags (or numbers) in a column of tags (or numbers)
_CHUNKS = frozenset((  # phrase tags of CoNLL-2000 and of the German part of CoNLL-2003
    "NP", "VP", "PP", "ADVP", "ADJP", "SBAR", "PRT", "CONJP", "INTJ", "LST", "UCP", "NC", "VC", "PC", "AC",
))  # fmt: skip
_PHRASED = 0.7  # the least share of words within phrases; entities have fewer words
_ENOUGH = 50  # the fewest words for a meaningful share


@dataclass(frozen=True)
class Sentence:
    """The words joined by single spaces, the place of each word, the entities, and the line of the first word."""

    number: int
    text: str
    words: tuple[Interval, ...]
    spans: tuple[Span, ...]

    @classmethod
    def of(cls, number: int, words: Sequence[str], tags: Sequence[str]) -> Sentence:
        """The sentence of these words, tags and first line."""
        ends = list(itertools.accumulate(len(word) + 1 for word in words))
        at = tuple((end - 1 - len(word), end - 1) for word, end in zip(words, ends, strict=True))
        return cls(number, " ".join(words), at, tuple(spans_over(tags, at)))


@dataclass(frozen=True)
class WordColumns:
    """The positions of words and tags in a line, and the assumptions about them, in words.

    Positions count from 0, or from -1 backwards.
    """

    word: int = 0
    tag: int = -1
    told: str | None = None


OUTER = WordColumns()  # the first and the last


def looks_like_conll(lines: Sequence[str]) -> bool:
    """Whether every line that is not blank has words and a tag, and the lines have a blank line or an entity.

    If the tag is not last, they must have both.
    """
    rows = _rows(lines)
    if not rows or len({len(row) for row in rows}) > 1 or len(rows[0]) < 2:
        return False
    blank = any(not line.strip() for line in lines)
    tagged = [column for column in zip(*rows, strict=True) if all(map(_TAG.fullmatch, column))]
    entities = any(tag != OUTSIDE for column in tagged for tag in column)
    if all(_TAG.fullmatch(row[-1]) for row in rows):
        return blank or entities
    return blank and entities


def word_columns(path: str, lines: Sequence[str], *, word: int | None, tag: int | None) -> WordColumns:
    """The columns of words and tags. Columns that are not given (counted from 1) are found by the content of the first
    lines.

    Raises `AlbertError`: bad-data if several columns of tags are possible, usage for a column that does not exist.
    """
    rows = _rows(lines)
    width = Counter(map(len, rows)).most_common(1)[0][0] if rows else 0
    for name, given in (("--word-column", word), ("--tag-column", tag)):
        if given is not None and not 1 <= given <= max(width, 1):
            raise AlbertError(ErrorKind.USAGE, f"{path}: {name}", expected=f"1 to {width}", got=str(given))
    if word is not None and word == tag:
        raise AlbertError(
            ErrorKind.USAGE, f"{path}: --tag-column", expected="another column than the words'", got=str(tag)
        )
    rows = [row for row in rows if len(row) == width]
    columns = list(zip(*rows, strict=True))
    tagged = [place for place, column in enumerate(columns) if _are_tags(column)]
    told = []
    if tag is None:
        at, note = _tag_column(path, columns, [place for place in tagged if place + 1 != word])
        told += [note] if note else []
    else:
        at = tag - 1
    place = _word_column(columns, {*tagged, at}, lines) if word is None else word - 1
    if word is None and place:
        told.append(f"words are in column {place + 1}; --word-column names another")
    return WordColumns(place, at, "; ".join(told) or None)


def _tag_column(path: str, columns: Sequence[tuple[str, ...]], tagged: Sequence[int]) -> tuple[int, str | None]:
    """The position of the tags, and the assumption made. Phrases are not entities, and of nested tags the outer ones
    count.
    """
    if not tagged:
        return -1, None
    entities = [place for place in tagged if not _are_chunks(columns[place])] or list(tagged[-1:])
    first, *others = entities
    outer = {row for row, tag in enumerate(columns[first]) if tag != OUTSIDE}
    inner = {row for other in others for row, tag in enumerate(columns[other]) if tag != OUTSIDE}
    if not (inner <= outer and _are_nested(columns[first], [columns[other] for other in others])):
        named = ", ".join(str(place + 1) for place in entities)
        raise AlbertError(
            ErrorKind.DATA, f"{path}: which column holds the tags?", expected="one of them", got=f"columns {named}",
            hint="name it with --tag-column NUMBER",
        )  # fmt: skip
    if others:
        rest = ", ".join(str(place + 1) for place in others)
        return first, f"tags are in column {first + 1}, nested ones in {rest} are not read; --tag-column names another"
    if first != len(columns) - 1:
        return first, f"tags are in column {first + 1}; --tag-column names another"
    return first, None


def _word_column(columns: Sequence[tuple[str, ...]], tagged: set[int], lines: Sequence[str]) -> int:
    """The first column of words: without tags and numbers, not constant within sentences, and not repeating more than
    others.
    """
    bounds = _bounds(lines)
    places = [
        place
        for place, column in enumerate(columns)
        if not {place, place - len(columns)} & tagged and not _count(column) and not _are_names(column, bounds)
    ]
    most = max((len(set(columns[place])) for place in places), default=0)
    return next((place for place in places if len(set(columns[place])) >= 0.8 * most), 0)


def _are_tags(column: Sequence[str]) -> bool:
    return sum(_TAG.fullmatch(cell) is not None for cell in column) >= _MOSTLY * len(column)


def _are_chunks(column: Sequence[str]) -> bool:
    covered = sum(tag != OUTSIDE for tag in column)
    types = _types(column)
    return bool(types) and (types <= _CHUNKS or (len(column) >= _ENOUGH and covered >= _PHRASED * len(column)))


def _are_nested(outer: Sequence[str], others: Sequence[Sequence[str]]) -> bool:
    """Whether all columns hold entities of the same kind: none, or types that extend those of the first (LOC and
    LOCderiv).
    """
    inner = {kind for column in others for kind in _types(column)}
    return not inner or any(a.startswith(b) or b.startswith(a) for a in inner for b in _types(outer))


def _types(column: Sequence[str]) -> set[str]:
    return {split_tag(tag)[1] for tag in column if tag != OUTSIDE}


def _count(column: Sequence[str]) -> bool:
    """Whether the cells count words or sentences."""
    return sum(re.fullmatch(r"\d+([-.]\d+)?", cell) is not None for cell in column) >= _MOSTLY * len(column)


def _are_names(column: Sequence[str], bounds: Sequence[int]) -> bool:
    """Whether the cells name sentences or documents: each sentence of several words has the same cell throughout."""
    parts = [set(column[start:end]) for start, end in itertools.pairwise(bounds) if end - start > 1]
    return len(parts) > 1 and all(len(part) == 1 for part in parts)


def _bounds(lines: Sequence[str]) -> list[int]:
    """Where sentences begin and end among the rows of these lines."""
    bounds, count = [0], 0
    for line in lines:
        if not line.strip() or _cells(line)[0] == _DOCUMENT:
            bounds += [count] if count > bounds[-1] else []
        elif not _is_comment(line):
            count += 1
    return [*bounds, count] if count > bounds[-1] else bounds


def _rows(lines: Sequence[str]) -> list[list[str]]:
    """The cells of all lines that have a word."""
    cells = (_cells(line) for line in lines if line.strip() and not _is_comment(line))
    return [row for row in cells if row[0] != _DOCUMENT]


def sentences(lines: Iterator[tuple[int, str]], problems: Problems, columns: WordColumns = OUTER) -> Iterator[Sentence]:
    """The sentences of a file. Bad lines go to `problems`, and so does a remark about repaired tags."""
    check = _SchemeCheck()
    width = 0
    rows: list[tuple[int, str, str]] = []
    for number, line in itertools.chain(lines, [(0, "")]):
        cells = _cells(line)
        if not line.strip() or cells[0] == _DOCUMENT:
            if rows:
                numbers, words, tags = zip(*rows, strict=True)
                check.see(numbers, tags)
                yield Sentence.of(numbers[0], words, tags)
            rows = []
        elif not _is_comment(line):
            width = width or len(cells)
            if fault := _fault(cells, width, columns):
                what, expected, got = fault
                problems.add(number, what, expected=expected, got=got)
            else:
                rows.append((number, cells[columns.word], cells[columns.tag]))
    if remark := check.remark():
        problems.remarks.append(f"{problems.path}: {remark}")


@dataclass
class _SchemeCheck:
    """Finds tags that no scheme allows.

    In IOB1 an I- may begin an entity, because B- is used only between two entities of one type.
    """

    plain_begins: bool = False  # a B- or S- where IOB1 would have I-, so the file is IOB2 or BIOES
    bare: list[int] = field(default_factory=list)  # lines where an I- or E- begins an entity

    def see(self, numbers: Sequence[int], tags: Sequence[str]) -> None:
        before = (OUTSIDE, "")
        for number, tag in zip(numbers, map(split_tag, tags), strict=True):
            if begins(before, tag):
                if tag[0] in "BS":
                    self.plain_begins |= tag[0] == "S" or before[1] != tag[1]
                else:
                    self.bare.append(number)
            before = tag

    def remark(self) -> str | None:
        if not (self.plain_begins and self.bare):
            return None
        shown = ", ".join(map(str, self.bare[:_SHOWN])) + (", …" if len(self.bare) > _SHOWN else "")
        return f"{len(self.bare)} entities without a B- at their beginning, read as conlleval does; lines {shown}"


def _cells(line: str) -> list[str]:
    line = line.rstrip("\t ")
    return line.split("\t") if "\t" in line else [cell for cell in line.split(" ") if cell] or [""]


def _is_comment(line: str) -> bool:
    """Whether a line is a comment such as "# id …". A word "#" has a tag after it."""
    return line.startswith("#") and not _TAG.fullmatch(_cells(line)[-1])


def _fault(cells: list[str], width: int, columns: WordColumns) -> tuple[str, str, str] | None:
    """(what, expected, got) if the cells are not a word and its columns."""
    least = max(width, columns.word + 1, columns.tag + 1, 2)
    if len(cells) != least:
        return "ragged row", f"{least} columns, a word and its tag among them", str(len(cells))
    if not cells[columns.word]:
        return "no word", f"a word in column {columns.word + 1}", "an empty one"
    tag = cells[columns.tag]
    if not _TAG.fullmatch(tag):
        return f"tag {tag[:50]!r}", "O, or B-, I-, E- or S- and a type", repr(tag[:50])
    return None
