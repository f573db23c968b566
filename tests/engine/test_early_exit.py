"""Early exit against the reference depth by depth: who leaves where, with which logits, in any company."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from albert.config import AlbertConfig
from albert.data.batches import Features
from albert.engine import Engine
from albert.engine.early_exit import sureness
from albert.errors import AlbertError
from albert.model import AlbertForTask, load_model, save_model
from rows import features

KINDS = {
    "labels": ("sequence_classification", "single_label_classification", ("a", "b", "c")),
    "several labels": ("sequence_classification", "multi_label_classification", ("a", "b", "c")),
    "number": ("sequence_classification", "regression", ("n",)),
    "pieces": ("token_classification", "single_label_classification", ("a", "b", "c")),
}


def exiting(kind: str, *, pooling: str = "cls", layers: int = 4, **shape: Any) -> AlbertForTask:
    head, problem_type, labels = KINDS[kind]
    config = AlbertConfig.named(
        "tiny", vocab_size=60, embedding_size=16, hidden_size=32, num_attention_heads=2, intermediate_size=64,
        num_hidden_layers=layers, problem_type=problem_type, id2label=labels, pooling=pooling, initializer_range=0.2,
        **shape,
    )  # fmt: skip
    return AlbertForTask(config, head, exits=True, generator=torch.Generator().manual_seed(0)).eval()


@torch.inference_mode()
def reference(model: AlbertForTask, rows: Features, threshold: float) -> list[tuple[int, np.ndarray]]:
    """(depth, logits) of each row by itself, depth after depth."""
    assert model.exits is not None
    heads: list[Any] = [*model.exits, model.head]
    found = []
    for row in range(len(rows)):
        batch = rows.batch([row])
        before = np.full((1, model.config.num_labels), np.inf, np.float32)
        for depth, hidden in enumerate(model.albert.depths(batch.input_ids), 1):
            pooled = None if model.albert.pooler is None else model.albert.pooler(hidden, None)
            said = model.read(hidden, pooled, head=heads[depth - 1])[0].numpy()  # type: ignore[union-attr]
            sure = sureness(np.atleast_2d(said), before, model.config.problem_type).min()
            if sure >= threshold or depth == len(heads):
                found.append((depth, said))
                break
            before = np.atleast_2d(said)
    return found


@given(
    kind=st.sampled_from(list(KINDS)),
    pooling=st.sampled_from(["cls", "mean"]),
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=20),
    quantile=st.floats(0, 1),
    groups=st.sampled_from([1, 2, 4]),
    max_tokens=st.sampled_from([1, 40, 150, 8192]),
)
@settings(max_examples=20)
def test_rows_leave_where_they_would_alone(
    kind: str, pooling: str, lengths: list[int], quantile: float, groups: int, max_tokens: int
) -> None:
    model, rows = exiting(kind, pooling=pooling, num_hidden_groups=groups), features(lengths, types=False)
    threshold = {"labels": 0.34, "several labels": 0.5, "number": -0.2, "pieces": 0.34}[kind]
    threshold += quantile * {"labels": 0.3, "several labels": 0.1, "number": 0.2, "pieces": 0.1}[kind]
    engine = Engine(model, "fp32", exit_threshold=threshold)
    said, wanted = engine.exits(rows, max_tokens=max_tokens), reference(model, rows, threshold)
    for one, (_, logits) in zip(said.logits, wanted, strict=True):
        assert one.shape == logits.shape
        assert np.abs(one - logits).max() < 1e-5
    assert said.depths.tolist() == [depth for depth, _ in wanted]


def test_exits_are_stored_beside_the_model(tmp_path: Any) -> None:
    model, rows = exiting("labels"), features([9, 3, 30], types=False)
    save_model(model, tmp_path)
    loaded = load_model(tmp_path)
    said = [Engine(one, "fp32", exit_threshold=0.4).logits(rows) for one in (model, loaded)]
    assert all(np.array_equal(a, b) for a, b in zip(*said, strict=True))


def test_models_without_exits_or_with_several_blocks_a_depth_are_refused() -> None:
    plain = AlbertForTask(exiting("labels").config, "sequence_classification")
    with pytest.raises(AlbertError, match="without exits"):
        Engine(plain, exit_threshold=0.9)
    with pytest.raises(AlbertError, match="expected inner_group_num 1, got 2"):
        exiting("labels", inner_group_num=2)
