"""albert-lite, built once into a cached folder; without a compiler or cmake its tests are skipped."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT

PACKAGE = ROOT / "lite" / "python"
BUILD = ROOT / "build" / "lite"


def build(folder: Path, *options: str) -> Path:
    """Builds what has changed since the last time. Other processes wait."""
    missing = [name for name in ("cmake", os.environ.get("CXX", "g++")) if shutil.which(name) is None]
    if missing:
        pytest.skip(f"albert-lite is not built: no {missing[0]}")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (["-S", str(ROOT / "lite"), "-B", str(folder), *options], ["--build", str(folder), "-j2"]):
            done = subprocess.run(["cmake", *command], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder
