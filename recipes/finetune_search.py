"""A search for the settings of fine-tuning: rates and epochs, then warm-up, layer decay and averaging, run by run.

    python recipes/finetune_search.py TASKS --init FOLDER --only CoLA,MRPC --rows 4000
    python recipes/finetune_search.py TASKS --init FOLDER --only CoLA,MRPC --rows 4000 --table      computes nothing

First, all rates are tried with all numbers of epochs. Then each further setting is tried by itself, from the best so
far. The first value of each setting is its default until then. The score is the mean over sets and seeds. Only rows of
a set's training part are used, so that its dev and test parts stay unseen: --rows to train, --held to choose a run's
checkpoint, and as many again to score the settings. A finished run is a line of JSON in --out/runs.jsonl, and an
interrupted one resumes, so a repeated call goes on. `--set` fixes a setting for all runs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tasksets import SETS, Files, TaskSet

from albert.finetuning.finetune import finetune
from albert.predict.predictor import Predictor
from albert.training.progress import ConsoleProgress
from albert.training.settings import parse_setting

Settings = dict[str, Any]


def divided(name: str, wanted: TaskSet) -> Files:
    """Rows for training, for choosing the checkpoint, and for scoring, drawn from the training part by seed 0."""
    work = arguments.out / "data"
    work.mkdir(parents=True, exist_ok=True)
    source = wanted.files(arguments.tasks, work).train
    first, rows = wanted.rows(source)
    random.Random(0).shuffle(rows)
    held = min(arguments.held, len(rows) // 5)
    parts = rows[2 * held :][: arguments.rows], rows[:held], rows[held : 2 * held]
    paths = []
    for kind, part in zip(("train", "choose", "judge"), parts, strict=True):
        paths.append(work / f"{name}-{arguments.rows}-{arguments.held}-{kind}{source.suffix}")
        paths[-1].write_text(first + "".join(part), encoding="utf-8")
    return Files(*paths)


def identity(name: str, settings: Settings, seed: int) -> dict[str, Any]:
    """What identifies a run."""
    return {
        "init": arguments.init, "set": name, "rows": arguments.rows, "held": arguments.held, "seed": seed,
        "settings": dict(sorted(settings.items())),
    }  # fmt: skip


def run(name: str, settings: Settings, seed: int) -> dict[str, Any]:
    """One fine-tuning with its score."""
    wanted, began = SETS[name], time.monotonic()
    who = identity(name, settings, seed)
    folder = arguments.out / hashlib.sha256(json.dumps(who).encode()).hexdigest()[:16]
    parts = divided(name, wanted)
    config = wanted.training(parts, folder, seed, settings, init=arguments.init)
    result = finetune(config, resume=True, progress=ConsoleProgress(quiet=not arguments.loud))
    records = list(map(json.loads, (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()))
    dev = [record for record in records if "dev" in record]
    best = next(record for record in dev if record["dev"] == result.scores)
    evaluation = Predictor.load(folder).evaluate(parts.test)
    shutil.rmtree(folder)
    return {
        **who,
        "metric": wanted.metric,
        "score": evaluation.scores[wanted.metric],
        "dev": result.scores[result.metric],
        "dev_loss": result.scores.get("loss"),
        "dev_at_end": dev[-1]["dev"][result.metric],
        "train_loss_at_end": statistics.mean([r["loss"] for r in records if "loss" in r][-20:]),
        "best_step": best["step"],
        "averaged": best.get("averaged", False),
        "steps": result.steps,
        "seconds": round(max(time.monotonic() - began, sum(r.get("seconds", 0) for r in records)), 1),
    }


class Runs:
    """The finished runs, in memory and on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self.done = [record for line in lines if (record := _whole(line)) is not None]

    def of(self, name: str, settings: Settings, seed: int) -> dict[str, Any] | None:
        """A run's record. A missing one is made now (with --table: None)."""
        who = identity(name, settings, seed)
        for record in self.done:
            if all(record[key] == value for key, value in who.items()):
                return record
        if arguments.table:
            return None
        record = run(name, settings, seed)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        self.done.append(record)
        print(f"  {name} seed {seed} {told(settings)}: {record['score']:.4f}, {record['seconds']:.0f} s", flush=True)
        return record


def _whole(line: str) -> dict[str, Any] | None:
    """A record; None for an incomplete one that a kill left."""
    try:
        record: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return record


def told(settings: Settings) -> str:
    """The settings in words."""
    return " ".join(f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
                    for name, value in settings.items())  # fmt: skip


def tried(runs: Runs, settings: Settings, sets: list[str]) -> float | None:
    """The mean score over sets and seeds, and a row of the table; None if runs are missing."""
    means, cells, seconds = [], [], 0.0
    for name in sets:
        found = [record for seed in range(arguments.seeds) if (record := runs.of(name, settings, seed))]
        if len(found) < arguments.seeds:
            return None
        means.append(statistics.mean(record["score"] for record in found))
        ends = statistics.mean(record["dev_at_end"] - record["dev"] for record in found)
        cells.append(f"{means[-1]:.4f} ({ends:+.3f})")
        seconds += sum(record["seconds"] for record in found)
    print(f"| {told(settings)} | {' | '.join(cells)} | {statistics.mean(means):.4f} | {seconds:.0f} |", flush=True)
    return statistics.mean(means)


def rates(best: Settings) -> list[Settings]:
    """Every rate with every number of epochs."""
    return [{**best, "lr": lr, "epochs": epochs} for lr in arguments.lr for epochs in arguments.epochs]


def alone(name: str) -> Callable[[Settings], list[Settings]]:
    """Every value of one setting, with the best of the others so far."""
    return lambda best: [{**best, name: value} for value in getattr(arguments, name)]


STAGES = (rates, alone("warmup"), alone("layer_decay"), alone("average"))


def numbers(text: str) -> list[float]:
    """Numbers with commas between."""
    return [float(part) for part in text.split(",")]


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("tasks", type=Path, help="the folder of the task sets")
parser.add_argument("--init", default="starter")
parser.add_argument("--only", default="CoLA,MRPC", help="names of sets, with commas between")
parser.add_argument("--rows", type=int, default=4000, help="rows to train on, at most")
parser.add_argument("--held", type=int, default=600, help="rows to choose by, and to judge by, at most a fifth each")
parser.add_argument("--seeds", type=int, default=1)
parser.add_argument("--lr", type=numbers, default=[1e-4, 2e-4, 5e-4])
parser.add_argument("--epochs", type=numbers, default=[2.0, 3.0, 6.0])
parser.add_argument("--warmup", type=numbers, default=[0.1, 0.06, 0.2])
parser.add_argument("--layer-decay", type=numbers, default=[1.0, 0.9, 0.8])
parser.add_argument("--average", type=numbers, default=[0.0, 0.1, 0.3])
parser.add_argument("--set", action="append", default=[], type=parse_setting, metavar="NAME=VALUE")
parser.add_argument("--table", action="store_true", help="compute nothing")
parser.add_argument("--loud", action="store_true", help="show each run's progress")
parser.add_argument("--out", type=Path, default=Path("runs/finetune-search"))
arguments = parser.parse_args()
arguments.out.mkdir(parents=True, exist_ok=True)

cpu = torch.cpu.get_capabilities().get("cpu_name", "unknown CPU")
print(f"{time.strftime('%Y-%m-%d')}, {cpu}, {torch.get_num_threads()} threads, torch {torch.__version__}")
sets = arguments.only.split(",")
print(f"| settings | {' | '.join(sets)} | mean | seconds |\n|---{'|---' * (len(sets) + 2)}|")
runs, most = Runs(arguments.out / "runs.jsonl"), float("-inf")
best = {name: getattr(arguments, name)[0] for name in ("warmup", "layer_decay", "average")} | dict(arguments.set)
seen: list[Settings] = []
for stage in STAGES:
    for settings in stage(best):
        if settings in seen:
            continue
        seen.append(settings)
        mean = tried(runs, settings, sets)
        if mean is not None and mean > most:
            most, found = mean, settings
    if most > float("-inf"):
        best = found
print(f"best: {told(best)} (mean {most:.4f}); in brackets: dev at the end less dev at the checkpoint that was kept")
