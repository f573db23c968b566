"""The encoder in one call of C++, with our own products or, on processors with AMX, PyTorch's.

There is no Python between products. So a short text does not pay for it, and computing threads do not wait for the
interpreter after every product while other threads use it (`albert serve`). Our products take half of oneDNN's time for
few rows, because they neither look up nor prepare anything, and the same time for many rows. They cannot match AMX,
which oneDNN uses. oneDNN's products are called through PyTorch's C interface for compiled models.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from albert.compute.blocks import Block, Linear, Norm
from albert.compute.compiled import LANES, Reach, function_of, reach_arguments
from albert.compute.native import Native, NativeNorm, NativeProduct, native
from albert.compute.precision import has_int8_products
from albert.compute.products import FUSED, PACKS
from albert.compute.quantized import QuantizedLinear
from albert.model.network import Embeddings


class _Block(ctypes.Structure):
    _fields_ = (
        *((name, NativeProduct) for name in ("qkv", "output", "inner", "outer")),
        *((name, NativeNorm) for name in ("norm", "norm2")),
        *((name, ctypes.c_int64) for name in ("heads", "size")),
    )


class _Embedding(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("word", "type", "position")),
        *((name, ctypes.c_int64) for name in ("words", "types", "positions", "width")),
        ("norm", NativeNorm),
        ("mapping", NativeProduct),
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
        self._weights = Native(ours=ours)
        self._embed, self._encode = native("embed", network.dtype), native("encode", network.dtype)
        self._embedding = self._of_embeddings(network.embeddings, network.mapping)
        self._blocks = {block: self._of_block(block, network.heads) for block in network.blocks}
        self._hidden = network.blocks[0].hidden

    def embed(
        self, ids: Int[Tensor, " tokens"], types: Int[Tensor, " tokens"], starts: Int[np.ndarray, " bounds"], rows: int,
        *, place: int = 0,
    ) -> Float[Tensor, "rows hidden"] | None:  # fmt: skip
        """The input of the first depth; None if it failed, for example for ids beyond the table.

        `place` is the position of each text's first piece.
        """
        out = torch.empty(rows, self._hidden, dtype=self.network.dtype)
        ids, types = ids.long().contiguous(), types.long().contiguous()
        failed = self._embed(
            ctypes.byref(self._embedding), ids.data_ptr(), types.data_ptr(), starts.ctypes.data, out.data_ptr(),
            len(starts) - 1, rows, place,
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
        norm, width = self._weights.norm(Norm(tables.norm)), found[0].shape[1]
        made = _Embedding(*map(self._weights.memory, found), *map(len, found), width, norm)
        if mapping is not None:
            made.mapping = self._weights.linear(mapping)
        return made

    def _of_block(self, block: Block, heads: int) -> _Block:
        products = [
            self._weights.product(product, block.activation if product is block.inner else None)
            for product in block.products
        ]
        norms = [self._weights.norm(norm) for norm in (block.norm, block.norm2)]
        return _Block(*products, *norms, heads, block.hidden // heads)


def fused(network: Network) -> FusedEncoder | None:
    """The encoder in one call, if this machine and the network's sizes allow it."""
    products = [product for block in network.blocks for product in block.products]
    kind = type(products[0])
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
    ours = even and not torch.cpu.get_capabilities().get("amx_tile")
    if kind is Linear:
        able = ours or PACKS
    else:
        able = kind is QuantizedLinear and even and (
            has_int8_products() if ours else PACKS and network.dtype == torch.bfloat16
        )  # fmt: skip
    return FusedEncoder(network, ours=ours) if able else None
