"""Texts that fit no label, by how many of them are expected: CLINC150's test part with several shares.

    python recipes/fallback.py TASKS runs/results/CLINC150-model            a minute a model

TASKS is the folder of the task sets, MODELS are those that `results.py` trained for "CLINC150", one a seed. For each
share the threshold of the fallback is tuned on dev and scored on test, and in the first row there is none; no network
is trained. Figures are median and range.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import torch
from figures import of_label, spread
from tasksets import SETS

from albert.data.reading import DataSource
from albert.predict.predictor import Predictor
from albert.tasks.base import Output

FALLBACK = "oos"
SHARES = (None, 0.1, 0.2, 0.3, 0.5)
COLUMNS = ("accuracy", "within scope", "out of scope: precision", "recall", "F1")


def judged(predictor: Predictor, path: Path) -> Sequence[Output]:
    """What the model makes of a file."""
    return predictor.evaluate(DataSource(str(path), text="text", label="label")).facts.outputs


def scores(predictor: Predictor, test: Sequence[Output], limits: tuple[float, ...]) -> list[float]:
    """The figures of `COLUMNS` with these thresholds."""
    verdicts = predictor.task.review(test, predictor.labels, limits).verdicts
    gold, said = [verdict.gold for verdict in verdicts], [verdict.said for verdict in verdicts]
    inside = [verdict.error == 0 for verdict in verdicts if verdict.gold != FALLBACK]
    return [1 - mean(verdict.error for verdict in verdicts), mean(inside), *of_label(FALLBACK, gold, said)]


def row(name: str, tuned: Sequence[tuple[float, ...]]) -> str:
    """A row of the table, of each model's thresholds."""
    found = [scores(model, test, limits) for model, (_, test), limits in zip(models, outputs, tuned, strict=True)]
    limits = spread([limit for (limit,) in tuned]) if all(tuned) else "–"
    return " | ".join([f"| {name}", limits, *(spread(column) for column in zip(*found, strict=True))]) + " |"


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("tasks", type=Path)
parser.add_argument("models", type=Path, nargs="+")
arguments = parser.parse_args()

files = SETS["CLINC150"].files(arguments.tasks, arguments.models[0].parent / "data")
models = [Predictor.load(folder) for folder in arguments.models]
outputs = [(judged(model, files.dev), judged(model, files.test)) for model in models]
print(f"{time.strftime('%Y-%m-%d')}, {torch.get_num_threads()} threads, torch {torch.__version__}")
print("| share | threshold | " + " | ".join(COLUMNS) + " |\n" + "|---" * (len(COLUMNS) + 2) + "|")
print(row("no threshold", [()] * len(models)), flush=True)
for share in SHARES:
    tasks = [model.task.falling_back_to(FALLBACK, share) for model in models]
    tuned = [task.tune(dev, model.labels) for task, model, (dev, _) in zip(tasks, models, outputs, strict=True)]
    print(row("as in dev" if share is None else str(share), tuned), flush=True)
