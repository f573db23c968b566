"""Texts in the making: examples that a model that writes answers step by step, batch by batch."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Sequence

from albert.data.batches import Features, inference_batches
from albert.data.examples import Example
from albert.generation import Alphabet, GenerationOptions, Hypothesis, Network, Search, begin
from albert.generation.alignment import alignment
from albert.generation.rules import FREE, Forced
from albert.generation.search import rows_of
from albert.generation.writing import read_on
from albert.model import AlbertForText2Text
from albert.tasks.base import Output, Written
from albert.text.encodings import Tokenizer

_PIECES = 4096  # of sources with their padding at a time, by the width of the beam


class Draft:
    """The texts for some examples in the making: call `step` until they are `done`, then take the `outputs`.

    `count` texts are wanted for each; None: all that the beam finds. `ended` are hypotheses with the numbers of their
    examples, in the order in which they ended; those of a beam may be more than are wanted.
    """

    def __init__(
        self,
        model: AlbertForText2Text,
        tokenizer: Tokenizer,
        features: Features,
        options: GenerationOptions,
        count: int | None = 1,
        *,
        forced: Forced = FREE,
        form: Network | None = None,
    ) -> None:
        """`forced` has the pieces of the options' prefix and words; `form` is one of the model that writes faster.

        Raises `AlbertError` (usage) for more texts than are found.
        """
        limit = min(options.max_length, model.config.max_position_embeddings - 1)
        self.model = model
        self.form = form or model
        self.tokenizer = tokenizer
        self.features = features
        self.options = options
        self.count = options.beam if count is None else count
        options.require_answers(self.count)
        self.width = max(rows_of(options, forced.words), self.count)
        self.most = len(features) * self.width * limit  # pieces that all hypotheses together may have
        self.ended: list[tuple[int, Hypothesis]] = []
        self.written: list[tuple[Written, ...]] = [()] * len(features)
        self.alphabet = Alphabet.of(tokenizer, model.config.vocab_size)
        self._forced = forced
        self._batches = deque(inference_batches(features.lengths, max_tokens=max(1, _PIECES // self.width)))
        self._rows: list[int] = []  # of the batch that is being written
        self._search: Search | None = None
        self._unaligned: deque[tuple[int, list[Hypothesis]]] = deque()

    @property
    def done(self) -> bool:
        """Whether every text is finished."""
        return self._search is None and not self._batches and not self._unaligned

    @property
    def grows(self) -> bool:
        """Whether texts grow piece by piece, as one hypothesis for each does; a beam may take pieces back."""
        return self.width == 1

    @property
    def pieces(self) -> int:
        """How many pieces the next step reads or writes."""
        if self._search is not None:
            return len(self._search.rows.written)
        return int(self.features.lengths[self._batches[0]].sum()) if self._batches else 1

    @property
    def reads(self) -> bool:
        """Whether the next step reads texts."""
        return self._search is None and not self._unaligned and bool(self._batches)

    @property
    def sound(self) -> bool:
        """Whether the scores of the next pieces are numbers, or not known yet."""
        return self._search is None or self._search.rows.sound

    @staticmethod
    def step_each(drafts: Sequence[Draft]) -> None:
        """A step of each draft of one model that is sound. Those that go on by a piece do so together."""
        read_on([draft._search.rows for draft in drafts if draft._search is not None])
        for draft in drafts:
            if draft.sound:
                draft.step()

    def step(self) -> None:
        """Reads a batch, goes on by one piece of each of its texts, or aligns those of a source."""
        if self._unaligned:
            row, best = self._unaligned.popleft()
            self.written[row] = tuple(self._aligned(row, found) for found in best)
        elif self._search is None:
            self._rows = self._batches.popleft().tolist()
            self._search = self._begin()
        else:
            self._go_on(self._search)

    def _go_on(self, search: Search) -> None:
        before = [len(found) for found in search.found]
        search.step()
        for row, found, seen in zip(self._rows, search.found, before, strict=True):
            self.ended += [(row, each) for each in found[seen:]]
        if search.done:
            for row, best in zip(self._rows, search.best(), strict=True):
                self.written[row] = tuple(map(self.said, best))
                if self.options.alignments:
                    self._unaligned.append((row, best))
            self._search = None

    def _aligned(self, row: int, found: Hypothesis) -> Written:
        batch, device = self.features.batch([row]), self.model.device
        ids, types = batch.input_ids.to(device), batch.token_type_ids.to(device)
        written = (self.alphabet.begin, *found.pieces)
        sources = alignment(self.model, ids, types, self.features.offsets_of(row), written)
        return dataclasses.replace(self.said(found), sources=tuple(sources))

    def texts(self) -> list[str]:
        """What each text says so far, where texts grow; each begins with what it said before."""
        pieces = {row: found.pieces for row, found in self.ended}
        if self._search is not None:
            pieces |= {self._rows[text]: written for text, written in self._search.so_far().items()}
        return [self.tokenizer.decode(pieces.get(row, ())) for row in range(len(self.features))]

    def said(self, found: Hypothesis) -> Written:
        """A hypothesis as a text with its pieces."""
        names = [self.tokenizer.vocabulary[piece] for piece in found.pieces]
        names += [] if found.cut else [self.tokenizer.vocabulary[self.alphabet.end]]
        pieces = tuple(zip(names, found.token_scores, strict=True))
        return Written(self.tokenizer.decode(found.pieces), found.score, pieces, found.cut)

    def outputs(self, examples: Sequence[Example]) -> list[Output]:
        """The examples with their texts, the best first."""
        return [Output(example, [], written=texts) for example, texts in zip(examples, self.written, strict=True)]

    def _begin(self) -> Search:
        batch = self.features.batch(self._rows)
        parts = (batch.input_ids, batch.attention_mask, batch.token_type_ids)
        ids, mask, types = (part.to(self.form.device) for part in parts)
        return begin(self.form, ids, mask, types, alphabet=self.alphabet, options=self.options,
                     prefix=self._forced.prefix, words=self._forced.words, count=self.count)  # fmt: skip
