"""Vectors of texts: from a model of ours, kept as 8-bit numbers with a scale, compared by products of whole blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, Int8

from albert.hub import STARTER
from albert.model.folder import ModelFolder
from albert.predict.open import open_model
from albert.predict.pretrained import PretrainedModel

_BLOCK = 512  # rows turned into float32 at a time, so that they stay in the processor's cache
# Layers of the starter, which was trained to run 3, 6, 9 or 12: its vectors find as much with half of its own six.
_DEPTH = 3
_PLAIN, _TRAINED = 1.0, 8.0  # BM25 that a standard deviation counts for: more where training compared texts


class Encoder:
    """Turns texts into vectors of length 1. A model for similarity or retrieval gives its own, a pre-trained one the
    mean over pieces.

    Raises `AlbertError` (bad-model) for a model that has none.
    """

    def __init__(self, name: str | Path) -> None:
        folder = ModelFolder.open(name)
        self.name = folder.name
        self.fingerprint = folder.fingerprint
        self._model = open_model(folder)
        if self.name == STARTER and isinstance(self._model, PretrainedModel):
            self._model.model.albert.encoder.num_layers = _DEPTH  # before its engine is made
            self.fingerprint += f"-{_DEPTH}"
        self.weight = _PLAIN if isinstance(self._model, PretrainedModel) else _TRAINED
        self._model.embed([])  # refuses a model without vectors before any work

    def __call__(self, texts: Sequence[str]) -> Float[np.ndarray, "texts size"]:
        """A vector a text; what is longer than the model reads is cut."""
        return self._model.embed(texts)


def quantized(vector: Float[np.ndarray, " size"]) -> tuple[float, bytes]:
    """The scale of a vector and its numbers, each rounded to one of 255 steps."""
    scale = float(np.abs(vector).max()) / 127 or 1.0
    return scale, np.rint(vector / scale).astype(np.int8).tobytes()


@dataclass(frozen=True)
class Matrix:
    """The vectors of an index in memory: `ids` of their passages, a scale a row."""

    ids: np.ndarray
    scales: Float[np.ndarray, " rows"]
    numbers: Int8[np.ndarray, "rows size"]

    @classmethod
    def of(cls, rows: Sequence[tuple[int, float, bytes]]) -> Matrix:
        """From (passage, scale, numbers)."""
        numbers = np.frombuffer(b"".join(row[2] for row in rows), np.int8)
        return cls(
            np.array([row[0] for row in rows], np.int64),
            np.array([row[1] for row in rows], np.float32),
            numbers.reshape(len(rows), -1) if rows else numbers.reshape(0, 0),
        )

    def cosines(self, query: Float[np.ndarray, " size"]) -> Float[np.ndarray, " rows"]:
        """How much each vector is like the query's."""
        found = np.empty(len(self.ids), np.float32)
        for at in range(0, len(self.ids), _BLOCK):
            np.dot(self.numbers[at : at + _BLOCK].astype(np.float32), query, out=found[at : at + _BLOCK])
        return found * self.scales


def best_rows(scores: Float[np.ndarray, " rows"], count: int) -> Int[np.ndarray, " best"]:
    """The rows with the highest scores, best first; of equal ones the first."""
    if not len(scores):
        return np.zeros(0, int)
    best = np.argpartition(-scores, min(count, len(scores)) - 1)[:count]
    return best[np.lexsort((best, -scores[best]))]
