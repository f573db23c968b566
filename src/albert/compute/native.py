"""Weights as our C++ reads them: products in panels or in PyTorch's layout, and norms."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Num
from torch import Tensor

from albert.compute.blocks import Linear, Norm, Product
from albert.compute.compiled import LANES, function_of
from albert.compute.products import FUSED
from albert.compute.quantized import QuantizedLinear, RangedLinear

_aoti = torch._C._aoti  # how Inductor's compiled models get at tensors
_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype, _pointer_of.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
_ACTIVATIONS = {None: 0, "gelu": 1, "gelu_new": 2, "relu": 3}
_PANEL = 4 * LANES  # outputs that a product of ours computes at a time
_GROUPS = {torch.float32: 1, torch.bfloat16: 2, torch.int8: 4}  # weights in a lane of a register


class _Panels(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("weights", "scales", "offsets")),
        *((name, ctypes.c_int64) for name in ("columns", "out", "activation")),
        ("out_scale", ctypes.c_double),
        ("out_zero", ctypes.c_int64),
        ("sums", ctypes.c_void_p),
    )


class NativeProduct(ctypes.Structure):
    """`Product` of kernels.cpp."""

    _fields_ = (
        ("factors", ctypes.c_void_p),
        ("shift", ctypes.c_int64),
        ("whole", ctypes.c_int64),
        ("panels", _Panels),
        *((name, ctypes.c_void_p) for name in ("weight", "bias", "scale", "zero", "weight_scales", "weight_zeros")),
        *((name, ctypes.c_char_p) for name in ("activation", "form")),
    )


class NativeNorm(ctypes.Structure):
    """`Norm` of blocks.h."""

    _fields_ = (("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p), ("eps", ctypes.c_double))


class Native:
    """Lays weights out, and keeps the memory that C++ reads as long as this lives."""

    def __init__(self, *, ours: bool) -> None:
        """With `ours`, for our own products, which take any number of rows."""
        self.ours = ours
        self._tensors: list[Tensor] = []
        self._handles: list[Any] = []
        weakref.finalize(self, _aoti.alloc_tensors_by_stealing_from_void_ptrs, self._handles)

    def products(self, product: Product, uses: int, activation: str | None = None) -> list[NativeProduct]:
        """A product, one for each use of its block."""
        if isinstance(product, QuantizedLinear):
            weights = self.memory(in_panels(product.source)) if self.ours else None
            return [self._quantized(product, use, weights, activation) for use in range(uses)]
        if isinstance(product, RangedLinear):
            return [self._ranged(product, activation)] * uses
        assert isinstance(product, Linear)
        return [self.linear(product, activation)] * uses

    def linear(self, product: Linear, activation: str | None = None) -> NativeProduct:
        """A product of floats."""
        made = _begun(product.source, activation)
        if self.ours:
            made.panels.weights = self.memory(in_panels(product.source.to(product.bias.dtype)))
            made.panels.scales = self.memory(torch.ones(len(product.bias)))
            made.panels.offsets = self.memory(product.bias.float())
        else:
            made.weight, made.bias = self._handle(product.weight), self._handle(product.bias)
        return made

    def _ranged(self, product: RangedLinear, activation: str | None) -> NativeProduct:
        assert self.ours  # PyTorch's products know one range for all rows
        made = _begun(product.source, activation)
        made.panels.weights = self.memory(in_panels(product.source))
        made.panels.scales, made.panels.offsets = self.memory(product.weight_scales), self.memory(product.bias)
        made.panels.sums = self.memory(product.sums)
        return made

    def _quantized(
        self, product: QuantizedLinear, use: int, weights: int | None, activation: str | None
    ) -> NativeProduct:
        made = _begun(product.source, activation)
        made.whole = True
        made.factors = None if product.reads_whole else self.memory(product.factors[use])
        made.shift = product.zeros[use]
        if (after := product.following) is not None:
            made.panels.out_scale, made.panels.out_zero = after.scales[use], after.zeros[use]
        if self.ours:
            scales = product.scales[use] * product.weight_scales
            made.panels.weights, made.panels.scales = weights, self.memory(scales)
            made.panels.offsets = self.memory(product.bias - product.zeros[use] * product.sums * scales)
        else:
            made.weight, made.bias = self._handle(product.weight), self._handle(product.bias)
            made.scale = self._handle(torch.tensor(product.scales[use]))
            made.zero = self._handle(torch.tensor(product.zeros[use]))
            made.weight_scales, made.weight_zeros = map(self._handle, (product.weight_scales, product.weight_zeros))
        return made

    def norm(self, norm: Norm) -> NativeNorm:
        """A LayerNorm."""
        _, weight, bias, eps = norm.inputs
        return NativeNorm(self.memory(weight), self.memory(bias), eps)

    def memory(self, tensor: Tensor) -> int:
        """Where a tensor's numbers stand, one behind the other."""
        self._tensors.append(tensor.contiguous())
        return self._tensors[-1].data_ptr()

    def _handle(self, tensor: Tensor) -> int:
        (capsule,) = _aoti.unsafe_alloc_void_ptrs_from_tensors([tensor])
        self._handles.append(capsule)
        return int(_pointer_of(capsule, None))


def _begun(weight: Num[Tensor, "out in"], activation: str | None) -> NativeProduct:
    name, form = FUSED[activation] if activation else ("none", "")
    made = NativeProduct(activation=name.encode(), form=form.encode())
    made.panels.out, made.panels.columns = weight.shape
    made.panels.activation = _ACTIVATIONS[activation]
    return made


def native(name: str, dtype: torch.dtype) -> Callable[..., int]:
    """A function of our C++, which this machine must have."""
    function = function_of(name, dtype)
    assert function is not None
    return function


def in_panels(weight: Num[Tensor, "out in"]) -> Num[Tensor, "panels groups columns group"]:
    """A weight as our products read it: panels of 64 outputs, the last one filled up with zeros."""
    whole = torch.nn.functional.pad(weight, (0, 0, 0, -len(weight) % _PANEL))
    return whole.view(len(whole) // _PANEL, _PANEL, -1, _GROUPS[weight.dtype]).permute(0, 2, 1, 3).contiguous()
