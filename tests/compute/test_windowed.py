"""Attention through windows: the reference against its definition, blocks against the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from albert.compute import compiled, fused, windowed
from albert.config import AlbertConfig
from albert.engine import Engine
from albert.errors import AlbertError, ErrorKind
from albert.model import AlbertForTask, AlbertModel
from albert.model.heads import HEADS
from albert.model.network import global_pieces, window_mask
from rows import features

TASK_HEADS = [name for name in HEADS if name not in ("masked_lm", "pretraining")]


def network(**changes: Any) -> AlbertConfig:
    shape = {"vocab_size": 60, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 48,
             "id2label": ("a", "b"), "max_position_embeddings": 128, "initializer_range": 0.1}  # fmt: skip
    return AlbertConfig.named("tiny", **{**shape, **changes})


@st.composite
def shapes(draw: st.DrawFn) -> dict[str, Any]:
    heads = draw(st.sampled_from([1, 2, 4]))
    groups = draw(st.integers(1, 2))
    return {
        "hidden_size": heads * draw(st.sampled_from([8, 16])), "num_attention_heads": heads,
        "num_hidden_layers": draw(st.integers(groups, 3)), "num_hidden_groups": groups,
        "pooling": draw(st.sampled_from(["cls", "mean"])), "attention_window": 2 * draw(st.integers(1, 40)),
        "global_tokens": draw(st.integers(0, 5)), "global_question": draw(st.booleans()),
    }  # fmt: skip


def rows(lengths: list[int], questions: list[int], seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, token types and mask of rows of these lengths, the first pieces of each a question."""
    at = torch.arange(max(lengths))
    mask = (at < torch.tensor(lengths)[:, None]).long()
    asked = torch.tensor(questions)[:, None]
    types = ((at >= asked) & (asked > 0)).long() * mask
    ids = torch.randint(5, 60, mask.shape, generator=torch.Generator().manual_seed(seed)) * mask
    return ids, types, mask


@given(shape=shapes(), lengths=st.lists(st.integers(1, 90), min_size=1, max_size=4), data=st.data())
def test_blocks_give_what_the_reference_gives(shape: dict[str, Any], lengths: list[int], data: st.DataObject) -> None:
    questions = [data.draw(st.integers(0, length - 1)) for length in lengths]
    model = AlbertForTask(
        network(**shape), "sequence_classification", generator=torch.Generator().manual_seed(0)
    ).eval()
    ids, types, mask = rows(lengths, questions)
    with torch.no_grad():
        wanted = model.albert(ids, token_type_ids=types, attention_mask=mask)
        found = windowed.encode(model.albert, ids, token_type_ids=types, attention_mask=mask)
        logits = windowed.task_logits(model, ids, token_type_ids=types, attention_mask=mask)
        torch.testing.assert_close(logits, model(ids, token_type_ids=types, attention_mask=mask), atol=1e-5, rtol=1e-4)
    real = mask.bool()
    torch.testing.assert_close(found.last_hidden_state[real], wanted.last_hidden_state[real], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.pooler_output, wanted.pooler_output, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("compiles", [True, False])
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("bf16", 0.05)])
@given(
    shape=shapes(), lengths=st.lists(st.integers(1, 120), min_size=1, max_size=6), head=st.sampled_from(TASK_HEADS),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_the_engine_gives_what_the_reference_gives(
    compiles: bool, precision: Any, tolerance: float, shape: dict[str, Any], lengths: list[int], head: str, seed: int
) -> None:
    config = network(**{**shape, "hidden_size": 16 * shape["num_attention_heads"]})
    model = AlbertForTask(config, head, generator=torch.Generator().manual_seed(seed)).eval()
    texts = features(lengths, seed)
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        if not compiles:
            patch.setattr(compiled, "function_of", lambda *_: None)
            patch.setattr(fused, "function_of", lambda *_: None)
        found = Engine(model, precision).logits(texts)
        for row in range(len(texts)):
            one = texts.batch([row])
            wanted = model(one.input_ids, token_type_ids=one.token_type_ids)[0].numpy()
            np.testing.assert_allclose(found[row], wanted, atol=tolerance)


@given(shape=shapes(), length=st.integers(1, 60))
def test_a_window_that_covers_the_text_is_full_attention(shape: dict[str, Any], length: int) -> None:
    config = network(**{**shape, "attention_window": 2 * length})
    model = AlbertModel(config).eval()
    ids, types, mask = rows([length, max(1, length // 2)], [0, 0])
    full = AlbertModel(config.with_(attention_window=None)).eval()
    full.load_state_dict(model.state_dict())
    with torch.no_grad():
        wanted = full(ids, token_type_ids=types, attention_mask=mask).last_hidden_state
        for form in (model, lambda *a, **k: windowed.encode(model, *a, **k)):
            found = form(ids, token_type_ids=types, attention_mask=mask).last_hidden_state
            torch.testing.assert_close(found[mask.bool()], wanted[mask.bool()], atol=1e-5, rtol=1e-4)


def test_a_position_reads_its_window_and_what_is_global() -> None:
    real = torch.tensor([[1, 1, 1, 1, 1, 1, 1, 0]]).bool()[:, None, None]
    read = window_mask(2, torch.tensor([1]), real)[0, 0].long().tolist()
    assert read == [
        [1, 1, 1, 1, 1, 1, 1, 0], [1, 1, 1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0, 0, 0], [1, 0, 1, 1, 1, 0, 0, 0],
        [1, 0, 0, 1, 1, 1, 0, 0], [1, 0, 0, 0, 1, 1, 1, 0], [1, 0, 0, 0, 0, 1, 1, 0], [1, 0, 0, 0, 0, 0, 1, 1],
    ]  # fmt: skip


def test_the_question_of_a_pair_is_global() -> None:
    _, types, _ = rows([9, 9, 3], [4, 0, 1])
    assert global_pieces(network(attention_window=4), types).tolist() == [4, 1, 1]
    assert global_pieces(network(attention_window=4, global_question=False, global_tokens=2), types).tolist() == [
        2,
        2,
        2,
    ]


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_gradients_are_those_of_the_reference(pooling: str) -> None:
    model = AlbertForTask(network(attention_window=6, pooling=pooling), "sequence_classification")
    ids, types, mask = rows([40, 13], [7, 0])
    gradients = []
    for form in (model, lambda *a, **k: windowed.task_logits(model, *a, **k)):
        model.eval().zero_grad()
        form(ids, token_type_ids=types, attention_mask=mask).square().sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_dropout_drops_while_training_only() -> None:
    model = AlbertModel(network(attention_window=4, attention_probs_dropout_prob=0.5)).train()
    ids, types, mask = rows([30], [0])
    one, other = (windowed.encode(model, ids, token_type_ids=types, attention_mask=mask) for _ in range(2))
    assert not torch.equal(one.last_hidden_state, other.last_hidden_state)
    model.eval()
    one, other = (windowed.encode(model, ids, token_type_ids=types, attention_mask=mask) for _ in range(2))
    assert torch.equal(one.last_hidden_state, other.last_hidden_state)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"attention_window": 0}, "attention_window: expected an even number"),
        ({"attention_window": 7}, "attention_window: expected an even number"),
        ({"attention_window": -2}, "attention_window: expected an even number"),
        ({"attention_window": 4.0}, "attention_window: expected an even number"),
        ({"attention_window": True}, "attention_window: expected an even number"),
        ({"attention_window": 4, "global_tokens": 129}, "global_tokens: expected at most the 128 positions"),
        ({"attention_window": 4, "global_tokens": -1}, "global_tokens: expected a whole number"),
        ({"attention_window": 4, "global_question": "yes"}, "global_question: expected another kind"),
    ],
)
def test_what_is_no_window_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(AlbertError, match=told) as refused:
        network(**changes)
    assert refused.value.kind is ErrorKind.CONFIG


def test_config_json_names_windows_so_that_transformers_does_not_leave_them_out() -> None:
    config = network(attention_window=8, global_tokens=3)
    stored = config.to_dict()
    assert stored["model_type"] == "albert-windowed"
    assert AlbertConfig.from_dict(stored) == config
    assert "attention_window" not in network().to_dict()["albert"]
    for model_type, window in (("albert", 8), ("albert-windowed", None)):
        lie = {**stored, "model_type": model_type, "albert": {**stored["albert"], "attention_window": window}}
        with pytest.raises(AlbertError, match="model_type"):
            AlbertConfig.from_dict(lie)
