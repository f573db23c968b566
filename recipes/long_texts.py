"""Long texts, each way to read them: the beginning, windows of text, the whole by attention windows, and words alone.

    python recipes/long_texts.py TASKS --only Hyperpartisan --folds 1        about half an hour of one core
    python recipes/long_texts.py TASKS --only "20 Newsgroups" --rows 1200    40 to 95 minutes for each network
    python recipes/long_texts.py TASKS                                       all sets and ways; many hours

TASKS is the folder of the task sets. "linear" is a linear SVM on TF-IDF of words and pairs of words, its penalty chosen
on dev. "beginning" reads 256 or 512 pieces, "windows" reads all by windows of 256, "whole" all up to --length by a
model of `albert lengthen`. Each network learns with `--hybrid` and is scored twice, alone and with the linear model on
words beside it. Checkpoints are chosen on dev; scores are accuracy on test. A finished run is kept in --out and an
interrupted one resumes, so a repeated call goes on. --table prints what is there.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC
from tasksets import Files, hyperpartisan, imdb, jsonl_rows, newsgroups, write_rows

import albert
from albert.export.lengthen import lengthen

PENALTIES = (0.03, 0.1, 0.3, 1.0)  # scikit-learn's C
SETS: dict[str, tuple[list[Callable[[Path, Path], Files]], float, int]] = {  # folds, epochs, pieces of a beginning
    "20 Newsgroups": ([newsgroups], 3, 512),
    "Hyperpartisan": ([hyperpartisan(fold) for fold in range(10)], 8, 256),
    "IMDB": ([imdb], 1, 256),
}
WAYS = ("linear", "beginning", "windows", "whole")


def fewer(files: Files) -> Files:
    """Files of at most --rows rows each, drawn by seed 0; all of them without --rows."""
    if not arguments.rows:
        return files

    def part(path: Path) -> Path:
        rows, short = jsonl_rows(path), path.with_stem(f"{path.stem}-{arguments.rows}")
        write_rows(short, random.Random(0).sample(rows, min(arguments.rows, len(rows))))
        return short

    return Files(part(files.train), part(files.dev), part(files.test))


def linear(files: Files) -> float:
    """Accuracy of the linear SVM."""
    (train, y), (dev, dev_y), (test, test_y) = map(read, (files.train, files.dev, files.test))
    vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    x, dev_x, test_x = vectors.fit_transform(train), vectors.transform(dev), vectors.transform(test)
    models = [LinearSVC(C=c).fit(x, y) for c in PENALTIES]
    return float(max(models, key=lambda model: model.score(dev_x, dev_y)).score(test_x, test_y))


def read(path: Path) -> tuple[list[str], list[str]]:
    """Texts and labels."""
    rows = jsonl_rows(path)
    return [row["text"] for row in rows], [str(row["label"]) for row in rows]


def tuned(files: Files, way: str, epochs: float, beginning: int, folder: Path) -> dict[str, float]:
    """Accuracy after fine-tuning this way, of the network alone and with words."""
    options: dict[str, Any] = {
        "beginning": {"max_length": beginning},
        "windows": {"max_length": 256, "stride": 32},
        "whole": {"max_length": arguments.length},
    }[way]
    if way == "whole":
        options["init"] = long_starter()
    predictor = albert.train(
        files.train, dev=files.dev, out=folder, resume=True, quiet=True, text="text", label="label", hybrid=True,
        settings={"epochs": epochs, "batch_size": 32, "lr": arguments.lr, "patience": 0, "seed": arguments.seed},
        **options,
    )  # fmt: skip
    found = {"with words": predictor.evaluate(files.test).scores["accuracy"]}
    predictor.words = None
    found["accuracy"] = predictor.evaluate(files.test).scores["accuracy"]
    shutil.rmtree(folder)
    return found


def long_starter() -> Path:
    """The starter with more positions, made once."""
    folder = Path(arguments.out / f"starter-{arguments.length}")
    if not folder.exists():
        lengthen("starter", folder, to=arguments.length)
    return folder


def kept(name: str, fold: int, way: str) -> dict[str, float] | None:
    """A result from --out. A missing one is made now (with --table: None)."""
    run = "-".join(str(part) for part in (name, fold, way, arguments.seed, arguments.rows) if part is not None)
    path = arguments.out / f"{run}.json"
    if not path.exists():
        if arguments.table:
            return None
        made, epochs, beginning = SETS[name]
        files, began = fewer(made[fold](arguments.tasks, arguments.out / "data")), time.monotonic()
        if way == "linear":
            scores = {"accuracy": linear(files)}
        else:
            scores = tuned(files, way, epochs, beginning, arguments.out / run)
        path.write_text(json.dumps(scores | {"seconds": time.monotonic() - began}))
        print(f"{run}: {scores}", flush=True)
    found: dict[str, float] = json.loads(path.read_text())
    return found


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("tasks", type=Path)
parser.add_argument("--only", default=",".join(SETS))
parser.add_argument("--ways", default=";".join(WAYS))
parser.add_argument("--folds", type=int, default=10)
parser.add_argument("--rows", type=int, help="at most, of each file; all by default")
parser.add_argument("--length", type=int, default=1024, help="pieces of a whole text")
parser.add_argument("--lr", type=float, default=1.5e-4)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--table", action="store_true")
parser.add_argument("--out", type=Path, default=Path("runs/long-texts"))
arguments = parser.parse_args()

arguments.out.mkdir(parents=True, exist_ok=True)
print(f"{time.strftime('%Y-%m-%d')}, {torch.get_num_threads()} threads, torch {torch.__version__}")
print("| set | way | accuracy | with words | folds | minutes a fold |\n" + "|---" * 6 + "|", flush=True)
for each in arguments.only.split(","):
    for way in arguments.ways.split(";"):
        folds = range(min(arguments.folds, len(SETS[each][0])))
        if runs := [found for fold in folds if (found := kept(each, fold, way))]:
            accuracy, seconds = (statistics.mean(run[key] for run in runs) for key in ("accuracy", "seconds"))
            words = "–" if way == "linear" else f"{statistics.mean(run['with words'] for run in runs):.3f}"
            print(f"| {each} | {way} | {accuracy:.3f} | {words} | {len(runs)} | {seconds / 60:.1f} |", flush=True)
