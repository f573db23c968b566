"""How much of the gap to a larger model a student closes that `albert distill` trains from its answers.

    python recipes/distilled.py TASKS BERT --models runs/results --only "SST-2,MRPC,CLINC150"

TASKS is the folder of the task sets, BERT the folder of the model that becomes the teacher (any BERT or ALBERT); it is
fine-tuned first. The student alone is the model of `results.py` in --models. All three learn from the same rows with
the same epochs and seed; the student learns at the same rate with and without a teacher. "of the gap" is what
the teacher adds to the student, divided by what the teacher is ahead. A finished run is kept in --out, so a repeated
call goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from tasksets import SETS, Files

from albert.finetuning.dataset import FinetuneConfig
from albert.finetuning.finetune import finetune
from albert.predict.predictor import Predictor
from albert.training.progress import ConsoleProgress


def tuned(name: str, files: Files, folder: Path, lr: float, **options: Any) -> float:
    """A fine-tuning's score."""
    wanted, kept = SETS[name], folder / "score.json"
    if not kept.exists():
        began = time.monotonic()
        finetune(
            FinetuneConfig(
                train=wanted.source(files.train),
                dev=str(files.dev),
                out=folder / "model",
                settings={"seed": arguments.seed, "epochs": float(wanted.epochs), "batch_size": 32,
                          "patience": 0, "lr": lr},
                **wanted.chosen(),
                **options,
            ),
            resume=True,
            progress=ConsoleProgress(quiet=True),
        )  # fmt: skip
        scores = Predictor.load(folder / "model").evaluate(files.test).scores
        kept.write_text(json.dumps({**scores, "seconds": time.monotonic() - began}))
    return float(json.loads(kept.read_text())[wanted.metric])


def row(name: str) -> str:
    """The set's row of the table."""
    wanted = SETS[name]
    files = wanted.files(arguments.tasks, arguments.models / "data")
    alone = json.loads((arguments.models / f"{name}-starter-{arguments.seed}.json").read_text())["scores"]
    folder = arguments.out / f"{name}-{arguments.seed}"
    teacher = tuned(name, files, folder / "teacher", arguments.teacher_lr, init=str(arguments.bert))
    student = tuned(name, files, folder / "student", wanted.lr, teachers=(str(folder / "teacher" / "model"),))
    before, gap = alone[wanted.metric], teacher - alone[wanted.metric]
    share = f"{(student - before) / gap:.2f}" if gap > 0 else "no gap"
    return f"| {name} | {wanted.metric} | {teacher:.3f} | {before:.3f} | {student:.3f} | {share} |"


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("tasks", type=Path)
parser.add_argument("bert", type=Path)
parser.add_argument("--models", type=Path, default=Path("runs/results"))
parser.add_argument("--only", default="SST-2,MRPC,CLINC150")
parser.add_argument("--teacher-lr", type=float, default=1e-4)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--out", type=Path, default=Path("runs/distilled"))
arguments = parser.parse_args()

print(f"{time.strftime('%Y-%m-%d')}, {torch.get_num_threads()} threads, torch {torch.__version__}")
print("| set | score | teacher | student alone | student with the teacher | of the gap |\n" + "|---" * 6 + "|")
for each in arguments.only.split(","):
    print(row(each), flush=True)
