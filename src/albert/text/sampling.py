"""Other segmentations of a text into the same vocabulary, drawn by their probability (Kudo 2018).

A segmentation's probability is proportional to that of its pieces to the power of alpha, as in SentencePiece. Words are
divided one by one, from the pieces of a row: a special, unknown or added piece stays what it is.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import numpy as np
from jaxtyping import Int

from albert.errors import AlbertError, ErrorKind, require_ranges
from albert.text.encodings import Tokenizer
from albert.text.pieces import SPACE
from albert.text.tokenizer import AlbertTokenizer

_WORDS = 65_536  # whose lattices are kept


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """`sampling_alpha`: training texts are divided anew in every epoch, by the probability to this power; 0: never.

    The nearer to 0, the more even are the draws; 0.1 to 0.5 are usual. Raises `AlbertError` (bad-config) for one below
    0 or above 10.
    """

    sampling_alpha: float = 0.0

    def __post_init__(self) -> None:
        require_ranges(self, ("sampling_alpha", 0.0, 10.0))

    def segmentations(self, tokenizer: Tokenizer) -> Segmentations | None:
        """Those of a tokenizer; None if they are off. Raises `AlbertError` (bad-config) for WordPiece."""
        if not self.sampling_alpha:
            return None
        if not isinstance(tokenizer, AlbertTokenizer):
            raise AlbertError(
                ErrorKind.CONFIG, "sampling_alpha", expected="a vocabulary with probabilities of pieces",
                got="WordPiece", hint="leave it out, or train a vocabulary: albert tokenizer train",
            )  # fmt: skip
        return Segmentations(tokenizer.scores(), self.sampling_alpha)


@dataclass(frozen=True)
class _Ends:
    """The pieces that end at a place of a word: their ids, where they begin, and the sums of their probabilities."""

    ids: list[int]
    starts: list[int]
    shares: list[float]


class Segmentations:
    """Draws other pieces for the text of a row of pieces."""

    def __init__(self, scores: dict[str, tuple[int, float]], alpha: float) -> None:
        """`scores` has the id and the log-probability of each piece."""
        self.alpha = alpha
        self._scores = scores
        self._surfaces = {token: piece for piece, (token, _) in scores.items()}
        self._longest = max(map(len, scores))
        self._lattice = lru_cache(_WORDS)(self._make)

    def draw(
        self, ids: Int[np.ndarray, " pieces"], rng: np.random.Generator
    ) -> tuple[Int[np.ndarray, " drawn"], Int[np.ndarray, " drawn"]]:
        """Other pieces of the same text, and for each the place of one of `ids` in the same run of words."""
        drawn: list[int] = []
        places: list[int] = []
        for place, run in self._runs(ids.tolist()):
            new = run if isinstance(run, list) else [piece for word in _words(run) for piece in self._divide(word, rng)]
            drawn += new
            places += [place] * len(new)
        return np.array(drawn, ids.dtype), np.array(places, np.int64)

    def _runs(self, ids: Sequence[int]) -> Iterator[tuple[int, str | list[int]]]:
        """The text of pieces in a row that have one, and the other pieces one by one, each with its first place."""
        start, text = 0, ""
        for place, token in enumerate(ids):
            surface = self._surfaces.get(token)
            start = start if text else place
            if surface is not None:
                text += surface
                continue
            if text:
                yield start, text
            yield place, [token]
            text = ""
        if text:
            yield start, text

    def _divide(self, word: str, rng: np.random.Generator) -> list[int]:
        """Backwards from the end, each piece by its share of all ways that lead to its end."""
        lattice, place, drawn = self._lattice(word), len(word), []
        while place:
            ends = lattice[place]
            chosen = min(bisect(ends.shares, rng.random() * ends.shares[-1]), len(ends.ids) - 1)
            drawn.append(ends.ids[chosen])
            place = ends.starts[chosen]
        return drawn[::-1]

    def _make(self, word: str) -> list[_Ends]:
        """The pieces by their ends, with the shares that follow from the sums over all ways to their beginnings."""
        masses, lattice = [0.0], [_Ends([], [], [])]
        for end in range(1, len(word) + 1):
            starts = [start for start in range(max(0, end - self._longest), end) if word[start:end] in self._scores
                      and masses[start] > -math.inf]  # fmt: skip
            found = [self._scores[word[start:end]] for start in starts]
            logs = [masses[start] + self.alpha * score for start, (_, score) in zip(starts, found, strict=True)]
            most = max(logs, default=-math.inf)
            shares = list(accumulate(math.exp(log - most) for log in logs))
            masses.append(most + math.log(shares[-1]) if shares else -math.inf)
            lattice.append(_Ends([token for token, _ in found], starts, shares))
        return lattice


def _words(text: str) -> list[str]:
    """The words of a text, each with the space before it."""
    first, *others = text.split(SPACE)
    return [first] * bool(first) + [SPACE + other for other in others]
