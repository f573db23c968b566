"""What each part of a teacher's signal adds to pre-training, at a small scale: seeds 0, 1 and 2.

    mkdir -p runs && git archive 858d984 src/albert/assets/starter | tar -x -C runs
    python recipes/teacher.py runs/src/albert/assets/starter SHARDS TASKS TEACHER        80 minutes on a core

All arms go on from the same weights, here the starter of 2026-11-21, which had no teacher (H 256, 6 layers), for the
same number of steps on the same rows. All arms but the first have the teacher. An arm has one of the teacher's terms,
or all, at the weights of `albert pretrain`. The scores need no fine-tuning: STS-B and a frozen SST-2 as in
`scorecard.py`, and held-out masked loss and order; the first line has those of the weights as they were. SHARDS is a
corpus from `albert prepare` with the weights' vocabulary, TASKS the folder of the task sets. A finished run is kept in
--out, so a repeated call goes on; --table prints the finished ones.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import scorecard
import torch
from figures import spread

from albert.pretraining.distillation import DistillationConfig
from albert.pretraining.pretrain import pretrain
from albert.pretraining.settings import PretrainConfig
from albert.training.progress import ConsoleProgress

SETTINGS = {
    "rows": "full", "max_length": 64, "batch_size": 32, "max_tokens": 2048,
    "optimizer": "muon", "lr": 5e-4, "beta2": 0.98, "warmup": 0.05, "decay": 0.5, "evals_per_epoch": 1,
}  # fmt: skip
TERMS = ("teacher_words", "teacher_mean", "teacher_pooled")
SILENT = dict.fromkeys(("teacher_words", "teacher_depths", "teacher_mean", "teacher_pooled"), 0.0)
ARMS: dict[str, dict[str, float] | None] = {
    "no teacher": None,
    "words": {"teacher_words": DistillationConfig.teacher_words},
    "mean of the pieces": {"teacher_mean": DistillationConfig.teacher_mean},
    "[CLS]": {"teacher_pooled": DistillationConfig.teacher_pooled},
    "all three": {name: getattr(DistillationConfig, name) for name in TERMS},
}
BEFORE = "before"
COLUMNS = {
    "mlm_loss 128": "masked loss", "sop_accuracy 128": "order", "sts_b": "STS-B", "sst_2_frozen": "SST-2 frozen",
}  # fmt: skip


def learn(arm: str, seed: int) -> Path:
    """One pre-training; its folder."""
    terms = ARMS[arm]
    folder: Path = arguments.out / f"{arm.replace(' ', '-')}-{seed}"
    own = {} if terms is None else {**SILENT, **terms}
    config = PretrainConfig(
        shards=arguments.shards,
        out=folder,
        init=str(arguments.init),
        teacher=None if terms is None else str(arguments.teacher),
        settings={**SETTINGS, "steps": arguments.steps, "seed": seed, **own},
    )
    pretrain(config, resume=True, progress=ConsoleProgress(quiet=True))
    return folder


def scores_of(folder: Path) -> dict[str, float]:
    """The scores of one model."""
    words = [str(folder), str(arguments.tasks), "--shards", str(arguments.shards)]
    card = scorecard.Card(folder, scorecard.parser.parse_args(words))
    return {**card.held_out(), **card.sts_b(), **card.sst2_frozen()}


def kept(arm: str, seed: int) -> dict[str, float] | None:
    """A run's scores from --out. Missing ones are made now (with --table: None)."""
    path = arguments.out / f"{arm.replace(' ', '-')}-{seed}.json"
    if not path.exists():
        if arguments.table:
            return None
        began = time.monotonic()
        folder = learn(arm, seed) if arm in ARMS else arguments.init
        scores = {**scores_of(folder), "seconds": time.monotonic() - began}
        path.write_text(json.dumps(scores))
        print(f"{arm}, seed {seed}: {scores}", flush=True)
    found: dict[str, float] = json.loads(path.read_text())
    return found


def row(arm: str, runs: list[dict[str, float]]) -> str:
    """Median and range of each score."""
    cells = [spread([run[name] for run in runs]) for name in COLUMNS]
    minutes = statistics.median(run["seconds"] for run in runs) / 60
    return f"| {arm} | " + " | ".join(cells) + f" | {minutes:.1f} | {len(runs)} |"


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("init", type=Path)
parser.add_argument("shards", type=Path)
parser.add_argument("tasks", type=Path)
parser.add_argument("teacher", type=Path)
parser.add_argument("--steps", type=int, default=300)
parser.add_argument("--seeds", type=int, default=3)
parser.add_argument("--table", action="store_true", help="compute nothing")
parser.add_argument("--out", type=Path, default=Path("runs/teacher-parts"))
arguments = parser.parse_args()

arguments.out.mkdir(parents=True, exist_ok=True)
runs = [(BEFORE, 0), *((arm, seed) for seed in range(arguments.seeds) for arm in ARMS)]  # a seed of every arm first
for run in runs:
    kept(*run)
cpu = torch.cpu.get_capabilities().get("cpu_name", "unknown CPU")
print(f"{time.strftime('%Y-%m-%d')}, {cpu}, {torch.get_num_threads()} threads, torch {torch.__version__}")
print("| arm | " + " | ".join(COLUMNS.values()) + " | minutes | seeds |\n" + "|---" * (len(COLUMNS) + 3) + "|")
for arm in (BEFORE, *ARMS):
    if scores := [found for name, seed in runs if name == arm and (found := kept(name, seed))]:
        print(row(arm, scores))
