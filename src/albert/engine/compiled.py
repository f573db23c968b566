"""Attention compiled for this machine, once: a C++ file of ours, the compiler that is there, a cache of the user's.

It takes a second or two, and says so. Without a compiler, without AVX-512, or with ALBERT_COMPILE=0 there is none, and
PyTorch's own operators do the same.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

_SOURCE = Path(__file__).with_name("attention.cpp")
_FLAGS = ("-O3", "-march=native", "-std=c++17", "-fopenmp", "-shared", "-fPIC")
_NAMES = {torch.float32: "attend_float32", torch.bfloat16: "attend_bfloat16"}
_LANES = 16  # numbers in a register: a head's size is a multiple of it


def attention(dtype: torch.dtype, size: int) -> Callable[..., Tensor] | None:
    """`attend` for heads of this size where this machine has it."""
    function = _functions().get(dtype)
    if function is None or size % _LANES:
        return None

    def attend(
        qkv: Float[Tensor, "tokens width"], *, starts: Int[Tensor, " bounds"], heads: int, first: bool
    ) -> Float[Tensor, "read hidden"]:
        """Each text's attention to itself, texts end to end between `starts`; with `first` of its first piece alone."""
        texts = len(starts) - 1
        context = qkv.new_empty(texts if first else len(qkv), heads * size)
        function(qkv.data_ptr(), context.data_ptr(), starts.data_ptr(), texts, heads, size, first)
        return context

    return attend


@cache
def _functions() -> dict[torch.dtype, Callable[..., None]]:
    path = _library()
    if path is None:
        return {}
    try:
        library = ctypes.CDLL(str(path))
    except OSError:
        return {}
    found = {}
    for dtype, name in _NAMES.items():
        if hasattr(library, name):
            function = getattr(library, name)
            function.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_int64] * 4
            function.restype = None
            found[dtype] = function
    return found


def _library() -> Path | None:
    """The compiled file, made now if this machine has none yet."""
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    able = torch.cpu.get_capabilities().get("avx512_f") and sys.platform == "linux"
    if os.environ.get("ALBERT_COMPILE") == "0" or compiler is None or not able:
        return None
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "albert"
    path = folder / f"attention-{_fingerprint(compiler)}.so"
    if path.exists():
        return path
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        print("compiling attention for this machine, once: a few seconds", file=sys.stderr)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            made = Path(temporary) / path.name
            subprocess.run([compiler, *_FLAGS, str(_SOURCE), "-o", str(made)], check=True, capture_output=True,
                           timeout=120)  # fmt: skip
            made.replace(path)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"not compiled, PyTorch's operators do it: {type(error).__name__}", file=sys.stderr)
        return None
    return path


def _fingerprint(compiler: str) -> str:
    """What a compiled file depends on: the source, how and by what it is compiled, and what the processor can."""
    parts = [_SOURCE.read_bytes(), " ".join((compiler, *_FLAGS)).encode(), platform.machine().encode()]
    parts.append(str(sorted(torch.cpu.get_capabilities().items())).encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
