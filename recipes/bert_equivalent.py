"""ALBERT against the BERT of the same shape: parameters, memory, speed, and held-out loss after equal time.

    python recipes/bert_equivalent.py SHARDS --minutes 10        about 25 minutes on a quiet core

Both are H 256 with 6 layers and see the same instances in the same order. ALBERT shares one layer and factorises its
embeddings (E 128); BERT has six layers and E 256. The speed of each is measured in 40 steps. It gives the number of
steps in the given time, over which the learning rate falls to 0. Memory is the peak of a separate process. A finished
run is kept in --out, so a repeated call goes on.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from albert.pretraining.pretrain import pretrain
from albert.pretraining.settings import PretrainConfig
from albert.training.progress import ConsoleProgress

COMMON = {
    "num_hidden_layers": 6, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "batch_size": 32,
    "beta2": 0.98, "warmup": 0.1, "evals_per_epoch": 1,
}  # fmt: skip
ARMS: dict[str, dict[str, Any]] = {
    "ALBERT": {"lr": 1e-3},
    "BERT": {"lr": 5e-4, "num_hidden_groups": 6, "embedding_size": 256},
}
PROBE = 40  # steps


def train(shards: Path, folder: Path, settings: dict[str, Any]) -> int:
    """Trains in this process and returns its peak of memory in bytes."""
    pretrain(
        PretrainConfig(shards=shards, out=folder, size="mini", settings=settings),
        resume=True,
        progress=ConsoleProgress(),
    )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(shards: Path, folder: Path, settings: dict[str, Any], minutes: float) -> dict[str, Any]:
    """The figures of one arm."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        pool.apply(train, (shards, folder / "probe", {**settings, "steps": PROBE}))
        steps = round(60 * minutes / statistics.median(r["seconds"] for r in records(folder / "probe")[5:]))
        peak = pool.apply(train, (shards, folder / "run", {**settings, "steps": steps}))
    made = records(folder / "run")
    seconds = sum(r["seconds"] for r in made)
    lines = (folder / "run" / "metrics.jsonl").read_text().splitlines()
    scores = next(r["dev"] for r in map(json.loads, reversed(lines)) if "dev" in r)
    weights = (folder / "run" / "model.safetensors").stat().st_size
    return {
        "parameters": weights // 4, "peak": peak, "steps": steps, "seconds": seconds,
        "speed": sum(r["tokens"] for r in made) / seconds, **scores,
    }  # fmt: skip


def records(folder: Path) -> list[dict[str, Any]]:
    """The steps of a run."""
    return [r for r in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines()) if "loss" in r]


def main() -> None:
    """Measures what has not been measured yet, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--out", type=Path, default=Path("runs/bert-equivalent"))
    arguments = parser.parse_args()
    cpu = torch.cpu.get_capabilities().get("cpu_name", "unknown CPU")
    print(f"{time.strftime('%Y-%m-%d')}, {cpu}, {torch.get_num_threads()} threads, torch {torch.__version__}, seed 0")
    print("| | parameters | peak MB | tokens/s | steps | minutes | MLM loss | MLM accuracy | SOP accuracy |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, settings in ARMS.items():
        kept = arguments.out / f"{name}.json"
        if not kept.exists():
            arguments.out.mkdir(parents=True, exist_ok=True)
            figures = measure(arguments.shards, arguments.out / name, {**COMMON, **settings}, arguments.minutes)
            kept.write_text(json.dumps(figures))
        r = json.loads(kept.read_text())
        print(
            f"| {name} | {r['parameters']:,} | {r['peak'] / 1e6:,.0f} | {r['speed']:,.0f} | {r['steps']:,} "
            f"| {r['seconds'] / 60:.1f} | {r['mlm_loss']:.3f} | {r['mlm_accuracy']:.3f} | {r['sop_accuracy']:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
