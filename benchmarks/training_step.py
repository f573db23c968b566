"""One training step of ours against transformers' classifier: same weights, same batches, interleaved.

    python benchmarks/training_step.py        (or: make bench-training; about a minute)

Prints, for two shapes, the median step time of each, the median of the paired ratios, and the distance of the losses in
the same run. Both run fp32 and then bf16 autocast, forward and backward without an update.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import transformers

from albert.compute import train_step as fast
from albert.compute.precision import has_bf16
from albert.config import AlbertConfig
from albert.engine import autocast
from albert.model import AlbertForTask, save_model

SHAPES = {"tiny": 32, "small": 16}  # size: batch of sequences of 64 pieces
PAIRS = 7


def step(model: torch.nn.Module, inputs: dict[str, torch.Tensor], gold: torch.Tensor, precision: str) -> float:
    """One forward and backward pass; returns the loss."""
    model.zero_grad(set_to_none=True)
    with autocast(precision, torch.device("cpu")):  # type: ignore[arg-type]
        if isinstance(model, AlbertForTask):
            types = torch.zeros_like(inputs["input_ids"])
            logits = fast.task_logits(model, inputs["input_ids"], types, inputs["attention_mask"])
        else:
            logits = model(**inputs).logits
    loss = torch.nn.functional.cross_entropy(logits.float(), gold)
    loss.backward()
    return loss.item()


def timed(work: Callable[[], float]) -> tuple[float, float]:
    start = time.perf_counter()
    value = work()
    return time.perf_counter() - start, value


def main() -> None:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    print(
        f"{time.strftime('%Y-%m-%d')}, {torch.cpu.get_capabilities().get('cpu_name', 'unknown CPU')}, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, transformers {transformers.__version__}"
    )
    summary = []
    for size, batch in SHAPES.items():
        config = AlbertConfig.named(size, id2label=("a", "b"), vocab_size=16_000)
        ours = AlbertForTask(config, "sequence_classification", generator=torch.Generator().manual_seed(0))
        with tempfile.TemporaryDirectory() as folder:
            save_model(ours, Path(folder))
            theirs = transformers.AlbertForSequenceClassification.from_pretrained(folder)
        for model in (ours, theirs):  # training mode, but no dropout, so that the losses can be compared
            model.train()
            for part in model.modules():
                if isinstance(part, torch.nn.Dropout):
                    part.p = 0.0
        generator = torch.Generator().manual_seed(1)
        ids = torch.randint(5, 16_000, (batch, 64), generator=generator)
        lengths = torch.randint(16, 65, (batch, 1), generator=generator)
        inputs = {"input_ids": ids, "attention_mask": (torch.arange(64) < lengths).long()}
        gold = torch.randint(0, 2, (batch,), generator=generator)
        for precision in ("fp32", "bf16") if has_bf16("cpu") else ("fp32",):
            times: list[tuple[float, float]] = []
            apart = 0.0
            for pair in range(PAIRS + 1):
                mine, my_loss = timed(lambda: step(ours, inputs, gold, precision))  # noqa: B023
                other, other_loss = timed(lambda: step(theirs, inputs, gold, precision))  # noqa: B023
                apart = max(apart, abs(my_loss - other_loss))
                if pair:  # the first pair warms up
                    times.append((mine, other))
            ratio = statistics.median(other / mine for mine, other in times)
            medians = [statistics.median(column) * 1000 for column in zip(*times, strict=True)]
            print(
                f"{size:6} {precision} batch {batch} x 64: ours {medians[0]:.1f} ms, transformers {medians[1]:.1f} ms, "
                f"losses within {apart:.1e}"
            )
            summary.append(f"ours {precision} / transformers {precision}, {size} training step: {ratio:.2f}x")
    print("\n".join(summary))


if __name__ == "__main__":
    main()
