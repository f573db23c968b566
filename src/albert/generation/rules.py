"""Which pieces may be written next, and how likely they are: special pieces, repetitions, lengths."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from albert.errors import AlbertError, ErrorKind
from albert.generation.options import MAX_BEAM, GenerationOptions
from albert.text.encodings import Tokenizer

_MOST_OF_WORDS = MAX_BEAM - 1  # pieces: each number of them has a row of the beam


@dataclass(frozen=True)
class Alphabet:
    """The pieces that begin and end a text, and those that are never written."""

    begin: int
    end: int
    never: tuple[int, ...]

    @classmethod
    def of(cls, tokenizer: Tokenizer, vocab_size: int) -> Alphabet:
        """The alphabet of a tokenizer, for a network with `vocab_size` pieces. [CLS] begins a text, [SEP] ends it."""
        special = tokenizer.special
        spare = range(tokenizer.vocab_size, vocab_size)
        return cls(special.cls, special.sep, (special.pad, special.unk, special.cls, special.mask, *spare))


@dataclass(frozen=True)
class Forced:
    """The pieces of what every text contains: its beginning, and words."""

    prefix: list[int]
    words: list[list[int]]

    @classmethod
    def of(cls, options: GenerationOptions, tokenizer: Tokenizer, *, room: int) -> Forced:
        """By a tokenizer without hardening.

        Raises `AlbertError` (usage) for texts that the vocabulary cannot spell, for a prefix that leaves no room behind
        it, and for words that do not fit behind it.
        """
        prefix = _spell("prefix", options.prefix, tokenizer) if options.prefix else []
        if prefix and len(prefix) >= room:
            raise _too_long(f"prefix {options.prefix!r:.80}", f"fewer than {room} pieces", len(prefix))
        words = [_spell("words", word, tokenizer) for word in options.words]
        most = min(room - len(prefix), _MOST_OF_WORDS)
        if (pieces := sum(map(len, words))) > most:
            raise _too_long("words", f"at most {most} pieces altogether", pieces)
        return cls(prefix, words)


def _spell(option: str, text: str, tokenizer: Tokenizer) -> list[int]:
    ids = [int(token) for token in tokenizer.ids([text])[0]]
    if tokenizer.special.unk in ids or not ids:
        raise AlbertError(
            ErrorKind.USAGE, f"{option} {text!r:.80}", expected="characters that the vocabulary has",
            got=f"{tokenizer.decode(ids)!r:.80} of it", hint="leave the others out",
        )  # fmt: skip
    return ids


def _too_long(what: str, expected: str, pieces: int) -> AlbertError:
    return AlbertError(ErrorKind.USAGE, what, expected=expected, got=str(pieces))


FREE = Forced([], [])


@dataclass(frozen=True)
class Rules:
    """The rules of one call."""

    options: GenerationOptions
    alphabet: Alphabet

    @cached_property
    def _never(self) -> Tensor:
        return torch.tensor(self.alphabet.never, dtype=torch.long)

    def log_probabilities(
        self, logits: Float[Tensor, "rows vocab"], written: Int[Tensor, "rows seq"]
    ) -> Float[Tensor, "rows vocab"]:
        """The log-probability of each next piece, minus infinity if it is forbidden.

        `written` starts with the begin piece.
        """
        logits = logits.float().index_fill_(1, self._never.to(logits.device), -torch.inf)
        if self.options.repetition_penalty != 1:
            logits = self._penalised(logits, written[:, 1:])
        scores = logits.log_softmax(1)
        if written.shape[1] - 1 < self.options.min_length:
            scores[:, self.alphabet.end] = -torch.inf
        if self.options.no_repeat_ngram:
            for row, pieces in enumerate(written[:, 1:].tolist()):
                scores[row, _repeating(pieces, self.options.no_repeat_ngram)] = -torch.inf
        return scores

    def _penalised(
        self, logits: Float[Tensor, "rows vocab"], written: Int[Tensor, "rows pieces"]
    ) -> Float[Tensor, "rows vocab"]:
        there = logits.gather(1, written)
        penalty = self.options.repetition_penalty
        return logits.scatter(1, written, torch.where(there > 0, there / penalty, there * penalty))


def _repeating(pieces: list[int], size: int) -> list[int]:
    """The pieces that would make the last `size` ones a repetition."""
    begin = pieces[len(pieces) - size + 1 :] if size > 1 else []
    if len(pieces) < size - 1:
        return []
    places = range(len(pieces) - size + 1)
    return [pieces[place + size - 1] for place in places if pieces[place : place + size - 1] == begin]
