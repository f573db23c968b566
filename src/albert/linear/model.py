"""The linear model: its logits for texts, and its file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.numpy import load, save

from albert.data.examples import Example
from albert.errors import AlbertError, ErrorKind
from albert.linear.terms import BUCKETS, Terms
from albert.storage.files import LINEAR, read_vouched

NAME = LINEAR
_PORTION = 4096  # texts whose vectors are in memory at a time
_BLOCKS_OF_PAIR = 4  # first, second, what they share, where they differ
_COSINE = 10.0  # the factor of a pair's cosine, which is one number among thousands
_KINDS = {"buckets": np.int64, "rarity": np.float32, "weights": np.float16, "bias": np.float32}


@dataclass(frozen=True)
class LinearModel:
    """Weights of the terms of a text; of a pair those of both texts, of what they share and where they differ.

    Outputs are as a head's: a number a label, or one in all.
    """

    terms: Terms
    weights: Float[np.ndarray, "columns outputs"]
    bias: Float[np.ndarray, " outputs"]

    @property
    def outputs(self) -> int:
        """How many numbers it gives for a text."""
        return len(self.bias)

    @property
    def of_pairs(self) -> bool:
        """Whether it reads pairs of texts."""
        return len(self.weights) != len(self.terms)

    def logits(self, examples: Sequence[Example]) -> Float[np.ndarray, "texts outputs"]:
        """Its logits for each example. It reads the whole text, however long."""
        found = [np.zeros((0, self.outputs), np.float32)]
        for start in range(0, len(examples), _PORTION):
            part = examples[start : start + _PORTION]
            found.append(np.asarray(design(self.terms, part, pairs=self.of_pairs) @ self.weights + self.bias))
        return np.concatenate(found).astype(np.float32)

    def to_bytes(self) -> bytes:
        """The file's content. Weights take 16 bits each."""
        arrays = {"buckets": self.terms.buckets, "rarity": self.terms.rarity, "weights": self.weights,
                  "bias": self.bias}  # fmt: skip
        return save({name: np.ascontiguousarray(array, _KINDS[name]) for name, array in arrays.items()})

    @classmethod
    def load(cls, folder: Path, *, outputs: int, pairs: bool) -> LinearModel:
        """Reads the file of a model folder. Raises `AlbertError` (bad-model) for another number of outputs."""
        try:
            return _checked(load(read_vouched(folder, NAME)), outputs=outputs, pairs=pairs)
        except (SafetensorError, KeyError, ValueError, TypeError) as error:
            raise AlbertError(
                ErrorKind.MODEL, str(folder / NAME), expected=f"a linear model with {outputs} outputs",
                got=str(error)[:200], hint="train it again with --hybrid or --cascade",
            ) from None  # fmt: skip


def design(terms: Terms, examples: Sequence[Example], *, pairs: bool) -> Any:
    """Sparse [texts, columns] of what the weights are for."""
    from scipy import sparse

    first = terms.vectors([example.text for example in examples])
    if not pairs:
        return first
    second = terms.vectors([example.text_pair or "" for example in examples])
    shared = first.multiply(second).tocsr()
    cosine = sparse.csr_matrix(_COSINE * np.asarray(shared.sum(1), np.float32))
    return sparse.hstack([first, second, shared, abs(first - second), cosine], format="csr")


def _checked(arrays: dict[str, np.ndarray], *, outputs: int, pairs: bool) -> LinearModel:
    """The model of a file's arrays. Raises `KeyError` or `ValueError` for others than `to_bytes` writes."""
    for name, kind in _KINDS.items():
        if arrays[name].dtype != kind or not np.isfinite(arrays[name]).all():
            raise ValueError(f"{name} that are not finite {kind.__name__}")
    buckets, rarity, weights, bias = (arrays[name] for name in _KINDS)
    columns = len(buckets) * _BLOCKS_OF_PAIR + 1 if pairs else len(buckets)
    for name, shape in (("buckets", rarity.shape), ("weights", (columns, outputs)), ("bias", (outputs,))):
        if arrays[name].shape != shape:
            raise ValueError(f"{name} of shape {list(arrays[name].shape)}, not {list(shape)}")
    if buckets.ndim != 1 or (len(buckets) and not 0 <= buckets[0] <= buckets[-1] < 2 * BUCKETS):
        raise ValueError("buckets out of range")
    if (np.diff(buckets) <= 0).any():
        raise ValueError("buckets that do not ascend")
    return LinearModel(Terms(buckets, rarity), weights.astype(np.float32), bias)
