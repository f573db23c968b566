"""The cost of the loader: training on fresh instances against one cached batch repeated.

    python benchmarks/loader.py SHARDS [--size mini] [--pairs 15]

Both arms make the same steps (bf16 where the machine has it, AdamW) on 64 rows of 128 pieces, in turn, a few steps at a
time. Prints pieces per second of each and the median of the paired ratios. The aim is 0.98.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from itertools import count, repeat
from pathlib import Path

import torch

from albert.config import AlbertConfig
from albert.corpus.shards import open_corpus
from albert.engine import autocast, resolve_precision
from albert.machine.memory import keep_freed_memory
from albert.model import AlbertForTask
from albert.pretraining.instances import InstanceConfig
from albert.pretraining.objective import PretrainingBatch, PretrainingObjective
from albert.pretraining.source import MaskingConfig, PretrainingSource
from albert.text.tokenizer import AlbertTokenizer
from albert.text.words import word_starts
from albert.training.optimizer import OptimizerConfig, build_optimizer

ROWS, STEPS = 64, 8

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("shards", type=Path)
parser.add_argument("--size", default="mini")
parser.add_argument("--pairs", type=int, default=15)
arguments = parser.parse_args()

keep_freed_memory()
device = torch.device("cpu")
precision = resolve_precision("auto", device)
tokenizer = AlbertTokenizer.from_pretrained(arguments.shards)
config = AlbertConfig.named(arguments.size, vocab_size=tokenizer.vocab_size).with_(
    hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
)
model = AlbertForTask(config, "pretraining", generator=torch.Generator().manual_seed(0)).train()
optimizer = build_optimizer(model, OptimizerConfig(), groups=1)
objective = PretrainingObjective()
source = PretrainingSource(
    open_corpus(arguments.shards), word_starts(tokenizer.vocabulary), InstanceConfig(), MaskingConfig(),
    batch_size=ROWS, max_tokens=ROWS * 128, seed=0,
)  # fmt: skip


def speed(batches: Iterator[list[PretrainingBatch]]) -> float:
    """Real pieces per second over a few steps."""
    pieces, start = 0, time.perf_counter()
    for _ in range(STEPS):
        optimizer.zero_grad()
        for batch in next(batches):
            with autocast(precision, device):
                sums = objective.sums(model, batch)
            counts = objective.counts(batch)
            torch.stack([sums[name] / counts[name] for name in sums]).sum().backward()
            pieces += int(batch.attention_mask.sum())
        optimizer.step()
    return pieces / (time.perf_counter() - start)


fresh = (source.micro_batches(step) for step in count())
cached = repeat(source.build(0))
speed(cached), speed(fresh)
ratios = []
for _ in range(arguments.pairs):
    one, other = speed(cached), speed(fresh)
    ratios.append(other / one)
    print(f"cached {one:,.0f} pieces/s, fresh {other:,.0f}: {ratios[-1]:.3f}", flush=True)
cpu = torch.cpu.get_capabilities().get("cpu_name", "unknown CPU")
print(f"{time.strftime('%Y-%m-%d')}, {cpu}, {torch.get_num_threads()} threads, torch {torch.__version__}, {precision}")
print(f"loader / cached batch, {arguments.size}, {ROWS} x 128: {statistics.median(ratios):.3f}")
