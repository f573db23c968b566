"""A model that writes, in a few calls of C++ for each piece, with products of our own in float32, bfloat16 or int8.

It computes the same as `AlbertForText2Text` (tests/compute/test_writing.py). A row's numbers do not depend on the other
rows, to the last bit. Processors with AMX get our products, too: PyTorch's sum in another order for other numbers of
rows, and in bfloat16 a text would then be another one in another batch.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from albert.compute.blocks import Block, Linear, Norm, Product
from albert.compute.compiled import LANES, function_of
from albert.compute.covers import unknown
from albert.compute.fused import FusedEncoder, Network
from albert.compute.native import Native, NativeNorm, NativeProduct, native
from albert.compute.precision import Precision, has_int8_products
from albert.compute.quantized import QuantizedLinear, quantize_block
from albert.errors import AlbertError, ErrorKind
from albert.model.decoder import AlbertForText2Text, DecoderLayer
from albert.model.heads import MaskedLMHead
from albert.model.network import Layer

WritingPrecision = Literal["fp32", "bf16", "int8"]


class _Block(ctypes.Structure):
    _fields_ = (
        *((name, NativeProduct) for name in ("qkv", "output", "query", "crossed", "inner", "outer")),
        *((name, NativeNorm) for name in ("norm", "cross_norm", "norm2")),
        *((name, ctypes.c_int64) for name in ("heads", "size")),
    )


class _Speller(ctypes.Structure):
    _fields_ = (("dense", NativeProduct), ("norm", NativeNorm), ("words", NativeProduct))


@dataclass(frozen=True)
class FastMemory:
    """The encoded texts as cross-attention reads them: keys and values of each distinct block, side by side.

    `at` has the addresses of each text's first piece, `pieces` how many there are.
    """

    blocks: list[Float[Tensor, "tokens width"]]
    at: Int[np.ndarray, "blocks texts"]
    pieces: Int[np.ndarray, " texts"]

    @property
    def texts(self) -> int:
        return len(self.pieces)

    def of(self, texts: Int[Tensor, " texts"]) -> FastMemory:
        """That of some texts."""
        chosen = texts.numpy()
        return FastMemory(self.blocks, self.at[:, chosen], self.pieces[chosen])

    def of_rows(self, rows: int) -> FastMemory:
        """That of rows, for each text equally many."""
        each = rows // self.texts
        return self if each == 1 else FastMemory(self.blocks, self.at.repeat(each, 1), self.pieces.repeat(each))


@dataclass(frozen=True)
class FastPast:
    """Keys and values of the pieces written so far, which stay where they were written.

    `places` has two numbers for each piece: the address of its keys and values at the first depth, and how many numbers
    further on those of each next depth stand.
    """

    steps: tuple[Float[Tensor, "depths _ width"], ...]
    places: Int[np.ndarray, "rows pieces 2"]

    @classmethod
    def nothing(cls, rows: int) -> FastPast:
        """That of rows without pieces."""
        return cls((), np.zeros((rows, 0, 2), np.int64))

    @property
    def length(self) -> int:
        return len(self.steps)

    def of(self, rows: Int[Tensor, " rows"]) -> FastPast:
        """That of some rows, in their order."""
        return FastPast(self.steps, self.places[rows.numpy()])

    def then(self, step: Float[Tensor, "depths rows width"]) -> FastPast:
        """This, and room for one more piece of each row."""
        new = np.empty((step.shape[1], 1, 2), np.int64)
        new[:, 0, 0], new[..., 1] = _addresses(step[0]), step.stride(0)
        return FastPast((*self.steps, step), np.concatenate([self.places, new], 1))


class FastWriting:
    """A network that writes, with its present weights. Later changes of them may not affect it."""

    def __init__(self, model: AlbertForText2Text, precision: WritingPrecision, dtype: torch.dtype) -> None:
        self.config = model.config
        self.device = torch.device("cpu")
        self.dtype = dtype
        self.precision = precision
        self._weights = Native(ours=True)
        self._encoder = self._encoder_of(model)
        layers = model.decoder.blocks()
        self._blocks = [self._block(layer) for layer in layers]
        self._remembered = [self._native(self._linear(layer.cross.key, layer.cross.value)) for layer in layers]
        self._depths = list(model.decoder.layers())
        self._looped = _pointers(ctypes.addressof(self._blocks[block]) for block in self._depths)
        self._speller = self._speller_of(model.head, model.albert.embeddings.word.weight)
        self._decode, self._multiply, self._spell = (native(name, dtype) for name in ("decode", "multiply", "spell"))

    @torch.inference_mode()
    def read(
        self,
        input_ids: Int[Tensor, "texts source"],
        *,
        attention_mask: Int[Tensor, "texts source"],
        token_type_ids: Int[Tensor, "texts source"],
    ) -> FastMemory:
        """Encodes texts, whose padding is at their ends."""
        real = attention_mask.bool()
        ends = real.sum(1).cumsum(0).numpy()
        starts = np.append(0, ends)
        x = self._embedded(input_ids[real], token_type_ids[real], starts)
        hidden = self._encoder.run(x, starts, self._read, wanted=len(x), first=False)
        _require(hidden is None)
        blocks = [self._multiplied(by, hidden) for by in self._remembered]
        return FastMemory(blocks, np.stack([_addresses(block)[starts[:-1]] for block in blocks]), np.diff(starts))

    @torch.inference_mode()
    def write_each(
        self, parts: Sequence[tuple[Int[Tensor, "_ 1"], FastMemory, FastPast | None]]
    ) -> tuple[Float[Tensor, "rows hidden"], list[FastPast]]:
        """The hidden states of one more piece of each row, and the pasts with it, of several memories at once.

        The rows of a part are those of its texts in order, for each text equally many.
        """
        sizes = [len(ids) for ids, _, _ in parts]
        each = [self._placed(ids, past.length if past else 0) for ids, _, past in parts]
        x = torch.cat(each) if len(each) > 1 else each[0]
        # A tensor for each, so that no part keeps the memory of another that has ended.
        pasts = [(past or FastPast.nothing(len(ids))).then(self._room(len(ids))) for ids, _, past in parts]
        written = np.concatenate([past.places.reshape(-1, 2) for past in pasts])
        starts = np.append(0, np.repeat([past.length for past in pasts], sizes).cumsum())
        texts = [memory.of_rows(size) for size, (_, memory, _) in zip(sizes, parts, strict=True)]
        read = np.concatenate([text.at for text in texts], 1)[self._depths]
        lengths = np.concatenate([text.pieces for text in texts])
        _require(self._decode(
            self._looped, x.data_ptr(), written.ctypes.data, starts.ctypes.data, read.ctypes.data, lengths.ctypes.data,
            len(self._depths), len(x),
        ))  # fmt: skip
        return x, pasts

    @torch.inference_mode()
    def logits(self, hidden: Float[Tensor, "rows hidden"]) -> Float[Tensor, "rows vocab"]:
        """A score for each piece of the vocabulary, in the place behind."""
        hidden = hidden.contiguous()
        scores = torch.empty(len(hidden), self._speller.words.panels.out)
        _require(self._spell(ctypes.byref(self._speller), hidden.data_ptr(), scores.data_ptr(), len(hidden)))
        return scores[:, : self.config.vocab_size]

    def _room(self, rows: int) -> Float[Tensor, "depths rows width"]:
        return torch.empty(len(self._depths), rows, 2 * self.config.hidden_size, dtype=self.dtype)

    def _placed(self, ids: Int[Tensor, "rows 1"], place: int) -> Float[Tensor, "rows hidden"]:
        """The embeddings of pieces in this place of their rows."""
        types = torch.full((len(ids),), self.config.type_vocab_size - 1)
        return self._embedded(ids[:, 0], types, np.arange(len(ids) + 1), place=place)

    def _embedded(
        self, ids: Int[Tensor, " tokens"], types: Int[Tensor, " tokens"], starts: np.ndarray, *, place: int = 0
    ) -> Float[Tensor, "tokens hidden"]:
        x = self._encoder.embed(ids, types, starts, len(ids), place=place)
        _require(x is None)
        assert x is not None
        return x

    def _multiplied(self, by: NativeProduct, x: Float[Tensor, "tokens hidden"] | None) -> Float[Tensor, "tokens width"]:
        assert x is not None
        out = x.new_empty(len(x), by.panels.out)
        _require(self._multiply(ctypes.byref(by), x.data_ptr(), out.data_ptr(), len(x)))
        return out

    # --- weights -------------------------------------------------------------------------------------------

    def _encoder_of(self, model: AlbertForText2Text) -> FusedEncoder:
        encoder, config = model.albert.encoder, model.config
        layers: list[Layer] = list(encoder.layers())
        blocks = {layer: Block(layer, config.hidden_act, self.dtype) for layer in layers}
        if self.precision == "int8":
            for block in blocks.values():
                quantize_block(block, {})
        mapping = Linear(self.dtype, encoder.mapping) if isinstance(encoder.mapping, nn.Linear) else None
        self._read = [blocks[layer] for layer in layers]
        network = Network(
            model.albert.embeddings, mapping, list(blocks.values()), config.num_attention_heads, self.dtype
        )  # fmt: skip
        return FusedEncoder(network, ours=True)

    def _block(self, layer: DecoderLayer) -> _Block:
        attention, cross, ffn = layer.attention, layer.cross, layer.ffn
        products = (
            self._linear(attention.query, attention.key, attention.value), self._linear(attention.output),
            self._linear(cross.query), self._linear(cross.output), self._linear(ffn.inner), self._linear(ffn.outer),
        )  # fmt: skip
        activations = (None, None, None, None, self.config.hidden_act, None)
        norms = (self._weights.norm(Norm(part.norm)) for part in (attention, cross, ffn))
        heads = self.config.num_attention_heads
        made = map(self._native, products, activations)
        return _Block(*made, *norms, heads, self.config.hidden_size // heads)

    def _speller_of(self, head: MaskedLMHead, words: Float[Tensor, "vocab embedding"]) -> _Speller:
        """Of as many pieces as fill registers."""
        missing = -len(words) % LANES
        table = nn.Linear(words.shape[1], len(words) + missing, device="meta")
        table.weight = nn.Parameter(F.pad(words.detach(), (0, 0, 0, missing)))
        table.bias = nn.Parameter(F.pad(head.bias.detach(), (0, missing)))
        dense = self._weights.linear(Linear(self.dtype, head.dense), self.config.hidden_act)
        return _Speller(dense, self._weights.norm(Norm(head.norm)), self._native(self._linear(table)))

    def _linear(self, *parts: nn.Linear) -> Product:
        linear = Linear(self.dtype, *parts)
        return QuantizedLinear(linear) if self.precision == "int8" else linear

    def _native(self, product: Product, activation: str | None = None) -> NativeProduct:
        return self._weights.product(product, activation)


def fast_writing(model: AlbertForText2Text, precision: Precision | Literal["int8"]) -> FastWriting | None:
    """The fast form of a network; "auto" is the fastest one without int8. None: the network itself computes in fp32.

    int8 needs no calibration: every row of inputs has a range of its own. Raises `AlbertError` (usage) for a precision
    that this network or this machine does not have.
    """
    why, processor = _obstacle(model), torch.cpu.get_capabilities()
    half = bool(processor.get("avx512_bf16")) and why is None and function_of("decode", torch.bfloat16) is not None
    lacking = {"bf16": not half, "int8": not has_int8_products()}
    if why is None and lacking.get(precision):
        why = f"a processor without products in {precision}"
    if why is None:
        named: WritingPrecision = ("bf16" if half else "fp32") if precision == "auto" else precision
        return FastWriting(model, named, torch.bfloat16 if half and named != "fp32" else torch.float32)
    if precision in ("auto", "fp32"):
        return None
    raise AlbertError(
        ErrorKind.USAGE, f"--precision {precision}", expected="auto or fp32 for this model on this machine", got=why,
        hint="albert doctor says what the machine has",
    )  # fmt: skip


def _obstacle(model: AlbertForText2Text) -> str | None:
    """Why there is no fast form."""
    config = model.config
    if others := unknown(config, "masked_lm", decoder=True):
        return ", ".join(others)
    widths = (config.hidden_size // config.num_attention_heads, config.intermediate_size, config.embedding_size)
    if any(width % LANES for width in widths):
        return f"sizes of {', '.join(map(str, widths))}, not all multiples of {LANES}"
    if model.device.type != "cpu" or function_of("decode", torch.float32) is None:
        return f"no compiled kernels for {model.device.type}"
    return None


def _addresses(rows: Tensor) -> Int[np.ndarray, " rows"]:
    return rows.data_ptr() + np.arange(len(rows)) * rows.stride(0) * rows.element_size()


def _pointers(addresses: Iterator[int]) -> ctypes.Array[ctypes.c_void_p]:
    found = list(addresses)
    return (ctypes.c_void_p * len(found))(*found)


def _require(failed: object) -> None:
    """Raises `MemoryError`: for pieces that the tables have, kernels fail where memory is short alone."""
    if failed:
        raise MemoryError("no room for the next piece of a text")
