"""The encoder in one call of C++, with our own products or, on processors with AMX, PyTorch's.

There is no Python between products. So a short text does not pay for it, and computing threads do not wait for the
interpreter after every product while other threads use it (`albert serve`). Our products take half of oneDNN's time for
few rows, because they neither look up nor prepare anything, and the same time for many rows. They cannot match AMX,
which oneDNN uses. oneDNN's products are called through PyTorch's C interface for compiled models.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

from albert.compute.blocks import Block, Linear, Norm, Product
from albert.compute.compiled import LANES, Reach, function_of, reach_arguments
from albert.compute.products import FUSED, PACKS
from albert.compute.quantized import UNSCALED, QuantizedLinear
from albert.model.network import Embeddings

_aoti = torch._C._aoti  # how Inductor's compiled models get at tensors
_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype, _pointer_of.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
_ACTIVATIONS = {None: 0, "gelu": 1, "gelu_new": 2, "relu": 3}
_PANEL = 4 * LANES  # outputs that a product of ours computes at a time
_GROUPS = {torch.float32: 1, torch.bfloat16: 2, torch.int8: 4}  # weights in a lane of a register


class _Panels(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("weights", "scales", "sums", "offsets")),
        *((name, ctypes.c_int64) for name in ("columns", "out", "activation")),
    )


class _Product(ctypes.Structure):
    _fields_ = (
        ("factors", ctypes.c_void_p),
        ("panels", _Panels),
        *((name, ctypes.c_void_p) for name in ("weight", "bias", "scale", "zero", "weight_scales", "weight_zeros")),
        *((name, ctypes.c_char_p) for name in ("activation", "form")),
    )


class _Norm(ctypes.Structure):
    _fields_ = (("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p), ("eps", ctypes.c_double))


class _Block(ctypes.Structure):
    _fields_ = (
        *((name, _Product) for name in ("qkv", "output", "inner", "outer")),
        *((name, _Norm) for name in ("norm", "norm2")),
        *((name, ctypes.c_int64) for name in ("heads", "size")),
    )


class _Embedding(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("word", "type", "position")),
        *((name, ctypes.c_int64) for name in ("words", "types", "positions", "width")),
        ("norm", _Norm),
        ("mapping", _Product),
    )


@dataclass(frozen=True)
class Network:
    """The network to compute: its blocks and the number of heads."""

    embeddings: Embeddings
    mapping: Linear | None
    blocks: Sequence[Block]
    heads: int
    dtype: torch.dtype


class FusedEncoder:
    """Embeddings and blocks as `PackedModel` computes them, where `fused` says that it can."""

    def __init__(self, network: Network, *, ours: bool) -> None:
        """With `ours`, uses our own products, which take any number of rows."""
        self.ours = ours
        self.network = network
        self._tensors: list[Tensor] = []  # whose memory C++ reads
        self._handles: list[Any] = []
        self._embed, self._encode = _function("embed", network.dtype), _function("encode", network.dtype)
        self._embedding = self._of_embeddings(network.embeddings, network.mapping)
        self._blocks = {block: self._of_block(block, network.heads) for block in network.blocks}
        self._hidden = network.blocks[0].hidden
        weakref.finalize(self, _aoti.alloc_tensors_by_stealing_from_void_ptrs, self._handles)

    def embed(
        self, ids: Int[Tensor, " tokens"], types: Int[Tensor, " tokens"], starts: Int[np.ndarray, " bounds"], rows: int
    ) -> Float[Tensor, "rows hidden"] | None:
        """The input of the first depth; None if it failed, for example for ids beyond the table."""
        out = torch.empty(rows, self._hidden, dtype=self.network.dtype)
        ids, types = ids.long().contiguous(), types.long().contiguous()
        failed = self._embed(
            ctypes.byref(self._embedding), ids.data_ptr(), types.data_ptr(), starts.ctypes.data, out.data_ptr(),
            len(starts) - 1, rows,
        )  # fmt: skip
        return None if failed else out

    def run(
        self, x: Float[Tensor, "rows hidden"], starts: Int[np.ndarray, " bounds"], depths: Sequence[Block],
        *, wanted: int, first: bool, reach: Reach | None = None,
    ) -> Float[Tensor, "wanted hidden"] | None:  # fmt: skip
        """The output of these depths for x. With `first`, the last depth computes only the first pieces. None if it
        failed.
        """
        out = x.new_empty(wanted, self._hidden)
        blocks = (ctypes.c_void_p * len(depths))(*(ctypes.addressof(self._blocks[block]) for block in depths))
        shared, half = reach_arguments(reach)
        failed = self._encode(
            blocks, x.data_ptr(), out.data_ptr(), starts.ctypes.data, shared, len(depths), len(x), wanted,
            len(starts) - 1, first, half,
        )  # fmt: skip
        return None if failed else out

    def _of_embeddings(self, tables: Embeddings, mapping: Linear | None) -> _Embedding:
        found = [table.weight.detach() for table in (tables.word, tables.token_type, tables.position)]
        made = _Embedding(*map(self._memory, found), *map(len, found), found[0].shape[1], self._norm(Norm(tables.norm)))
        if mapping is not None:
            made.mapping = self._linear(mapping, None)
        return made

    def _of_block(self, block: Block, heads: int) -> _Block:
        products = [
            self._product(product, block.activation if product is block.inner else None) for product in block.products
        ]
        return _Block(*products, self._norm(block.norm), self._norm(block.norm2), heads, block.hidden // heads)

    def _product(self, product: Product, activation: str | None) -> _Product:
        if isinstance(product, Linear):
            return self._linear(product, activation)
        assert isinstance(product, QuantizedLinear)
        return self._quantized(product, activation)

    def _linear(self, product: Linear, activation: str | None) -> _Product:
        made = _begun(product.source, activation)
        if self.ours:
            made.panels.weights = self._memory(in_panels(product.source.to(product.bias.dtype)))
            made.panels.offsets = self._memory(product.bias.float())
        else:
            made.weight, made.bias = self._handle(product.weight), self._handle(product.bias)
        return made

    def _quantized(self, product: QuantizedLinear, activation: str | None) -> _Product:
        made = _begun(product.source, activation)
        made.factors = self._memory(product.factors)
        made.panels.scales, made.panels.sums = self._memory(product.scales), self._memory(product.sums)
        made.panels.offsets = self._memory(product.bias)
        if self.ours:
            made.panels.weights = self._memory(in_panels(product.source))
        else:
            made.weight, made.scale, made.zero = map(self._handle, (product.weight, *UNSCALED))
            made.weight_scales, made.weight_zeros = map(self._handle, product.unscaled)
        return made

    def _norm(self, norm: Norm) -> _Norm:
        _, weight, bias, eps = norm.inputs
        return _Norm(self._memory(weight), self._memory(bias), eps)

    def _handle(self, tensor: Tensor) -> int:
        (capsule,) = _aoti.unsafe_alloc_void_ptrs_from_tensors([tensor])
        self._handles.append(capsule)
        return int(_pointer_of(capsule, None))

    def _memory(self, tensor: Tensor) -> int:
        self._tensors.append(tensor.contiguous())
        return self._tensors[-1].data_ptr()


def _begun(weight: Num[Tensor, "out in"], activation: str | None) -> _Product:
    name, form = FUSED[activation] if activation else ("none", "")
    made = _Product(activation=name.encode(), form=form.encode())
    made.panels.out, made.panels.columns = weight.shape
    made.panels.activation = _ACTIVATIONS[activation]
    return made


def _function(name: str, dtype: torch.dtype) -> Callable[..., int]:
    function = function_of(name, dtype)
    assert function is not None
    return function


def in_panels(weight: Num[Tensor, "out in"]) -> Num[Tensor, "panels groups columns group"]:
    """A weight as our products read it: panels of 64 outputs, the last one filled up with zeros."""
    whole = torch.nn.functional.pad(weight, (0, 0, 0, -len(weight) % _PANEL))
    return whole.view(len(whole) // _PANEL, _PANEL, -1, _GROUPS[weight.dtype]).permute(0, 2, 1, 3).contiguous()


def fused(network: Network) -> FusedEncoder | None:
    """The encoder in one call, if this machine and the network's sizes allow it."""
    products = [product for block in network.blocks for product in block.products]
    kind, processor = type(products[0]), torch.cpu.get_capabilities()
    if function_of("encode", network.dtype) is None or any(type(product) is not kind for product in products):
        return None
    tables = network.embeddings.word.weight
    if tables.dtype != torch.float32 or tables.shape[1] % LANES:
        return None
    if any(block.activation not in FUSED for block in network.blocks):
        return None
    widths = [
        width for product in products if isinstance(product, Linear | QuantizedLinear) for width in product.source.shape
    ]
    even = not any(width % LANES for width in widths)
    ours = even and not processor.get("amx_tile")
    if kind is Linear:
        able = ours or PACKS
    else:
        able = kind is QuantizedLinear and even and (
            processor.get("avx512_vnni", False) if ours else PACKS and network.dtype == torch.bfloat16
        )  # fmt: skip
    return FusedEncoder(network, ours=ours) if able else None
