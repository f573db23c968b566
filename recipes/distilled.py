"""How much of the gap to a larger model a student closes that `albert distill` trains from its answers.

    python recipes/distilled.py TASKS --models runs/results --only "MRPC,QQP part,CLINC150"

TASKS is the folder of the task sets. The teacher is the set's model of `results.py` in --models, the student the
starter with --layers layers, alone and with the teacher. All learn from the same rows at the same rate with the same
epochs and seed. "of the gap" is what the teacher adds to the student, divided by what the teacher is ahead. A finished
run is kept in --out and an interrupted one resumes, so a repeated call goes on.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from tasksets import SETS, Files

from albert.finetuning.finetune import finetune
from albert.predict.predictor import Predictor
from albert.training.progress import ConsoleProgress


def student(name: str, files: Files, folder: Path, **options: Any) -> float:
    """A student's score; `options` are those of `FinetuneConfig`."""
    wanted, kept = SETS[name], folder.with_suffix(".json")
    if not kept.exists():
        config = wanted.training(files, folder, 0, {"num_hidden_layers": arguments.layers}, **options)
        finetune(config, resume=True, progress=ConsoleProgress(quiet=True))
        kept.write_text(json.dumps(Predictor.load(folder).evaluate(files.test).scores))
        shutil.rmtree(folder)
    return float(json.loads(kept.read_text())[wanted.metric])


def row(name: str) -> str:
    """The set's row of the table."""
    metric, files = SETS[name].metric, SETS[name].files(arguments.tasks, arguments.models / "data")
    teacher = json.loads((arguments.models / f"{name}-starter-0.json").read_text())["scores"][metric]
    folder = arguments.out / name.replace(" ", "-")
    alone = student(name, files, folder / "alone")
    taught = student(name, files, folder / "taught", teachers=(str(arguments.models / f"{name}-model"),))
    share = f"{(taught - alone) / (teacher - alone):.2f}" if teacher > alone else "no gap"
    return f"| {name} | {metric} | {teacher:.3f} | {alone:.3f} | {taught:.3f} | {share} |"


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("tasks", type=Path)
parser.add_argument("--models", type=Path, default=Path("runs/results"))
parser.add_argument("--only", default="MRPC,QQP part,CLINC150")
parser.add_argument("--layers", type=int, default=3)
parser.add_argument("--out", type=Path, default=Path("runs/distilled"))
arguments = parser.parse_args()

print(f"{time.strftime('%Y-%m-%d')}, {torch.get_num_threads()} threads, torch {torch.__version__}")
print("| set | score | teacher | student alone | student with the teacher | of the gap |\n" + "|---" * 6 + "|")
for each in arguments.only.split(","):
    print(row(each), flush=True)
