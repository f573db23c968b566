"""Beam search (with a beam of 1: greedy writing) and drawing at random.

A text's answers do not depend on the others in its batch: candidates whose scores differ by rounding alone are taken in
the order of their pieces' ids, and draws come from the seed and the text itself.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from albert.generation.options import GenerationOptions
from albert.generation.rules import Alphabet, Rules
from albert.generation.writing import Writing
from albert.model.decoder import AlbertForText2Text, Memory

_DECIMALS = 4  # of scores that are compared: rounding differs in the sixth


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
    model: AlbertForText2Text,
    input_ids: Int[Tensor, "texts source"],
    attention_mask: Int[Tensor, "texts source"],
    token_type_ids: Int[Tensor, "texts source"],
    *,
    alphabet: Alphabet,
    options: GenerationOptions,
    prefix: Sequence[int] = (),
    count: int = 1,
) -> Search:
    """Reads the texts, for which up to `count` hypotheses each are to be written step by step."""
    options.require_answers(count)
    memory = model.read(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
    limit = min(options.max_length, model.config.max_position_embeddings - 1)
    rules = Rules(options, alphabet)
    if options.sample:
        keys = [_key(row[mask.bool()]) for row, mask in zip(input_ids, attention_mask, strict=True)]
        return _Draws(model, memory, rules, prefix, keys, count, limit)
    return _Beam(model, memory, rules, prefix, count, limit)


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
        self, model: AlbertForText2Text, memory: Memory, rules: Rules, prefix: Sequence[int], count: int, limit: int
    ) -> None:
        self.width = rules.options.beam
        texts = np.arange(len(memory.blocks[0].keys))
        super().__init__(Writing(model, memory, rules, len(texts) * self.width), texts, prefix, count, limit)
        self.totals = np.full((len(texts), self.width), -np.inf)  # of each row; at first all are alike
        self.totals[:, 0] = 0.0

    def _force(self, rows: np.ndarray, pieces: np.ndarray) -> None:
        super()._force(rows, pieces)
        self.totals[:, 0] += self.rows.scores[:: self.width, -1]

    def _choose(self) -> None:
        kept: list[int] = []  # places of the texts that go on
        rows: list[list[int]] = []
        pieces: list[list[int]] = []
        totals: list[list[float]] = []
        for place, candidates in enumerate(self._candidates()):
            live = self._divide(place, candidates)
            if self._done(place, live):
                continue
            live += [(-np.inf, *live[0][1:])] * (self.width - len(live))  # never chosen again
            kept.append(place)
            totals.append([total for total, _, _ in live])
            rows.append([place * self.width + row for _, row, _ in live])
            pieces.append([piece for _, _, piece in live])
        self.texts = self.texts[kept]
        if kept:
            self.totals = np.asarray(totals)
            self.rows.advance(np.concatenate(rows), np.concatenate(pieces), np.asarray(kept))

    def _candidates(self) -> Iterator[list[tuple[float, int, int]]]:
        """For each text its likeliest next steps, the best first: (total, row of the beam, piece).

        Twice as many as the beam is wide, so that enough are left where some end.
        """
        rows, pieces, scores = likeliest(self.rows.next, 2 * self.width)
        totals = self.totals.reshape(-1)[rows] + scores
        alive = totals > -np.inf
        rows, pieces, totals = rows[alive], pieces[alive], totals[alive]
        bounds = np.searchsorted(rows, np.arange(0, self.totals.size + 1, self.width))
        for first, after in pairwise(bounds.tolist()):
            order = np.lexsort((pieces[first:after], rows[first:after], -totals[first:after].round(_DECIMALS)))
            best = first + order[: 2 * self.width]
            yield list(
                zip(totals[best].tolist(), (rows[best] % self.width).tolist(), pieces[best].tolist(), strict=True)
            )

    def _divide(self, place: int, candidates: list[tuple[float, int, int]]) -> list[tuple[float, int, int]]:
        """Keeps the candidates that end, if they are among the best, and returns the beam of the others."""
        live = []
        for rank, (total, row, piece) in enumerate(candidates):
            if piece != self.end:
                live.append((total, row, piece))
            elif rank < self.width:
                self._note(place, row, total, ended=True)
        return live[: self.width]

    def _done(self, place: int, live: list[tuple[float, int, int]]) -> bool:
        """Whether a text is finished: enough hypotheses ended, none goes on, or the limit is reached."""
        found = self.found[self.texts[place]]
        if live and self.rows.length < self.limit:
            return len(found) >= self.width and (self.width == 1 or not self._may_win(live[0][0], found))
        if not found:
            for row, total in enumerate(self.totals[place].tolist()):
                if total > -np.inf:
                    self._note(place, row, total, ended=False)
        return True

    def _may_win(self, total: float, found: list[Hypothesis]) -> bool:
        """Whether the best that goes on could still come among the best that ended, or with an early stop is there now.

        Without this a network that is sure of a text would be stopped by the unlikely ends beside it.
        """
        favoured = self.options.length_penalty > 0 and not self.options.early_stop
        longest = self.limit + 1 if favoured else self.rows.length + 2
        worst = sorted(one.score for one in found)[-self.width]
        return self.options.normalized(total, longest) > worst

    def _note(self, place: int, row: int, total: float, *, ended: bool) -> None:
        at = place * self.width + row
        scores = self.rows.scores[at].tolist()
        if ended:
            scores.append(float(self.rows.next[at, self.end]))
        score = self.options.normalized(total, len(scores))
        self.found[self.texts[place]].append(Hypothesis(self.rows.pieces(at), tuple(scores), score, not ended))


class _Draws(Search):
    """Texts drawn at random, `count` for each text of a memory; each row has a generator of its own."""

    def __init__(
        self,
        model: AlbertForText2Text,
        memory: Memory,
        rules: Rules,
        prefix: Sequence[int],
        keys: Sequence[int],
        count: int,
        limit: int,
    ) -> None:
        texts = np.repeat(np.arange(len(keys)), count)  # of each row
        memory = memory.of(torch.from_numpy(texts).to(memory.blocks[0].keys.device))
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
    least = scores.topk(min(count, scores.shape[1])).values[:, -1:] - 2 * 10**-_DECIMALS
    chosen = (scores >= least) & (scores > -torch.inf)
    rows, pieces = chosen.nonzero(as_tuple=True)
    return rows.cpu().numpy(), pieces.cpu().numpy(), scores[rows, pieces].double().cpu().numpy()


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
