"""Threads that wait leave the core to others, whether those are of another program or of their own team."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

POLICY = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME")
CROWDED = """
import os, time
import albert
import torch

left, right = torch.randn(64, 256), torch.randn(256, 256)

def seconds(threads):
    torch.set_num_threads(threads)
    start = time.perf_counter()
    for _ in range(300):
        torch.tanh(left @ right).sum()
    return time.perf_counter() - start

seconds(2)
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
for thread in os.listdir("/proc/self/task"):
    os.sched_setaffinity(int(thread), os.sched_getaffinity(0))
print(min(seconds(2) for _ in range(3)) / min(seconds(1) for _ in range(3)))
"""

BESIDE_THE_MAIN_THREAD = """
import threading, time
import albert
import torch

torch.set_num_threads(2)
left, right = torch.randn(64, 256), torch.randn(256, 256)

def measure(seconds):
    for _ in range(7):
        start = time.perf_counter()
        for _ in range(300):
            torch.tanh(left @ right).sum()
        seconds.append(time.perf_counter() - start)

main, beside = [], []
measure(main)
thread = threading.Thread(target=measure, args=(beside,))
thread.start()
thread.join()
print(min(beside) / min(main))
"""


def python(code: str, **variables: str) -> str:
    named = {k: v for k, v in os.environ.items() if k not in POLICY}
    environment = {**named, "OMP_NUM_THREADS": "2", **variables}
    return subprocess.check_output([sys.executable, "-c", code], env=environment, text=True).strip()


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_two_threads_that_get_one_core_are_not_far_slower_than_one() -> None:
    assert float(python(CROWDED)) < 8


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_a_thread_beside_the_main_one_computes_as_fast() -> None:
    assert min(float(python(BESIDE_THE_MAIN_THREAD)) for _ in range(3)) < 1.8


@pytest.mark.parametrize(
    ("variables", "policy"),
    [
        ({}, "1000 active 200"),
        ({"KMP_BLOCKTIME": "0"}, "1000 active 0"),
        ({"GOMP_SPINCOUNT": "7"}, "7 None None"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "None ACTIVE None"),
    ],
)
def test_who_sets_a_policy_keeps_it(variables: dict[str, str], policy: str) -> None:
    assert python(f"import os, albert; print(*map(os.environ.get, {POLICY}))", **variables) == policy
