"""The precisions in which this machine multiplies fast."""

from __future__ import annotations

import torch

from albert.compute.precision import has_int8_products

HAS = {"fp32": True, "bf16": torch.cpu.get_capabilities().get("avx512_bf16"), "int8": has_int8_products()}
