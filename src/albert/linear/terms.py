"""Texts as TF-IDF vectors of hashed n-grams: words alone and in pairs, and runs of characters within words.

The hash is scikit-learn's. Only n-grams that training had are kept, so a model needs no list of strings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int

BUCKETS = 1 << 20  # of each kind of n-gram
_MOST = 1 << 17  # n-grams of a kind that are kept, the most frequent ones
_TWICE = 2  # texts that must have a run of characters; words count from the first one on
_WORD = r"\w+|[^\w\s]"


@dataclass(frozen=True)
class Terms:
    """The n-grams that are kept: their buckets, ascending, those of characters behind those of words, and weights."""

    buckets: Int[np.ndarray, " terms"]
    rarity: Float[np.ndarray, " terms"]

    @classmethod
    def of(cls, texts: Sequence[str], *, most: int = _MOST) -> Terms:
        """Those of training texts; `most` of a kind are kept."""
        kept, rarity = [], []
        for number, (counts, least) in enumerate(zip(_counts(texts), (1, _TWICE), strict=True)):
            texts_with = np.bincount(counts.indices, minlength=BUCKETS)
            own = np.flatnonzero(texts_with >= least)
            if len(own) > most:
                own = np.sort(own[np.argsort(-texts_with[own], kind="stable")[:most]])
            kept.append(own + number * BUCKETS)
            rarity.append(np.log((1 + len(texts)) / (1 + texts_with[own])) + 1)
        return cls(np.concatenate(kept), np.concatenate(rarity).astype(np.float32))

    def __len__(self) -> int:
        return len(self.buckets)

    @cached_property
    def _words(self) -> int:
        """How many of them are words."""
        return int(np.searchsorted(self.buckets, BUCKETS))

    def vectors(self, texts: Sequence[str]) -> Any:
        """Sparse [texts, terms]: the vectors of words and of characters have length 1 each."""
        from scipy import sparse
        from sklearn.preprocessing import normalize

        parts = []
        slices = slice(None, self._words), slice(self._words, None)
        for number, (counts, own) in enumerate(zip(_counts(texts), slices, strict=True)):
            part = counts[:, self.buckets[own] - number * BUCKETS].tocsr().astype(np.float32)
            part.data = (1 + np.log(part.data)) * self.rarity[own][part.indices]
            parts.append(normalize(part, copy=False))
        return sparse.hstack(parts, format="csr")


def _counts(texts: Sequence[str]) -> list[Any]:
    """How often each text has the n-grams of words, and of characters, by bucket."""
    from sklearn.feature_extraction.text import HashingVectorizer

    common: dict[str, Any] = {"n_features": BUCKETS, "alternate_sign": False, "norm": None, "dtype": np.float32}
    words = HashingVectorizer(ngram_range=(1, 2), token_pattern=_WORD, **common)
    characters = HashingVectorizer(analyzer="char_wb", ngram_range=(2, 5), **common)
    clean = [_printable(text) for text in texts]
    return [words.transform(clean), characters.transform(clean)]


def _printable(text: str) -> str:
    """The text without halves of characters, which have no bytes to hash."""
    return text.encode("utf-8", "replace").decode("utf-8")
