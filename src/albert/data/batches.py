"""Encodings to tensors: compact storage, length-sorted batches within a token budget, padding.

Order is a pure function of (seed, epoch): no state to save, nothing to replay on resume.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from albert.config import PAD_ID
from albert.text.encodings import Encoding

IGNORED = -100  # gold of a piece that no loss counts, padding among them; torch's own default
POOL_BATCHES = 32  # batches that are sorted by length together: little padding, yet random company


Gold = np.ndarray | list[np.ndarray]  # a value a row, or for each row one a piece


@dataclass(frozen=True)
class Batch:
    """What a model reads, and the gold values where they are known; tensors only."""

    input_ids: Int[Tensor, "batch seq"]
    token_type_ids: Int[Tensor, "batch seq"]
    attention_mask: Int[Tensor, "batch seq"]
    gold: Tensor | None = None

    @property
    def pieces(self) -> int:
        """How many there are without padding."""
        return int(self.attention_mask.sum())


@dataclass(frozen=True)
class Features:
    """Encoded examples in flat arrays: 5 bytes a token instead of a Python list each.

    An example is a row, or several: windows of a long text, or choices. `owners` says whose each row is, in
    ascending order. With `by_piece` a row's gold is as long as its ids. `grouped` rows of an example meet in one
    loss, so batches keep them together. `offsets` are kept on request.
    """

    ids: np.ndarray  # [tokens] int32
    types: np.ndarray  # [tokens] int8
    starts: np.ndarray  # [rows + 1]
    gold: np.ndarray | None  # [rows, ...], or [tokens, ...]
    by_piece: bool = False
    offsets: np.ndarray | None = None  # [tokens, 2] int32
    owners: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))  # [rows]; none: each row's own
    grouped: bool = False

    def __post_init__(self) -> None:
        if len(self.owners) != len(self):
            object.__setattr__(self, "owners", np.arange(len(self)))

    @classmethod
    def build(
        cls,
        encodings: Iterable[Encoding],
        gold: Gold | None = None,
        *,
        offsets: bool = False,
        owners: Sequence[int] = (),
        grouped: bool = False,
    ) -> Features:
        """`owners` is read when all encodings are, so that it may grow with them."""
        ids = [np.zeros(0, np.int32)]
        types = [np.zeros(0, np.int8)]
        places = [np.zeros((0, 2), np.int32)]
        for encoding in encodings:
            ids.append(np.asarray(encoding.input_ids, np.int32))
            types.append(np.asarray(encoding.token_type_ids, np.int8))
            if offsets:
                places.append(np.asarray(encoding.offsets, np.int32))
        features = cls(
            np.concatenate(ids),
            np.concatenate(types),
            np.cumsum([len(part) for part in ids]),
            None,
            offsets=np.concatenate(places) if offsets else None,
            owners=np.asarray(owners, np.int64),
            grouped=grouped,
        )
        return features.with_gold(gold)

    @classmethod
    def join(cls, parts: Sequence[Features]) -> Features:
        """The rows of all parts, one behind the other, as new examples; gold values are left out."""
        tokens = np.cumsum([0, *(len(part.ids) for part in parts)])
        examples = np.cumsum([0, *(part.owners[-1] + 1 if len(part) else 0 for part in parts)])
        return cls(
            np.concatenate([part.ids for part in parts]),
            np.concatenate([part.types for part in parts]),
            np.concatenate([[0], *(part.starts[1:] + before for part, before in zip(parts, tokens, strict=False))]),
            None,
            offsets=None if parts[0].offsets is None else np.concatenate([part.offsets for part in parts]),
            owners=np.concatenate([part.owners + before for part, before in zip(parts, examples, strict=False)]),
            grouped=parts[0].grouped,
        )

    def with_gold(self, gold: Gold | None) -> Features:
        """The same with these gold values: an array with one for each row, or a list of arrays piece by piece."""
        if not isinstance(gold, list):
            return replace(self, gold=gold, by_piece=False)
        assert [len(values) for values in gold] == self.lengths.tolist()
        return replace(self, gold=np.concatenate(gold), by_piece=True)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def gold_of(self, index: int) -> np.ndarray:
        """One row's gold value, or its values piece by piece."""
        assert self.gold is not None
        return np.asarray(self.gold[self._part(index)] if self.by_piece else self.gold[index])

    def offsets_of(self, index: int) -> np.ndarray:
        """[start, end) of one row's pieces in its text, [pieces, 2]; (0, 0) for special tokens."""
        assert self.offsets is not None
        return self.offsets[self._part(index)]

    def _part(self, index: int) -> slice:
        return slice(self.starts[index], self.starts[index + 1])

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.starts)

    def example_bounds(self) -> np.ndarray:
        """[examples + 1]: an example's rows are those from its bound to the next one."""
        return np.searchsorted(self.owners, np.arange(self.owners[-1] + 2 if len(self) else 1))

    def unit_bounds(self) -> np.ndarray:
        """[units + 1]: the rows that a batch keeps together, those of an example if `grouped`, else each alone."""
        return self.example_bounds() if self.grouped else np.arange(len(self) + 1)

    def batch(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """The rows `indices`, padded to the longest of them."""
        indices = np.asarray(indices)
        lengths = self.starts[indices + 1] - self.starts[indices]  # not all lengths: this runs every step
        shape = (len(indices), int(lengths.max()))
        ids = np.full(shape, PAD_ID, np.int64)  # any id would do: the mask keeps padding out
        types = np.zeros(shape, np.int64)
        mask = np.zeros(shape, np.int64)
        for row, index in enumerate(indices.tolist()):
            part = self._part(index)
            length = lengths[row]
            ids[row, :length] = self.ids[part]
            types[row, :length] = self.types[part]
            mask[row, :length] = 1
        gold = None if self.gold is None else torch.from_numpy(self._padded_gold(indices, shape))
        return Batch(torch.from_numpy(ids), torch.from_numpy(types), torch.from_numpy(mask), gold)

    def flat(self, indices: Sequence[int] | np.ndarray) -> tuple[Tensor, Tensor]:
        """Ids and types of the rows `indices`, end to end, [tokens] each."""
        places = np.concatenate([np.arange(self.starts[index], self.starts[index + 1]) for index in indices])
        return torch.from_numpy(self.ids[places]), torch.from_numpy(self.types[places].astype(np.int32))

    def _padded_gold(self, indices: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        assert self.gold is not None
        if not self.by_piece:
            return self.gold[indices]
        padded = np.full((*shape, *self.gold.shape[1:]), IGNORED, self.gold.dtype)
        for row, index in enumerate(indices.tolist()):
            values = self.gold_of(index)
            padded[row, : len(values)] = values
        return padded

    def fingerprint(self) -> str:
        """SHA-256 of the contents: whether a resumed run sees the same data."""
        digest = hashlib.sha256()
        for array in (self.ids, self.types, self.starts, self.gold, self.owners):
            if array is not None:
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def within_budget(order: Sequence[int] | np.ndarray, lengths: np.ndarray, max_tokens: int) -> list[np.ndarray]:
    """Cuts `order` into runs whose padded size, rows times longest, stays within `max_tokens`.

    `lengths` is [rows], or [rows, sides] for rows of several parts, each padded to the longest of its side.
    """
    runs: list[np.ndarray] = []
    start = 0
    order = np.asarray(order)
    sides = lengths[order].reshape(len(order), -1)
    longest = [0] * sides.shape[1]
    for position, row in enumerate(sides.tolist()):
        longest_with = [max(pair) for pair in zip(longest, row, strict=True)]
        if position > start and sum(longest_with) * (position - start + 1) > max_tokens:
            runs.append(order[start:position])
            start, longest_with = position, row
        longest = longest_with
    if start < len(order):
        runs.append(order[start:])
    return runs


def training_steps(
    lengths: np.ndarray, *, batch_size: int, max_tokens: int, seed: int, epoch: int
) -> list[list[np.ndarray]]:
    """One epoch: for each optimiser step its micro-batches, each an array of indices into `lengths`.

    Every one occurs once. A step has `batch_size` of them (the last one fewer) of similar length, out
    of pools drawn at random; one that exceeds `max_tokens` padded tokens is divided. `lengths` as `within_budget`
    reads them; of several sides the sum is what is similar.
    """
    rng = np.random.default_rng((seed, epoch))
    order = rng.permutation(len(lengths))
    steps: list[np.ndarray] = []
    sums = lengths.reshape(len(lengths), -1).sum(1)
    pool = batch_size * POOL_BATCHES
    for start in range(0, len(order), pool):
        part = order[start : start + pool]
        part = part[np.argsort(sums[part], kind="stable")]
        steps.extend(part[i : i + batch_size] for i in range(0, len(part), batch_size))
    return [within_budget(steps[i], lengths, max_tokens) for i in rng.permutation(len(steps))]


def inference_batches(lengths: np.ndarray, *, max_tokens: int) -> list[np.ndarray]:
    """All rows, longest first (memory peaks at once), cut by the token budget."""
    return within_budget(np.argsort(-lengths, kind="stable"), lengths, max_tokens)
