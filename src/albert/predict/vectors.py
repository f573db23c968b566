"""Vectors of texts: what the methods `embed`, `albert embed`, the index of documents and `/embed` all give.

A model for similarity or retrieval has vectors of its own. The vector of a pre-trained one is the mean of its last
hidden states over the pieces of the text, [CLS] and [SEP] among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from albert.config import AlbertConfig
from albert.data.batches import Features, within_budget
from albert.engine import Engine
from albert.engine.forward import MAX_TOKENS
from albert.errors import AlbertError, ErrorKind
from albert.predict.abilities import require_texts
from albert.text.encodings import Tokenizer

_PORTION = 256  # texts encoded at a time
_DECIMALS = 8  # of a number in JSON: as many as float32 holds, which halves the text


def text_features(tokenizer: Tokenizer, texts: Sequence[str], max_length: int) -> tuple[Features, int]:
    """A row a text, and how many of them were cut."""
    encodings = tokenizer.encode_batch(texts, max_length=max_length, offsets=False)
    return Features.build(encodings), sum(encoding.cut > 0 for encoding in encodings)


def pooled(engine: Engine, features: Features) -> list[np.ndarray]:
    """The mean over the pieces of each row."""
    return [states.mean(0) for states in engine.states(features)]


def finished(
    vectors: Sequence[np.ndarray] | np.ndarray, *, normalize: bool = True, dimensions: int | None = None
) -> Float[np.ndarray, "texts size"]:
    """Vectors as they are given out: the first `dimensions` numbers of each, of length 1 if `normalize`."""
    table = np.stack(list(vectors))[:, :dimensions]
    if normalize:
        table = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)
    return np.asarray(table, np.float32)


@runtime_checkable
class Embedder(Protocol):
    """A model with vectors. `cut` counts the texts so far that were cut."""

    cut: int

    @property
    def tokenizer(self) -> Tokenizer:
        """Its tokenizer."""

    @property
    def config(self) -> AlbertConfig:
        """Its network, whose hidden size is that of the vectors."""

    @property
    def max_length(self) -> int:
        """The pieces that it reads at once."""

    def vectors(self, features: Features) -> list[np.ndarray]:
        """The vector of each row."""


def embed(
    model: Embedder, texts: Sequence[str], *, normalize: bool = True, dimensions: int | None = None
) -> Float[np.ndarray, "texts size"]:
    """A vector a text. Raises `AlbertError` (usage) for more `dimensions` than there are."""
    require_texts(texts)
    size = model.config.hidden_size
    if dimensions is not None and not 1 <= dimensions <= size:
        raise AlbertError(ErrorKind.USAGE, "dimensions", expected=f"1 to {size}", got=str(dimensions))
    found = [np.zeros((0, dimensions or size), np.float32)]
    for start in range(0, len(texts), _PORTION):
        features, cut = text_features(model.tokenizer, texts[start : start + _PORTION], model.max_length)
        model.cut += cut
        for rows in within_budget(np.arange(len(features)), features.lengths, MAX_TOKENS):
            part = features.part(int(rows[0]), int(rows[-1]) + 1)
            found.append(finished(model.vectors(part), normalize=normalize, dimensions=dimensions))
    return np.concatenate(found)


def as_lists(table: np.ndarray) -> Any:
    """Vectors as nested lists for JSON."""
    return np.round(table.astype(np.float64), _DECIMALS).tolist()
