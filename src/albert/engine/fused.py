"""A block of the encoder in one call of C++, through PyTorch's C interface for compiled models.

Between products there is then no Python: a short text does not pay for it, and threads that compute do not wait for the
interpreter after every product while others use it (`albert serve`).
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from albert.engine.blocks import Block, Linear, Norm
from albert.engine.compiled import Attention, block_function
from albert.engine.quantized import QuantizedLinear
from albert.model.products import FUSED, PACKS

_aoti = torch._C._aoti  # how Inductor's compiled models get at tensors
_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype, _pointer_of.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)


class _Product(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("weight", "bias", "scale", "zero", "weight_scales", "weight_zeros")),
        ("factors", ctypes.c_void_p),
        ("shift", ctypes.c_int64),
        ("out", ctypes.c_int64),
        ("out_scale", ctypes.c_double),
        ("out_zero", ctypes.c_int64),
    )


class _Norm(ctypes.Structure):
    _fields_ = (("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p), ("eps", ctypes.c_double))


class _Block(ctypes.Structure):
    _fields_ = (
        *((name, _Product) for name in ("qkv", "output", "inner", "outer")),
        *((name, _Norm) for name in ("norm", "norm2")),
        *((name, ctypes.c_char_p) for name in ("activation", "form")),
        *((name, ctypes.c_int64) for name in ("heads", "size")),
    )


class FusedBlock:
    """What a `Block` computes, at each of its uses, where `fused` says that it can."""

    def __init__(self, function: Callable[..., int], block: Block, uses: int, heads: int) -> None:
        self._tensors: list[Tensor] = []  # whose memory C++ reads
        self._handles: list[Any] = []
        self._function = function
        hidden = block.norm.inputs[1].shape[0]
        name, form = FUSED[block.activation]
        self._blocks = [
            _Block(
                *(self._product(product, use) for product in (block.qkv, block.output, block.inner, block.outer)),
                *(self._norm(norm) for norm in (block.norm, block.norm2)),
                name.encode(), form.encode(), heads, hidden // heads,
            )
            for use in range(uses)
        ]  # fmt: skip
        weakref.finalize(self, _aoti.alloc_tensors_by_stealing_from_void_ptrs, self._handles)

    def __call__(
        self, x: Float[Tensor, "tokens hidden"], use: int, attend: Attention, *, read: Tensor | None = None
    ) -> Float[Tensor, "read hidden"] | None:
        """As `Block`; None where it failed."""
        skipped = x if read is None else x[read]
        out = torch.empty_like(skipped)
        failed = self._function(
            ctypes.byref(self._blocks[use]), x.data_ptr(), skipped.data_ptr(), out.data_ptr(), attend.starts.data_ptr(),
            len(x), len(out), len(attend.starts) - 1, read is not None,
        )  # fmt: skip
        return None if failed else out

    def _handle(self, tensor: Tensor) -> int:
        (capsule,) = _aoti.unsafe_alloc_void_ptrs_from_tensors([tensor])
        self._handles.append(capsule)
        return int(_pointer_of(capsule, None))

    def _memory(self, tensor: Tensor) -> int:
        self._tensors.append(tensor.contiguous())
        return self._tensors[-1].data_ptr()

    def _product(self, product: object, use: int) -> _Product:
        if isinstance(product, Linear):
            return _Product(
                weight=self._handle(product.weight), bias=self._handle(product.bias), out=len(product.source)
            )
        assert isinstance(product, QuantizedLinear)
        after = product.following
        return _Product(
            *map(self._handle, (
                product.weight, product.bias, torch.tensor(product.scales[use]), torch.tensor(product.zeros[use]),
                product.weight_scales, product.weight_zeros,
            )),
            None if product.reads_whole else self._memory(product.factors[use]),
            product.zeros[use], len(product.weight_scales),
            *((0.0, 0) if after is None else (after.scales[use], after.zeros[use])),
        )  # fmt: skip

    def _norm(self, norm: Norm) -> _Norm:
        _, weight, bias, eps = norm.inputs
        return _Norm(self._memory(weight), self._memory(bias), eps)


def fused(block: Block, uses: int, heads: int, dtype: torch.dtype) -> FusedBlock | None:
    """The block in one call, where this machine and its products allow it."""
    products = block.qkv, block.output, block.inner, block.outer
    function = block_function(dtype) if PACKS and block.activation in FUSED else None
    alike = all(isinstance(product, Linear) for product in products) or (
        dtype == torch.bfloat16 and all(isinstance(product, QuantizedLinear) for product in products)
    )
    return FusedBlock(function, block, uses, heads) if function is not None and alike else None
