"""What a file's text looks like to the index: the text, its headings and its pages."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass


@dataclass(frozen=True)
class Heading:
    """A heading at a character of the text; level 1 is the highest."""

    start: int
    level: int
    title: str


@dataclass(frozen=True)
class Extracted:
    """One document: its text, and where headings and pages begin in it.

    `name` tells it from others of the same file, such as the row of a table; "" where a file is one document.
    `answer` is that of a FAQ's question.
    """

    text: str
    title: str = ""
    headings: tuple[Heading, ...] = ()
    pages: tuple[int, ...] = ()
    name: str = ""
    answer: str | None = None

    def page(self, place: int) -> int | None:
        """The number of the page with this character, from 1; None for a text without pages."""
        return bisect_right(self.pages, place) or None

    def line(self, place: int) -> int:
        """The number of the line with this character, from 1."""
        return self.text.count("\n", 0, place) + 1

    def context(self, place: int) -> str:
        """The headings above a character, the highest first: "Returns > Shoes"."""
        above: list[Heading] = []
        for heading in self.headings:
            if heading.start > place:
                break
            above = [higher for higher in above if higher.level < heading.level] + [heading]
        return " > ".join(heading.title for heading in above)
