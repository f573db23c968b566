"""Initial word embeddings: co-occurrences of pieces, counted on the corpus and factorised.

A minute of counting replaces hours of gradients: pieces with similar use begin close to one another. Source: Levy,
Goldberg and Dagan 2015 (positive PMI with smoothed contexts, truncated SVD with square roots of singular values).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from albert.corpus.shards import Corpus
from albert.errors import AlbertError, ErrorKind, require_ranges
from albert.pretraining.masking import FIRST_ORDINARY

_MAX_TOKENS = 60_000_000  # the most tokens counted, from shards all over the corpus
_SMOOTHING = 0.75


@dataclass(frozen=True, kw_only=True)
class EmbeddingConfig:
    """How the word embeddings of a network from scratch begin.

    "random" as in the published models, or "cooccurrence" within `window` pieces to either side.
    """

    embeddings: Literal["random", "cooccurrence"] = "random"
    window: int = 5

    def __post_init__(self) -> None:
        require_ranges(self, ("window", 1, 50))
        if self.embeddings not in ("random", "cooccurrence"):
            raise AlbertError(
                ErrorKind.CONFIG, "embeddings", expected="random or cooccurrence", got=repr(self.embeddings)
            )


def cooccurrence_embeddings(corpus: Corpus, *, vocab_size: int, size: int, window: int, std: float) -> np.ndarray:
    """Embeddings [vocab_size, size] with standard deviation `std`; those of special pieces are 0."""
    from scipy import sparse
    from sklearn.utils.extmath import randomized_svd

    counts = sparse.csr_matrix((vocab_size, vocab_size), dtype=np.float32)
    tokens = sum(len(shard.tokens) for shard in corpus.shards)
    for shard in corpus.shards[:: max(1, round(tokens / _MAX_TOKENS))]:
        counts = counts + _near(np.asarray(shard.tokens, np.int64), vocab_size, window)
    pmi = _positive_pmi(sparse.coo_matrix(counts + counts.T))
    rank = min(size, vocab_size - 1)
    left, values, _ = randomized_svd(pmi, n_components=rank, n_oversamples=16, n_iter=3, random_state=0)
    table = np.zeros((vocab_size, size), np.float32)
    table[FIRST_ORDINARY:, :rank] = (left * np.sqrt(values))[FIRST_ORDINARY:]
    ordinary = table[FIRST_ORDINARY:]
    ordinary -= ordinary.mean(0)
    ordinary *= std / max(float(ordinary.std()), 1e-12)
    return table


def _near(tokens: np.ndarray, vocab_size: int, window: int):  # type: ignore[no-untyped-def]  # a scipy matrix
    """How often each piece follows each other piece within `window` positions. Position k counts 1/k."""
    from scipy import sparse

    total = sparse.csr_matrix((vocab_size, vocab_size), dtype=np.float32)
    for distance in range(1, window + 1):
        pairs, counts = np.unique(tokens[:-distance] * vocab_size + tokens[distance:], return_counts=True)
        values = (counts / distance).astype(np.float32)
        shape = (vocab_size, vocab_size)
        total = total + sparse.csr_matrix((values, np.divmod(pairs, vocab_size)), shape=shape)
    return total


def _positive_pmi(counts):  # type: ignore[no-untyped-def]
    """max(0, log p(a, b) / (p(a) p(b)^0.75)) of a symmetric table of counts, special pieces left out."""
    from scipy import sparse

    kept = (counts.row >= FIRST_ORDINARY) & (counts.col >= FIRST_ORDINARY)
    row, col, value = counts.row[kept], counts.col[kept], counts.data[kept].astype(np.float64)
    occurrences = np.bincount(row, value, minlength=counts.shape[0])
    contexts = occurrences**_SMOOTHING
    pmi = np.log(value * contexts.sum() / (occurrences[row] * contexts[col]))
    positive = pmi > 0
    return sparse.csr_matrix((pmi[positive].astype(np.float32), (row[positive], col[positive])), shape=counts.shape)
