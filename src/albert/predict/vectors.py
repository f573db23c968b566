"""Vectors of texts: what the methods `embed`, `albert embed`, the index of documents and `/embed` all give.

A model for similarity or retrieval has vectors of its own. The vector of a pre-trained one is the mean of its last
hidden states over the pieces of the text, [CLS] and [SEP] among them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

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


def embed(
    texts: Sequence[str],
    *,
    tokenizer: Tokenizer,
    max_length: int,
    vectors: Callable[[Features], list[np.ndarray]],
    size: int,
    normalize: bool = True,
    dimensions: int | None = None,
) -> tuple[Float[np.ndarray, "texts size"], int]:
    """A vector a text, and how many texts were cut; `vectors` gives those of rows, of `size` numbers.

    Raises `AlbertError` (usage) for more `dimensions` than there are.
    """
    require_texts(texts)
    if dimensions is not None and not 1 <= dimensions <= size:
        raise AlbertError(ErrorKind.USAGE, "dimensions", expected=f"1 to {size}", got=str(dimensions))
    found, cut = [np.zeros((0, dimensions or size), np.float32)], 0
    for start in range(0, len(texts), _PORTION):
        features, more = text_features(tokenizer, texts[start : start + _PORTION], max_length)
        cut += more
        for rows in within_budget(np.arange(len(features)), features.lengths, MAX_TOKENS):
            part = features.part(int(rows[0]), int(rows[-1]) + 1)
            found.append(finished(vectors(part), normalize=normalize, dimensions=dimensions))
    return np.concatenate(found), cut


def as_lists(table: np.ndarray) -> Any:
    """Vectors as nested lists for JSON."""
    return np.round(table.astype(np.float64), _DECIMALS).tolist()
