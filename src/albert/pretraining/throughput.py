"""The arithmetic of training, and the share of the machine's peak that it uses (model FLOPs utilisation)."""

from __future__ import annotations

import time
from functools import cache

import torch

from albert.config import AlbertConfig

_GPU_PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L4": 121e12}  # dense bf16, from the vendors' data sheets
_SIZE, _REPEATS = 1536, 5


def training_flops(config: AlbertConfig, *, length: int, masked: float) -> float:
    """Floating-point operations per token of forward and backward. `masked` is the share that the MLM head scores.

    A multiply-add counts 2, and the backward pass counts twice the forward pass. Embeddings, norms and softmax are left
    out.
    """
    h, e = config.hidden_size, config.embedding_size
    layer = 2 * (4 * h * h + 2 * h * config.intermediate_size) + 4 * length * h
    head = 2 * (h * e + e * config.vocab_size) * masked
    mapping = 2 * e * h if config.embedding_projection else 0
    return 3 * (config.num_hidden_layers * config.inner_group_num * layer + mapping + head)


@cache
def peak_flops(device: torch.device, precision: str) -> float | None:
    """Peak operations per second: for a GPU by its name, for a CPU measured on large products; None if unknown."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        return next((peak for key, peak in _GPU_PEAKS.items() if key in name), None)
    if device.type != "cpu":
        return None
    left = torch.ones(_SIZE, _SIZE, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
    best = float("inf")
    for _ in range(_REPEATS):
        start = time.perf_counter()
        left @ left
        best = min(best, time.perf_counter() - start)
    return 2 * _SIZE**3 / best
