"""Encodings to tensors: compact storage, length-sorted batches within a token budget, padding.

Order is a pure function of (seed, epoch): no state to save, nothing to replay on resume.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from albert.config import PAD_ID
from albert.text.tokenizer import Encoding

POOL_BATCHES = 32  # batches that are sorted by length together: little padding, yet random company


@dataclass(frozen=True)
class Batch:
    """What a model reads, and the gold values where they are known; tensors only."""

    input_ids: Int[Tensor, "batch seq"]
    token_type_ids: Int[Tensor, "batch seq"]
    attention_mask: Int[Tensor, "batch seq"]
    gold: Tensor | None = None


@dataclass(frozen=True)
class Features:
    """Encoded examples in flat arrays: 5 bytes a token instead of a Python list each."""

    ids: np.ndarray  # [tokens] int32
    types: np.ndarray  # [tokens] int8
    starts: np.ndarray  # [examples + 1]
    gold: np.ndarray | None  # [examples, ...]

    @classmethod
    def build(cls, encodings: Iterable[Encoding], gold: np.ndarray | None = None) -> Features:
        ids: list[np.ndarray] = []
        types: list[np.ndarray] = []
        for encoding in encodings:
            ids.append(np.asarray(encoding.input_ids, np.int32))
            types.append(np.asarray(encoding.token_type_ids, np.int8))
        return cls(
            np.concatenate(ids) if ids else np.zeros(0, np.int32),
            np.concatenate(types) if types else np.zeros(0, np.int8),
            np.cumsum([0, *map(len, ids)]),
            gold,
        )

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.starts)

    def batch(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """The examples `indices`, padded to the longest of them."""
        indices = np.asarray(indices)
        lengths = self.starts[indices + 1] - self.starts[indices]  # not all lengths: this runs every step
        shape = (len(indices), int(lengths.max()))
        ids = np.full(shape, PAD_ID, np.int64)
        types = np.zeros(shape, np.int64)
        mask = np.zeros(shape, np.int64)
        for row, index in enumerate(indices):
            part = slice(self.starts[index], self.starts[index + 1])
            length = lengths[row]
            ids[row, :length] = self.ids[part]
            types[row, :length] = self.types[part]
            mask[row, :length] = 1
        gold = None if self.gold is None else torch.from_numpy(self.gold[indices])
        return Batch(torch.from_numpy(ids), torch.from_numpy(types), torch.from_numpy(mask), gold)

    def fingerprint(self) -> str:
        """SHA-256 of the contents: whether a resumed run sees the same data."""
        digest = hashlib.sha256()
        for array in (self.ids, self.types, self.starts, self.gold):
            if array is not None:
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def within_budget(order: Sequence[int] | np.ndarray, lengths: np.ndarray, max_tokens: int) -> list[np.ndarray]:
    """Cuts `order` into runs whose padded size, rows times longest, stays within `max_tokens`."""
    runs: list[np.ndarray] = []
    start, longest = 0, 0
    order = np.asarray(order)
    for position, index in enumerate(order):
        longest_with = max(longest, int(lengths[index]))
        if position > start and longest_with * (position - start + 1) > max_tokens:
            runs.append(order[start:position])
            start, longest_with = position, int(lengths[index])
        longest = longest_with
    if start < len(order):
        runs.append(order[start:])
    return runs


def training_steps(
    lengths: np.ndarray, *, batch_size: int, max_tokens: int, seed: int, epoch: int
) -> list[list[np.ndarray]]:
    """One epoch: for each optimiser step its micro-batches, each an array of example indices.

    Every example occurs once. A step has `batch_size` examples (the last one fewer) of similar length, out
    of pools drawn at random; one that exceeds `max_tokens` padded tokens is divided.
    """
    rng = np.random.default_rng((seed, epoch))
    order = rng.permutation(len(lengths))
    steps: list[np.ndarray] = []
    pool = batch_size * POOL_BATCHES
    for start in range(0, len(order), pool):
        part = order[start : start + pool]
        part = part[np.argsort(lengths[part], kind="stable")]
        steps.extend(part[i : i + batch_size] for i in range(0, len(part), batch_size))
    return [within_budget(steps[i], lengths, max_tokens) for i in rng.permutation(len(steps))]


def inference_batches(lengths: np.ndarray, *, max_tokens: int) -> list[np.ndarray]:
    """All examples, longest first (memory peaks at once), cut by the token budget."""
    return within_budget(np.argsort(-lengths, kind="stable"), lengths, max_tokens)
