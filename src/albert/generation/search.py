"""Beam search (with a beam of 1: greedy writing) and drawing at random.

A text's answers do not depend on the others in its batch: candidates whose scores differ by rounding alone are taken in
the order of their pieces' ids, and draws come from the seed and the text itself.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from albert.generation.options import GenerationOptions
from albert.generation.rules import Alphabet, Rules
from albert.generation.words import Words
from albert.generation.writing import Network, Writing

_DECIMALS = 4  # of scores that are compared: rounding differs in the sixth
_SPARE = 8  # more pieces that are looked at, since some may be as likely as the last one


@dataclass(frozen=True)
class Hypothesis:
    """A text that was written: its pieces without begin and end, and how likely it is.

    `token_scores` are the log-probabilities of the pieces and of the end; `score` is what hypotheses compete by. One
    that was `cut` reached the limit on length, and has no end.
    """

    pieces: tuple[int, ...]
    token_scores: tuple[float, ...]
    score: float
    cut: bool = False

    @property
    def rank(self) -> tuple[float, tuple[int, ...]]:
        """The best one has the lowest."""
        return -round(self.score, _DECIMALS), self.pieces


@torch.inference_mode()
def begin(
    model: Network,
    input_ids: Int[Tensor, "texts source"],
    attention_mask: Int[Tensor, "texts source"],
    token_type_ids: Int[Tensor, "texts source"],
    *,
    alphabet: Alphabet,
    options: GenerationOptions,
    prefix: Sequence[int] = (),
    words: Sequence[Sequence[int]] = (),
    count: int = 1,
) -> Search:
    """Reads the texts, for which up to `count` hypotheses each are to be written step by step.

    `prefix` and `words` are the pieces of those of the options.
    """
    options.require_answers(count)
    memory = model.read(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
    limit = min(options.max_length, model.config.max_position_embeddings - 1)
    rules = Rules(options, alphabet)
    if options.sample:
        keys = [_key(row[mask.bool()]) for row, mask in zip(input_ids, attention_mask, strict=True)]
        return _Draws(model, memory, rules, prefix, keys, count, limit)
    beam = model, memory, rules, prefix, count, limit, rows_of(options, words)
    return _BeamWithWords(Words(words, model.config.vocab_size), *beam) if words else _Beam(*beam)


def rows_of(options: GenerationOptions, words: Sequence[Sequence[int]]) -> int:
    """How many hypotheses are followed: the beam, or one for each number of pieces of words that may be there."""
    return max(options.beam, 1 + sum(map(len, words)) if words else 0)


class Search(ABC):
    """Texts in the making: call `step` until they are `done`. Finished texts leave the batch.

    `found` are the hypotheses of each text that ended so far, in the order in which they ended.
    """

    def __init__(self, rows: Writing, texts: np.ndarray, prefix: Sequence[int], count: int, limit: int) -> None:
        self.options = rows.rules.options
        self.end = rows.rules.alphabet.end
        self.rows = rows
        self.texts = texts  # those still written
        self.prefix = prefix
        self.count = count
        self.limit = limit
        self.found: list[list[Hypothesis]] = [[] for _ in np.unique(texts)]

    @property
    def done(self) -> bool:
        """Whether every text is finished."""
        return not len(self.texts)

    @torch.inference_mode()
    def step(self) -> None:
        """Goes on by one piece of each text: of the prefix, if there is any left."""
        if self.rows.length < len(self.prefix):
            rows = np.arange(len(self.rows.written))
            self._force(rows, np.full(len(rows), self.prefix[self.rows.length]))
        else:
            self._choose()

    def run(self) -> list[list[Hypothesis]]:
        """Writes all texts to their ends, and gives the `best`."""
        while not self.done:
            self.step()
        return self.best()

    def best(self) -> list[list[Hypothesis]]:
        """Up to `count` hypotheses for each text, the best first; of a beam all that ended compete.

        Of a text that reached the limit before any hypothesis ended, those so far are given, marked as `cut`.
        """
        return [sorted(hypotheses, key=lambda one: one.rank)[: self.count] for hypotheses in self.found]

    def so_far(self) -> dict[int, tuple[int, ...]]:
        """What is written of each unfinished text, by its number, where a text has a single row."""
        return {int(text): self.rows.pieces(row) for row, text in enumerate(self.texts)}

    def _force(self, rows: np.ndarray, pieces: np.ndarray) -> None:
        self.rows.advance(rows, pieces)

    @abstractmethod
    def _choose(self) -> None:
        """Goes on by a piece that the network chooses."""


class _Beam(Search):
    """Beam search over the texts of a memory."""

    def __init__(
        self, model: Network, memory: Any, rules: Rules, prefix: Sequence[int], count: int, limit: int, width: int
    ) -> None:
        self.width = width  # rows of a text: as many as the beam, or more
        texts = np.arange(memory.texts)
        super().__init__(Writing(model, memory, rules, len(texts) * self.width), texts, prefix, count, limit)
        self.totals = np.full((len(texts), self.width), -np.inf)  # of each row; at first all are alike
        self.totals[:, 0] = 0.0

    def _force(self, rows: np.ndarray, pieces: np.ndarray) -> None:
        super()._force(rows, pieces)
        self.totals[:, 0] += self.rows.scores[:: self.width, -1]

    def _choose(self) -> None:
        texts, rows, pieces, totals = self._candidates()
        ends = pieces == self.end
        for at in np.flatnonzero(ends & (_ranks(texts) < self.width)).tolist():
            self._note(int(texts[at]), int(rows[at]), float(totals[at]), ended=True)
        live = np.flatnonzero(~ends)
        live = live[_ranks(texts[live]) < self.width]
        best = np.full((len(self.texts), self.width), -1)  # places of what goes on, among the candidates
        best[texts[live], _ranks(texts[live])] = live
        alive = np.append(totals, -np.inf)[best]  # rows without a place are never chosen again
        leading = alive[:, 0] if self.options.early_stop else alive.max(1)
        kept = np.flatnonzero([not self._done(place, total) for place, total in enumerate(leading.tolist())])
        self.texts, self.totals, best = self.texts[kept], alive[kept], best[kept]
        if len(kept):
            chosen = np.where(best < 0, best[:, :1], best)
            self._advance(rows[chosen].ravel(), pieces[chosen].ravel(), kept)

    def _advance(self, rows: np.ndarray, pieces: np.ndarray, texts: np.ndarray) -> None:
        self.rows.advance(rows, pieces, texts)

    def _candidates(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The likeliest next steps, text by text, the best first: places of texts, rows, pieces, totals.

        Up to twice as many for each as the beam is wide, so that enough are left where some end.
        """
        rows, pieces, scores = likeliest(self.rows.next, 2 * self.width)
        totals = self.totals.reshape(-1)[rows] + scores
        alive = np.flatnonzero(totals > -np.inf)
        order = np.lexsort((pieces[alive], rows[alive], -totals[alive].round(_DECIMALS), rows[alive] // self.width))
        best = alive[order]
        best = best[_ranks(rows[best] // self.width) < 2 * self.width]
        return rows[best] // self.width, rows[best], pieces[best], totals[best]

    def _done(self, place: int, best: float) -> bool:
        """Whether a text is finished: enough hypotheses ended, none goes on, or the limit is reached.

        `best` is the total of the best one that goes on, minus infinity if there is none.
        """
        found = self.found[self.texts[place]]
        if best > -np.inf and self.rows.length < self.limit:
            return len(found) >= self.options.beam and (self.width == 1 or not self._may_win(best, found))
        if not found:
            for row, total in enumerate(self.totals[place].tolist(), place * self.width):
                if total > -np.inf:
                    self._note(place, row, total, ended=False)
        return True

    def _may_win(self, total: float, found: list[Hypothesis]) -> bool:
        """Whether the best that goes on could still come among the best that ended, or with an early stop is there now.

        Without this a network that is sure of a text would be stopped by the unlikely ends beside it.
        """
        favoured = self.options.length_penalty > 0 and not self.options.early_stop
        longest = self.limit + 1 if favoured else self.rows.length + 2
        worst = sorted(one.score for one in found)[-self.options.beam]
        return self.options.normalized(total, longest) > worst

    def _note(self, place: int, row: int, total: float, *, ended: bool) -> None:
        scores = self.rows.scores[row].tolist()
        if ended:
            scores.append(float(self.rows.next[row, self.end]))
        score = self.options.normalized(total, len(scores))
        self.found[self.texts[place]].append(Hypothesis(self.rows.pieces(row), tuple(scores), score, not ended))


class _BeamWithWords(_Beam):
    """Beam search for texts that contain words (Post and Vilar 2018): hypotheses share the rows by pieces they have.

    Those with equally many pieces of words compete with each other alone, so that no word waits for being likely.
    Nothing ends without all words, and no step is taken that leaves too little room for them.
    """

    def __init__(self, words: Words, *rest: Any) -> None:
        super().__init__(*rest)
        self.words = words
        self.states = words.start(len(self.rows.written))

    def _force(self, rows: np.ndarray, pieces: np.ndarray) -> None:
        super()._force(rows, pieces)
        self.states = self.words.after(self.states, pieces)

    def _advance(self, rows: np.ndarray, pieces: np.ndarray, texts: np.ndarray) -> None:
        super()._advance(rows, pieces, texts)
        self.states = self.words.after(self.states[rows], pieces)

    def _candidates(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The likeliest next steps and those of words: by turns the best with each number of pieces, most pieces first.

        So the first one that goes on is the best of those that have most.
        """
        rows, pieces, _ = likeliest(self.rows.next, 2 * self.width)
        more = self.words.steps(self.states)
        rows, pieces = np.unique(np.stack([np.append(rows, more[0]), np.append(pieces, more[1])]), axis=1)
        scores = self.rows.next[torch.from_numpy(rows), torch.from_numpy(pieces)].double().cpu().numpy()
        totals = self.totals.reshape(-1)[rows] + scores
        missing = self.words.missing(self.words.after(self.states[rows], pieces))
        room = np.where(pieces == self.end, 0, self.limit - self.rows.length - 1)
        able = np.flatnonzero((totals > -np.inf) & (missing <= room))
        rows, pieces, totals, missing = rows[able], pieces[able], totals[able], missing[able]
        texts = rows // self.width
        order = np.lexsort((pieces, rows, -totals.round(_DECIMALS), missing, texts))
        turns = np.empty(len(order), np.int64)
        turns[order] = _ranks((texts * (self.words.pieces + 1) + missing)[order])
        best = np.lexsort((missing, turns, texts))
        best = best[_ranks(texts[best]) < 2 * self.width]
        return texts[best], rows[best], pieces[best], totals[best]


class _Draws(Search):
    """Texts drawn at random, `count` for each text of a memory; each row has a generator of its own."""

    def __init__(
        self,
        model: Network,
        memory: Any,
        rules: Rules,
        prefix: Sequence[int],
        keys: Sequence[int],
        count: int,
        limit: int,
    ) -> None:
        texts = np.repeat(np.arange(len(keys)), count)  # of each row
        memory = memory.of(torch.from_numpy(texts).to(model.device))
        super().__init__(Writing(model, memory, rules, len(texts)), texts, prefix, count, limit)
        self.random = [np.random.default_rng((self.options.seed, key, draw)) for key in keys for draw in range(count)]

    def _choose(self) -> None:
        scores = self.rows.next.double().cpu().numpy()
        pieces = np.asarray([draw(row, self.options, rng) for row, rng in zip(scores, self.random, strict=True)])
        at_limit = self.rows.length >= self.limit
        for row in np.flatnonzero((pieces == self.end) | at_limit).tolist():
            own = [
                *self.rows.scores[row].tolist(),
                *([float(scores[row, self.end])] if pieces[row] == self.end else []),
            ]
            score = self.options.normalized(sum(own), len(own))
            cut = bool(pieces[row] != self.end)
            self.found[self.texts[row]].append(Hypothesis(self.rows.pieces(row), tuple(own), score, cut))
        kept = np.flatnonzero(pieces != self.end) if not at_limit else np.zeros(0, np.int64)
        self.texts, self.random = self.texts[kept], [self.random[row] for row in kept]
        if len(kept):
            self.rows.advance(kept, pieces[kept], kept)


def likeliest(
    scores: Float[Tensor, "rows vocab"], count: int
) -> tuple[Int[np.ndarray, " found"], Int[np.ndarray, " found"], Float[np.ndarray, " found"]]:
    """(row, piece, score) of each row's `count` likeliest pieces, and of all that rounding could put among them."""
    for wanted in (min(count + _SPARE, scores.shape[1]), scores.shape[1]):
        values, pieces = (part.cpu().numpy() for part in scores.topk(wanted))
        chosen = (values >= values[:, min(count, wanted) - 1 :][:, :1] - 2 * 10**-_DECIMALS) & (values > -np.inf)
        if not chosen[:, -1].any():
            break  # else there may be more of them
    rows, places = chosen.nonzero()
    return rows, pieces[rows, places], values[rows, places].astype(np.float64)


def _ranks(texts: Int[np.ndarray, " candidates"]) -> Int[np.ndarray, " candidates"]:
    """The place of each among those of its text, which stand together."""
    return np.arange(len(texts)) - np.searchsorted(texts, texts)


def draw(scores: Float[np.ndarray, " vocab"], options: GenerationOptions, rng: np.random.Generator) -> int:
    """A piece by its log-probability, sharpened and cut off as the options say."""
    order = np.argsort(-scores.round(_DECIMALS), kind="stable")
    order = order[: options.sampling_top_k or None]
    sharpened = scores[order] / options.temperature
    weights = np.exp(sharpened - sharpened[0])
    share = weights.cumsum() / weights.sum()
    enough = int(np.searchsorted(share, options.top_p)) + 1
    drawn = rng.random() * share[min(enough, len(share)) - 1]
    return int(order[min(int(np.searchsorted(share, drawn, side="right")), len(order) - 1)])


def _key(pieces: Int[Tensor, " pieces"]) -> int:
    """A number from a text's pieces."""
    digest = hashlib.sha256(pieces.cpu().numpy().astype(np.int64).tobytes()).digest()
    return int.from_bytes(digest[:8], "little")
