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
from albert.compute.compiled import function_of, panel_columns
from albert.compute.products import FUSED
from albert.compute.quantized import UNSCALED, QuantizedLinear

_aoti = torch._C._aoti  # how Inductor's compiled models get at tensors
_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype, _pointer_of.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
_ACTIVATIONS = {None: 0, "gelu": 1, "gelu_new": 2, "relu": 3}
_GROUPS = {torch.float32: 1, torch.bfloat16: 2, torch.int8: 4}  # weights in a lane of a register


class _Panels(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("weights", "scales", "sums", "offsets")),
        *((name, ctypes.c_int64) for name in ("columns", "out", "activation")),
    )


class NativeProduct(ctypes.Structure):
    """`Product` of kernels.cpp."""

    _fields_ = (
        ("factors", ctypes.c_void_p),
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

    def product(self, product: Product, activation: str | None = None) -> NativeProduct:
        """A product of floats or in int8."""
        if isinstance(product, QuantizedLinear):
            return self._quantized(product, activation)
        assert isinstance(product, Linear)
        return self.linear(product, activation)

    def linear(self, product: Linear, activation: str | None = None) -> NativeProduct:
        """A product of floats."""
        made = _begun(product.source, activation)
        if self.ours:
            made.panels.weights = self.memory(in_panels(product.source.to(product.bias.dtype)))
            made.panels.offsets = self.memory(product.bias.float())
        else:
            made.weight, made.bias = self._handle(product.weight), self._handle(product.bias)
        return made

    def _quantized(self, product: QuantizedLinear, activation: str | None) -> NativeProduct:
        made = _begun(product.source, activation)
        made.factors = self.memory(product.factors)
        made.panels.scales, made.panels.sums = self.memory(product.scales), self.memory(product.sums)
        made.panels.offsets = self.memory(product.bias)
        if self.ours:
            made.panels.weights = self.memory(in_panels(product.source))
        else:
            made.weight, made.scale, made.zero = map(self._handle, (product.weight, *UNSCALED))
            made.weight_scales, made.weight_zeros = map(self._handle, product.unscaled)
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
    """A weight as our products read it: panels of some outputs, the last one filled up with zeros."""
    columns = panel_columns()
    whole = torch.nn.functional.pad(weight, (0, 0, 0, -len(weight) % columns))
    return whole.view(len(whole) // columns, columns, -1, _GROUPS[weight.dtype]).permute(0, 2, 1, 3).contiguous()
