"""The versions and the machine of a run."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

import torch

from albert.version import __version__

_PACKAGES = ("torch", "tokenizers", "numpy", "scikit-learn")


def machine() -> dict[str, str]:
    """Versions, processor, cores and device by name."""
    return {
        "albert-nlp": __version__,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in _PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "processor": f"{_processor()}, {os.cpu_count()} cores; torch threads: {torch.get_num_threads()}",
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
    }


def _processor() -> str:
    """The processor's name from Linux, else from Python."""
    described = Path("/proc/cpuinfo")
    if described.is_file():
        for line in described.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
