"""A model as an ONNX graph: standard operators, every weight stored once, the shared block unrolled over its depths.

Inputs are `input_ids`, `attention_mask` and `token_type_ids`, int64 [batch, seq], both dynamic. Outputs have
transformers' names. Operator set 17, which has LayerNormalization.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from albert.compute.blocks import Linear
from albert.compute.compiled import LEAST
from albert.compute.quantized import HALVED, Calibration, QuantizedLinear, Ranges
from albert.config import AlbertConfig
from albert.model import AlbertForTask
from albert.model.heads import MaskedLMHead, PreTrainingHead
from albert.model.network import Layer
from albert.version import __version__

OPSET = 17
_IR = 8  # the oldest version with this operator set; older runtimes refuse newer ones
_IDS = "input_ids"
_MIDDLE = 128  # uint8 of zero where inputs are as wide below as above
_LOWEST = float(np.finfo(np.float32).min)


class Graph:
    """The nodes and weights of a graph. A tensor of the model is stored once, however often it is used."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._names: dict[tuple[int, bool], str] = {}

    def weight(self, tensor: Tensor, *, turned: bool = False) -> str:
        """A tensor of the model, transposed if `turned`."""
        key = (tensor.data_ptr(), turned)
        if key not in self._names:
            values = tensor.detach().float().cpu().numpy()
            self._names[key] = self._store(np.ascontiguousarray(values.T if turned else values), "w")
        return self._names[key]

    def constant(self, value: Any, kind: type = np.float32) -> str:
        """A small array."""
        return self._store(np.asarray(value, kind), "c")

    def __call__(self, operator: str, *inputs: str, count: int = 1, **attributes: Any) -> Any:
        """Adds a node. Returns the name of its output, or a list of `count` names."""
        outputs = [f"t{len(self.nodes)}_{number}" for number in range(count)]
        self.nodes.append(helper.make_node(operator, inputs, outputs, **attributes))
        return outputs[0] if count == 1 else outputs

    def linear(self, x: str, *parts: nn.Linear) -> str:
        """x W^T + b, for one or several linear layers side by side."""
        if len(parts) == 1:
            return str(self("Add", self("MatMul", x, self.weight(parts[0].weight, turned=True)),
                            self.weight(parts[0].bias)))  # fmt: skip
        key = (parts[0].weight.data_ptr(), True)
        if key not in self._names:
            joined = np.concatenate([part.weight.detach().float().cpu().numpy() for part in parts])
            self._names[key] = self._store(np.ascontiguousarray(joined.T), "w")
            shift = np.concatenate([part.bias.detach().float().cpu().numpy() for part in parts])
            self._names[parts[0].bias.data_ptr(), True] = self._store(shift, "w")
        product = self("MatMul", x, self._names[key])
        return str(self("Add", product, self._names[parts[0].bias.data_ptr(), True]))

    def norm(self, x: str, norm: nn.LayerNorm) -> str:
        """A LayerNorm over the last dimension."""
        weights = self.weight(norm.weight), self.weight(norm.bias)
        return str(self("LayerNormalization", x, *weights, epsilon=norm.eps, axis=-1))

    def activated(self, x: str, name: str) -> str:
        """The activation of `config.hidden_act`."""
        if name == "relu":
            return str(self("Relu", x))
        if name == "gelu":
            inner = self("Erf", self("Mul", x, self.constant(0.5**0.5)))
        else:
            cubic = self("Mul", self.constant(0.044715), self("Mul", self("Mul", x, x), x))
            inner = self("Tanh", self("Mul", self.constant((2 / np.pi) ** 0.5), self("Add", x, cubic)))
        return str(self("Mul", self("Mul", x, self.constant(0.5)), self("Add", inner, self.constant(1.0))))

    def _store(self, values: np.ndarray, kind: str) -> str:
        name = f"{kind}{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values, name))
        return name


class Products:
    """The four products of a block in float."""

    def __init__(self, graph: Graph, layer: Layer) -> None:
        self.graph = graph
        attention, ffn = layer.attention, layer.ffn
        self.parts = {
            "qkv": (attention.query, attention.key, attention.value),
            "output": (attention.output,), "inner": (ffn.inner,), "outer": (ffn.outer,),
        }  # fmt: skip

    def __call__(self, name: str, x: str, use: int) -> str:
        """One of the products. `use` counts the earlier depths of the same block."""
        return self.graph.linear(x, *self.parts[name])


class Int8Products(Products):
    """The products in int8: QuantizeLinear and DequantizeLinear around the factors, with one range for all rows."""

    def __init__(self, graph: Graph, layer: Layer, ranges: Mapping[str, Ranges]) -> None:
        super().__init__(graph, layer)
        self.made: dict[str, _Int8] = {}
        for name, parts in self.parts.items():
            smooth = name != "outer"
            product = QuantizedLinear(Linear(torch.float32, *parts), ranges[name] if smooth else None, widest=HALVED)
            self.made[name] = _Int8(graph, product, ranges[name], smooth=smooth)

    def __call__(self, name: str, x: str, use: int) -> str:
        return self.made[name](x, use)


class _Int8:
    def __init__(self, graph: Graph, product: QuantizedLinear, ranges: Ranges, *, smooth: bool) -> None:
        self.graph = graph
        if smooth:
            sizes = ranges.sizes.clamp(min=LEAST) * product.factors
            self.scales = (sizes.amax(1) / (_MIDDLE - 1)).tolist()
            self.zeros = [_MIDDLE] * len(sizes)
        else:
            least, greatest = ranges.least.clamp(max=0), ranges.greatest.clamp(min=LEAST)
            self.scales = ((greatest - least) / 255).tolist()
            self.zeros = (-least / torch.tensor(self.scales)).round().int().tolist()
        # Columns are narrowed before they share one scale, because their weights were widened.
        self.columns = graph.constant(product.factors.numpy()) if smooth else None
        weight = graph.constant(product.source.numpy().T, np.int8)
        scales = graph.constant(product.scales.numpy())
        self.weight = graph("DequantizeLinear", weight, scales, axis=1)
        self.bias = graph.constant(product.bias.numpy())

    def __call__(self, x: str, use: int) -> str:
        graph = self.graph
        x = x if self.columns is None else graph("Mul", x, self.columns)
        range_ = graph.constant(self.scales[use]), graph.constant(self.zeros[use], np.uint8)
        x = graph("DequantizeLinear", graph("QuantizeLinear", x, *range_), *range_)
        return str(graph("Add", graph("MatMul", x, self.weight), self.bias))


def graph_of(model: AlbertForTask, calibration: Calibration | None = None) -> onnx.ModelProto:
    """The model without dropout and without exits. With a `calibration`, its blocks and embeddings are in int8.

    Raises `onnx.checker.ValidationError` if ONNX's checker finds a fault.
    """
    graph = Graph()
    layers = list(dict.fromkeys(model.albert.encoder.layers()))
    products = {
        layer: Products(graph, layer) if calibration is None else Int8Products(graph, layer, ranges)
        for layer, ranges in zip(layers, calibration or [{}] * len(layers), strict=True)
    }
    states, mask = _encoded(graph, model, products, small_words=calibration is not None)
    outputs = _head(graph, model, states, mask)
    for name, (inner, _) in outputs.items():
        graph.nodes.append(helper.make_node("Identity", [inner], [name]))
    names = (_IDS, "attention_mask", "token_type_ids")
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in names]
    described = [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, (_, dims) in outputs.items()]
    made = helper.make_model(
        helper.make_graph(graph.nodes, "albert", inputs, described, graph.weights),
        opset_imports=[helper.make_opsetid("", OPSET)], producer_name="albert-nlp", producer_version=__version__,
        ir_version=_IR,
    )  # fmt: skip
    onnx.checker.check_model(made, full_check=True)
    return made


def _encoded(
    graph: Graph, model: AlbertForTask, products: Mapping[Layer, Products], *, small_words: bool
) -> tuple[str, str]:
    """The last hidden states, and the mask as numbers [batch, seq, 1]."""
    tables, encoder, config = model.albert.embeddings, model.albert.encoder, model.config
    length = graph("Slice", graph("Shape", _IDS), *(graph.constant([at], np.int64) for at in (1, 2)))
    zero = graph.constant([0], np.int64)
    positions = graph("Slice", graph.weight(tables.position.weight), zero, length, zero)
    words = (
        _small_words(graph, model) if small_words else graph("Gather", graph.weight(tables.word.weight), "input_ids")
    )
    types = graph("Gather", graph.weight(tables.token_type.weight), "token_type_ids")
    x = graph.norm(graph("Add", graph("Add", words, types), positions), tables.norm)
    if isinstance(encoder.mapping, nn.Linear):
        x = graph.linear(x, encoder.mapping)
    mask = graph("Cast", "attention_mask", to=TensorProto.FLOAT)
    hidden_ones = graph("Sub", graph.constant(1.0), mask)
    bias = graph("Mul", hidden_ones, graph.constant(_LOWEST))
    bias = graph("Unsqueeze", bias, graph.constant([1, 2], np.int64))
    uses: Counter[Layer] = Counter()
    for layer in encoder.layers():
        x = _block(graph, layer, partial(products[layer], use=uses[layer]), x, bias, config)
        uses[layer] += 1
    return x, graph("Unsqueeze", mask, graph.constant([2], np.int64))


def _small_words(graph: Graph, model: AlbertForTask) -> str:
    """The word embeddings of the input from an int8 table with one scale per word. The head for masks uses the same
    table.
    """
    table = model.albert.embeddings.word.weight.detach().float()
    scales = table.abs().amax(1).clamp(min=1e-12) / 127
    numbers = graph.constant((table / scales[:, None]).round().numpy(), np.int8)
    rows = graph("Cast", graph("Gather", numbers, _IDS), to=TensorProto.FLOAT)
    wide = graph("Gather", graph.constant(scales.numpy()[:, None]), _IDS)
    return str(graph("Mul", rows, wide))


def _block(
    graph: Graph, layer: Layer, product: Callable[[str, str], str], x: str, bias: str, config: AlbertConfig
) -> str:
    attention, ffn, heads = layer.attention, layer.ffn, config.num_attention_heads
    size = attention.query.out_features // heads
    joined = product("qkv", x)
    by_head = graph("Reshape", joined, graph.constant([0, 0, 3, heads, size], np.int64))
    turned = graph("Transpose", by_head, perm=[2, 0, 3, 1, 4])
    q, k, v = (
        graph("Gather", turned, graph.constant(part, np.int64), axis=0) for part in range(3)
    )  # [batch, heads, seq, size] each
    scores = graph("MatMul", q, graph("Transpose", k, perm=[0, 1, 3, 2]))
    scores = graph("Add", graph("Mul", scores, graph.constant(size**-0.5)), bias)
    context = graph("Transpose", graph("MatMul", graph("Softmax", scores, axis=-1), v), perm=[0, 2, 1, 3])
    context = graph("Reshape", context, graph.constant([0, 0, heads * size], np.int64))
    y = graph.norm(graph("Add", x, product("output", context)), attention.norm)
    inner = graph.activated(product("inner", y), config.hidden_act)
    return graph.norm(graph("Add", y, product("outer", inner)), ffn.norm)


_Output = tuple[str, list[str | int]]  # a value with its dimensions


def _head(graph: Graph, model: AlbertForTask, states: str, mask: str) -> dict[str, _Output]:
    """The outputs by their names."""
    head: Any = model.head
    config, pieces = model.config, ["batch", "sequence"]
    match model.head_name:
        case "masked_lm":
            return {"logits": (_word_scores(graph, model, head, states), [*pieces, config.vocab_size])}
        case "pretraining":
            assert isinstance(head, PreTrainingHead)
            order = graph.linear(_pooled(graph, model, states, mask), head.sop.linear)
            words = _word_scores(graph, model, head.mlm, states)
            return {"prediction_logits": (words, [*pieces, config.vocab_size]), "sop_logits": (order, ["batch", 2])}
        case "embedding":
            return {
                "last_hidden_state": (states, [*pieces, config.hidden_size]),
                "sentence_embedding": (_mean(graph, states, mask), ["batch", config.hidden_size]),
            }
        case "span":
            scores = graph.linear(states, head.linear)
            start, end = (graph("Gather", scores, graph.constant(part, np.int64), axis=2) for part in range(2))
            return {"start_logits": (start, [*pieces]), "end_logits": (end, [*pieces])}
        case "token_classification":
            return {"logits": (graph.linear(states, head.linear), [*pieces, head.linear.out_features])}
    logits = graph.linear(_pooled(graph, model, states, mask), head.linear)
    return {"logits": (logits, ["batch", head.linear.out_features])}


def _word_scores(graph: Graph, model: AlbertForTask, head: MaskedLMHead, states: str) -> str:
    inner = graph.activated(graph.linear(states, head.dense), model.config.hidden_act)
    words = graph("Transpose", graph.weight(model.albert.embeddings.word.weight), perm=[1, 0])
    product = graph("MatMul", graph.norm(inner, head.norm), words)
    return str(graph("Add", product, graph.weight(head.bias)))


def _pooled(graph: Graph, model: AlbertForTask, states: str, mask: str) -> str:
    pooler = model.albert.pooler
    assert pooler is not None
    if pooler.pooling == "cls":
        summary = graph("Gather", states, graph.constant(0, np.int64), axis=1)
    else:
        summary = _mean(graph, states, mask)
    return str(graph("Tanh", graph.linear(summary, pooler.linear)))


def _mean(graph: Graph, states: str, mask: str) -> str:
    """The mean over real positions."""
    axis = graph.constant([1], np.int64)
    total = graph("ReduceSum", graph("Mul", states, mask), axis, keepdims=0)
    return str(graph("Div", total, graph("ReduceSum", mask, axis, keepdims=0)))
