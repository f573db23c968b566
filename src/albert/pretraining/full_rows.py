"""Rows without padding, built and masked where the model computes: on a GPU, or with the same numbers on a CPU.

A row is [CLS] A [SEP] B [SEP] or [CLS] A [SEP]. It is always `length` pieces long, so attention needs no mask. A row's
text begins at a sentence and goes on within its document; its last sentence may be cut. All draws are pure functions of
(seed, step, row), so any device and a resumed run see the same rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from albert.config import CLS_ID, MASK_ID, SEP_ID
from albert.corpus.shards import Corpus
from albert.errors import AlbertError, ErrorKind
from albert.pretraining.draws import bits as bits_of
from albert.pretraining.instances import NO_PAIR, InstanceConfig, held_out_documents
from albert.pretraining.masking import FIRST_ORDINARY

_START, _PAIRED, _SPLIT, _CUT, _SIDE, _SWAP, _COMPARE, _FAR, _RUN, _WORD, _KIND, _OTHER = range(12)


class Draws:
    """Random numbers of a step's rows as tensors, equal to `draws.bits(seed, step, slot, row[, column])`."""

    def __init__(self, seed: int, step: int, rows: int, device: torch.device, *, first: int = 0) -> None:
        """Draws for the rows from `first` on."""
        self.key = (seed, step)
        self.rows = first + torch.arange(rows, device=device)

    def bits(self, slot: int, columns: int = 0) -> Int[Tensor, "rows ..."]:
        """64 random bits per row, or per row and column, as int64."""
        state = int(bits_of(*self.key, slot).astype(np.int64))
        found = _mixed(self.rows + state)
        if columns:
            found = _mixed(found[:, None] + torch.arange(columns, device=found.device))
        return found

    def uniform(self, slot: int, columns: int = 0) -> Float[Tensor, "rows ..."]:
        """Numbers in [0, 1), float64."""
        return _shifted(self.bits(slot, columns), 11).double() * 2.0**-53


def _mixed(z: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """SplitMix64's finaliser, as `draws.bits` applies it to the sum of state and coordinate."""
    z = z * _int64(0xD1342543DE82EF95) + _int64(0x9E3779B97F4A7C15)
    z = (z ^ _shifted(z, 30)) * _int64(0xBF58476D1CE4E5B9)
    z = (z ^ _shifted(z, 27)) * _int64(0x94D049BB133111EB)
    return z ^ _shifted(z, 31)


def _shifted(z: Int[Tensor, "*shape"], by: int) -> Int[Tensor, "*shape"]:
    """A right shift that fills with zeros."""
    return (z >> by) & ((1 << (64 - by)) - 1)


def _int64(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


@dataclass(frozen=True)
class Stream:
    """All training text of a corpus, end to end, on one device.

    `sentences` is the start of each sentence, and the end of the last. `room` is how many pieces its document has from
    there. `begins` says whether a piece begins a word.
    """

    tokens: Int[Tensor, " pieces"]  # int16 or int32
    sentences: Int[Tensor, " bounds"]
    room: Int[Tensor, " sentences"]
    begins: Bool[Tensor, " vocab"]
    vocab_size: int

    @classmethod
    def of(cls, corpus: Corpus, starts: np.ndarray, held_out: float, device: torch.device) -> Stream:
        """Reads every shard, without the documents that are held out for evaluation.

        `starts` is what `word_starts` gives, [vocab].
        """
        tokens, sentences, room, offset = [], [], [], 0
        for number, shard in enumerate(corpus.shards):
            documents, bounds = (np.asarray(part, np.int64) for part in (shard.documents, shard.sentences))
            kept = ~held_out_documents(shard, number, held_out)
            ends = np.repeat(bounds[documents[1:]], np.diff(documents))
            in_kept = np.repeat(kept, np.diff(documents))
            of_token = np.repeat(in_kept, np.diff(bounds))
            moved = np.concatenate([[0], np.cumsum(of_token)])  # the position of a piece after others were removed
            tokens.append(np.asarray(shard.tokens)[of_token])
            begin = moved[bounds[:-1][in_kept]]
            sentences.append(begin + offset)
            room.append(moved[ends[in_kept]] - begin)
            offset += len(tokens[-1])
        if not offset:
            raise AlbertError(ErrorKind.DATA, str(corpus.folder), expected="text to train on", got="none")
        return cls(
            torch.from_numpy(np.concatenate(tokens).astype(np.int16 if len(starts) < 1 << 15 else np.int32)).to(device),
            torch.from_numpy(np.append(np.concatenate(sentences), offset)).to(device),
            torch.from_numpy(np.concatenate(room)).to(device),
            torch.from_numpy(starts).to(device),
            len(starts),
        )

    def candidates(self, length: int) -> Int[Tensor, " sentences"]:
        """The sentences from which a document has at least `length` more pieces. Raises `AlbertError` if there are
        none.
        """
        found = torch.nonzero(self.room >= length).squeeze(1)
        if not len(found):
            raise AlbertError(
                ErrorKind.DATA,
                f"full rows of {length:,} pieces",
                expected="a document that is as long",
                got=f"at most {int(self.room.max()):,} pieces",
                hint="shorten the rows with --set max_length=…",
            )
        return found


@dataclass(frozen=True)
class FullRows:
    """The rows of one step, unmasked. `order` is as in `PretrainingBatch`.

    A row's text is the pieces [first, first + first_length) of the stream, followed by those of the second segment, if
    any.
    """

    ids: Int[Tensor, "rows length"]
    types: Int[Tensor, "rows length"]
    order: Int[Tensor, " rows"]
    places: Int[Tensor, "rows length"]  # in the stream, of every ordinary piece
    first: Int[Tensor, " rows"]
    first_length: Int[Tensor, " rows"]
    second: Int[Tensor, " rows"]
    second_length: Int[Tensor, " rows"]  # length of the second segment; 0 for none

    @property
    def special(self) -> Bool[Tensor, "rows length"]:
        return (self.ids == CLS_ID) | (self.ids == SEP_ID)


def full_rows(
    stream: Stream, candidates: Int[Tensor, " sentences"], draws: Draws, length: int, config: InstanceConfig
) -> FullRows:
    """Rows of `length` pieces from the sentences of `candidates`, which have room for length - 2 pieces.

    With `pairs` "sop", half of the rows have two segments in a drawn order. The places where sentences are cut must not
    reveal the order. So superfluous pieces are removed from the outer or the inner ends alike.
    """
    rows, room = len(draws.rows), length - 3
    sentences = stream.sentences
    at = candidates[_below(draws.uniform(_START), len(candidates))]
    start = sentences[at]
    last = torch.searchsorted(sentences, start + room)
    end = sentences[last]
    inner = last - at - 1
    paired = (inner > 0) & (draws.uniform(_PAIRED) < (0.0 if config.pairs == "none" else config.paired))
    middle = sentences[at + 1 + _below(draws.uniform(_SPLIT), inner.clamp(min=1))]
    a, b = middle - start, end - middle
    excess = a + b - room
    low, high = (excess - (b - 1)).clamp(min=0), torch.minimum(excess, a - 1)
    cut_a = torch.minimum(torch.maximum(_below(draws.uniform(_CUT), excess + 1), low), high)
    cut_b = excess - cut_a
    outer = draws.uniform(_SIDE) < 0.5
    first, a = torch.where(outer, start + cut_a, start), a - cut_a
    second, b = torch.where(outer, middle, middle + cut_b), b - cut_b
    swapped = draws.uniform(_SWAP) < 0.5
    first, second = torch.where(swapped, second, first), torch.where(swapped, first, second)
    a, b = torch.where(swapped, b, a), torch.where(swapped, a, b)
    order = swapped.long()
    if config.comparisons:
        compared = draws.uniform(_COMPARE)
        repeated, foreign = compared < config.comparisons / 2, compared < config.comparisons
        foreign &= ~repeated
        first, second = torch.where(repeated, start, first), torch.where(repeated, start, second)
        a = torch.where(repeated, room // 2, a)
        b = torch.where(repeated, room - room // 2, b)
        far = candidates[_below(draws.uniform(_FAR), len(candidates))]
        second = torch.where(foreign, sentences[far], second)
        order = torch.where(repeated, 0, torch.where(foreign, 1, order))
    one = ~paired
    first, a, b = torch.where(one, start, first), torch.where(one, room + 1, a), torch.where(one, 0, b)
    order = torch.where(one, NO_PAIR, order)
    column = torch.arange(length, device=start.device).expand(rows, -1)
    in_second = column >= a[:, None] + 2
    places = torch.where(in_second, second[:, None] + column - a[:, None] - 2, first[:, None] + column - 1)
    places = places.clamp(0, len(stream.tokens) - 1)
    ids = stream.tokens[places].long()
    ids[:, 0] = CLS_ID
    ids = torch.where((column == a[:, None] + 1) | (column == length - 1), SEP_ID, ids)
    types = (in_second & (b > 0)[:, None]).long()
    return FullRows(ids, types, order, places, first, a, second, b)


def mask_rows(
    rows: FullRows, stream: Stream, draws: Draws, count: int, *, spans: float = 0.0
) -> tuple[Int[Tensor, "rows length"], Int[Tensor, "rows count"], Int[Tensor, "rows count"]]:
    """Hides `count` pieces of each row, by whole words: the input, the hidden columns, and the original pieces.

    The last word may be hidden in part. With probability `spans`, a word is hidden together with the one before. 80 %
    become [MASK], 10 % stay, 10 % become another piece.
    """
    length = rows.ids.shape[1]
    special = rows.special
    begins = stream.begins[rows.ids]
    if spans:
        begins &= draws.uniform(_RUN, length) >= spans
    word = (begins | special).long().cumsum(1)
    key = _shifted(draws.bits(_WORD, length + 1), 24).gather(1, word) << 12  # room for one more column
    key = key.masked_fill(special, torch.iinfo(torch.int64).max >> 1) + torch.arange(length, device=key.device)
    column = key.topk(count, dim=1, largest=False).indices.sort(1).values
    original = rows.ids.gather(1, column)
    kind = draws.uniform(_KIND, count)
    other = FIRST_ORDINARY + _below(draws.uniform(_OTHER, count), stream.vocab_size - FIRST_ORDINARY)
    hidden = torch.where(kind < 0.8, MASK_ID, torch.where(kind < 0.9, original, other))
    return rows.ids.scatter(1, column, hidden), column, original


def _below(share: Float[Tensor, "*shape"], count: Int[Tensor, "*shape"] | int) -> Int[Tensor, "*shape"]:
    """Whole numbers from 0 to count - 1."""
    return (share * count).long()
