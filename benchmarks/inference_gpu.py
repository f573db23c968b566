"""Inference on a GPU: ours against transformers in bf16, base shape, same weights and texts, interleaved.

    python benchmarks/inference_gpu.py        a minute on an H100; without a GPU it says so and ends

Texts are random pieces of log-normal lengths (mean 47, at most 148) in order of arrival. Prints tokens/s for batches of
1, 8, 32 and 512 texts per call, the median of the paired ratios, and the distance of the logits.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import transformers

from albert.config import AlbertConfig
from albert.data.batches import Features
from albert.engine import Engine
from albert.model import AlbertForTask, save_model

CALLS = {1: 200, 8: 100, 32: 50, 512: 10}  # texts a call: calls
ROUNDS = 5


def calls_of(texts: int, calls: int) -> list[Features]:
    """Each call's texts."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(calls):
        lengths = np.clip(np.rint(np.exp(rng.normal(np.log(47) - 0.18, 0.6, texts))), 4, 148).astype(int)
        ids = rng.integers(5, 30_000, lengths.sum()).astype(np.int32)
        made.append(Features(ids, np.zeros(len(ids), np.int8), np.append(0, np.cumsum(lengths)), None))
    return made


def main() -> None:
    if not torch.cuda.is_available():
        sys.exit("skipped: this benchmark needs a GPU, and torch finds none")
    transformers.logging.set_verbosity_error()
    config = AlbertConfig.named("base", id2label=("a", "b"))
    model = AlbertForTask(config, "sequence_classification", generator=torch.Generator().manual_seed(0)).eval()
    with tempfile.TemporaryDirectory() as folder:
        save_model(model, Path(folder))
        peer = transformers.AlbertForSequenceClassification.from_pretrained(folder, dtype=torch.bfloat16)
    peer = peer.eval().cuda()
    engine = Engine(model.cuda(), "bf16")

    def ours(rows: Features) -> np.ndarray:
        return np.stack(engine.logits(rows, max_tokens=65_536))

    @torch.inference_mode()
    def theirs(rows: Features) -> np.ndarray:
        batch = rows.batch(range(len(rows)))
        logits = peer(input_ids=batch.input_ids.cuda(), attention_mask=batch.attention_mask.cuda()).logits
        return np.asarray(logits.float().cpu().numpy())

    print(f"{time.strftime('%Y-%m-%d')}, {torch.cuda.get_device_name()}, torch {torch.__version__}, "
          f"transformers {transformers.__version__}")  # fmt: skip
    print("| texts a call | ours tokens/s | transformers tokens/s | ratio | logits apart |\n|---|---|---|---|---|")
    for texts, calls in CALLS.items():
        work = calls_of(texts, calls)
        arms: tuple[Callable[[Features], np.ndarray], ...] = (ours, theirs)
        times: list[list[float]] = []
        apart = 0.0
        for number in range(ROUNDS + 1):
            found, seconds = [], []
            for arm in arms:
                start = time.perf_counter()
                found.append(np.concatenate([arm(rows) for rows in work]))
                seconds.append(time.perf_counter() - start)
            apart = float(np.abs(found[0] - found[1]).max())
            if number:  # the first round warms up and captures
                times.append(seconds)
        tokens = sum(len(rows.ids) for rows in work)
        speeds = [tokens / statistics.median(own) for own in zip(*times, strict=True)]
        ratio = statistics.median(b / a for a, b in times)
        print(f"| {texts} | {speeds[0]:,.0f} | {speeds[1]:,.0f} | {ratio:.2f}x | {apart:.1e} |")


main()
