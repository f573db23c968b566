"""Pairs of source and target as the tensors that a network with a decoder learns from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from albert.config import PAD_ID
from albert.data.batches import IGNORED, Features


@dataclass(frozen=True)
class PairBatch:
    """Sources, and targets twice: as the decoder reads them, from the begin piece on, and as `gold` one place on."""

    input_ids: Int[Tensor, "batch source"]
    token_type_ids: Int[Tensor, "batch source"]
    attention_mask: Int[Tensor, "batch source"]
    target_ids: Int[Tensor, "batch target"]
    gold: Int[Tensor, "batch target"]

    @property
    def pieces(self) -> int:
        """How many there are on both sides without padding."""
        return int(self.attention_mask.sum()) + self.targets

    @property
    def targets(self) -> int:
        """How many pieces are to be written, ends among them."""
        return int((self.gold != IGNORED).sum())


@dataclass(frozen=True)
class PairFeatures:
    """Encoded sources, and the pieces of their targets without begin and end."""

    sources: Features
    targets: Features
    begin: int
    end: int

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def lengths(self) -> Int[np.ndarray, "pairs 2"]:
        """Pieces of each source, and of each target with its end."""
        return np.stack([self.sources.lengths, self.targets.lengths + 1], 1)

    def batch(self, indices: Sequence[int] | np.ndarray) -> PairBatch:
        """The pairs `indices`, padded to the longest of each side."""
        source = self.sources.batch(indices)
        parts = [self.targets.ids[self.targets.starts[i] : self.targets.starts[i + 1]] for i in np.asarray(indices)]
        shape = (len(parts), max(map(len, parts)) + 1)
        read, gold = np.full(shape, PAD_ID, np.int64), np.full(shape, IGNORED, np.int64)
        for row, part in enumerate(parts):
            read[row, 0], read[row, 1 : len(part) + 1] = self.begin, part
            gold[row, : len(part)], gold[row, len(part)] = part, self.end
        return PairBatch(source.input_ids, source.token_type_ids, source.attention_mask,
                         torch.from_numpy(read), torch.from_numpy(gold))  # fmt: skip

    def with_rows(
        self, sources: Sequence[tuple[np.ndarray, np.ndarray]], targets: Sequence[np.ndarray]
    ) -> PairFeatures:
        """Other pairs: ids and token types of each source, and ids of each target."""
        ids, types = zip(*sources, strict=True)
        starts = np.cumsum([0, *map(len, ids)])
        read = Features(np.concatenate(ids).astype(np.int32), np.concatenate(types).astype(np.int8), starts, None)
        return PairFeatures(read, features_of(targets), self.begin, self.end)

    def fingerprint(self) -> str:
        """SHA-256 of the contents: whether a resumed run sees the same data."""
        both = self.sources.fingerprint() + self.targets.fingerprint()
        return hashlib.sha256(both.encode()).hexdigest()


def features_of(rows: Sequence[np.ndarray]) -> Features:
    """Rows of ids alone."""
    ids = np.concatenate([np.zeros(0, np.int32), *rows]).astype(np.int32)
    return Features(ids, np.zeros(len(ids), np.int8), np.cumsum([0, *map(len, rows)]), None)
