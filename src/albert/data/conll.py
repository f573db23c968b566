"""CoNLL files: a word a line with its tag in the last column, a blank line between sentences."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from albert.data.sources import Problems
from albert.data.spans import OUTSIDE, Interval, Span, begins, spans_over, split_tag

_TAG = re.compile(r"O|[BIESLUM]-\S.*")
_DOCUMENT = "-DOCSTART-"
_SHOWN = 10


@dataclass(frozen=True)
class Sentence:
    """Words joined by single spaces, where each stands, the entities, and the line of the first word."""

    number: int
    text: str
    words: tuple[Interval, ...]
    spans: tuple[Span, ...]

    @classmethod
    def of(cls, number: int, words: Sequence[str], tags: Sequence[str]) -> Sentence:
        ends = list(itertools.accumulate(len(word) + 1 for word in words))
        at = tuple((end - 1 - len(word), end - 1) for word, end in zip(words, ends, strict=True))
        return cls(number, " ".join(words), at, tuple(spans_over(tags, at)))


def looks_like_conll(lines: Sequence[str]) -> bool:
    """Whether every line that is not blank has words and, last, a tag; with a blank line or an entity somewhere."""
    cells = [_cells(line) for line in lines if line.strip() and not _is_comment(line)]
    if not cells or len({len(row) for row in cells if row[0] != _DOCUMENT}) > 1:
        return False
    if not all(len(row) > 1 and _TAG.fullmatch(row[-1]) for row in cells):
        return False
    return any(row[-1] != OUTSIDE for row in cells) or any(not line.strip() for line in lines)


def sentences(lines: Iterator[tuple[int, str]], problems: Problems) -> Iterator[Sentence]:
    """The sentences of a file; bad lines go to `problems`, and so does a remark on tags that were repaired."""
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
            if fault := _fault(cells, width):
                what, expected, got = fault
                problems.add(number, what, expected=expected, got=got)
            else:
                rows.append((number, cells[0], cells[-1]))
    if remark := check.remark():
        problems.remarks.append(f"{problems.path}: {remark}")


@dataclass
class _SchemeCheck:
    """Finds tags that no scheme allows. An I- that begins an entity is right in IOB1, which has B- between equals."""

    plain_begins: bool = False  # a B- or S- where IOB1 has I-: the file is IOB2 or BIOES
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
    """ "# id …" as some corpora have it; a word "#" has a tag behind it."""
    return line.startswith("#") and not _TAG.fullmatch(_cells(line)[-1])


def _fault(cells: list[str], width: int) -> tuple[str, str, str] | None:
    """(what, expected, got) if these are not a word and its columns."""
    if len(cells) != width or width < 2:
        return "ragged row", f"{max(width, 2)} columns, the word first and its tag last", str(len(cells))
    if not cells[0]:
        return "no word", "a word in the first column", "an empty one"
    if not _TAG.fullmatch(cells[-1]):
        return f"tag {cells[-1][:50]!r}", "O, or B-, I-, E- or S- and a type", repr(cells[-1][:50])
    return None
