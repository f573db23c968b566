"""What `make test-isa` plays reaches the processes that tests start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import torch


def test_a_process_finds_less_than_there_is() -> None:
    hidden = os.environ.get("ALBERT_TEST_WITHOUT", "") + " avx2 l1d"
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).with_name("played")), "ALBERT_TEST_WITHOUT": hidden}
    code = "import json, torch; print(json.dumps(sorted(torch.cpu.get_capabilities())))"
    found = json.loads(subprocess.check_output([sys.executable, "-c", code], env=env, text=True))
    there = set(torch.cpu.get_capabilities())
    assert "l1d_cache_size" in there
    assert set(found) == there - {"avx2", "l1d_cache_size"}
