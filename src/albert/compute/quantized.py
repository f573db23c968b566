"""Products in int8: a scale per channel for weights, a range per row for inputs.

One range for all rows, measured on sample texts, changed seven times as many labels: few pieces, [CLS] and [SEP] among
them, have numbers many times as wide as those of the others (docs/performance.md). Columns with wide inputs move part
of that width to the weights (SmoothQuant, Xiao et al. 2022, section 4); it is measured on sample texts. The inputs
after the activation are left out of that: it did harm there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from albert.compute.blocks import Block, Linear, Product
from albert.compute.compiled import LEAST, quantize
from albert.compute.precision import has_vnni
from albert.errors import AlbertError, ErrorKind
from albert.model.network import ACTIVATIONS
from albert.storage.files import read_vouched, write_file

onednn = torch.ops.onednn
Calibration = list[dict[str, "Ranges"]]  # of each block's products
PRODUCTS = ("qkv", "output", "inner", "outer")
_GREATEST = 127  # of the weights
UNSCALED = torch.tensor(1.0), torch.tensor(0)  # scale and zero with which oneDNN's product gives the sums
HALVED = 63  # without VNNI two products of uint8 and int8 are added in 16 bits, which two of 255 * 127 overflow


@dataclass(frozen=True)
class Ranges:
    """The ranges of one product's inputs at each use: the largest magnitude per column, the minimum and the maximum.

    Here only the magnitudes are read. ONNX, whose operators know one range for all rows, reads all of them.
    """

    sizes: Float[Tensor, "uses in"]
    least: Float[Tensor, " uses"]
    greatest: Float[Tensor, " uses"]


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
    """A product in int8. Each row of its inputs becomes uint8 in a range of its own."""

    def __init__(self, linear: Linear, ranges: Ranges | None = None, *, widest: int | None = None) -> None:
        """`ranges` tell how wide columns are; without them the weights stay as they are. `widest` is the largest weight
        as a whole number; None takes what this processor multiplies exactly.
        """
        widest = widest or (_GREATEST if has_vnni() else HALVED)
        self.dtype = linear.bias.dtype
        self.columns = torch.ones(linear.source.shape[1])  # what inputs are divided by, and weights multiplied
        if ranges is not None:
            wide = ranges.sizes.amax(0), linear.source.abs().amax(0)
            # torch.sqrt may be a bit off, and albert-lite rounds the same weights.
            inputs, weights = (np.sqrt(sizes.clamp(min=LEAST).numpy()) for sizes in wide)
            self.columns = torch.from_numpy(inputs / weights)
        self.factors = 1 / self.columns
        weight = linear.source * self.columns
        self.scales = weight.abs().amax(1).clamp(min=LEAST) / widest
        self.source = (weight / self.scales[:, None]).round().to(torch.int8)
        self.bias = linear.bias.float()

    @cached_property
    def sums(self) -> Tensor:
        """Of each channel's weights."""
        return self.source.sum(1, dtype=torch.int32).float()

    @cached_property
    def weight(self) -> Tensor:
        """The weight in oneDNN's layout."""
        return onednn.qlinear_prepack(self.source, None)

    @cached_property
    def unscaled(self) -> tuple[Tensor, Tensor]:
        """Scales and zeros with which oneDNN's product gives the sums."""
        return torch.ones(len(self.bias)), torch.zeros(len(self.bias), dtype=torch.int32)

    def __call__(self, x: Tensor, use: int, *, add: Tensor | None = None, activation: str | None = None) -> Tensor:
        x, ranges = quantize(x, self.factors)
        inputs = x, *UNSCALED, self.weight, *self.unscaled, None
        sums = onednn.qlinear_pointwise.tensor(*inputs, 1.0, 0, torch.float32, "none", [], "")
        y = (sums + ranges[:, 1:] * self.sums) * (self.scales * ranges[:, :1]) + self.bias
        y = y if add is None else y + add
        return (ACTIVATIONS[activation](y) if activation else y).to(self.dtype)


def watch(block: Block, uses: int) -> dict[str, Watched]:
    """Replaces each of a block's products by a `Watched`."""
    named = {name: Watched(getattr(block, name), uses) for name in PRODUCTS}
    vars(block).update(named)
    return named


def quantize_block(block: Block, ranges: Mapping[str, Ranges]) -> None:
    """Replaces a block's products by int8 products, with the ranges of a calibration where there are any."""
    known = {name: None if name == "outer" else ranges.get(name) for name in PRODUCTS}
    vars(block).update({name: QuantizedLinear(getattr(block, name), known[name]) for name in PRODUCTS})
