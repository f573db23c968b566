"""Which options of pre-training pay: each against the plain run at the same arithmetic, seeds 0, 1 and 2.

    python recipes/pretraining_options.py SHARDS        about 1 hour on 2 quiet cores

Plain: H 128, 4 layers, AdamW, random embeddings, 15 % masked. An option that makes steps cheaper gets more of them,
so that all arms spend the same floating-point operations. Judged by the loss on the same held-out instances (15 %
masked). A finished run is kept in --out, so a repeated call goes on.
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
from albert.training.pretrain import GrowthConfig, PretrainConfig, pretrain
from albert.training.progress import ConsoleProgress
from albert.training.throughput import training_flops

PLAIN = {
    "num_hidden_layers": 4, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
    "batch_size": 32, "lr": 1e-3, "beta2": 0.98, "warmup": 0.1, "evals_per_epoch": 1,
}  # fmt: skip
ARMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "Muon": {"optimizer": "muon"},
    "LAMB": {"optimizer": "lamb", "lr": 5e-3},
    "loops 2, then 4": {"loops": [2], "grown_by": 0.5},
    "mask rate 30 % to 15 %": {"mask_rate": 0.3, "mask_rate_end": 0.15},
    "single words masked": {"max_ngram": 1},
    "embeddings from co-occurrence": {"embeddings": "cooccurrence"},
    "Muon, loops, rate and embeddings": {
        "optimizer": "muon", "loops": [2], "grown_by": 0.5, "mask_rate": 0.3, "mask_rate_end": 0.15,
        "embeddings": "cooccurrence",
    },
}  # fmt: skip


def steps_for(settings: dict[str, Any]) -> int:
    """As many steps as cost what the plain run costs."""

    def cost(loops: int, masked: float) -> float:
        config = AlbertConfig.named("tiny", vocab_size=16_000, num_hidden_layers=loops)
        return training_flops(config, length=128, masked=masked)

    growth = GrowthConfig(loops=tuple(settings.get("loops", ())), grown_by=settings.get("grown_by", 0.5))
    first, last = settings.get("mask_rate", 0.15), settings.get("mask_rate_end", settings.get("mask_rate", 0.15))
    shares = [(step + 0.5) / 1000 for step in range(1000)]
    mean = statistics.fmean(cost(growth.loops_at(share, 4), first + share * (last - first)) for share in shares)
    return round(arguments.steps * cost(4, 0.15) / mean)


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
parser.add_argument("--steps", type=int, default=1500, help="of the plain run, 32 x 128 pieces each")
arguments = parser.parse_args()

cpu = torch.cpu.get_capabilities().get("cpu_name", "unknown CPU")
print(f"{time.strftime('%Y-%m-%d')}, {cpu}, torch {torch.__version__}, {arguments.steps} plain steps of 32 x 128")
print("| option | steps | held-out MLM loss, median | seeds 0, 1, 2 |\n|---|---|---|---|")
for arm, settings in ARMS.items():
    losses = [loss_of(arm, seed) for seed in range(3)]
    listed = ", ".join(f"{loss:.3f}" for loss in losses)
    print(f"| {arm} | {steps_for(settings):,} | {statistics.median(losses):.3f} | {listed} |", flush=True)
