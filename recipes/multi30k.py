"""Multi30k (Elliott et al. 2016): captions from one language to another, sacreBLEU (13a, cased) on three test parts.

    python recipes/multi30k.py FOLDER --out runs/multi30k          1 to 2 hours of one core; scores: docs/generation.md
    python recipes/multi30k.py FOLDER --pairs en-fr,de-en,en-cs --out runs/multi30k-many

FOLDER holds train.jsonl.xz, val.jsonl.xz and the test parts with a column a language (en, de, fr, cs; the later tests
lack some). One cased vocabulary that keeps accents serves all languages. With several pairs one model learns all of
them, and a source begins with the language that is wanted, as in "fr: ". `--unshared` trains the same network with
layers of its own for each depth.
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

NETWORK = {"hidden_size": 256, "embedding_size": 128, "intermediate_size": 1024, "num_attention_heads": 4,
           "num_hidden_layers": 3, "max_position_embeddings": 128}  # fmt: skip
SETTINGS = {"epochs": 20.0, "batch_size": 128, "optimizer": "muon", "lr": 2e-3, "warmup": 0.05,
            "hidden_dropout_prob": 0.2, "average": 0.2, "patience": 0}  # fmt: skip
TESTS = ("test_2016_flickr", "test_2017_flickr", "test_2018_flickr")

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("data", type=Path)
parser.add_argument("--pairs", type=lambda given: given.split(","), default=["en-de"],
                    help="source-target, with commas between")  # fmt: skip
parser.add_argument("--out", type=Path, default=Path("runs/multi30k"))
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=float, default=SETTINGS["epochs"])
parser.add_argument("--pieces", type=int, default=8000)
parser.add_argument("--rows", type=int, help="learn the first so many captions of each pair")
parser.add_argument("--sampling-alpha", type=float, default=0.0)
parser.add_argument("--unshared", action="store_true")
arguments = parser.parse_args()


def part(name: str, *pairs: str, rows: int | None = None) -> Path:
    """A part of the data as `albert` reads it: the languages of these pairs alone."""
    given = jsonl_rows(arguments.data / f"{name}.jsonl.xz")[:rows]
    path = Path(arguments.out / f"{'-'.join([name, *pairs])}.jsonl")
    with path.open("w", encoding="utf-8") as file:
        for source, target in (pair.split("-") for pair in pairs):
            wanted = f"{target}: " if len(arguments.pairs) > 1 else ""
            for row in given:
                if row.get(source) and row.get(target):
                    file.write(json.dumps({"source": wanted + row[source], "target": row[target]}) + "\n")
    return path


arguments.out.mkdir(parents=True, exist_ok=True)
train, val = part("train", *arguments.pairs, rows=arguments.rows), part("val", *arguments.pairs)
texts = [text for row in jsonl_rows(train) for text in row.values()]
normalizer = Normalizer(lower=False, keep_accents=True)
vocabulary = arguments.out / "vocabulary"
vocabulary.mkdir(exist_ok=True)
AlbertTokenizer(
    train_vocabulary(texts, vocab_size=arguments.pieces, normalizer=normalizer), normalizer=normalizer
).save(vocabulary)

unshared = {"sharing": "none"} if arguments.unshared else {}
config = FinetuneConfig(
    train=DataSource(str(train), task="text2text"), dev=str(val), out=arguments.out / "model", size="tiny",
    tokenizer=str(vocabulary), metric="bleu",
    settings={**NETWORK, **SETTINGS, **unshared, "seed": arguments.seed, "epochs": arguments.epochs,
              "sampling_alpha": arguments.sampling_alpha},
)  # fmt: skip
result = finetune(config, resume=True, progress=ConsoleProgress())
for test in (part(name, pair) for pair in arguments.pairs for name in TESTS):
    if test.stat().st_size:  # the part has both languages
        for beam in (1, 4):
            evaluation = Writer.load(result.folder).writing(beam=beam).evaluate(test)
            print(json.dumps({test.stem: evaluation.scores, "beam": beam, "told": evaluation.remarks}))
