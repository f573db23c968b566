"""Few rows a label: vectors and a linear head, beside fine-tuning and the linear model on words.

    python recipes/few_labels.py TASKS --work runs/few --only "AG News,CLINC150,SST-2" --rows 8,32

TASKS is the folder of the task sets. Of each set so many rows a label are drawn, by --seed. "words" is the linear model
on words, "frozen" a logistic regression on the starter's own vectors, "pairs" the same after the encoder has learned
from pairs (`albert train --few-labels`), "fine-tuned" `albert train --no-few-labels`. All are scored by accuracy on at
most 1,000 test rows. Checkpoints are chosen on at most 300 rows of dev.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from baselines import examples_of
from tasksets import SETS

from albert.data.examples import Example
from albert.data.reading import DataSource
from albert.finetuning.dataset import FinetuneConfig
from albert.finetuning.few import Head
from albert.finetuning.finetune import finetune
from albert.linear import fit
from albert.predict.open import open_model
from albert.predict.predictor import Predictor


def few(examples: list[Example], rows: int, seed: int) -> list[Example]:
    """So many rows of each label."""
    order = random.Random(seed).sample(examples, len(examples))
    taken: dict[str, list[Example]] = defaultdict(list)
    for example in order:
        if len(taken[example.gold]) < rows:
            taken[example.gold].append(example)
    return [example for part in taken.values() for example in part]


def written(path: Path, examples: list[Example]) -> str:
    """The rows as a file for `albert train`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": e.text, "label": e.gold}) + "\n" for e in examples))
    return str(path)


def measured(name: str, rows: int, methods: list[str]) -> dict[str, float]:
    """Accuracy by method."""
    files = SETS[name].files(arguments.tasks, arguments.work / "data")
    _, train, test = examples_of(SETS[name], files)
    dev = examples_of(SETS[name], type(files)(files.train, files.dev, files.dev))[2]
    part = few(train, rows, arguments.seed)
    known = {example.gold for example in part}
    test = random.Random(0).sample(test, min(1000, len(test)))
    if files.dev == files.test:  # GLUE: what chooses the checkpoint is not scored
        texts = {example.text for example in test}
        dev = [example for example in dev if example.text not in texts] or random.Random(1).sample(dev, 300)
        test = [example for example in test if example not in dev] or test
    dev = random.Random(1).sample([e for e in dev if e.gold in known], min(300, len(dev)))
    labels = sorted(known)
    gold = np.asarray([labels.index(e.gold) for e in part])
    right = np.asarray([e.gold for e in test])
    found = {}
    for method in methods:
        begun = time.monotonic()
        if method == "words":
            said = fit(part, gold, outputs=len(labels)).logits(test).argmax(1)
        elif method == "frozen":
            starter = open_model("starter")
            head = Head.fitted(starter.embed([e.text for e in part], normalize=False), gold, len(labels))
            said = (starter.embed([e.text for e in test], normalize=False) @ head.weights.T + head.bias).argmax(1)
        else:
            said = tuned(name, rows, method, part, dev, test, labels)
        found[method] = float(np.mean(np.asarray(labels)[said] == right))
        print(f"  {name} {rows} {method}: {found[method]:.3f}, {time.monotonic() - begun:.0f} s", flush=True)
    return found


def tuned(
    name: str, rows: int, method: str, part: list[Example], dev: list[Example], test: list[Example], labels: list[str]
) -> np.ndarray:
    """What a model says that `albert train` made."""
    folder = arguments.work / f"{name}-{rows}-{arguments.seed}-{method}"
    finetune(
        FinetuneConfig(
            train=DataSource(written(folder / "train.jsonl", part), task="classification"),
            dev=written(folder / "dev.jsonl", dev),
            out=folder / "model",
            few_labels=method == "pairs",
            settings={"seed": arguments.seed, **({} if method == "pairs" else {"epochs": 10.0, "patience": 0})},
        ),
        overwrite=True,
    )
    predictor = Predictor.load(folder / "model")
    return np.asarray([labels.index(best[0]["label"]) for best in predictor.predict(test)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", type=Path)
    parser.add_argument("--work", type=Path, default=Path("runs/few"))
    parser.add_argument("--only", default="SST-2,AG News,CLINC150")
    parser.add_argument("--rows", default="8,32,128")
    parser.add_argument("--methods", default="words,frozen,pairs,fine-tuned")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(f"{time.strftime('%Y-%m-%d')}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    asked = arguments.methods.split(",")
    lines = [f"| set | rows a label | {' | '.join(asked)} |", "|---" * (len(asked) + 2) + "|"]
    for each in arguments.only.split(","):
        for count in map(int, arguments.rows.split(",")):
            scores = measured(each, count, asked)
            lines.append(f"| {each} | {count} | " + " | ".join(f"{scores[method]:.3f}" for method in asked) + " |")
    print("\n".join(lines))
