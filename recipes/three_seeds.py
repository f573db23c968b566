"""The shared part of the recipes: one fine-tuning with seeds 0, 1 and 2, reported in one table."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import torch

from albert.data.reading import DataSource
from albert.finetuning.dataset import FinetuneConfig
from albert.finetuning.finetune import finetune
from albert.training.progress import ConsoleProgress


def run(train: Path, dev: Path, out: Path, *, settings: dict[str, Any], **options: Any) -> None:
    """Trains with three seeds below `out`, and prints the time and score of each, the median and the spread."""
    cpu = torch.cpu.get_capabilities().get("cpu_name", "unknown CPU")
    print(f"{time.strftime('%Y-%m-%d')}, {cpu}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    scores = []
    for seed in range(3):
        start = time.monotonic()
        config = FinetuneConfig(
            train=DataSource(str(train)),
            dev=str(dev),
            out=out / str(seed),
            settings={**settings, "seed": seed},
            **options,
        )
        result = finetune(config, overwrite=True, progress=ConsoleProgress())
        scores.append(result.scores[result.metric])
        print(
            f"seed {seed}: {result.metric} {scores[-1]:.4f}, {time.monotonic() - start:.0f} s, "
            f"{result.steps} steps (baseline {result.baseline:.4f})",
            flush=True,
        )
    print(f"median {statistics.median(scores):.4f}, spread {max(scores) - min(scores):.4f}")
