"""Speed and memory of fine-tuning on the real lengths of a labelled file: CPU time per step, peak RSS, kernels.

    python benchmarks/finetuning.py GLUE/SST-2/train.tsv                 three shapes, 300 steps each
    python benchmarks/finetuning.py GLUE/SST-2/train.tsv --only 512x12 --kernels

Networks have random weights, because speed does not depend on them. Each shape runs in a separate process, so that its
peak is its own. CPU time is that of the process: other jobs disturb it less than the clock. `--kernels` counts the
kernels that oneDNN makes; its log costs time, so no speed is given then. Compare two versions of the package with
PYTHONPATH=OTHER/src.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SHAPES = {
    "256x6": {"hidden_size": 256, "num_hidden_layers": 6, "num_attention_heads": 4, "intermediate_size": 1024},
    "384x6": {
        "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536,
        "num_hidden_groups": 3,
    },
    "512x12": {"hidden_size": 512, "num_hidden_layers": 12, "num_attention_heads": 8, "intermediate_size": 2048},
}  # fmt: skip


def one(shape: str, train: Path, steps: int, rows: int) -> str:
    """Trains one shape in this process."""
    import torch

    from albert.config import AlbertConfig
    from albert.data.reading import DataSource
    from albert.finetuning.attempts import Settings, TaskObjective
    from albert.finetuning.dataset import FinetuneConfig, read_dataset
    from albert.finetuning.source import FeatureSource
    from albert.model import AlbertForTask
    from albert.text.tokenizer import AlbertTokenizer
    from albert.training.loop import Trainer
    from albert.training.optimizer import OptimizerConfig, build_optimizer
    from albert.training.parts import LoopConfig
    from albert.training.progress import ConsoleProgress

    class Watch(ConsoleProgress):
        """Keeps the seconds of every step, and the memory as it grows."""

        def __init__(self) -> None:
            super().__init__(quiet=True)
            self.seconds: list[float] = []
            self.memory: list[int] = []

        def on_step(self, step: int, total: int, *, loss: float, tokens: int, seconds: float) -> None:
            self.seconds.append(seconds)
            if step % 50 == 0:
                self.memory.append(peak())

    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder, train.name)
        with train.open(encoding="utf-8") as file:
            part.write_text("".join(itertools.islice(file, rows + 1)), encoding="utf-8")
        config = FinetuneConfig(train=DataSource(str(part)), out=Path(folder, "out"))
        settings = Settings(*(kind() for kind in Settings.kinds()))
        data = read_dataset(config, AlbertTokenizer.english(), settings.loss, settings.text, seed=0)
        network = AlbertConfig.named("tiny", **SHAPES[shape]).with_(
            id2label=data.labels, problem_type=data.task.problem_type
        )
        model = AlbertForTask(network, data.task.head, generator=torch.Generator().manual_seed(0))
        loop = LoopConfig(steps=steps, save_seconds=1e9)
        watch, before = Watch(), peak()
        trainer = Trainer(
            model,
            build_optimizer(model, OptimizerConfig(lr=1e-4), groups=network.num_hidden_groups),
            FeatureSource(data.train, loop),
            TaskObjective(data.task, data.loss),
            config=loop,
            folder=config.out,
            fingerprint={},
            progress=watch,
            schedule=OptimizerConfig().rate_at,
            clip=1.0,
        )
        start, busy = time.perf_counter(), time.process_time()
        trainer.run()
        took, busy = time.perf_counter() - start, time.process_time() - busy
    return (
        f"{shape}: {busy / steps * 1000:.1f} ms of CPU a step, {steps / took:.2f} steps/s, median step "
        f"{statistics.median(watch.seconds) * 1000:.1f} ms in "
        f"{trainer.precision}, peak {before} MiB before training, after each 50 steps {watch.memory} MB"
    )


def peak() -> int:
    """The most memory that this process has had, MiB; getrusage may tell the parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("--only", choices=SHAPES)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--kernels", action="store_true")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        print(one(arguments.only, arguments.train, arguments.steps, arguments.rows))
        return
    for shape in [arguments.only] if arguments.only else SHAPES:
        command = [sys.executable, __file__, str(arguments.train), "--only", shape, "--here",
                   "--steps", str(arguments.steps), "--rows", str(arguments.rows)]  # fmt: skip
        verbose = {"ONEDNN_VERBOSE": "2"} if arguments.kernels else {}
        found = subprocess.run(command, env={**os.environ, **verbose}, capture_output=True, text=True, check=False)
        if found.returncode:
            sys.exit(found.stderr)
        lines = found.stdout.splitlines()
        print(lines[-1] if not arguments.kernels else f"{shape}: {kernels(lines)} kernels in {arguments.steps} steps")


def kernels(lines: list[str]) -> int:
    """The number of lines in oneDNN's log about a new kernel."""
    return sum("create:cache_miss" in line for line in lines)


if __name__ == "__main__":
    main()
