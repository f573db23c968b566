"""Small prepared corpora, made without text."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from albert.corpus.shards import Corpus, open_corpus, shard_dict, write_shard
from albert.storage.files import write_json
from albert.text.tokenizer import AlbertTokenizer
from albert.text.vocabulary import train_vocabulary

VOCABULARY = 300  # of the counting corpus
Documents = Sequence[Sequence[Sequence[int]]]


def make_corpus(
    folder: Path, documents: Documents, *, shards: int = 1, tokenizer: AlbertTokenizer | None = None
) -> Corpus:
    """Documents, lists of sentences of ids, as a prepared corpus of `shards` shards."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = np.array_split(np.arange(len(documents)), shards)
    infos = [
        write_shard(folder, f"00000-{n:05d}", [[np.asarray(s) for s in documents[i]] for i in part], source="made")
        for n, part in enumerate(parts)
    ]
    totals = {key: sum(getattr(info, key) for info in infos) for key in ("documents", "sentences", "tokens")}
    write_json(
        folder / "manifest.json", {"format": 1, "totals": totals, "shards": [shard_dict(info) for info in infos]}
    )
    if tokenizer:
        tokenizer.save(folder)
    return open_corpus(folder)


def numbered(documents: int, sentences: int, length: int) -> Documents:
    """Documents whose every piece is of its own, counting from 5: a sentence shows where it stood."""
    ids = iter(range(5, 65_536))
    return [[[next(ids) for _ in range(length)] for _ in range(sentences)] for _ in range(documents)]


def counting_corpus(folder: Path) -> Path:
    """Documents of counting sentences: which word comes next, and which sentence, can be learned."""
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    lines = [f"{a} {b} {a}{b} {b}{c}{a}" for a, b, c in itertools.product(words, repeat=3)]
    tokenizer = AlbertTokenizer(train_vocabulary(lines, vocab_size=VOCABULARY))
    ids = [tokenizer.id_of(f"▁{word}") for word in words]
    rng = np.random.default_rng(0)
    documents = []
    for _ in range(60):
        start = int(rng.integers(12))
        documents.append([[ids[(start + 3 * n + k) % 12] for k in range(6)] for n in range(12)])
    make_corpus(folder, documents, shards=2, tokenizer=tokenizer)
    return folder
