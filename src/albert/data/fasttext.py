"""fastText's lines: labels with a prefix anywhere in the line, words with white space between them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

PREFIX = "__label__"
# A label ends at white space, or at a comma or semicolon before white space or another label.
_LABEL = re.compile(rf"(?<![^\s,;]){PREFIX}(\S*?)([,;]+)?(?=\s|$|{PREFIX})")


@dataclass(frozen=True)
class FastText:
    """A line's labels without their prefix, its text, and how many labels had a comma or semicolon after them."""

    labels: list[str]
    text: str
    separated: int = 0


def looks_like_fasttext(line: str) -> bool:
    """Whether a line has a label."""
    return _LABEL.search(line) is not None


def parse(line: str) -> FastText:
    """Divides a line. Labels within the text are labels, too, as fastText reads them."""
    matches = list(_LABEL.finditer(line))
    if not matches:
        return FastText([], line)
    bounds = [0, *(place for match in matches for place in match.span()), len(line)]
    parts = [line[start:end].strip() for start, end in zip(bounds[::2], bounds[1::2], strict=True)]
    return FastText(
        list(dict.fromkeys(match[1] for match in matches)),
        " ".join(part for part in parts if part),
        sum(bool(match[2]) for match in matches),
    )


def has_single_labels(lines: Sequence[str]) -> bool:
    """Whether every line that is not blank has exactly one label."""
    return all(len(parse(line).labels) == 1 for line in lines if line.strip())


class Separators:
    """Counts the labels that had a comma or semicolon after them, for a remark."""

    def __init__(self) -> None:
        self.count = 0
        self.first = 0

    def parsed(self, lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, FastText]]:
        """The divided lines. Blank ones are left out, as in fastText."""
        for number, line in lines:
            if not line.strip():
                continue
            row = parse(line)
            self.count += row.separated
            self.first = self.first or (number if row.separated else 0)
            yield number, row

    def remark(self) -> str | None:
        """A remark on the separators that were left out."""
        if not self.count:
            return None
        return f"{self.count} labels had a comma or semicolon behind them, which was left out; lines {self.first}, …"
