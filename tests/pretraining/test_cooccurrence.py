"""Embeddings out of counts: like use, like vectors."""

from __future__ import annotations

import numpy as np
import pytest

from albert.corpus.shards import Corpus
from albert.errors import AlbertError
from albert.pretraining.cooccurrence import EmbeddingConfig, cooccurrence_embeddings
from corpora import make_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Two fields of 20 pieces each; a sentence stays in its field, with pieces 45 to 49 in both."""
    rng = np.random.default_rng(0)
    sentences = []
    for number in range(2000):
        field = 5 + 20 * (number % 2)
        sentences.append([*rng.integers(field, field + 20, 8).tolist(), int(rng.integers(45, 50)), 3])
    return make_corpus(tmp_path_factory.mktemp("c"), [[sentence] for sentence in sentences], shards=2)


def similarities(table: np.ndarray) -> np.ndarray:
    unit = table[5:] / np.linalg.norm(table[5:], axis=1, keepdims=True)
    return unit @ unit.T


def test_pieces_of_one_field_are_close(corpus: Corpus) -> None:
    table = cooccurrence_embeddings(corpus, vocab_size=60, size=8, window=3, std=0.02)
    assert table.shape == (60, 8)
    assert table[5:].std() == pytest.approx(0.02, rel=1e-3)
    assert not table[:5].any()
    close = similarities(table[:45])
    same, other = close[:20, :20][~np.eye(20, dtype=bool)], close[:20, 20:40]
    assert same.mean() > other.mean() + 0.3


def test_the_same_corpus_gives_the_same_table(corpus: Corpus) -> None:
    first, second = (cooccurrence_embeddings(corpus, vocab_size=60, size=8, window=3, std=0.02) for _ in range(2))
    assert np.array_equal(first, second)


def test_more_dimensions_than_pieces_and_pieces_without_text(corpus: Corpus) -> None:
    table = cooccurrence_embeddings(corpus, vocab_size=60, size=128, window=3, std=0.02)
    assert table.shape == (60, 128)
    assert np.isfinite(table).all()


@pytest.mark.parametrize("bad", [{"embeddings": "svd"}, {"window": 0}])
def test_bad_settings(bad: dict[str, object]) -> None:
    with pytest.raises(AlbertError, match=next(iter(bad))):
        EmbeddingConfig(**bad)  # type: ignore[arg-type]
