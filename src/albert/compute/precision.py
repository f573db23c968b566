"""Which number format the machine computes fastest in."""

from __future__ import annotations

from functools import cache
from typing import Literal

import torch

from albert.compute.compiled import function_of
from albert.errors import AlbertError, ErrorKind

Precision = Literal["auto", "fp32", "bf16"]
_VNNI = ("avx512_vnni", "avx_vnni", "amx_int8")


@cache
def has_bf16(device: str) -> bool:
    """Whether the device multiplies bfloat16 in hardware: AMX or AVX512-BF16 on a CPU."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device != "cpu":
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


@cache
def has_vnni() -> bool:
    """Whether the processor adds four products of int8 at once: VNNI or AMX."""
    return any(torch.cpu.get_capabilities().get(name) for name in _VNNI)


@cache
def has_int8() -> bool:
    """Whether the processor multiplies int8 faster than other numbers."""
    return has_vnni() or has_int8_products()


def has_int8_products() -> bool:
    """Whether there are products of our own in int8 that are faster than those of other numbers: with AVX512-VNNI, or
    with AVX2 where there is neither VNNI nor AVX-512.
    """
    able = torch.cpu.get_capabilities()
    narrow = able.get("avx2") and not (able.get("avx512_f") or able.get("avx_vnni"))
    return bool(able.get("avx512_vnni") or narrow) and function_of("multiply", torch.float32) is not None


def resolve_precision(precision: Precision, device: torch.device) -> Literal["fp32", "bf16"]:
    """Replaces "auto" by the fastest the device has; raises `AlbertError` (bad-config) for an unknown name."""
    if precision not in ("auto", "fp32", "bf16"):
        raise AlbertError(ErrorKind.CONFIG, "precision", expected="auto, fp32 or bf16", got=repr(precision))
    if precision == "auto":
        return "bf16" if has_bf16(device.type) else "fp32"
    return precision


def autocast(precision: Literal["fp32", "bf16"], device: torch.device) -> torch.autocast:
    """A context in which matrix products run in `precision`; weights stay float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
