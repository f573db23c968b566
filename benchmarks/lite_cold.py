"""What `albert-lite predict` takes for ten lines, from the start of Python to its end: time and memory.

    python benchmarks/lite_cold.py MODEL < LINES        seconds; benchmarks/lite.py calls it

It imports nothing large, since the memory of a process that starts another one counts as the other's at first.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROUNDS = 15

lines = sys.stdin.buffer.read()
library = str(ROOT / "build" / "lite" / "libalbert_lite.so")
environment = {"ALBERT_LITE_LIBRARY": library, **os.environ, "PYTHONPATH": str(ROOT / "lite" / "python")}
command = [sys.executable, "-m", "albert_lite.cli", "predict", sys.argv[1]]
walls, cpu = [], []
for _ in range(ROUNDS):
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, input=lines, env=environment, stdout=subprocess.DEVNULL, check=True)
    walls.append(time.perf_counter() - start)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
print(
    f"cold start, ten lines: best {min(walls):.3f} s, median {statistics.median(walls):.3f} s; processor time "
    f"{min(cpu):.3f} s; {after.ru_maxrss / 1024:.0f} MB"
)
