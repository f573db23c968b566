"""Instances made at load time: which sentences form a row and in which order, drawn again in every epoch.

Everything is a pure function of (seed, epoch, index). So any number of workers and ranks, resumed anywhere, sees the
same instances. Source: google-research/albert, create_pretraining_data.py; ALBERT, sections 3.1 and 4.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from albert.config import CLS_ID, PAD_ID, SEP_ID
from albert.corpus.shards import Corpus, Shard
from albert.errors import AlbertError, ErrorKind, require_ranges
from albert.pretraining.draws import coin_flips, uniform, whole

Pairs = Literal["sop", "nsp", "none"]
NO_PAIR = -100  # the order label of an instance without a second segment; no loss counts it
_SHORT, _TARGET, _SPLIT, _SWAP, _FOREIGN, _DOCUMENT, _SENTENCE, _CUT_A, _CUT_B, _HELD_OUT, _COMPARE = range(11)
_HELD_OUT_KEY = 0x48454C44  # the held-out documents are the same for every seed


@dataclass(frozen=True, kw_only=True)
class InstanceConfig:
    """The form of an instance.

    `pairs`: sentence order (label 1: swapped), next sentence (label 1: from another document) or one segment.
    `foreign_second` gives a chunk of one sentence a second segment from another document, labelled 1, as Google's code
    did; without it the chunk is used alone and has no order label. `comparisons` is the share of instances for
    comparing, which is our own and off by default. Half of them repeat the first segment as the second, masked at other
    places (label 0). Half have a second segment from another document (label 1). `held_out` is the share of documents
    kept for evaluation, without comparisons.

    `rows` "full" makes every row `max_length` pieces long, built on the device (`albert.pretraining.full_rows`). There
    is no padding, and the last sentence may be cut. With `row_lengths`, each step draws one of these lengths for all
    its rows (a length may occur several times). `paired` is the share of rows with two segments.
    """

    max_length: int = 128
    short_sequences: float = 0.1
    pairs: Pairs = "sop"
    foreign_second: bool = False
    comparisons: float = 0.0
    held_out: float = 0.005
    rows: Literal["documents", "full"] = "documents"
    row_lengths: tuple[int, ...] = ()
    paired: float = 0.5

    def __post_init__(self) -> None:
        require_ranges(
            self,
            ("max_length", 8, 65_536),
            ("short_sequences", 0, 1),
            ("comparisons", 0, 1),
            ("held_out", 0, 0.5),
            ("paired", 0, 1),
        )
        if self.rows not in ("documents", "full"):
            raise AlbertError(ErrorKind.CONFIG, "rows", expected="documents or full", got=repr(self.rows))
        if self.rows == "full" and self.pairs == "nsp":
            raise AlbertError(ErrorKind.CONFIG, "pairs of full rows", expected="sop or none", got="nsp")
        if any(not isinstance(length, int) or not 8 <= length <= self.max_length for length in self.row_lengths):
            raise AlbertError(
                ErrorKind.CONFIG, "row_lengths",
                expected=f"whole numbers from 8 to max_length ({self.max_length})", got=str(list(self.row_lengths)),
            )  # fmt: skip
        if self.pairs not in ("sop", "nsp", "none"):
            raise AlbertError(ErrorKind.CONFIG, "pairs", expected="sop, nsp or none", got=repr(self.pairs))


@dataclass(frozen=True)
class Plan:
    """The instances of one epoch in the order of the corpus: [n, 4] sentence bounds, labels and shards, [n] each.

    An instance is the sentences [bounds 0, bounds 1) and, if not empty, [bounds 2, bounds 3) of its shard.
    """

    bounds: np.ndarray
    labels: np.ndarray
    shards: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


def plan_epoch(corpus: Corpus, config: InstanceConfig, *, seed: int, epoch: int, held_out: bool = False) -> Plan:
    """All instances of an epoch, of the held-out documents or of the others."""
    plans = [
        _plan_shard(shard, config, (seed, epoch, number), held_out=held_out)
        for number, shard in enumerate(corpus.shards)
    ]
    return Plan(
        np.concatenate([bounds for bounds, _ in plans]),
        np.concatenate([labels for _, labels in plans]),
        np.repeat(np.arange(len(plans), dtype=np.uint32), [len(labels) for _, labels in plans]),
    )


def build_rows(
    corpus: Corpus, plan: Plan, indices: np.ndarray, config: InstanceConfig, *, seed: int, epoch: int
) -> tuple[np.ndarray, np.ndarray]:
    """Instances as model input without masks: ids and token types [batch, longest], padded.

    The longer segment is cut piece by piece, at its start or its end at random.
    """
    parts = [_segments(corpus.shards[plan.shards[i]], plan.bounds[i]) for i in indices]
    lengths = np.array([[len(first), len(second)] for first, second in parts])
    paired = lengths[:, 1] > 0
    room = config.max_length - np.where(paired, 3, 2)
    keep = _kept(lengths, room)
    cut = lengths - keep
    front = np.stack(
        [coin_flips(cut[:, side], seed, epoch, indices, slot) for side, slot in ((0, _CUT_A), (1, _CUT_B))], 1
    )
    ids = np.full((len(indices), int((keep.sum(1) + np.where(paired, 3, 2)).max())), PAD_ID, np.int64)
    types = np.zeros_like(ids)
    for row, (first, second) in enumerate(parts):
        a, b = keep[row]
        ids[row, 0] = CLS_ID
        ids[row, 1 : a + 1] = first[front[row, 0] : front[row, 0] + a]
        ids[row, a + 1] = SEP_ID
        if paired[row]:
            ids[row, a + 2 : a + b + 2] = second[front[row, 1] : front[row, 1] + b]
            ids[row, a + b + 2] = SEP_ID
            types[row, a + 2 : a + b + 3] = 1
    return ids, types


def instance_lengths(corpus: Corpus, plan: Plan, indices: np.ndarray, max_length: int) -> np.ndarray:
    """How many pieces each instance has, special ones included."""
    sentences = [corpus.shards[plan.shards[i]].sentences[plan.bounds[i]].astype(np.int64) for i in indices]
    first, first_end, second, second_end = np.array(sentences).T
    pieces = first_end - first + second_end - second
    return np.minimum(pieces + np.where(second_end > second, 3, 2), max_length)


def held_out_documents(shard: Shard, number: int, share: float) -> np.ndarray:
    """Which documents of a shard are held out for evaluation, [documents]: the same for every seed."""
    return uniform(_HELD_OUT_KEY, number, np.arange(len(shard.documents) - 1), _HELD_OUT) < share


# --- one shard -----------------------------------------------------------------------------------------


def _plan_shard(
    shard: Shard, config: InstanceConfig, key: tuple[int, ...], *, held_out: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The bounds and labels of a shard's instances. All documents advance together, one chunk at a time."""
    tokens = np.asarray(shard.sentences, np.int64)
    document = np.arange(len(shard.documents) - 1)
    out = held_out_documents(shard, key[2], config.held_out)
    document = document[(out == held_out) & (np.diff(shard.documents) > 0)]
    position, end = (np.asarray(shard.documents, np.int64)[document + side] for side in (0, 1))
    full = config.max_length - (2 if config.pairs == "none" else 3)
    short = uniform(*key, document, _SHORT) < config.short_sequences
    target = np.where(short, whole(2, full, *key, document, _TARGET), full)
    bounds, labels, owners = [], [], []
    turn = 0
    while len(document):
        chunk_end = np.minimum(np.searchsorted(tokens, tokens[position] + target), end)
        chunk_end = np.maximum(chunk_end, position + 1)
        if config.pairs == "sop" and not config.foreign_second:  # a second sentence, where the document has one
            chunk_end = np.minimum(np.maximum(chunk_end, position + 2), end)
        draws = _Draws(config, key, document, turn, position, chunk_end, target)
        made, label, position = draws.instances(shard, tokens)
        bounds.append(made)
        labels.append(label)
        owners.append(document)
        going = position < end
        document, position, end, target = document[going], position[going], end[going], target[going]
        turn += 1
    if not bounds:
        return np.zeros((0, 4), np.uint32), np.zeros(0, np.int8)
    order = np.argsort(np.concatenate(owners), kind="stable")
    return np.concatenate(bounds)[order].astype(np.uint32), np.concatenate(labels)[order].astype(np.int8)


@dataclass(frozen=True)
class _Draws:
    """One chunk of sentences from each of some documents, and the draws that make an instance of it."""

    config: InstanceConfig
    key: tuple[int, ...]
    document: np.ndarray
    turn: int
    start: np.ndarray
    end: np.ndarray
    target: np.ndarray

    def instances(self, shard: Shard, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(bounds [n, 4], labels [n], where each document goes on [n])."""
        start, end = self.start, self.end
        if self.config.pairs == "none":
            return np.stack([start, end, end, end], 1), np.full(len(start), NO_PAIR), end
        lone = end - start == 1
        middle = np.where(lone, end, start + whole(1, np.maximum(end - start - 1, 1), *self._at(_SPLIT)))
        if self.config.pairs == "sop":
            swapped = (uniform(*self._at(_SWAP)) < 0.5) & ~lone
            first, second = np.stack([start, middle], 1), np.stack([middle, end], 1)
            bounds = np.where(swapped[:, None], np.hstack([second, first]), np.hstack([first, second]))
            labels = np.where(lone, NO_PAIR, swapped)
            compared = uniform(*self._at(_COMPARE))
            repeated = compared < self.config.comparisons / 2
            foreign = ~repeated & ((lone & self.config.foreign_second) | (compared < self.config.comparisons))
            bounds[repeated | foreign, :2] = first[repeated | foreign]
            bounds[repeated, 2:] = first[repeated]
            labels[repeated] = 0
        else:
            bounds = np.stack([start, middle, middle, end], 1)
            foreign = lone | (uniform(*self._at(_FOREIGN)) < 0.5)
            repeated = np.zeros_like(foreign)
            labels = foreign.astype(np.int64)
        if foreign.any():
            needed = self.target - (tokens[middle] - tokens[start])
            bounds[foreign, 2:] = self._elsewhere(shard, tokens, np.maximum(needed, 1))[foreign]
            labels[foreign] = 1
        if len(shard.documents) <= 2:  # no other document to draw from
            labels[foreign] = NO_PAIR
            bounds[foreign, 2:] = end[foreign, None]
        # The sentences that another segment replaced begin the next chunk.
        return bounds, labels, np.where(foreign | repeated, middle, end)

    def _elsewhere(self, shard: Shard, tokens: np.ndarray, needed: np.ndarray) -> np.ndarray:
        """Sentence bounds [n, 2] of about `needed` pieces from another document of the shard."""
        documents = np.asarray(shard.documents, np.int64)
        other = whole(0, max(len(documents) - 3, 0), *self._at(_DOCUMENT))
        other += other >= self.document
        other = np.minimum(other, len(documents) - 2)
        low, high = documents[other], np.maximum(documents[other + 1], documents[other] + 1)
        first = np.minimum(whole(low, high - 1, *self._at(_SENTENCE)), len(tokens) - 2)
        last = np.minimum(np.searchsorted(tokens, tokens[first] + needed), high)
        return np.stack([first, np.maximum(last, first + 1)], 1)

    def _at(self, slot: int) -> tuple[int | np.ndarray, ...]:
        return (*self.key, self.document, slot, self.turn)


def _segments(shard: Shard, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, a_end, b, b_end = shard.sentences[bounds]
    return shard.tokens[a:a_end], shard.tokens[b:b_end]


def _kept(lengths: np.ndarray, room: np.ndarray) -> np.ndarray:
    """How many pieces of each segment stay, [batch, 2], when the longer one loses them one by one."""
    shorter = lengths.min(1)
    longer = np.minimum(lengths.max(1), room - shorter)
    first_is_shorter = lengths[:, 0] < lengths[:, 1]
    one_cut = np.where(first_is_shorter[:, None], np.stack([shorter, longer], 1), np.stack([longer, shorter], 1))
    both_cut = np.stack([room - room // 2, room // 2], 1)
    return np.where((shorter * 2 <= room)[:, None], one_cut, both_cut)


def epoch_order(count: int, *, seed: int, epoch: int) -> np.ndarray:
    """The order of the instances in an epoch."""
    return np.random.default_rng((seed, epoch, 0x4F52)).permutation(count)
