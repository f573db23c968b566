"""The gain of each step of the packed forward pass: the engine against itself with one step left out, interleaved.

    python benchmarks/engine_steps.py                  about two minutes

128 texts of log-normal length (mean 47, at most 148), random pieces and weights, in order of arrival, batches of 32.
Prints the median over rounds of the time without a step divided by the time with all steps. Without our own products,
oneDNN's are used. Rows below that row are also without our products, and rows below the row of the one call are also
without that call. The last row runs in a separate process, because the C library's allocator belongs to the process.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from albert.compute import blocks, packed
from albert.compute.blocks import Block
from albert.compute.fused import FusedEncoder
from albert.compute.packed import Packed, PackedModel
from albert.compute.precision import has_bf16
from albert.config import AlbertConfig
from albert.model import AlbertForTask

SHAPES = {
    "base": AlbertConfig.named("base", id2label=("a", "b")),
    "starter": AlbertConfig.named("mini", vocab_size=16_000, num_hidden_layers=6, id2label=("a", "b")),
}
TEXTS, BATCH, ROUNDS = 128, 32, 7


class ThreeProducts:
    """Query, key and value one by one."""

    def __init__(self, joined: blocks.Linear) -> None:
        size = joined.source.shape[1]
        self.parts = [(blocks.lay_out(w.contiguous().to(joined.bias.dtype)), b.contiguous())
                      for w, b in zip(joined.source.split(size), joined.bias.split(size), strict=True)]  # fmt: skip

    def __call__(self, x: Tensor, use: int = 0) -> Tensor:
        return torch.cat([blocks.product(x, weight, bias) for weight, bias in self.parts], dim=1)


class Unfused:
    """GELU and the residual after the product."""

    def __init__(self, linear: blocks.Linear) -> None:
        self.linear = linear

    def __call__(self, x: Tensor, use: int = 0, *, add: Tensor | None = None, activation: str | None = None) -> Tensor:
        y = self.linear(x, use)
        if activation is not None:
            y = F.gelu(y, approximate="tanh")
        return y if add is None else y + add


class NotLaidOut(Unfused):
    """PyTorch's own product on the weights as they are stored."""

    def __init__(self, linear: blocks.Linear) -> None:
        weight = linear.source.to(linear.bias.dtype)
        super().__init__(lambda x, use: F.linear(x, weight, linear.bias))  # type: ignore[arg-type]


class WholeLastLayer(PackedModel):
    def _encode(self, packed: Packed, starts: np.ndarray, *, first: bool) -> Tensor:
        return super()._encode(packed, starts, first=False)[torch.from_numpy(starts[:-1])]


def change(model: PackedModel, step: Callable[[Block], None] = lambda block: None) -> PackedModel:
    """With blocks that are computed step by step, and changed."""
    model.fused = None
    for block in model.uses:
        step(block)
    return model


def by_pytorch(model: PackedModel) -> PackedModel:
    """With oneDNN's products in the one call."""
    assert model.fused is not None
    model.fused = FusedEncoder(model.fused.network, ours=False)
    return model


def one_by_one(block: Block) -> None:
    block.qkv = ThreeProducts(block.qkv)  # type: ignore[assignment, arg-type]


def unfuse(block: Block, kind: type[Unfused] = Unfused) -> None:
    for name in ("qkv", "output", "inner", "outer"):
        setattr(block, name, kind(getattr(block, name)))


def batches(*, padded: bool = False) -> list[Packed]:
    """Rows of ids; `padded` ones are as long as the longest of their batch, padding computed like pieces."""
    rng = np.random.default_rng(0)
    lengths = np.clip(np.rint(np.exp(rng.normal(np.log(47) - 0.18, 0.6, TEXTS))), 4, 148).astype(int)
    made = []
    for start in range(0, TEXTS, BATCH):
        own = np.sort(lengths[start : start + BATCH])[::-1].copy()
        if padded:
            own[:] = own.max()
        made.append(
            Packed(
                torch.from_numpy(rng.integers(5, 16_000, own.sum())),
                torch.zeros(int(own.sum()), dtype=torch.int64),
                own,
            )
        )
    return made


def seconds(model: PackedModel, work: list[Packed]) -> float:
    start = time.perf_counter()
    for batch in work:
        model.logits(batch)
    return time.perf_counter() - start


def measure(config: AlbertConfig) -> None:
    model = AlbertForTask(config, "sequence_classification", generator=torch.Generator().manual_seed(0)).eval()
    real, padded = batches(), batches(padded=True)
    best: Literal["fp32", "bf16"] = "bf16" if has_bf16("cpu") else "fp32"
    without_kernel = change(PackedModel(model, best))
    without_kernel.compiled = None
    ours, one_call = "products of our own", "all in one call"
    arms: dict[str, tuple[PackedModel, list[Packed]]] = {
        "all steps": (PackedModel(model, best), real),
        "no padding in products": (PackedModel(model, best), padded),
        "bf16": (PackedModel(model, "fp32"), real),
        ours: (by_pytorch(PackedModel(model, best)), real),
        one_call: (change(PackedModel(model, best)), real),
        "weights laid out, GELU and residual fused": (
            change(PackedModel(model, best), lambda block: unfuse(block, NotLaidOut)),
            real,
        ),
        "GELU and residual fused": (change(PackedModel(model, best), unfuse), real),
        "query, key and value in one product": (change(PackedModel(model, best), one_by_one), real),
        "attention in C++, not PyTorch's": (without_kernel, real),
        "of the last layer what the head reads": (change(WholeLastLayer(model, best)), real),
    }
    times: dict[str, list[float]] = {name: [] for name in arms}
    for number in range(ROUNDS + 1):
        for name, (arm, work) in arms.items():
            took = seconds(arm, work)
            if number:  # the first round warms up
                times[name].append(took)
    tokens = sum(int(batch.lengths.sum()) for batch in real)
    every = statistics.median(times["all steps"])
    print(f"| all steps | {tokens / every:,.0f} tokens/s |")
    beside = "all steps"
    for name, own in times.items():
        if name != "all steps":
            print(f"| {name} | {statistics.median(a / b for a, b in zip(own, times[beside], strict=True)):.2f}x |")
        if name in (ours, one_call):
            beside = name
    for pieces in (16, 47):
        one_text(model, best, pieces)
    alone = [memory(config, keep=keep) for _ in range(3) for keep in (True, False)]
    print(f"| freed memory kept | {statistics.median(alone[1::2]) / statistics.median(alone[::2]):.2f}x |")


def one_text(model: AlbertForTask, precision: Literal["fp32", "bf16"], pieces: int) -> None:
    """The same for the steps that speed up a single text. An arm's turn is several texts; the first ones are not
    counted.
    """
    arms = {
        "all steps": PackedModel(model, precision),
        "products of our own": by_pytorch(PackedModel(model, precision)),
        "all in one call": change(PackedModel(model, precision)),
    }
    text = [Packed(torch.full((pieces,), 5), torch.zeros(pieces, dtype=torch.int64), np.array([pieces]))]
    times: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(3 * ROUNDS):
        for name, arm in arms.items():
            times[name].append(statistics.median([seconds(arm, text) for _ in range(16)][8:]))
    print(f"| one text of {pieces} pieces, all steps | {1000 * statistics.median(times['all steps']):.2f} ms |")
    for name, beside in (("products of our own", "all steps"), ("all in one call", "products of our own")):
        ratio = statistics.median(a / b for a, b in zip(times[name], times[beside], strict=True))
        print(f"| one text of {pieces} pieces, {name} | {ratio:.2f}x |")


def memory(config: AlbertConfig, *, keep: bool) -> float:
    """Median seconds of all steps in a process that keeps freed memory, or gives it back."""
    name = next(name for name, one in SHAPES.items() if one == config)
    return float(subprocess.check_output([sys.executable, __file__, "--memory", name, str(int(keep))], text=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        shape, keep = arguments.memory
        if keep == "0":
            packed.keep_freed_memory = cache(lambda: False)
        model = AlbertForTask(SHAPES[shape], "sequence_classification").eval()
        one, work = PackedModel(model, "bf16" if has_bf16("cpu") else "fp32"), batches()
        print(statistics.median([seconds(one, work) for _ in range(ROUNDS)][1:]))
        return
    cpu = torch.cpu.get_capabilities().get("cpu_name", "unknown CPU")
    print(f"{time.strftime('%Y-%m-%d')}, {cpu}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    for shape, config in SHAPES.items():
        print(f"\n{shape}: H {config.hidden_size}, L {config.num_hidden_layers}\n| step | slower without |\n|---|---|")
        measure(config)


main()
