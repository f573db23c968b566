"""Kernels compiled for this machine, once: a C++ file of ours, the compiler that is there, a cache of the user's.

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

_SOURCE = Path(__file__).with_name("kernels.cpp")
_FLAGS = ("-O3", "-march=native", "-std=c++17", "-fopenmp", "-shared", "-fPIC")
_NAMES = {torch.float32: "attend_float32", torch.bfloat16: "attend_bfloat16"}
_ARGUMENTS = {  # pointers, then numbers
    "attend_float32": (3, 4), "attend_bfloat16": (3, 4), "quantize_bfloat16": (3, 3),
}  # fmt: skip
_LANES = 16  # numbers in a register: a head's size is a multiple of it


def attention(dtype: torch.dtype, size: int) -> Callable[..., Tensor] | None:
    """`attend` for heads of this size where this machine has it."""
    function = _functions().get(_NAMES[dtype])
    if function is None or size % _LANES:
        return None

    def attend(
        qkv: Float[Tensor, "tokens width"], *, starts: Int[Tensor, " bounds"], heads: int, rows: int, first: bool
    ) -> Float[Tensor, "rows hidden"]:
        """Each text's attention to itself, texts end to end between `starts`; with `first` of its first piece alone.

        Of the `rows` those after the texts are copies of the first.
        """
        texts = len(starts) - 1
        context = qkv.new_empty(rows, heads * size)
        function(qkv.data_ptr(), context.data_ptr(), starts.data_ptr(), texts, heads, size, first)
        context[texts if first else int(starts[-1]) :] = context[0]
        return context

    return attend


def quantize(x: Float[Tensor, "tokens width"], factors: Float[Tensor, " width"], zero: int) -> Tensor:
    """round(x * factor of the column) + zero, kept within 0 and 255, as uint8."""
    function = _functions().get("quantize_bfloat16")
    if function is None or x.dtype != torch.bfloat16 or x.shape[1] % _LANES or not x.is_contiguous():
        return (x * factors).round_().add_(zero).clamp_(0, 255).to(torch.uint8)
    out = torch.empty(x.shape, dtype=torch.uint8)
    function(x.data_ptr(), out.data_ptr(), factors.data_ptr(), *x.shape, zero)
    return out


@cache
def _functions() -> dict[str, Callable[..., None]]:
    """What there is, by name."""
    path = _library()
    if path is None:
        return {}
    try:
        library = ctypes.CDLL(str(path))
    except OSError:
        return {}
    found = {}
    for name, (pointers, numbers) in _ARGUMENTS.items():
        if hasattr(library, name):
            function = getattr(library, name)
            function.argtypes = [ctypes.c_void_p] * pointers + [ctypes.c_int64] * numbers
            function.restype = None
            found[name] = function
    return found


def _library() -> Path | None:
    """The compiled file, made now if this machine has none yet."""
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    able = torch.cpu.get_capabilities().get("avx512_f") and sys.platform == "linux"
    if os.environ.get("ALBERT_COMPILE") == "0" or compiler is None or not able:
        return None
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "albert"
    path = folder / f"kernels-{_fingerprint(compiler)}.so"
    if path.exists():
        return path
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        print("compiling kernels for this machine, once: a few seconds", file=sys.stderr)
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
