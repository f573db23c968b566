"""Logits for a whole set of encoded examples, in their own order."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from albert.data.batches import Batch, Features, inference_batches
from albert.engine.precision import autocast
from albert.model import AlbertForTask

MAX_TOKENS = 8192  # padded tokens a batch: past the point where larger batches run faster on a CPU


def batch_logits(model: nn.Module, batch: Batch, device: torch.device) -> Tensor:
    """The model's logits for one batch, computed on `device`."""
    logits: Tensor = model(
        batch.input_ids.to(device),
        attention_mask=batch.attention_mask.to(device),
        token_type_ids=batch.token_type_ids.to(device),
    )
    return logits


@torch.inference_mode()
def predict_logits(
    model: AlbertForTask,
    features: Features,
    *,
    precision: Literal["fp32", "bf16"] = "fp32",
    max_tokens: int = MAX_TOKENS,
) -> list[np.ndarray]:
    """Each example's logits as float32, in the order of `features`, computed in length-sorted batches.

    They are [labels], or [pieces, labels] without padding if the head speaks at every piece. The model's
    training mode is kept as it was; dropout is off meanwhile.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    try:
        rows = [np.zeros(0, np.float32)] * len(features)
        lengths = features.lengths
        with autocast(precision, device):
            for indices in inference_batches(lengths, max_tokens=max_tokens):
                logits = batch_logits(model, features.batch(indices), device)
                for index, row in zip(indices, logits.float().cpu().numpy(), strict=True):
                    rows[index] = row if row.ndim == 1 else row[: lengths[index]]
    finally:
        model.train(was_training)
    return rows
