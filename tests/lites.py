"""albert-lite, built once into a cached folder; without a compiler or cmake its tests are skipped.

For ARM it is built by a cross compiler, and run by qemu.
"""

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


ARM = ROOT / "build" / "lite-aarch64"
_ARM_TOOLS = "aarch64-linux-gnu-"


def build(folder: Path, *options: str) -> Path:
    """Builds what has changed since the last time. Other processes wait."""
    require("cmake", os.environ.get("CXX", "g++"))
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (["-S", str(ROOT / "lite"), "-B", str(folder), *options], ["--build", str(folder), "-j2"]):
            done = subprocess.run(["cmake", *command], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


def require(*programs: str) -> None:
    """Skips the test where one of them is missing."""
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        pytest.skip(f"albert-lite is not built: no {missing[0]}")


def build_for_arm() -> Path:
    """The folder with the programs for 64-bit ARM."""
    compilers = {"CMAKE_C_COMPILER": f"{_ARM_TOOLS}gcc", "CMAKE_CXX_COMPILER": f"{_ARM_TOOLS}g++"}
    require(*compilers.values(), "qemu-aarch64")
    target = {"CMAKE_SYSTEM_NAME": "Linux", "CMAKE_SYSTEM_PROCESSOR": "aarch64", **compilers}
    return build(ARM, *(f"-D{name}={value}" for name, value in target.items()))


def on_arm(program: str) -> list[str]:
    """The command that runs a program of this build on an emulated processor."""
    return ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", str(build_for_arm() / program)]
