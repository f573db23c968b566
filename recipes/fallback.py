"""Texts that fit no label, by how many of them are expected: CLINC150's test part with several shares.

    python recipes/fallback.py TASKS runs/results/CLINC150-model            a minute a model

TASKS is the folder of the task sets, MODELS are those that `results.py` trained for "CLINC150", one a seed. For each
share the threshold of the fallback is tuned on dev and scored on test; no network is trained. Figures are median and
range.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from tasksets import SETS

from albert.data.reading import DataSource
from albert.predict.predictor import Predictor
from albert.tasks.base import Output

FALLBACK = "oos"
SHARES = (None, 0.1, 0.2, 0.3, 0.5)


def judged(predictor: Predictor, path: Path) -> Sequence[Output]:
    """What the model makes of a file."""
    return predictor.evaluate(DataSource(str(path), text="text", label="label")).facts.outputs


def scores(predictor: Predictor, share: float | None, dev: Sequence[Output], test: Sequence[Output]) -> list[float]:
    """The threshold tuned on dev, and test's accuracy, that within scope, and the recall of what is not."""
    task = predictor.task.falling_back_to(FALLBACK, share)
    limits = task.tune(dev, predictor.labels)
    right: dict[bool, list[bool]] = {True: [], False: []}
    for verdict in task.review(test, predictor.labels, limits).verdicts:
        right[verdict.gold == FALLBACK].append(verdict.gold == verdict.said)
    return [limits[0], *(sum(part) / len(part) for part in (right[True] + right[False], right[False], right[True]))]


def spread(values: Sequence[float]) -> str:
    """Median, and the range of several."""
    middle = f"{statistics.median(values):.3f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.3f} to {max(values):.3f})"


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("tasks", type=Path)
parser.add_argument("models", type=Path, nargs="+")
arguments = parser.parse_args()

files = SETS["CLINC150"].files(arguments.tasks, arguments.models[0].parent / "data")
models = [Predictor.load(folder) for folder in arguments.models]
outputs = [(judged(model, files.dev), judged(model, files.test)) for model in models]
print(f"{time.strftime('%Y-%m-%d')}, {torch.get_num_threads()} threads, torch {torch.__version__}")
print("| share | threshold | accuracy | within scope | out of scope: recall |\n" + "|---" * 5 + "|")
for share in SHARES:
    found = [scores(model, share, *both) for model, both in zip(models, outputs, strict=True)]
    cells = [spread(column) for column in zip(*found, strict=True)]
    print(f"| {'as in dev' if share is None else share} | {' | '.join(cells)} |", flush=True)
