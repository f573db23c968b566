"""Pairs that a tiny network learns in seconds: numbers in words, and in figures."""

from __future__ import annotations

import csv
import itertools
import random
from pathlib import Path

from albert.text.normalize import Normalizer
from albert.text.tokenizer import AlbertTokenizer
from albert.text.vocabulary import train_vocabulary

WORDS = ("Null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "Neun")
# Of a network that learns them in seconds; one thread computes the same with every precision named.
NETWORK = {
    "hidden_size": 48, "intermediate_size": 96, "num_attention_heads": 2, "embedding_size": 48,
    "num_hidden_layers": 1, "max_position_embeddings": 32, "hidden_dropout_prob": 0.0, "label_smoothing": 0.0,
    "lr": 5e-3, "batch_size": 32, "precision": "fp32",
}  # fmt: skip


def pairs(rows: int = 320, seed: int = 0) -> list[tuple[str, str]]:
    """Two or three figures in words, and the same as a number, e.g. ("drei Null", "3-0")."""
    every = [combination for length in (2, 3) for combination in itertools.product(range(10), repeat=length)]
    chosen = random.Random(seed).sample(every, rows)
    return [(" ".join(WORDS[n] for n in one), "-".join(map(str, one))) for one in chosen]


def write_pairs(path: Path, rows: int = 320, seed: int = 0) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["source", "target"])
        writer.writerows(pairs(rows, seed))
    return path


def write_vocabulary(folder: Path) -> Path:
    """Cased and with accents, of the words and figures alone."""
    normalizer = Normalizer(lower=False, keep_accents=True)
    lines = [text for pair in pairs(900) for text in pair]
    tokenizer = AlbertTokenizer(train_vocabulary(lines, vocab_size=50, normalizer=normalizer), normalizer=normalizer)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(folder)
    return folder
