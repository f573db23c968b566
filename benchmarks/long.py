"""What a longer text costs: time and memory of one text, with attention windows and with full attention.

    python benchmarks/long.py                      the starter's shape, 512 to 4,096 pieces, a few minutes
    python benchmarks/long.py --lengths 512 4096 --rounds 5

Each form runs in a process of its own, so that its peak memory is known (less what it has before the first text); times
are medians of interleaved rounds. "training" is forward and backward of one text of a classifier, in float32;
"inference" is the engine on one text, in the precision that "auto" takes. "inf" is more memory than the machine has.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import math
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from albert.config import AlbertConfig
from albert.data.batches import Features
from albert.engine import Engine
from albert.finetuning.attempts import TaskObjective
from albert.hub import model_folder
from albert.model import AlbertForTask
from albert.report.machine import machine
from albert.tasks import TASKS
from albert.tasks.losses import LossShape

KILLED = [math.inf, math.inf]  # more memory than there is


def peak() -> int:
    """Bytes of memory at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def worker(kind: str, window: int | None, length: int, most: int) -> None:
    """Does one text whenever a line comes in; answers with seconds and bytes."""
    config = AlbertConfig.load(model_folder("starter")).with_(
        max_position_embeddings=most, attention_window=window, id2label=("a", "b")
    )
    model = AlbertForTask(config, "sequence_classification", generator=torch.Generator().manual_seed(0))
    ids = np.random.default_rng(0).integers(5, config.vocab_size, length).astype(np.int32)
    text = Features(ids, np.zeros(length, np.int8), np.array([0, length]), None).with_gold(np.array([0]))
    engine, objective = Engine(model), TaskObjective(TASKS["classification"], LossShape())
    small = Features(ids[:16], np.zeros(16, np.int8), np.array([0, 16]), None).with_gold(np.array([0]))

    def once(features: Features) -> None:
        if kind == "inference":
            engine.logits(features)
        else:
            model.train()
            objective.sums(model, features.batch([0]))["loss"].backward()

    once(small)
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what the small text left free would hide what a longer one takes
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    for _ in sys.stdin:
        start = time.perf_counter()
        once(text)
        print(json.dumps([time.perf_counter() - start, peak() - before]), flush=True)


def measured(lengths: list[int], window: int, rounds: int) -> dict[tuple[str, str, int], tuple[float, float]]:
    """(seconds, megabytes) by kind, form and length."""
    found = {}
    for kind in ("inference", "training"):
        keys = [(kind, form, length) for form in ("full", "windows") for length in lengths]
        running = {
            key: subprocess.Popen(
                [sys.executable, __file__, "--worker", kind, str(window if key[1] == "windows" else 0), str(key[2]),
                 str(max(lengths))],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for key in keys
        }  # fmt: skip
        answers: dict[tuple[str, str, int], list[list[float]]] = {key: [] for key in running}
        for _ in range(rounds + 1):  # the first one warms up
            for key, process in running.items():
                assert process.stdin is not None
                assert process.stdout is not None
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write("\n")
                    process.stdin.flush()
                line = process.stdout.readline()
                answers[key].append(json.loads(line) if line else KILLED)
        for key, process in running.items():
            with contextlib.suppress(BrokenPipeError):
                process.communicate()
            found[key] = statistics.median(a[0] for a in answers[key][1:]), answers[key][-1][1] / 2**20
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[512, 1024, 2048, 4096])
    parser.add_argument("--window", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", nargs=4, metavar=("KIND", "WINDOW", "LENGTH", "MOST"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        kind, window, length, most = arguments.worker
        worker(kind, int(window) or None, int(length), int(most))
        return
    print(", ".join(f"{name}: {value}" for name, value in machine().items()))
    print(f"window {arguments.window}, {torch.get_num_threads()} threads, median of {arguments.rounds} rounds\n")
    found = measured(arguments.lengths, arguments.window, arguments.rounds)
    print("| work | attention | length | seconds | times the shortest | MB | times the shortest |")
    print("|---|---|---|---|---|---|---|")
    for (kind, form, length), (seconds, megabytes) in found.items():
        first = found[kind, form, arguments.lengths[0]]
        print(f"| {kind} | {form} | {length:,} | {seconds:.3f} | {seconds / first[0]:.1f} | {megabytes:,.0f} | "
              f"{megabytes / max(first[1], 1):.1f} |")  # fmt: skip


if __name__ == "__main__":
    main()
