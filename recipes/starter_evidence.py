"""What pre-training brings: the starter against the same network from scratch, seeds 0, 1 and 2 of each task.

    python recipes/starter_evidence.py TASKS [--only sst2,cola]      about 2 hours on 2 cores

TASKS holds glue/, ag_news/ and wnut17/. Each row is the best checkpoint's score on the task's dev set (MRPC: 408 rows
held out of its training part; AG News and WNUT-17: their test sets, the checkpoint chosen on held-out or dev rows).
Both sides have the same steps and batches; the rate is the best of three for each side on seed 0 of SST-2
(see docs/log.md). A result is kept in --out as JSON, so a repeated call goes on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from albert.config import AlbertConfig
from albert.hub import model_folder
from albert.predictor import Predictor
from albert.training.dataset import FinetuneConfig
from albert.training.finetune import finetune
from albert.training.progress import ConsoleProgress


@dataclass(frozen=True)
class Task:
    """Where a task's rows are, which score counts, how long it trains."""

    train: str
    metric: str
    epochs: float
    dev: str | None = None
    test: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


TASKS = {
    "SST-2": Task("glue/SST-2/train.tsv", "accuracy", 2, "glue/SST-2/dev.tsv"),
    "CoLA": Task("glue/CoLA/train.tsv", "mcc", 5, "glue/CoLA/dev.tsv", options={"text": "4", "label": "2"}),
    "MRPC": Task("glue/MRPC/msr_paraphrase_train.txt", "f1", 8,
                 options={"text": "#1 String", "text_pair": "#2 String", "label": "Quality"}),
    "STS-B": Task("glue/STS-B/train.tsv", "correlation", 8, "glue/STS-B/dev.tsv",
                  options={"text": "sentence1", "text_pair": "sentence2", "label": "score"}),
    "RTE": Task("glue/RTE/train.tsv", "accuracy", 8, "glue/RTE/dev.tsv",
                options={"text": "sentence1", "text_pair": "sentence2", "label": "label"}),
    "AG News": Task("ag_news/dev_from_train.tsv", "accuracy", 4, test="ag_news/test.csv",
                    options={"text": "1", "label": "2"}),
    "WNUT-17": Task("wnut17/wnut17train.conll", "f1", 15, "wnut17/emerging.dev.conll",
                    test="wnut17/emerging.test.annotated"),
}  # fmt: skip
RATES = {"starter": 2e-4, "scratch": 1e-3}


def score(name: str, task: Task, side: str, seed: int, folder: Path) -> dict[str, float]:
    """Fine-tunes once and returns the score that counts, the baseline and the seconds."""
    start = time.monotonic()
    network = AlbertConfig.load(model_folder("starter"))
    shape = {
        "hidden_size": network.hidden_size, "num_hidden_layers": network.num_hidden_layers,
        "num_attention_heads": network.num_attention_heads, "intermediate_size": network.intermediate_size,
    }  # fmt: skip
    config = FinetuneConfig(
        train=str(arguments.tasks / task.train),
        dev=str(arguments.tasks / task.dev) if task.dev else None,
        out=folder,
        init="starter" if side == "starter" else None,
        size="mini",
        settings={"seed": seed, "epochs": task.epochs, "batch_size": 32, "lr": RATES[side], "patience": 0,
                  **(shape if side == "scratch" else {})},
        **task.options,
    )  # fmt: skip
    result = finetune(config, overwrite=True, progress=ConsoleProgress())
    scores = result.scores
    if task.test:
        scores = Predictor.load(folder).evaluate(arguments.tasks / task.test).scores
    return {"score": scores[task.metric], "baseline": result.baseline, "seconds": time.monotonic() - start}


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("tasks", type=Path)
parser.add_argument("--only", help="names of tasks, with commas between")
parser.add_argument("--out", type=Path, default=Path("runs/starter-evidence"))
arguments = parser.parse_args()
cpu = torch.cpu.get_capabilities().get("cpu_name", "unknown CPU")
print(f"{time.strftime('%Y-%m-%d')}, {cpu}, torch {torch.__version__}")
print("| task | score | starter | scratch |\n|---|---|---|---|")
for name in arguments.only.split(",") if arguments.only else TASKS:
    task = TASKS[name]
    cells = []
    for side in RATES:
        results = []
        for seed in range(3):
            kept = arguments.out / f"{name}-{side}-{seed}.json"
            if not kept.exists():
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(score(name, task, side, seed, arguments.out / "model")))
            results.append(json.loads(kept.read_text())["score"])
        cells.append(f"{statistics.median(results):.3f} ({min(results):.3f} to {max(results):.3f})")
    print(f"| {name} | {task.metric} | {cells[0]} | {cells[1]} |", flush=True)
