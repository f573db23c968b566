"""How much of the gap to a larger model a student closes that `albert distill` trains from its answers.

    python recipes/distilled.py TASKS --models runs/results --only "MRPC,QQP part,CLINC150"
    python recipes/distilled.py TASKS --models runs/results --only "QQP part" --labelled 0.1 --out runs/distilled-tenth

TASKS is the folder of the task sets. The teacher is the set's model of `results.py` in --models with the same --seed,
the student the starter with --layers layers, alone and with the teacher. All learn at the same rate with the same
epochs and seed, from the same rows. With --labelled the student has this share of the rows; the others are texts
without labels, which only the student with the teacher can use. "of the gap" is what the teacher adds to the student,
divided by what the teacher is ahead. A finished run is kept in --out and an interrupted one resumes, so a repeated call
goes on.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tasksets import SETS, Files, model_name

from albert.finetuning.finetune import finetune
from albert.predict.predictor import Predictor
from albert.training.progress import ConsoleProgress


def student(name: str, files: Files, folder: Path, **options: Any) -> float:
    """A student's score; `options` are those of `FinetuneConfig`."""
    wanted, kept = SETS[name], folder.with_suffix(".json")
    if not kept.exists():
        config = wanted.training(files, folder, arguments.seed, {"num_hidden_layers": arguments.layers}, **options)
        finetune(config, resume=True, progress=ConsoleProgress(quiet=True))
        kept.write_text(json.dumps(Predictor.load(folder).evaluate(files.test).scores))
        shutil.rmtree(folder)
    return float(json.loads(kept.read_text())[wanted.metric])


def parted(name: str, path: Path, folder: Path) -> tuple[Path, Path]:
    """The share --labelled of a file's rows, drawn by seed 0, and the others."""
    folder.mkdir(parents=True, exist_ok=True)
    first, rows = SETS[name].rows(path)
    random.Random(0).shuffle(rows)
    count = round(arguments.labelled * len(rows))
    parts = folder / f"labelled{path.suffix}", folder / f"unlabelled{path.suffix}"
    for part, own in zip(parts, (rows[:count], rows[count:]), strict=True):
        part.write_text(first + "".join(own), encoding="utf-8")
    return parts


def row(name: str) -> str:
    """The set's row of the table."""
    metric, files = SETS[name].metric, SETS[name].files(arguments.tasks, arguments.models / "data")
    teacher = json.loads((arguments.models / f"{name}-starter-{arguments.seed}.json").read_text())["scores"][metric]
    folder = arguments.out / f"{name}-{arguments.seed}".replace(" ", "-")
    unlabelled = None
    if arguments.labelled < 1:
        train, rest = parted(name, files.train, folder)
        files, unlabelled = replace(files, train=train), str(rest)
    alone = student(name, files, folder / "alone")
    teachers = (str(arguments.models / model_name(name, arguments.seed)),)
    taught = student(name, files, folder / "taught", teachers=teachers, unlabelled=unlabelled)
    share = f"{(taught - alone) / (teacher - alone):.2f}" if teacher > alone else "no gap"
    return f"| {name} | {metric} | {teacher:.3f} | {alone:.3f} | {taught:.3f} | {share} |"


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("tasks", type=Path)
parser.add_argument("--models", type=Path, default=Path("runs/results"))
parser.add_argument("--only", default="MRPC,QQP part,CLINC150")
parser.add_argument("--seed", type=int, default=0, help="of the teacher and of the students")
parser.add_argument("--layers", type=int, default=3)
parser.add_argument("--labelled", type=float, default=1.0, help="share of the rows whose labels the student has")
parser.add_argument("--out", type=Path, default=Path("runs/distilled"))
arguments = parser.parse_args()

print(f"{time.strftime('%Y-%m-%d')}, {torch.get_num_threads()} threads, torch {torch.__version__}")
print("| set | score | teacher | student alone | student with the teacher | of the gap |\n" + "|---" * 6 + "|")
for each in arguments.only.split(","):
    print(row(each), flush=True)
