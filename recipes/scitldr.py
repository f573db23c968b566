"""SciTLDR: one sentence for an abstract, written by a model that starts from the starter.

    python recipes/scitldr.py TASKS/scitldr --out runs/scitldr          about 40 minutes of one core

The model first learns to copy: sentences of the training abstracts, from which about one word in seven is missing,
are to be written whole. Then it learns to make the summary from the three sentences that `albert summarize` chooses.
It is scored on test by the best ROUGE over an abstract's summaries (rouge-score, stemmed); `benchmarks/summaries.py`
has other ways. A repeated call goes on. Measured scores: docs/generation.md.
"""

from __future__ import annotations

import argparse
import random
import statistics
from pathlib import Path
from typing import Any

from rouge_score.rouge_scorer import RougeScorer
from tasksets import jsonl_rows, write_rows

from albert.data.reading import DataSource
from albert.documents.summaries import summary
from albert.documents.vectors import Encoder
from albert.finetuning.dataset import FinetuneConfig
from albert.finetuning.finetune import finetune
from albert.predict.summary import sentences
from albert.predict.writer import Writer
from albert.training.progress import ConsoleProgress

SHARED = {"num_hidden_layers": 3, "optimizer": "muon", "warmup": 0.05, "patience": 0}
COPYING = {**SHARED, "epochs": 2.0, "lr": 1e-3, "hidden_dropout_prob": 0.0, "evals_per_epoch": 4}
WRITING = {**SHARED, "epochs": 8.0, "lr": 5e-4}
MISSING = 0.15  # of the words of a sentence that is to be copied
NAMES = ("rouge1", "rouge2", "rougeL")


def copied(part: str, rng: random.Random) -> list[dict[str, Any]]:
    """Sentences with and without some of their words."""
    texts = []
    for row in jsonl_rows(arguments.data / f"{part}.jsonl.xz"):
        texts += [one.text for one in sentences(row["source"]) if 5 <= len(one.text.split()) <= 60]
        texts += row["targets"][:1] if part == "train" else []
    rows = [
        {"source": " ".join(word for word in text.split() if rng.random() > MISSING) or text, "target": text}
        for text in texts
    ]
    rng.shuffle(rows)
    return rows if part == "train" else rows[:200]


def chosen(part: str) -> Path:
    """The abstracts as three of their sentences, with the summaries."""
    path = arguments.out / f"{part}.jsonl"
    if not path.exists():
        encoder = Encoder("starter")
        rows = jsonl_rows(arguments.data / f"{part}.jsonl.xz")
        texts = [" ".join(one.text for one in summary(row["source"], encoder, count=3)) for row in rows]
        write_rows(path, [{**row, "source": text} for row, text in zip(rows, texts, strict=True)])
    return path


def learned(
    train: Path, dev: Path, name: str, settings: dict[str, Any], *, targets: str, init: str = "starter"
) -> Path:
    """The folder of a model that writes."""
    config = FinetuneConfig(
        train=DataSource(str(train), task="text2text", text="source", label=targets), dev=str(dev),
        out=arguments.out / name, metric="rouge_l", settings={**settings, "seed": arguments.seed},
        init=init,
    )  # fmt: skip
    return finetune(config, resume=True, progress=ConsoleProgress()).folder


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("data", type=Path)
parser.add_argument("--out", type=Path, default=Path("runs/scitldr"))
parser.add_argument("--seed", type=int, default=0)
arguments = parser.parse_args()

rng = random.Random(0)
train, dev = (write_rows(arguments.out / f"copy-{part}.jsonl", copied(part, rng)) for part in ("train", "dev"))
copier = learned(train, dev, "copy", COPYING, targets="target")
model = learned(chosen("train"), chosen("dev"), "model", WRITING, targets="targets", init=str(copier))

rows = jsonl_rows(chosen("test"))
written = Writer.load(model).writing(beam=4, no_repeat_ngram=3)([row["source"] for row in rows])
scorer = RougeScorer(list(NAMES), use_stemmer=True)
scores = [
    [max(scorer.score(target, said["text"])[name].fmeasure for target in row["targets"]) for name in NAMES]
    for row, said in zip(rows, written, strict=True)
]
means = [statistics.mean(column) for column in zip(*scores, strict=True)]
print(", ".join(f"{name} {mean:.3f}" for name, mean in zip(NAMES, means, strict=True)))
