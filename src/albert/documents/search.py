"""Search by words (BM25) and by vectors, put together as a sum of scores."""

from __future__ import annotations

import itertools
import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from albert.documents.store import Store
from albert.documents.vectors import Matrix, best_rows
from albert.errors import AlbertError, ErrorKind

DEPTH = 100  # hits that each way of searching gives
_TERMS = 64  # of a question; more make it slow and no better
_RARE = 4000  # passages that BM25 is computed for, about
_TERM = re.compile(r"\w+")
# Words that nearly every passage has: they cost time and tell nothing.
_COMMON_WORDS = """
a an and are as at be been but by can did do does for from had has have how i if in is it its me my of on or our s so t
that the their them then there these they this to was we were what when where which who whom whose why will with would
you your
"""
_COMMON = frozenset(_COMMON_WORDS.split())


@dataclass(frozen=True)
class Hit:
    """A passage that a search found, and where it stands.

    `start` and `end` are characters of the document's text; `page` counts from 1 in files with pages, `line` in others.
    `score` is what the ways of searching give together, `bm25` the weight of the shared words. `words` and `vectors`
    are the rank in each, from 1, and `reranked` that by a model that read it with the query.
    """

    passage: int
    path: str
    title: str
    heading: str
    text: str
    start: int
    end: int
    line: int
    page: int | None
    score: float
    words: int | None = None
    vectors: int | None = None
    reranked: int | None = None
    answer: str | None = None
    bm25: float | None = None

    @property
    def place(self) -> str:
        """File and page or line, for people."""
        return f"{self.path}, page {self.page}" if self.page else f"{self.path}:{self.line}"


def match_of(terms: Sequence[str]) -> str:
    """Words in FTS5's syntax, joined by OR, each in quotes, so that no character is an operator."""
    return " OR ".join(f'"{term}"' for term in terms)


def telling(text: str) -> list[str]:
    """The words of a text in small letters, without very common ones; all words if only common ones are left."""
    words = list(dict.fromkeys(_TERM.findall(text.lower())))
    return [word for word in words if word not in _COMMON] or words


def by_words(store: Store, query: str, count: int, paths: str | None) -> dict[int, float]:
    """The passages with the best BM25 over all words, best first. Only passages with one of the rarer words count.

    BM25 takes most of the time, and nearly none of it is for passages that have only common words.
    """
    terms, rare = _rarest(store, telling(query)[:_TERMS])
    if not terms:
        return {}
    found = store.rows(
        "SELECT rowid, -bm25(words, 0.5, 1.0) AS score FROM words WHERE words MATCH ?"
        + (f" AND +rowid IN ({_OF_WORDS})" if len(rare) < len(terms) else "")
        + (f" AND +rowid IN ({_OF_PATHS})" if paths else "")
        + " ORDER BY score DESC, rowid LIMIT ?",
        (match_of(terms), *([match_of(rare)] if len(rare) < len(terms) else []), *([paths] if paths else []), count),
    )
    return dict(found)


def _rarest(store: Store, terms: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words that any passage has, rarest first, and as many of them as `_RARE` passages have at most."""
    counts = {term: store.rows("SELECT count(*) FROM words WHERE words MATCH ?", (match_of([term]),))[0][0]
              for term in terms}  # fmt: skip
    known = sorted((term for term in terms if counts[term]), key=counts.__getitem__)
    sums = itertools.accumulate(counts[term] for term in known)
    return known, [
        term for place, (term, total) in enumerate(zip(known, sums, strict=True)) if not place or total <= _RARE
    ]


# A plus before rowid keeps SQLite from asking for every passage by itself.
_OF_WORDS = "SELECT rowid FROM words WHERE words MATCH ?"
_OF_PATHS = (
    "SELECT passages.id FROM passages JOIN documents ON documents.id = passages.document "
    "JOIN files ON files.id = documents.file WHERE files.path GLOB ?"
)


def by_vectors(
    store: Store, matrix: Matrix, query: np.ndarray, weight: float, count: int, paths: str | None, also: Iterable[int]
) -> dict[int, float]:  # fmt: skip
    """The passages whose vectors are most like the query's, best first, and then those of `also`.

    A passage's value is by how many standard deviations its cosine is above the mean of all passages, times `weight`.
    """
    cosines = matrix.cosines(query)
    if not len(cosines):
        return {}
    likeness = weight * (cosines - cosines.mean()) / (cosines.std() or 1)
    allowed = np.arange(len(cosines))
    if paths:
        allowed = np.flatnonzero(np.isin(matrix.ids, [row[0] for row in store.rows(_OF_PATHS, (paths,))]))
    near = allowed[best_rows(likeness[allowed], count)]
    others = np.flatnonzero(np.isin(matrix.ids, list(also)))
    return {int(matrix.ids[row]): float(likeness[row]) for row in (*near, *others)}


def fused(
    words: Mapping[int, float], vectors: Mapping[int, float], depth: int, count: int
) -> list[tuple[int, float, dict[str, int]]]:
    """(passage, score, rank in each list) by the sum of BM25 and `by_vectors`, best first.

    A passage that words did not find has the least BM25 of those that they found. The first `depth` vectors have ranks.
    """
    least = min(words.values(), default=0.0)
    scores = {passage: words.get(passage, least) + vectors.get(passage, 0.0) for passage in {**words, **vectors}}
    ranks: dict[int, dict[str, int]] = {passage: {} for passage in scores}
    for name, passages in (("words", words), ("vectors", itertools.islice(vectors, depth))):
        for rank, passage in enumerate(passages, 1):
            ranks[passage][name] = rank
    best = sorted(scores, key=lambda passage: (-scores[passage], passage))[:count]
    return [(passage, scores[passage], ranks[passage]) for passage in best]


def hits(store: Store, found: Sequence[tuple[int, float, dict[str, int]]], bm25: Mapping[int, float]) -> list[Hit]:
    """The passages with what is known of them, in the same order."""
    marks = ",".join("?" * len(found))
    rows = store.rows(
        'SELECT passages.id, files.path, documents.name, documents.title, heading, passages.text, start, "end", '
        "documents.text, pages, answer FROM passages JOIN documents ON documents.id = document "
        f"JOIN files ON files.id = file WHERE passages.id IN ({marks})",
        [passage for passage, _, _ in found],
    )
    known = {row[0]: row for row in rows}
    try:
        return [
            _hit(known[passage], score, ranks, bm25.get(passage)) for passage, score, ranks in found if passage in known
        ]
    except (ValueError, TypeError) as error:
        raise AlbertError(
            ErrorKind.DATA, str(store.path), expected="an index of documents", got=f"a damaged one ({error})",
            hint="make it again: albert index FOLDER -o NEW.db",
        ) from None  # fmt: skip


def _hit(row: tuple[Any, ...], score: float, ranks: dict[str, int], bm25: float | None) -> Hit:
    passage, path, name, title, heading, text, start, end, whole, pages, answer = row
    page = bisect_right(json.loads(pages), start) or None
    line = int(name) if name else whole.count("\n", 0, start) + 1
    return Hit(
        passage, path, title, heading, text, start, end, line, page, score, ranks.get("words"), ranks.get("vectors"),
        answer=answer, bm25=bm25,
    )  # fmt: skip
