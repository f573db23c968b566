"""BLiMP: does a pre-trained model give the grammatical sentence of a pair a higher likelihood than the wrong one?

    python recipes/blimp.py MODEL BLIMP --rows 100    about a minute on one core with the starter
    python recipes/blimp.py MODEL BLIMP               all 67,000 pairs

MODEL is a model folder, a hub id or "starter". BLIMP is the file `blimp.jsonl.xz` with the keys good, bad, test and
field. The measure is the pseudo-log-likelihood: every piece of a sentence is masked in turn, and the log-probabilities
of the right pieces are summed. The model reads both sides of a piece, so what two sentences share counts, too. The
sentence with the higher likelihood wins its pair; equal ones count half. The result is the mean over the 67 tests, and
over the tests of each field. Source: Warstadt et al. 2020, "BLiMP: The Benchmark of Linguistic Minimal Pairs for
English".
"""

from __future__ import annotations

import argparse
import json
import lzma
import statistics
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from albert.evaluation.likelihood import pseudo_log_likelihoods
from albert.predict.pretrained import PretrainedModel
from albert.text.tokenizer import AlbertTokenizer


@dataclass(frozen=True)
class Test:
    """One phenomenon: its field and its pairs (good, bad)."""

    field: str
    pairs: list[tuple[str, str]]


def read(path: Path, rows: int | None = None) -> dict[str, Test]:
    """The first `rows` pairs of each test, by the test's name."""
    tests: dict[str, Test] = {}
    with lzma.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            test = tests.setdefault(row["test"], Test(row["field"].replace("/", "_"), []))
            if rows is None or len(test.pairs) < rows:
                test.pairs.append((row["good"], row["bad"]))
    return tests


def accuracies(model: PretrainedModel, tests: dict[str, Test], *, within_word: bool = False) -> dict[str, float]:
    """The share of pairs in which the good sentence has the higher likelihood, per test."""
    texts = [text for test in tests.values() for pair in test.pairs for text in pair]
    assert isinstance(model.tokenizer, AlbertTokenizer)
    likelihoods = pseudo_log_likelihoods(model.model, model.tokenizer, texts, within_word=within_word)
    good, bad = likelihoods.reshape(-1, 2).T
    wins = iter((good > bad) + (good == bad) / 2)
    return {name: float(np.mean([next(wins) for _ in test.pairs])) for name, test in tests.items()}


def means(tests: dict[str, Test], found: dict[str, float]) -> dict[str, float]:
    """The means over the tests of each field, and over all tests."""
    fields = defaultdict(list)
    for name, test in tests.items():
        fields[test.field].append(found[name])
    return {
        **{field: statistics.mean(fields[field]) for field in sorted(fields)},
        "all": statistics.mean(found.values()),
    }


def main(arguments: argparse.Namespace) -> None:
    """Prints the tables."""
    model, began, used = PretrainedModel.load(arguments.model), time.monotonic(), time.process_time()
    tests = read(arguments.data, arguments.rows)
    found = accuracies(model, tests, within_word=arguments.within_word)
    cpu = torch.cpu.get_capabilities().get("cpu_name", "unknown CPU")
    print(f"{time.strftime('%Y-%m-%d')}, {cpu}, {torch.get_num_threads()} threads, torch {torch.__version__}; "
          f"{sum(len(test.pairs) for test in tests.values()):,} pairs in {time.monotonic() - began:.0f} s, "
          f"{time.process_time() - used:.0f} s of them computing")  # fmt: skip
    if arguments.tests:
        print("| test | field | accuracy |\n|---|---|---|")
        for name, accuracy in sorted(found.items(), key=lambda item: item[1]):
            print(f"| {name} | {tests[name].field} | {accuracy:.3f} |")
    print("| field | tests | accuracy |\n|---|---|---|")
    for field, accuracy in means(tests, found).items():
        count = len(tests) if field == "all" else sum(test.field == field for test in tests.values())
        print(f"| {field} | {count} | {accuracy:.3f} |")


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model")
parser.add_argument("data", type=Path)
parser.add_argument("--rows", type=int, help="the first pairs of each test")
parser.add_argument("--within-word", action="store_true", help="mask what follows in the same word, too")
parser.add_argument("--tests", action="store_true", help="print each test, the hardest first")
if __name__ == "__main__":
    main(parser.parse_args())
