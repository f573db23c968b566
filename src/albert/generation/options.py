"""How texts are to be written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from albert.errors import AlbertError, ErrorKind, require_whole

MAX_BEAM = 64
_MOST = 65_536  # pieces


@dataclass(frozen=True, kw_only=True)
class GenerationOptions:
    """How texts are to be written; by default greedily, always the likeliest next piece.

    `beam` hypotheses are followed at a time. They compete by log-probability over length to the power of
    `length_penalty` (Wu et al. 2016 have a like form); the search ends with as many finished ones that are better than
    those in the making, or with `early_stop=False` only when no other can win any more. With `sample` pieces are drawn
    at random: from probabilities sharpened by a `temperature` below 1, among the `sampling_top_k` likeliest (0: all)
    and among the fewest that have the share `top_p` of the probability (Holtzman et al. 2020). The same `seed` and text
    give the same draws, whatever else is in the batch. No `no_repeat_ngram` pieces in a row come twice (0: they may).
    `repetition_penalty` above 1 makes pieces less likely that are there already (Keskar et al. 2019). Texts begin with
    `prefix`, contain the `words` in any order, and have from `min_length` to `max_length` pieces. With `token_scores`
    predictions hold the log-probability of every piece, and with `alignments` the parts of the source that each piece
    was written from.

    Raises `AlbertError` (usage) for values out of range or at odds with each other.
    """

    beam: int = 1
    length_penalty: float = 1.0
    early_stop: bool = True
    sample: bool = False
    temperature: float = 1.0
    sampling_top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    no_repeat_ngram: int = 0
    repetition_penalty: float = 1.0
    prefix: str = ""
    words: Sequence[str] = ()
    min_length: int = 1
    max_length: int = 256
    token_scores: bool = False
    alignments: bool = False

    def __post_init__(self) -> None:
        require_whole(
            self, ("beam", 1, MAX_BEAM), ("sampling_top_k", 0, 1_000_000), ("seed", 0, 2**32 - 1),
            ("no_repeat_ngram", 0, _MOST), ("min_length", 0, _MOST), ("max_length", 1, _MOST),
        )  # fmt: skip
        _require_within(self, ("length_penalty", -10, 10), ("temperature", 0.01, 100), ("repetition_penalty", 0.1, 10))
        if not 0 < self.top_p <= 1:
            raise _bad("top_p", "a number above 0, up to 1", self.top_p)
        if self.min_length > self.max_length:
            raise _bad("min_length", f"at most the max_length {self.max_length}", self.min_length)
        if self.sample and self.beam > 1:
            raise _bad("beam", "1 where pieces are drawn at random", self.beam)
        self._check_words()
        drawn = {"temperature": 1.0, "sampling_top_k": 0, "top_p": 1.0}
        for name, default in drawn.items():
            if not self.sample and getattr(self, name) != default:
                raise _bad(name, "sample=True beside it, since nothing is drawn without", getattr(self, name))

    def _check_words(self) -> None:
        words = self.words
        if not isinstance(words, (list, tuple)) or not all(isinstance(word, str) and word.strip() for word in words):
            raise _bad("words", "a list of words, none of them empty", words)
        if words and (self.sample or self.no_repeat_ngram):
            raise _bad("words", "none where pieces are drawn at random or runs of pieces may not repeat", words)
        object.__setattr__(self, "words", tuple(words))

    def normalized(self, total: float, length: int) -> float:
        """A hypothesis' score: its log-probability by its length in pieces, the end among them."""
        return total / max(length, 1) ** self.length_penalty

    def require_answers(self, count: int) -> None:
        """Raises `AlbertError` (usage) for more answers than are looked for."""
        if count > self.beam and not self.sample:
            raise AlbertError(
                ErrorKind.USAGE, f"{count} answers a text", expected=f"at most the beam's {self.beam}",
                got=str(count), hint=f"search wider (beam {count}), or sample",
            )  # fmt: skip


def _require_within(options: GenerationOptions, *ranges: tuple[str, float, float]) -> None:
    for name, low, high in ranges:
        value = getattr(options, name)
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if not number or not low <= value <= high:
            raise _bad(name, f"a number from {low:g} to {high:g}", value)


def _bad(name: str, expected: str, got: object) -> AlbertError:
    return AlbertError(ErrorKind.USAGE, name, expected=expected, got=repr(got))


GREEDY = GenerationOptions()
