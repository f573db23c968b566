"""Kernels compiled once for this machine: our C++, the installed compiler, a cache of the user's.

Compiling takes a few seconds and prints a message. Without a compiler, without AVX2, or with ALBERT_COMPILE=0 there
are no kernels, and PyTorch's own operators do the same. `albert.compute.library` knows where they are kept.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from albert.compute.library import library

_NAMES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}
_ARGUMENTS = {
    "attend": (4, 5), "quantize": (4, 2), "embed": (5, 3), "encode": (5, 6), "multiply": (3, 1), "decode": (6, 2),
    "spell": (3, 1),
}  # pointers, then numbers  # fmt: skip
_SILENT = ("attend", "quantize")  # the others say whether they failed
LANES = 16  # numbers in the widest registers: a head's size is a multiple of it
LEAST = 1e-6  # width of inputs that are all the same, in int8


@dataclass(frozen=True)
class Reach:
    """How far attention goes in packed texts: `half` pieces to either side, and the first `shared` pieces of each text.

    Those are read by all pieces of it, and read all.
    """

    half: int
    shared: Int[np.ndarray, " texts"]


def reach_arguments(reach: Reach | None) -> tuple[int | None, int]:
    """The pointer and the number that kernels take; `reach` must live as long as the call."""
    return (None, -1) if reach is None else (reach.shared.ctypes.data, reach.half)


@dataclass(frozen=True)
class Attention:
    """Each text's attention to itself. The texts lie end to end between `starts`."""

    function: Callable[..., int]
    size: int
    heads: int
    starts: Int[Tensor, " bounds"]
    reach: Reach | None = None

    def __call__(self, qkv: Float[Tensor, "tokens width"], *, rows: int, first: bool) -> Float[Tensor, "rows hidden"]:
        """With `first`, only the attention of each text's first piece. The `rows` after the texts
        repeat the first row.
        """
        texts = len(self.starts) - 1
        context = qkv.new_empty(rows, self.heads * self.size)
        shared, half = reach_arguments(self.reach)
        self.function(
            qkv.data_ptr(), context.data_ptr(), self.starts.data_ptr(), shared, texts, self.heads, self.size, first,
            half,
        )  # fmt: skip
        context[texts if first else int(self.starts[-1]) :] = context[0]
        return context


def attention(dtype: torch.dtype, size: int) -> Callable[..., int] | None:
    """The kernel that `Attention` calls for heads of this size, if this machine has it."""
    return None if size % LANES else function_of("attend", dtype)


def quantize(
    x: Float[Tensor, "tokens width"], factors: Float[Tensor, " width"]
) -> tuple[UInt8[Tensor, "tokens width"], Float[Tensor, "tokens 2"]]:
    """x times the factors of its columns as uint8, and each row's [scale, -zero]: (byte - zero) * scale is x."""
    function = function_of("quantize", x.dtype)
    if function is None or x.shape[1] % LANES or not x.is_contiguous():
        x = x * factors
        low = (-x.amin(1, keepdim=True)).clamp(min=0)
        scale = (x.amax(1, keepdim=True).clamp(min=0) + low).clamp(min=LEAST) / 255
        zero = (low / scale).round()
        return (x / scale).round_().add_(zero).clamp_(0, 255).to(torch.uint8), torch.cat([scale, -zero], 1)
    out, ranges = torch.empty(x.shape, dtype=torch.uint8), torch.empty(len(x), 2)
    function(x.data_ptr(), out.data_ptr(), ranges.data_ptr(), factors.data_ptr(), *x.shape)
    return out, ranges


def function_of(name: str, dtype: torch.dtype) -> Callable[..., int] | None:
    """A kernel for numbers of this type, if this machine has it."""
    return _functions().get(f"{name}_{_NAMES[dtype]}")


def panel_columns() -> int:
    """The outputs that a product of ours computes at a time, on a machine that has the kernels."""
    return _functions()["panel_columns"]()


@cache
def _functions() -> dict[str, Callable[..., int]]:
    """The available kernels by name."""
    path = library().path
    if path is None:
        return {}
    try:
        loaded = ctypes.CDLL(str(path))
    except OSError as error:  # as where temporary files may not be run
        print(f"{path} cannot be loaded, PyTorch's operators do it: {error}", file=sys.stderr)
        return {}
    found: dict[str, Callable[..., int]] = {"panel_columns": loaded.panel_columns}
    for kind, (pointers, numbers) in _ARGUMENTS.items():
        for name in (f"{kind}_{number}" for number in _NAMES.values()):
            if hasattr(loaded, name):
                function = getattr(loaded, name)
                function.argtypes = [ctypes.c_void_p] * pointers + [ctypes.c_int64] * numbers
                function.restype = None if kind in _SILENT else ctypes.c_int64
                found[name] = function
    return found
