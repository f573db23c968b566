"""`albert doctor`: what is installed, what the machine has, and whether both compute the right thing."""

from __future__ import annotations

import os
import platform
import shutil
from typing import TYPE_CHECKING, Any

import typer

from albert.cli.options import AsJson
from albert.errors import ErrorKind
from albert.version import __version__

if TYPE_CHECKING:
    import torch

_PACKAGES = (
    "torch",
    "tokenizers",
    "sentencepiece",
    "sentencex",
    "safetensors",
    "huggingface_hub",
    "numpy",
    "scikit-learn",
)


def doctor(json: AsJson = False) -> None:
    """Check this machine and installation: versions, threads, number formats, a known-answer test."""
    from importlib import metadata

    import torch

    from albert.engine import resolve_precision

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    facts: dict[str, Any] = {
        "albert": __version__,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in _PACKAGES},
        "device": torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {platform.machine()}",
        "threads": torch.get_num_threads(),
        "compiled kernels": _kernels(),
        "training precision": resolve_precision("auto", device),
        "free memory": _gigabytes(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")),
        "free disk here": _gigabytes(shutil.disk_usage(".").free),
        "HF_HUB_OFFLINE": os.environ.get("HF_HUB_OFFLINE", "not set"),
    }
    checks = {"tokenizer": _tokenizer_works(), "forward and backward": _network_works(device)}
    if json:
        from json import dumps

        print(dumps({**facts, "checks": checks}))
    else:
        for name, value in facts.items():
            print(f"{name:20} {value}")
        for name, passed in checks.items():
            print(f"{name:20} {'ok' if passed else 'FAILED: reinstall the package and torch 2.13.0'}")
    if not all(checks.values()):
        raise typer.Exit(ErrorKind.INTERNAL.exit_code)


def _tokenizer_works() -> bool:
    from albert.text.tokenizer import AlbertTokenizer

    tokenizer = AlbertTokenizer.english()
    encoding = tokenizer("It works, in 2026.")
    return tokenizer.decode(encoding.input_ids) == "it works, in 2026."


def _network_works(device: torch.device) -> bool:
    """Same weights and ids by the reference in two shapes: padding must not change a logit, gradients exist."""
    import torch

    from albert.config import AlbertConfig
    from albert.model import AlbertForTask

    config = AlbertConfig.named("tiny", vocab_size=100, id2label=("a", "b"))
    model = AlbertForTask(config, "sequence_classification", generator=torch.Generator().manual_seed(0))
    model.to(device).eval()
    ids = torch.arange(5, 25, device=device)[None]
    padded = torch.nn.functional.pad(ids, (0, 12))
    mask = (torch.arange(32, device=device) < 20).long()[None]
    alone, beside = model(ids), model(padded, attention_mask=mask)
    alone.sum().backward()
    finite = all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    return bool(finite and torch.allclose(alone, beside, atol=1e-4))


def _kernels() -> str:
    """Whether the kernels are compiled, where they lie or will lie, or why there are none."""
    from albert.compute.library import look
    from albert.storage.private import private_folders

    found = look()
    if found.path is not None:
        return str(found.path)
    if found.tried:
        return f"not compiled: {found.reason}; tried again in a day, after a change, or with ALBERT_COMPILE=1"
    if found.reason:
        return f"none: {found.reason}"
    return f"not compiled yet; at first use, into {next(iter(private_folders()), 'no folder')}"


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
