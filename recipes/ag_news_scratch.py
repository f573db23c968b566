"""AG News from scratch: a tiny network on 10,000 descriptions, scored on the 7,600 rows of the test set.

    python recipes/ag_news_scratch.py AG_NEWS        about 7 minutes on 2 cores
    expected: test accuracy 0.837 (median of seeds 0, 1, 2), majority 0.250

The training part (description, label word) has no header. The test part is the original (label number, title,
description). 51 training texts have a near-duplicate in the test set. The checkpoint is chosen on a tenth of the
training part. The test set is scored once at the end.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import time
from pathlib import Path

import albert

LABELS = ("World", "Sports", "Business", "Sci/Tech")  # the numbers 1 to 4 of the original

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("data", type=Path, help="folder with dev_from_train.tsv and test.csv")
parser.add_argument("--out", type=Path, default=Path("runs/ag-news-scratch"))
arguments = parser.parse_args()

arguments.out.mkdir(parents=True, exist_ok=True)
test = arguments.out / "test.jsonl"
with (arguments.data / "test.csv").open(newline="", encoding="utf-8") as source, test.open("w") as target:
    for number, _, description in csv.reader(source):
        target.write(json.dumps({"1": description, "2": LABELS[int(number) - 1]}) + "\n")

scores = []
for seed in range(3):
    start = time.monotonic()
    model = albert.train(
        arguments.data / "dev_from_train.tsv",
        out=arguments.out / str(seed),
        text="1",
        label="2",
        size="tiny",
        settings={"seed": seed},
        overwrite=True,
    )
    result = model.evaluate(test)
    scores.append(result.scores["accuracy"])
    print(
        f"seed {seed}: test accuracy {scores[-1]:.4f}, {time.monotonic() - start:.0f} s, baseline {result.baseline:.4f}"
    )
print(f"median {statistics.median(scores):.4f}, spread {max(scores) - min(scores):.4f}")
