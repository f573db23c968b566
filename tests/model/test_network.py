from __future__ import annotations

import pytest
import torch

from albert.config import AlbertConfig
from albert.model import HEADS, AlbertForTask, AlbertModel
from albert.model.network import attend, initialize
from conftest import random_ids, small_config


def build(**overrides: object) -> AlbertModel:
    config = small_config(**overrides)
    model = AlbertModel(config)
    initialize(model, config, torch.Generator().manual_seed(0))
    return model.eval()


def test_padding_changes_nothing() -> None:
    model = build(num_hidden_groups=2)
    ids = torch.randint(5, 61, (2, 7), generator=torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(ids, (0, 5))
    mask = (torch.arange(12) < 7).long().expand(2, -1)
    alone = model(ids)
    beside = model(padded, attention_mask=mask)
    assert torch.allclose(alone.last_hidden_state, beside.last_hidden_state[:, :7], atol=1e-6)
    assert torch.allclose(alone.pooler_output, beside.pooler_output, atol=1e-6)


def test_groups_divide_the_layers_in_order() -> None:
    """Four iterations over two groups: the first two by the first group (modeling.py, `group_idx`)."""
    model = build(num_hidden_groups=2)
    order: list[int] = []
    for index, group in enumerate(model.encoder.groups):
        group[0].register_forward_hook(lambda *_, index=index: order.append(index))
    model(**random_ids((1, 5)))
    assert order == [0, 0, 1, 1]


def test_depth_is_layers_times_inner_blocks() -> None:
    model = build(inner_group_num=2)
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    for layer in model.encoder.groups[0]:
        layer.register_forward_hook(count)
    model(**random_ids((1, 5)))
    assert calls == 8


@pytest.mark.parametrize(("sharing", "shared", "own"), [("attention", "attention", "ffn"), ("ffn", "ffn", "attention")])
def test_partial_sharing_shares_exactly_that_part(sharing: str, shared: str, own: str) -> None:
    groups = build(sharing=sharing, num_hidden_groups=4).encoder.groups
    assert all(getattr(g[0], shared) is getattr(groups[0][0], shared) for g in groups)
    assert len({id(getattr(g[0], own)) for g in groups}) == 4


def test_mean_pooling_reads_all_real_positions_and_no_padding() -> None:
    model = build(pooling="mean")
    inputs = random_ids((1, 8))
    inputs["attention_mask"] = (torch.arange(8) < 5).long()[None]
    changed = {**inputs, "input_ids": inputs["input_ids"].clone()}
    changed["input_ids"][0, 6] = 9
    assert torch.allclose(model(**inputs).pooler_output, model(**changed).pooler_output, atol=1e-6)
    changed["input_ids"][0, 3] = 9
    assert not torch.allclose(model(**inputs).pooler_output, model(**changed).pooler_output, atol=1e-4)


def test_dropout_acts_in_training_only() -> None:
    model = build(hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5)
    inputs = random_ids((1, 8))
    assert torch.equal(model(**inputs).last_hidden_state, model(**inputs).last_hidden_state)
    model.train()
    assert not torch.equal(model(**inputs).last_hidden_state, model(**inputs).last_hidden_state)


def test_initial_weights_are_a_cut_normal_and_seeded() -> None:
    config = AlbertConfig.named("tiny")
    models = [AlbertForTask(config.with_(id2label=("a", "b")), "sequence_classification",
                            generator=torch.Generator().manual_seed(s)) for s in (0, 0, 1)]  # fmt: skip
    weights = [m.albert.encoder.groups[0][0].ffn.inner.weight for m in models]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert float(weights[0].detach().abs().max()) <= 0.04
    # a normal cut at two standard deviations keeps 0.880 of its spread
    assert float(weights[0].detach().std()) == pytest.approx(0.02 * 0.880, rel=0.02)
    assert all((p == 0).all() for n, p in models[0].named_parameters() if n.endswith("bias"))


@pytest.mark.parametrize("head", HEADS)
def test_every_head_gives_its_shape(head: str) -> None:
    model = AlbertForTask(small_config(), head, generator=torch.Generator().manual_seed(0))
    shape = (2, 3, 7) if head == "multiple_choice" else (2, 7)
    out = model(**random_ids(shape))
    expected = {
        "masked_lm": [(2, 7, 61)],
        "pretraining": [(2, 7, 61), (2, 2)],
        "sequence_classification": [(2, 3)],
        "token_classification": [(2, 7, 3)],
        "span": [(2, 7, 2)],
        "multiple_choice": [(2, 3)],
        "embedding": [(2, 32)],
    }[head]
    assert [tuple(part.shape) for part in (out if isinstance(out, tuple) else (out,))] == expected


def test_masked_positions_alone_score_like_all_positions() -> None:
    model = AlbertForTask(small_config(), "masked_lm", generator=torch.Generator().manual_seed(0)).eval()
    inputs = random_ids((2, 7))
    hidden = model.albert(**inputs).last_hidden_state
    some = model.head(hidden[[0, 1], [2, 4]], model.albert.embeddings.word.weight)
    assert torch.allclose(some, model(**inputs)[[0, 1], [2, 4]], atol=1e-6)


def test_a_wrong_shape_names_the_rule() -> None:
    with pytest.raises(Exception, match="batch seq"):
        build()(torch.zeros(3, dtype=torch.long))


def test_attention_learns_in_float32_on_a_cpu() -> None:
    wide = [torch.randn(2, 4, 9, 16).bfloat16().float().requires_grad_() for _ in range(3)]
    narrow = [x.detach().bfloat16().requires_grad_() for x in wide]
    mask = torch.ones(9, 9, dtype=torch.bool).tril()[None, None]
    with torch.autocast("cpu", torch.bfloat16):
        found = attend(*narrow, mask, dropout=0.0)
        assert attend(*(x.detach() for x in narrow), mask, dropout=0.0).dtype == torch.bfloat16
    expected = attend(*wide, mask, dropout=0.0)
    assert torch.equal(found, expected)
    found.square().sum().backward()
    expected.square().sum().backward()
    for one, other in zip(narrow, wide, strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert torch.equal(one.grad, other.grad.bfloat16())
