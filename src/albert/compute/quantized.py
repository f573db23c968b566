"""Products in int8: a scale per channel for weights, a scale per depth for inputs, both measured on sample texts.

Weights serve every depth; inputs of each depth have their own ranges. Columns with wide inputs move part of that range
to the weights (SmoothQuant, Xiao et al. 2022, section 4). The inputs after the activation are an exception: they leave
the product before as uint8.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from albert.compute.blocks import Block, Linear, Product
from albert.compute.compiled import quantize
from albert.compute.precision import has_int8
from albert.compute.products import FUSED
from albert.errors import AlbertError, ErrorKind
from albert.model.network import ACTIVATIONS
from albert.storage.files import read_vouched, write_file

onednn = torch.ops.onednn
Calibration = list[dict[str, "Ranges"]]  # of each block's products
PRODUCTS = ("qkv", "output", "inner", "outer")
_SMOOTHING = 0.5
_MIDDLE = 128  # uint8 of zero where inputs are as wide below as above
_LEAST = 1e-6  # width of inputs that are all the same
_GREATEST = 127  # of the weights
_HALVED = 63  # without VNNI oneDNN adds two products of uint8 and int8 in 16 bits, which two of 255 * 127 overflow


@dataclass(frozen=True)
class Ranges:
    """The ranges of one product's inputs at each use: the largest magnitude per column, the minimum and the maximum."""

    sizes: Float[Tensor, "uses in"]
    least: Float[Tensor, " uses"]
    greatest: Float[Tensor, " uses"]

    def of_any_depth(self) -> Ranges:
        """The widest range for every use, for texts of several depths in one product."""
        return Ranges(
            self.sizes.amax(0).expand_as(self.sizes),
            self.least.amin().expand_as(self.least),
            self.greatest.amax().expand_as(self.greatest),
        )


def save_ranges(path: Path, calibration: Calibration, told: Mapping[str, str]) -> None:
    """Writes a calibration with the entries of `told`, crash-safely."""
    tensors = {
        f"{number}.{name}.{kind}": tensor.contiguous()
        for number, block in enumerate(calibration)
        for name, ranges in block.items()
        for kind, tensor in vars(ranges).items()
    }
    # One entry: safetensors writes several in an order that changes from one process to the next.
    write_file(path, save(tensors, metadata={"albert": json.dumps(told, sort_keys=True)}))


def load_ranges(path: Path) -> Calibration:
    """Reads a file of `save_ranges`. Raises `AlbertError` (bad-model) for any other file."""
    raw = read_vouched(path.parent, path.name)
    try:
        tensors = load(raw)
        blocks = range(1 + max(int(name.split(".")[0]) for name in tensors))
        return [{name: _ranges(tensors, f"{block}.{name}") for name in PRODUCTS} for block in blocks]
    except (SafetensorError, KeyError, ValueError) as error:
        raise AlbertError(
            ErrorKind.MODEL, str(path), expected="an int8 calibration", got=str(error)[:200],
            hint="export the model again: albert export MODEL --to int8 --dev DEV",
        ) from None  # fmt: skip


def _ranges(tensors: Mapping[str, Tensor], name: str) -> Ranges:
    """Those of a product. Raises `KeyError` or `ValueError` for others than `save_ranges` writes."""
    found = Ranges(*(tensors[f"{name}.{part.name}"] for part in fields(Ranges)))
    uses = found.sizes.shape[:1]
    if found.sizes.ndim != 2 or (found.least.shape, found.greatest.shape) != (uses, uses):
        raise ValueError(f"{name} of other shapes")
    if any(tensor.dtype != torch.float32 or not tensor.isfinite().all() for tensor in vars(found).values()):
        raise ValueError(f"{name} with values that are not finite float32")
    return found


class Watched:
    """A product that records the ranges of its inputs."""

    def __init__(self, product: Product, uses: int) -> None:
        self.product = product
        self.seen: list[list[Tensor]] = [[] for _ in range(uses)]  # [sizes, least, greatest] a use

    def __call__(self, x: Tensor, use: int, *, add: Tensor | None = None, activation: str | None = None) -> Tensor:
        now = [x.abs().amax(0), x.min(), x.max()]
        before = self.seen[use] or now
        wider = (torch.maximum, torch.minimum, torch.maximum)
        self.seen[use] = [widen(a, b) for widen, a, b in zip(wider, before, now, strict=True)]
        return self.product(x, use, add=add, activation=activation)

    def ranges(self) -> Ranges:
        """The ranges over all uses."""
        return Ranges(*(torch.stack(values) for values in zip(*self.seen, strict=True)))


class QuantizedLinear:
    """A product in int8. Its inputs are floats or, from the product `before`, already uint8."""

    def __init__(self, linear: Linear, ranges: Ranges, *, smooth: bool, widest: int | None = None) -> None:
        """`widest` is the largest weight as a whole number; None takes what this processor multiplies exactly."""
        widest = widest or (_GREATEST if has_int8() else _HALVED)
        weight, self.dtype = linear.source, linear.bias.dtype
        self.reads_whole = not smooth
        sizes = ranges.sizes.clamp(min=_LEAST)
        if smooth:
            widths = weight.abs().amax(0).clamp(min=_LEAST)
            columns = sizes.amax(0) ** _SMOOTHING / widths ** (1 - _SMOOTHING)
            self.scales = ((sizes / columns).amax(1) / (_MIDDLE - 1)).tolist()
            self.zeros = [_MIDDLE] * len(self.scales)
            self.factors = [1 / (columns * scale) for scale in self.scales]
            weight = weight * columns
        else:
            least, greatest = ranges.least.clamp(max=0), ranges.greatest.clamp(min=_LEAST)
            self.scales = ((greatest - least) / 255).tolist()
            self.zeros = (-least / torch.tensor(self.scales)).round().int().tolist()
            self.factors = [torch.full_like(sizes[0], 1 / scale) for scale in self.scales]
        self.weight_scales = weight.abs().amax(1).clamp(min=_LEAST) / widest
        self.source = (weight / self.weight_scales[:, None]).round().to(torch.int8)
        self.weight_zeros = torch.zeros(len(weight), dtype=torch.int32)
        self.bias = linear.bias.float()
        self.following: QuantizedLinear | None = None  # reads what this one writes, as uint8

    @cached_property
    def sums(self) -> Tensor:
        """Of each channel's weights."""
        return self.source.sum(1, dtype=torch.int32)

    @cached_property
    def weight(self) -> Tensor:
        """The weight in oneDNN's layout."""
        return onednn.qlinear_prepack(self.source, None)

    def __call__(self, x: Tensor, use: int, *, add: Tensor | None = None, activation: str | None = None) -> Tensor:
        if x.dtype != torch.uint8:
            x = quantize(x, self.factors[use], self.zeros[use])
        inputs = x, self.scales[use], self.zeros[use], self.weight, self.weight_scales, self.weight_zeros
        if add is not None:
            return onednn.qlinear_pointwise.binary(
                *inputs, add, self.bias, 1.0, 0, self.dtype, 1.0, 0, "add", 1.0, "none", [], ""
            )
        name, form = FUSED[activation] if activation else ("none", "")
        after = self.following
        out = (1.0, 0, self.dtype) if after is None else (after.scales[use], after.zeros[use], torch.uint8)
        return onednn.qlinear_pointwise(*inputs, self.bias, *out, name, [], form)


class RangedLinear:
    """A product in int8 that needs no calibration: each row of inputs has its own range, which zero is in.

    A row's result does not depend on the others.
    """

    def __init__(self, linear: Linear) -> None:
        weight = linear.source
        self.weight_scales = weight.abs().amax(1).clamp(min=_LEAST) / _GREATEST
        self.source = (weight / self.weight_scales[:, None]).round().to(torch.int8)
        self.sums = self.source.sum(1, dtype=torch.int32).float()  # of each channel's weights
        self.bias = linear.bias.float()

    def __call__(self, x: Tensor, use: int = 0, *, add: Tensor | None = None, activation: str | None = None) -> Tensor:
        """In PyTorch's operators, which is slow: the kernels do the same."""
        least, most = x.float().amin(1, keepdim=True).clamp(max=0), x.float().amax(1, keepdim=True).clamp(min=0)
        scales = ((most - least) / 255).clamp(min=1e-30)
        zeros = (-least / scales).round()
        whole = ((x.float() / scales).round() + zeros).clamp(0, 255)
        y = (whole - zeros) @ self.source.float().T * scales * self.weight_scales + self.bias
        y = y if add is None else y + add
        return (ACTIVATIONS[activation](y) if activation else y).to(x.dtype)


def watch(block: Block, uses: int) -> dict[str, Watched]:
    """Replaces each of a block's products by a `Watched`."""
    named = {name: Watched(getattr(block, name), uses) for name in PRODUCTS}
    vars(block).update(named)
    return named


def range_block(block: Block) -> None:
    """Replaces a block's products by int8 products with a range for each row."""
    vars(block).update({name: RangedLinear(getattr(block, name)) for name in PRODUCTS})


def quantize_block(block: Block, ranges: Mapping[str, Ranges]) -> None:
    """Replaces a block's products by int8 products."""
    made = {name: QuantizedLinear(getattr(block, name), ranges[name], smooth=name != "outer") for name in PRODUCTS}
    made["inner"].following = made["outer"]
    vars(block).update(made)
