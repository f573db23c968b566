"""A block in one call against the same block step by step."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from albert.config import AlbertConfig
from albert.data.batches import Features
from albert.engine import Engine, calibrate, compiled
from albert.engine.blocks import Block
from albert.model import AlbertForTask
from rows import features

ROWS = [3, 17, 17, 40, 9, 100]


def engine_and_blocks(precision: str) -> tuple[Engine, list[Block]]:
    """Two groups of blocks, each used twice, all of them in one call."""
    if compiled.block_function(torch.float32) is None:
        pytest.skip("blocks are not compiled on this machine")
    shape = {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128, "num_hidden_layers": 4}
    config = AlbertConfig.named(
        "tiny", vocab_size=60, num_hidden_groups=2, initializer_range=0.1, id2label=("a", "b"), **shape
    )
    model = AlbertForTask(config, "token_classification", generator=torch.Generator().manual_seed(0)).eval()
    if precision == "int8":
        engine = Engine(model, calibration=calibrate(model, features([60] * 20, seed=1)))
    else:
        engine = Engine(model, precision)  # type: ignore[arg-type]
    assert engine.packed is not None
    blocks = list(engine.packed.uses)
    assert all(block.fused is not None for block in blocks)
    return engine, blocks


def error(found: list[np.ndarray], wanted: list[np.ndarray]) -> float:
    """The greatest, of the greatest number there is."""
    most = max(float(np.abs(values).max()) for values in wanted)
    return max(float(np.abs(a - b).max()) for a, b in zip(found, wanted, strict=True)) / most


@pytest.mark.parametrize(("precision", "bound"), [("fp32", 1e-5), ("bf16", 0.02), ("int8", 0.05)])
def test_it_is_the_same(precision: str, bound: float) -> None:
    engine, blocks = engine_and_blocks(precision)
    rows: Features = features(ROWS)
    said = engine.logits(rows)
    for block in blocks:
        block.fused = None
    assert error(said, engine.logits(rows)) < bound


def test_where_it_fails_the_block_is_computed_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, blocks = engine_and_blocks("fp32")
    said = engine.logits(features(ROWS))
    failures: list[object] = []

    def fail(*arguments: object) -> int:
        failures.append(arguments)
        return 1

    for block in blocks:
        monkeypatch.setattr(block.fused, "_function", fail)
    assert error(said, engine.logits(features(ROWS))) < 1e-5
    assert len(failures) == 4


def test_weights_go_with_it() -> None:
    """A reloaded model must not stay in memory."""
    _, (block, _) = engine_and_blocks("bf16")
    weight = block.qkv.weight  # type: ignore[attr-defined]
    held = weight._use_count()
    block.fused = None
    assert weight._use_count() < held
