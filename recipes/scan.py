"""SCAN (Lake and Baroni 2018): commands to actions, on a tiny network with a vocabulary of its own.

    python recipes/scan.py FOLDER --split simple --out runs/scan            about 20 minutes of one core

FOLDER holds simple-train.jsonl.xz, simple-test.jsonl.xz and so on for the splits length and jump, with "source" and
"target" a line. `--unshared` trains the same network with layers of their own. Measured scores: docs/generation.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tasksets import jsonl_rows

from albert.data.reading import DataSource
from albert.finetuning.dataset import FinetuneConfig
from albert.finetuning.finetune import finetune
from albert.predict.writer import Writer
from albert.text.normalize import Normalizer
from albert.text.tokenizer import AlbertTokenizer
from albert.text.vocabulary import train_vocabulary
from albert.training.progress import ConsoleProgress

NETWORK = {"hidden_size": 128, "embedding_size": 64, "intermediate_size": 256, "num_attention_heads": 4,
           "num_hidden_layers": 3, "max_position_embeddings": 64}  # fmt: skip
SETTINGS = {"epochs": 20.0, "batch_size": 64, "optimizer": "muon", "lr": 2e-3, "warmup": 0.05, "label_smoothing": 0.0,
            "patience": 0}  # fmt: skip
PIECES = {"simple": 68, "length": 68, "jump": 67}  # the most that the texts give

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("data", type=Path)
parser.add_argument("--split", default="simple", choices=PIECES)
parser.add_argument("--out", type=Path, default=Path("runs/scan"))
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=float, default=SETTINGS["epochs"])
parser.add_argument("--unshared", action="store_true")
arguments = parser.parse_args()

arguments.out.mkdir(parents=True, exist_ok=True)
train, test = (arguments.out / f"{part}.jsonl" for part in ("train", "test"))
texts = []
for path in (train, test):
    # SentencePiece divides words at "_". Without "I_" and "TURN_" each action is one piece, and none is lost.
    rows = [{"source": row["source"], "target": row["target"].replace("I_", "").replace("TURN_", "")}
            for row in jsonl_rows(arguments.data / f"{arguments.split}-{path.stem}.jsonl.xz")]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    texts += [text for row in rows for text in row.values()] if path == train else []
normalizer = Normalizer(lower=False, keep_accents=True)
vocabulary = arguments.out / "vocabulary"
vocabulary.mkdir(parents=True, exist_ok=True)
AlbertTokenizer(
    train_vocabulary(texts, vocab_size=PIECES[arguments.split], normalizer=normalizer), normalizer=normalizer
).save(vocabulary)

unshared = {"sharing": "none"} if arguments.unshared else {}
config = FinetuneConfig(
    train=DataSource(str(train), task="text2text"), out=arguments.out / "model", size="tiny",
    tokenizer=str(vocabulary), metric="exact_match",
    settings={**NETWORK, **SETTINGS, **unshared, "seed": arguments.seed, "epochs": arguments.epochs},
)  # fmt: skip
result = finetune(config, resume=True, progress=ConsoleProgress())
scores = Writer.load(result.folder).evaluate(test).scores
print(json.dumps({"split": arguments.split, "seed": arguments.seed, "steps": result.steps,
                  "dev": result.scores, "test": scores}))  # fmt: skip
