"""Which options of pre-training help: each against the plain run with the same arithmetic, seeds 0, 1 and 2.

    python recipes/pretraining_options.py SHARDS        about 1 hour on a quiet core

The plain run has H 128, 4 layers, AdamW, random embeddings, and 15 % masked. An option that makes steps cheaper gets
more of them, so that all arms use the same number of floating-point operations. The score is the loss on the same
held-out instances (15 % masked). A finished run is kept in --out, so a repeated call goes on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from albert.config import AlbertConfig
from albert.pretraining.growth import GrowthConfig
from albert.pretraining.pretrain import pretrain
from albert.pretraining.settings import PretrainConfig
from albert.pretraining.throughput import training_flops
from albert.training.progress import ConsoleProgress

PLAIN: dict[str, Any] = {
    "num_hidden_layers": 4, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
    "batch_size": 32, "lr": 1e-3, "beta2": 0.98, "warmup": 0.1, "evals_per_epoch": 1,
}  # fmt: skip
ARMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "Muon": {"optimizer": "muon"},
    "2 loops, then 4": {"loops": [2]},
    "rows of 64, then 128": {"lengths": [64]},
    "batches of 16, then 32": {"batches": [16]},
    "mask rate 30 % to 15 %": {"mask_rate": 0.3, "mask_rate_end": 0.15},
    "embeddings from co-occurrence": {"embeddings": "cooccurrence"},
    "Muon, loops and embeddings": {"optimizer": "muon", "loops": [2], "embeddings": "cooccurrence"},
}  # fmt: skip


def arithmetic(settings: dict[str, Any], steps: int) -> float:
    """Floating-point operations of a run."""
    loops, lengths, batches = (tuple(settings.get(name, ())) for name in ("loops", "lengths", "batches"))
    growth = GrowthConfig(loops=loops, lengths=lengths, batches=batches)
    first = settings.get("mask_rate", 0.15)
    last = settings.get("mask_rate_end", first)
    total = 0.0
    for step in range(steps):
        config = AlbertConfig.named("tiny", vocab_size=16_000, num_hidden_layers=growth.loops_at(step, steps, 4))
        length, rows = growth.size_at(step, steps, 128, PLAIN["batch_size"])
        masked = first + step / steps * (last - first)
        total += rows * length * training_flops(config, length=length, masked=masked)
    return total


def steps_for(settings: dict[str, Any]) -> int:
    """The number of steps that cost as much as the plain run."""
    steps = arguments.steps
    return round(steps * arithmetic({}, steps) / arithmetic(settings, steps))


def loss_of(arm: str, seed: int) -> float:
    """The held-out loss at the end of one run."""
    folder = arguments.out / f"{list(ARMS).index(arm)}-{seed}"
    settings = {**PLAIN, "seed": seed, **ARMS[arm]}
    if not (folder / "config.json").exists():
        pretrain(
            PretrainConfig(
                shards=arguments.shards, out=folder, size="tiny", settings={**settings, "steps": steps_for(settings)}
            ),
            resume=True,
            progress=ConsoleProgress(),
        )
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return next(r["dev"]["mlm_loss"] for r in reversed(records) if "dev" in r)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("shards", type=Path)
parser.add_argument("--out", type=Path, default=Path("runs/pretraining-options"))
parser.add_argument("--steps", type=int, default=1000, help="of the plain run, 32 x 128 pieces each")
arguments = parser.parse_args()

cpu = torch.cpu.get_capabilities().get("cpu_name", "unknown CPU")
print(f"{time.strftime('%Y-%m-%d')}, {cpu}, torch {torch.__version__}, {arguments.steps} plain steps of 32 x 128")
print("| option | steps | held-out MLM loss, median | seeds 0, 1, 2 |\n|---|---|---|---|")
for arm, settings in ARMS.items():
    losses = [loss_of(arm, seed) for seed in range(3)]
    listed = ", ".join(f"{loss:.3f}" for loss in losses)
    print(f"| {arm} | {steps_for(settings):,} | {statistics.median(losses):.3f} | {listed} |", flush=True)
