"""The speed of training and prediction beside another busy program, by how long waiting threads spin.

    python benchmarks/neighbour.py                  (about 4 minutes on a quiet machine)
    python benchmarks/neighbour.py --spins 0,1000,10000,100000,300000

Each job runs alone and beside `--loops` busy loops, with one thread per core, in a separate process, in turns. A fair
share of 2 cores beside one loop is one core, half the speed. "package" is the package's setting; 300000 is libgomp's
own.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

JOBS = ("training", "prediction")
BUSY = "while True: pass"


def steps(job: str) -> Callable[[], int]:
    """A job's step, which returns how many tokens it took."""
    from albert.config import AlbertConfig  # before torch, because its libgomp reads what the package sets

    import torch  # isort: skip

    from albert.compute import train_step as fast
    from albert.model import AlbertForTask
    from albert.tasks import TASKS

    config = AlbertConfig(
        vocab_size=16_000, hidden_size=256, num_hidden_layers=6, num_attention_heads=4, intermediate_size=1024,
        id2label=("a", "b"),
    )  # fmt: skip
    model = AlbertForTask(config, "sequence_classification", generator=torch.Generator().manual_seed(0))
    ids = torch.randint(5, 16_000, (32, 32), generator=torch.Generator().manual_seed(1))
    if job == "training":
        zeros, ones, gold = torch.zeros_like(ids), torch.ones_like(ids), torch.zeros(len(ids), dtype=torch.long)

        def train() -> int:
            model.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(fast.task_logits(model, ids, zeros, ones), gold).backward()
            return ids.numel()

        return train
    from texts import texts_of

    from albert.predict.predictor import Predictor
    from albert.text.tokenizer import AlbertTokenizer

    task = TASKS["classification"]
    predictor = Predictor(model, AlbertTokenizer.english(), task, None, lengths=task.lengths)
    texts = texts_of(32)

    def predict() -> int:
        predictor(texts)
        return 32 * 47

    return predict


def measure(job: str, seconds: float) -> float:
    """Tokens per second of a job in this process."""
    step = steps(job)
    for _ in range(3):
        step()
    start, tokens = time.perf_counter(), 0
    while (passed := time.perf_counter() - start) < seconds:
        tokens += step()
    return tokens / passed


def speed(job: str, spins: str, loops: int, seconds: float) -> float:
    """Tokens per second of a job in another process, beside busy loops."""
    policy = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME")  # the package's own, of this process
    environment = {name: value for name, value in os.environ.items() if name not in policy}
    if spins != "package":
        environment["GOMP_SPINCOUNT"] = spins
    busy = [subprocess.Popen([sys.executable, "-c", BUSY], start_new_session=True) for _ in range(loops)]
    try:
        command = [sys.executable, __file__, "--job", job, "--seconds", str(seconds)]
        return float(subprocess.check_output(command, env=environment, text=True))
    finally:
        for process in busy:
            process.kill()
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spins", default="package,300000")
    parser.add_argument("--loops", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--job", choices=JOBS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        print(measure(arguments.job, arguments.seconds))
        return
    import torch

    print(
        f"{time.strftime('%Y-%m-%d')}, {torch.cpu.get_capabilities().get('cpu_name', 'unknown CPU')}, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, tokens per second, median of {arguments.rounds}"
    )
    print("job, spins: alone, beside, share")
    for job in JOBS:
        found: dict[tuple[str, int], list[float]] = {}
        for _ in range(arguments.rounds):
            for spins in arguments.spins.split(","):
                for loops in (0, arguments.loops):
                    found.setdefault((spins, loops), []).append(speed(job, spins, loops, arguments.seconds))
        for spins in arguments.spins.split(","):
            alone, beside = (statistics.median(found[spins, loops]) for loops in (0, arguments.loops))
            print(f"{job}, {spins}: {alone:,.0f}, {beside:,.0f}, {beside / alone:.2f}", flush=True)


if __name__ == "__main__":
    main()
