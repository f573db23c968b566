"""Writes small models of every head for the fuzz driver.

python lite/fuzz/models.py FOLDER        seconds
build/lite-sanitized/fuzz 1000000 1 FOLDER/*
"""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path

import torch

from albert.compute.quantized import save_ranges
from albert.config import AlbertConfig
from albert.data.examples import Example
from albert.engine import calibrate
from albert.model import AlbertForTask, save_model
from albert.predict.predictor import Predictor
from albert.storage.files import write_manifest
from albert.tasks import TASKS
from albert.text.hardening.hardener import Hardening
from albert.text.tokenizer import AlbertTokenizer
from albert.text.vocabulary import train_vocabulary

LABELS = {
    "classification": ("bad", "good", "none"),
    "multilabel": ("hate", "threat"),
    "regression": ("score",),
    "similarity": ("score",),
    "ner": ("O", "B-PER", "I-PER"),
    "qa": ("start", "end"),
    "choice": ("score",),
}


def write(folder: Path, task: str | None, tokenizer: AlbertTokenizer) -> None:
    """A random model of a task, or a pre-trained one."""
    config = AlbertConfig(
        vocab_size=tokenizer.vocab_size, embedding_size=16, hidden_size=16, num_hidden_layers=2, num_attention_heads=1,
        intermediate_size=16, max_position_embeddings=48, initializer_range=0.3,
    )  # fmt: skip
    if task is not None:
        stride = None if TASKS[task].lengths.stride is None else 8
        extra = {"task": task, "max_length": 32, "stride": stride, "columns": {"text": "text"}}
        config = config.with_(id2label=LABELS[task], problem_type=TASKS[task].problem_type, extra=extra)
    folder.mkdir(parents=True, exist_ok=True)
    head = "pretraining" if task is None else TASKS[task].head
    save_model(AlbertForTask(config, head, generator=torch.Generator().manual_seed(0)), folder)
    tokenizer.save(folder)
    (folder / "tokenizer.json").unlink()
    if task == "classification":
        predictor = Predictor.load(folder, precision="fp32")
        features = predictor.encode([Example("a great film"), Example("and a bad one, too")])
        save_ranges(folder / "int8.safetensors", calibrate(predictor.model, features), {})
    write_manifest(folder)


def main(out: Path) -> None:
    """Writes a folder for each head."""
    messages = (resources.files("albert") / "assets" / "messages.csv").read_text(encoding="utf-8").splitlines()
    model = train_vocabulary(messages, vocab_size=220, character_coverage=0.98)
    tokenizer = AlbertTokenizer(model, hardening=Hardening(whole_words=True))
    for task in (None, *LABELS):
        write(out / (task or "words"), task, tokenizer)


main(Path(sys.argv[1]))
