"""Masked batches of a prepared corpus for any step, made ahead while the model computes."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch

from albert.corpus.shards import Corpus
from albert.errors import AlbertError, ErrorKind, require_ranges
from albert.pretraining.instances import (
    InstanceConfig,
    Plan,
    build_rows,
    epoch_order,
    instance_lengths,
    plan_epoch,
)
from albert.pretraining.masking import mask_words
from albert.pretraining.objective import PretrainingBatch

_EVALUATION_EPOCH = 2**32 - 1


@dataclass(frozen=True, kw_only=True)
class MaskingConfig:
    """How much is hidden: `mask_rate` of the pieces, falling linearly to `mask_rate_end` over the run.

    A negative end keeps the rate. `max_masked` limits the hidden pieces of a row (0: no limit; Google's runs: 20).
    """

    mask_rate: float = 0.15
    mask_rate_end: float = -1.0
    max_ngram: int = 3
    max_masked: int = 0

    def __post_init__(self) -> None:
        require_ranges(
            self, ("mask_rate", 0.01, 0.9), ("mask_rate_end", -1, 0.9), ("max_ngram", 1, 10), ("max_masked", 0, 65_536)
        )

    @property
    def spans(self) -> float:
        """The probability that a word of a full row joins the word before. Runs then have the n-grams' mean length."""
        return 1 - sum(1 / n for n in range(1, self.max_ngram + 1)) / self.max_ngram

    def rate_at(self, share: float) -> float:
        """The rate after this share of the run."""
        end = self.mask_rate if self.mask_rate_end < 0 else self.mask_rate_end
        return self.mask_rate + share * (end - self.mask_rate)


_EVALUATION = MaskingConfig()  # the paper's rate for any run, so that runs can be compared


class PretrainingSource:
    """The micro-batches of every step. Each rank takes its own, and all ranks together always see the same ones.

    A step's `batch_size` instances are sorted by length and cut into micro-batches with equal numbers of rows and at
    most `max_tokens` padded pieces. Epoch 0 begins with the step `first`. Raises `AlbertError` (bad-config) if the
    micro-batches cannot be divided evenly among the ranks.
    """

    def __init__(
        self,
        corpus: Corpus,
        starts: np.ndarray,
        instances: InstanceConfig,
        masking: MaskingConfig,
        *,
        batch_size: int,
        max_tokens: int,
        seed: int,
        total: int = 0,
        first: int = 0,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self.corpus = corpus
        self.starts = starts
        self.instances = instances
        self.masking = masking
        self.seed = seed
        self.total = total
        self.first = first
        self.batch_size = batch_size
        self.rank, self.ranks = rank, ranks
        self.parts = micro_batch_count(batch_size, max(1, max_tokens // instances.max_length), ranks)
        self._epoch = -1
        self._plan, self._order = self._load(0)
        self.steps_per_epoch = max(1, len(self._plan) // batch_size)
        self._ahead = ThreadPoolExecutor(1)
        self._next: tuple[int, Future[list[PretrainingBatch]]] | None = None

    def micro_batches(self, step: int) -> list[PretrainingBatch]:
        """This rank's part of a step. The next step is made meanwhile."""
        ready = self._next
        batches = ready[1].result() if ready and ready[0] == step else self._ahead.submit(self.build, step).result()
        self._next = (step + 1, self._ahead.submit(self.build, step + 1))
        return batches

    def build(self, step: int) -> list[PretrainingBatch]:
        """Makes a step's micro-batches now."""
        epoch, index = divmod(step - self.first, self.steps_per_epoch)
        plan, order = self._load(epoch)
        chosen = order[np.arange(index * self.batch_size, (index + 1) * self.batch_size) % len(order)]
        lengths = instance_lengths(self.corpus, plan, chosen, self.instances.max_length)
        parts = np.array_split(chosen[np.argsort(lengths, kind="stable")], self.parts)
        rate = self.masking.rate_at(min(1.0, step / self.total) if self.total else 0.0)
        masking = replace(self.masking, mask_rate=rate)
        return [self._batch(plan, (self.seed, epoch), part, masking) for part in parts[self.rank :: self.ranks]]

    def held_out(self, count: int) -> list[PretrainingBatch]:
        """This rank's part of about `count` instances of the held-out documents in micro-batches, the same at every
        call.

        Raises `AlbertError` (bad-data) if no document is held out.
        """
        plain = replace(self.instances, comparisons=0.0)
        plan = plan_epoch(self.corpus, plain, seed=0, epoch=_EVALUATION_EPOCH, held_out=True)
        if not len(plan):
            raise AlbertError(
                ErrorKind.DATA,
                "no document is held out for evaluation",
                expected=f"about {self.instances.held_out:.2%} of the documents",
                hint="raise --set held_out=…, or give more documents",
            )
        chosen = epoch_order(len(plan), seed=0, epoch=_EVALUATION_EPOCH)[:count]
        parts = np.array_split(chosen, min(len(chosen), -(-count // max(1, self.batch_size // self.parts))))
        parts = parts[self.rank :: self.ranks]
        return [self._batch(plan, (0, _EVALUATION_EPOCH), part, _EVALUATION) for part in parts]

    def _load(self, epoch: int) -> tuple[Plan, np.ndarray]:
        if epoch != self._epoch:
            self._plan = plan_epoch(self.corpus, self.instances, seed=self.seed, epoch=epoch)
            if not len(self._plan):
                raise AlbertError(ErrorKind.DATA, str(self.corpus.folder), expected="text to train on", got="none")
            self._order = epoch_order(len(self._plan), seed=self.seed, epoch=epoch)
            self._epoch = epoch
        return self._plan, self._order

    def _batch(self, plan: Plan, key: tuple[int, int], indices: np.ndarray, masking: MaskingConfig) -> PretrainingBatch:
        ids, types = build_rows(self.corpus, plan, indices, self.instances, seed=key[0], epoch=key[1])
        masked = mask_words(
            ids,
            self.starts,
            indices,
            key,
            rate=masking.mask_rate,
            max_ngram=masking.max_ngram,
            max_masked=masking.max_masked,
        )
        return PretrainingBatch(
            input_ids=torch.from_numpy(masked.input_ids),
            token_type_ids=torch.from_numpy(types),
            attention_mask=torch.from_numpy((ids != 0).astype(np.int64)),
            masked_positions=torch.from_numpy(masked.positions),
            masked_ids=torch.from_numpy(masked.ids),
            order=torch.from_numpy(plan.labels[indices].astype(np.int64)),
        )


def micro_batch_count(batch_size: int, rows: int, ranks: int) -> int:
    """The number of micro-batches per step with at most `rows` rows each. It is the same for every valid number of
    ranks.
    """
    parts = -(-batch_size // rows)
    if parts % ranks:
        legal = [n for n in range(1, parts + 1) if parts % n == 0]
        raise AlbertError(
            ErrorKind.CONFIG,
            f"{ranks} processes for steps of {parts} micro-batches",
            expected="a number of processes that divides them: " + ", ".join(map(str, legal)),
            got=str(ranks),
            hint="start as many processes, or begin a run with another batch_size or max_tokens",
        )
    return parts
