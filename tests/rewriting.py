"""Pairs that a tiny network learns in seconds: numbers in words, and in figures."""

from __future__ import annotations

import csv
import itertools
import random
from pathlib import Path

import torch

from albert.config import AlbertConfig, DecoderConfig
from albert.data.examples import Columns
from albert.model import AlbertForText2Text
from albert.tasks.stored import StoredTask
from albert.text.normalize import Normalizer
from albert.text.tokenizer import AlbertTokenizer
from albert.text.vocabulary import train_vocabulary
from albert.training.folder import write_model_folder

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


def write_model(folder: Path, *, seed: int = 0, **overrides: object) -> Path:
    """A model folder with drawn weights: what it writes means nothing, and is the same each time."""
    tokenizer = AlbertTokenizer.from_pretrained(write_vocabulary(folder.with_name(f"{folder.name}-vocabulary")))
    names = ("hidden_size", "intermediate_size", "num_attention_heads", "embedding_size", "num_hidden_layers",
             "max_position_embeddings")  # fmt: skip
    stored = StoredTask(
        task="text2text", metric="exact_match", columns=Columns("source", label="target"), max_length=24
    )
    config = AlbertConfig(
        **{"vocab_size": tokenizer.vocab_size, "decoder": DecoderConfig(), "initializer_range": 0.3,
           "extra": stored.extra(), **{name: NETWORK[name] for name in names}, **overrides},
    )  # fmt: skip
    model = AlbertForText2Text(config, generator=torch.Generator().manual_seed(seed))
    write_model_folder(folder, model, tokenizer, "# A model of drawn weights\n")
    return folder
