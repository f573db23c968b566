"""Encodings as tensors: compact storage, length-sorted batches within a token budget, padding.

The order is a pure function of (seed, epoch). So there is no state to save, and nothing to replay on resume.
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

IGNORED = -100  # the gold value of pieces that no loss counts, such as padding; torch's own default
POOL_BATCHES = 32  # batches sorted by length together: little padding, but still random neighbours


Gold = np.ndarray | list[np.ndarray]  # one value per row, or one per piece of each row


@dataclass(frozen=True)
class Batch:
    """What a model reads, and the gold values if they are known. It holds tensors only."""

    input_ids: Int[Tensor, "batch seq"]
    token_type_ids: Int[Tensor, "batch seq"]
    attention_mask: Int[Tensor, "batch seq"]
    gold: Tensor | None = None

    @property
    def pieces(self) -> int:
        """The number of pieces without padding."""
        return int(self.attention_mask.sum())


@dataclass(frozen=True)
class Features:
    """Encoded examples in flat arrays: 5 bytes per token instead of a Python list each.

    An example is one row, or several rows: windows of a long text, or choices. `owners` is the example of each row, in
    ascending order. With `by_piece`, a row's gold is as long as its ids. With `grouped`, the rows of an example share
    one loss, so batches keep them together. `offsets` are kept on request.
    """

    ids: np.ndarray  # [tokens] int32
    types: np.ndarray  # [tokens] int8
    starts: np.ndarray  # [rows + 1]
    gold: np.ndarray | None  # [rows, ...], or [tokens, ...]
    by_piece: bool = False
    offsets: np.ndarray | None = None  # [tokens, 2] int32
    owners: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))  # [rows]; empty: each row is one
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
        """The features of encodings. `owners` is read after all encodings, so it may grow while they are read."""
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
        """The rows of all parts, one after the other, as new examples. Gold values are left out."""
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

    def part(self, first: int, after: int) -> Features:
        """The rows from `first` to before `after` as examples of their own, without gold values and offsets."""
        tokens = slice(self.starts[first], self.starts[after])
        starts = self.starts[first : after + 1] - self.starts[first]
        return Features(self.ids[tokens], self.types[tokens], starts, None)

    def with_gold(self, gold: Gold | None) -> Features:
        """The same rows with these gold values: an array with one per row, or a list of arrays with one value per
        piece.
        """
        if not isinstance(gold, list):
            return replace(self, gold=gold, by_piece=False)
        assert [len(values) for values in gold] == self.lengths.tolist()
        return replace(self, gold=np.concatenate(gold), by_piece=True)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def gold_of(self, index: int) -> np.ndarray:
        """The gold value of one row, or its values per piece."""
        assert self.gold is not None
        return np.asarray(self.gold[self._part(index)] if self.by_piece else self.gold[index])

    def offsets_of(self, index: int) -> np.ndarray:
        """[start, end) of one row's pieces in its text, [pieces, 2]. Special tokens have (0, 0)."""
        assert self.offsets is not None
        return self.offsets[self._part(index)]

    def _part(self, index: int) -> slice:
        return slice(self.starts[index], self.starts[index + 1])

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.starts)

    def example_bounds(self) -> np.ndarray:
        """[examples + 1]: the rows of an example go from its bound to the next one."""
        return np.searchsorted(self.owners, np.arange(self.owners[-1] + 2 if len(self) else 1))

    def unit_bounds(self) -> np.ndarray:
        """[units + 1]: the rows that a batch keeps together. If `grouped`, these are an example's rows; otherwise each
        row is a unit.
        """
        return self.example_bounds() if self.grouped else np.arange(len(self) + 1)

    def batch(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """The rows `indices`, padded to the longest of them."""
        indices = np.asarray(indices)
        lengths = self.starts[indices + 1] - self.starts[indices]  # not of all rows: this runs every step
        shape = (len(indices), int(lengths.max()))
        ids = np.full(shape, PAD_ID, np.int64)  # any id works, because the mask excludes padding
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
        """The ids and types of the rows `indices`, end to end, [tokens] each."""
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
        """The SHA-256 of the contents, which shows whether a resumed run has the same data."""
        digest = hashlib.sha256()
        for array in (self.ids, self.types, self.starts, self.gold, self.owners):
            if array is not None:
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def within_budget(order: Sequence[int] | np.ndarray, lengths: np.ndarray, max_tokens: int) -> list[np.ndarray]:
    """Cuts `order` into runs whose padded size (rows times the longest row) is at most `max_tokens`.

    `lengths` is [rows], or [rows, sides] for rows of several parts, each padded to the longest of its side.
    """
    runs: list[np.ndarray] = []
    start = 0
    order = np.asarray(order)
    sides = lengths[order][:, None] if lengths.ndim == 1 else lengths[order]
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

    Each index occurs once. A step has `batch_size` rows of similar length (the last step fewer), out of pools drawn at
    random. A step with more than `max_tokens` padded tokens is divided. `lengths` as `within_budget` reads them; rows
    of several sides are similar in their sums.
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
    """All rows, longest first so that memory peaks at once, cut by the token budget."""
    return within_budget(np.argsort(-lengths, kind="stable"), lengths, max_tokens)
