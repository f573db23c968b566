"""One pre-training step of ours against transformers' AlbertForPreTraining: same weights, same batches, interleaved.

    python benchmarks/pretraining.py                  (about 4 minutes on 2 cores)
    python benchmarks/pretraining.py --plain-memory   both with the C library's own allocation settings
    python benchmarks/pretraining.py --threads 1 --pairs 5 --shapes small

A step is forward, backward and a fused AdamW update. transformers runs with its fastest settings (attention sdpa or
eager, bf16 autocast or float32). Prints the median of the paired ratios, tokens per second, peak memory, the distance
of the losses, and the floor: the matrix products of a step alone. With a GPU it prints ours for the base size instead:
tokens per second and the share of the peak (MFU).
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import transformers
from torch import nn

from albert.compute import train_step as fast
from albert.config import AlbertConfig
from albert.engine import autocast
from albert.machine.memory import keep_freed_memory
from albert.model import AlbertForTask, save_model
from albert.pretraining.objective import PretrainingBatch, PretrainingObjective

SHAPES = {  # name: (hidden, layers, heads, batch)
    "mini": (256, 6, 4, 32),
    "small": (384, 12, 6, 16),
}
LENGTH, MASKED = 128, 0.15
PEAK_FLOPS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}  # dense bf16, NVIDIA's data sheets
OBJECTIVE = PretrainingObjective()

Step = Callable[[PretrainingBatch], float]


def config_of(hidden: int, layers: int, heads: int) -> AlbertConfig:
    """ALBERT v2: no dropout, not even in the classifier, so that the losses can be compared."""
    return AlbertConfig(
        hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=4 * hidden,
        classifier_dropout_prob=0.0,
    )  # fmt: skip


def random_batch(rows: int, seed: int, *, length: int = LENGTH, device: str = "cpu") -> PretrainingBatch:
    """Full sequences, 15 % of them to be told."""
    generator = torch.Generator().manual_seed(seed)
    masked = round(MASKED * rows * length)
    parts = (
        torch.randint(5, 30_000, (rows, length), generator=generator),
        (torch.arange(length) >= length // 2).long().repeat(rows, 1),
        torch.ones(rows, length, dtype=torch.long),
        torch.randperm(rows * length, generator=generator)[:masked].sort().values,
        torch.randint(5, 30_000, (masked,), generator=generator),
        torch.randint(0, 2, (rows,), generator=generator),
    )
    return PretrainingBatch(*(part.to(device) for part in parts))


def our_loss(model: nn.Module, batch: PretrainingBatch) -> torch.Tensor:
    sums, counts = OBJECTIVE.sums(model, batch), OBJECTIVE.counts(batch)
    return sums["mlm"] / counts["mlm"] + sums["sop"] / counts["sop"]


def their_loss(model: nn.Module, batch: PretrainingBatch) -> torch.Tensor:
    labels = torch.full_like(batch.input_ids, -100)
    labels.view(-1)[batch.masked_positions] = batch.masked_ids
    loss: torch.Tensor = model(
        input_ids=batch.input_ids, token_type_ids=batch.token_type_ids, attention_mask=batch.attention_mask,
        labels=labels, sentence_order_label=batch.order,
    ).loss  # fmt: skip
    return loss


def stepper(model: nn.Module, loss_of: Callable[[nn.Module, PretrainingBatch], torch.Tensor], precision: str) -> Step:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    device = next(model.parameters()).device

    def step(batch: PretrainingBatch) -> float:
        optimizer.zero_grad(set_to_none=True)
        with autocast(precision, device):  # type: ignore[arg-type]
            loss = loss_of(model, batch)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def ours(config: AlbertConfig) -> AlbertForTask:
    return AlbertForTask(config, "pretraining", generator=torch.Generator().manual_seed(0)).train()


def theirs(config: AlbertConfig, attention: str) -> nn.Module:
    with tempfile.TemporaryDirectory() as folder:
        save_model(ours(config), Path(folder))
        model: nn.Module = transformers.AlbertForPreTraining.from_pretrained(folder, attn_implementation=attention)
    return model.train()


def build(arm: str, config: AlbertConfig) -> Step:
    """ "ours", or transformers' attention and precision, e.g. "sdpa bf16"."""
    if arm == "ours":
        return stepper(ours(config), our_loss, "bf16")
    attention, precision = arm.split()
    return stepper(theirs(config, attention), their_loss, precision)


def seconds(work: Callable[[], object]) -> float:
    """The time of `work`. With one thread it is the processor's own time, which other jobs hardly change."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    work()
    return clock() - start


def floor(config: AlbertConfig, rows: int) -> float:
    """Seconds that a step's matrix products take alone in bfloat16: layers (the last feed-forward only where it is
    read), attention and the masked head, forward and backward."""
    tokens, h, i = rows * LENGTH, config.hidden_size, config.intermediate_size
    masked, depth = round(MASKED * tokens), config.num_hidden_layers
    read = masked + rows
    heads, head = rows * config.num_attention_heads, h // config.num_attention_heads
    products = [  # uses, rows, inputs, outputs
        (depth, tokens, h, 3 * h), (depth - 1, tokens, h, h), (depth - 1, tokens, h, i), (depth - 1, tokens, i, h),
        (1, read, h, h), (1, read, h, i), (1, read, i, h), (1, masked, config.embedding_size, config.vocab_size),
    ]  # fmt: skip

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, dtype=torch.bfloat16)

    def best(work: Callable[[], object]) -> float:
        return min(seconds(work) for _ in range(8))

    total = 0.0
    for uses, m, k, n in products:
        x, w, g = random(m, k), random(n, k), random(m, n)
        total += uses * (best(lambda: x @ w.t()) + best(lambda: g @ w) + best(lambda: g.t() @ x))  # noqa: B023
    q, p = random(heads, LENGTH, head), random(heads, LENGTH, LENGTH)
    return total + depth * 3 * (best(lambda: q @ q.transpose(1, 2)) + best(lambda: p @ q))


def peak_memory(arm: str, shape: str, plain: bool) -> float:
    """MiB that three steps in a separate process need beyond its memory before."""
    command = [sys.executable, __file__, "--peak", arm, "--shapes", shape, *(["--plain-memory"] if plain else [])]
    return float(subprocess.check_output(command, text=True).split()[-1])


def print_peak(arm: str, shape: str) -> None:
    *sizes, rows = SHAPES[shape]
    step = build(arm, config_of(*sizes))
    before = resident("VmRSS")
    for seed in range(3):
        step(random_batch(rows, seed))
    print(resident("VmHWM") - before)


def resident(entry: str) -> float:
    """MiB of Linux's VmRSS (now) or VmHWM (at most); getrusage would tell the parent's."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(entry)).split()[1]) / 1024


def compare(shape: str, pairs: int, plain: bool) -> str:
    *sizes, rows = SHAPES[shape]
    config, batches = config_of(*sizes), [random_batch(rows, seed) for seed in range(4)]
    apart32 = abs(our_loss(ours(config), batches[0]).item() - their_loss(theirs(config, "sdpa"), batches[0]).item())
    arms = [f"{attention} {precision}" for attention in ("sdpa", "eager") for precision in ("bf16", "fp32")]
    trials = {}
    for arm in arms:
        step = build(arm, config)
        trials[arm] = min(seconds(lambda: step(batches[0])) for _ in range(3))  # noqa: B023
    peer = min(trials, key=lambda arm: trials[arm])
    mine, other = build("ours", config), build(peer, config)
    times, apart = [], 0.0
    for pair, batch in zip(range(pairs + 2), itertools.cycle(batches)):  # the shorter ends it
        losses: list[float] = []
        taken = [seconds(lambda: losses.append(step(batch))) for step in (mine, other)]  # noqa: B023
        apart = max(apart, abs(losses[0] - losses[1]))
        if pair >= 2:  # two to warm up
            times.append(taken)
    assert apart32 < 1e-4, f"losses differ by {apart32} in float32"
    assert apart < 0.05, f"losses differ by {apart} in bfloat16"
    ratio = statistics.median(b / a for a, b in times)
    medians = [statistics.median(column) for column in zip(*times, strict=True)]
    least = floor(config, rows)
    tokens = rows * LENGTH
    print(f"{shape}: H {sizes[0]}, L {sizes[1]}, batch {rows} x {LENGTH}")
    print("  transformers' settings: " + ", ".join(f"{arm} {tokens / t:,.0f} tokens/s" for arm, t in trials.items()))
    for name, arm, median in (("ours", "ours", medians[0]), (f"transformers {peer}", peer, medians[1])):
        memory = peak_memory(arm, shape, plain)
        print(f"  {name}: {median * 1000:.0f} ms, {tokens / median:,.0f} tokens/s, peak {memory:,.0f} MiB")
    print(f"  products alone: {least * 1000:.0f} ms, {tokens / least:,.0f} tokens/s ({least / medians[0]:.0%} of ours)")
    print(f"  losses within {apart32:.1e} (float32, first step) and {apart:.1e} (bf16, {pairs + 2} steps)", flush=True)
    return f"ours / transformers {peer}, {shape} pre-training step: {ratio:.2f}x"


def on_gpu() -> None:
    """Ours at the base size; FLOPs are counted: 6 a weight and token in products, 12 a hidden unit and position."""
    config = AlbertConfig.named("base", classifier_dropout_prob=0.0)
    name = torch.cuda.get_device_name()
    peak = next((flops for key, flops in PEAK_FLOPS.items() if key in name), float("nan"))
    hidden, depth = config.hidden_size, config.num_hidden_layers
    for length, rows in ((128, 256), (512, 64)):
        model = ours(config).cuda()
        step = stepper(model, our_loss, "bf16")
        batch = random_batch(rows, 0, length=length, device="cuda")
        for _ in range(3):
            step(batch)
        torch.cuda.synchronize()
        taken = statistics.median(seconds(lambda: step(batch)) for _ in range(20))  # noqa: B023  # item() waits
        weights = depth * (4 * hidden**2 + 2 * hidden * config.intermediate_size)
        weights += round(MASKED * config.embedding_size * (config.vocab_size + hidden))
        flops = 6 * weights + 12 * depth * hidden * length
        rate = rows * length / taken
        print(f"base, {name}, S={length}, batch {rows}: {rate:,.0f} tokens/s, MFU {rate * flops / peak:.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--plain-memory", action="store_true")
    parser.add_argument("--eager", action="store_true", help="ours without compiled activations")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(options.threads)
    if not options.plain_memory:
        keep_freed_memory()
    if options.peak:
        print_peak(options.peak, options.shapes[0])
        return
    if torch.cuda.is_available():
        on_gpu()
        return
    compiled = not options.eager and fast.compile_activations()
    print(
        f"{time.strftime('%Y-%m-%d')}, {torch.cpu.get_capabilities().get('cpu_name', 'unknown CPU')}, "
        f"{options.threads} threads, torch {torch.__version__}, transformers {transformers.__version__}, "
        f"{'plain' if options.plain_memory else 'kept'} memory, {'compiled' if compiled else 'eager'} activations"
    )
    print("\n".join([compare(shape, options.pairs, options.plain_memory) for shape in options.shapes]))


if __name__ == "__main__":
    main()
