"""The encoder over rows of one length against the reference: the same numbers, forward and backward."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from albert.compute.dense import DenseEncoder
from albert.config import AlbertConfig
from albert.model.network import AlbertModel, initialize

SHAPE: dict[str, Any] = {
    "vocab_size": 60, "embedding_size": 8, "hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 40,
    "num_hidden_layers": 4, "max_position_embeddings": 16,
}  # fmt: skip


def model_of(**changes: Any) -> AlbertModel:
    config = AlbertConfig(**{**SHAPE, **changes})
    model = AlbertModel(config)
    initialize(model, config, torch.Generator().manual_seed(0))
    for norm in (part for part in model.modules() if isinstance(part, torch.nn.LayerNorm)):
        torch.nn.init.normal_(norm.weight, 1, 0.1)
    return model


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_hidden_groups": 2, "hidden_act": "gelu"},
        {"hidden_act": "relu"},
        {"sharing": "none", "num_hidden_groups": 4, "embedding_projection": False, "embedding_size": 24},
    ],
)
@pytest.mark.parametrize("padded", [False, True])
def test_every_depth_and_every_gradient_are_those_of_the_reference(changes: dict[str, Any], padded: bool) -> None:
    model = model_of(**changes)
    ids = torch.randint(5, 60, (3, 12), generator=torch.Generator().manual_seed(1))
    types = (torch.arange(12) > 6).long().expand(3, -1)
    real = torch.ones(3, 12, dtype=torch.bool)
    real[1, 8:] = not padded
    weights = torch.randn(3, 12, model.config.hidden_size, generator=torch.Generator().manual_seed(2))
    weights[~real] = 0
    found = []
    for run in ("reference", "dense"):
        model.zero_grad()
        if run == "dense":
            encoder = DenseEncoder(model, torch.float32, compiled=False)
            depths = list(encoder.depths(ids, types, real[:, None, None] if padded else None))
        else:
            depths = list(model.depths(ids, attention_mask=real.long(), token_type_ids=types))
        sum((depth * weights).sum() for depth in depths).backward()
        gradients = [p.grad for name, p in model.named_parameters() if not name.startswith("pooler")]
        found.append(([depth[real] for depth in depths], gradients))
    for theirs, ours in zip(*found, strict=True):
        for expected, got in zip(theirs, ours, strict=True):
            assert (got - expected).abs().max() <= 2e-5 * expected.abs().max().clamp(min=1)
