"""Our network and checkpoints against transformers': same numbers, in both directions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

from albert.config import AlbertConfig
from albert.model import HEADS, AlbertForTask, load_encoder, load_model, save_model
from conftest import random_ids, small_config
from encoders import assert_encoder_loads

TOLERANCE = 1e-5
SHAPES: dict[str, dict[str, object]] = {
    "shared": {},
    "groups-2": {"num_hidden_groups": 2},
    "inner-2": {"inner_group_num": 2},
    "groups-2-inner-2": {"num_hidden_groups": 2, "inner_group_num": 2},
    "gelu-erf": {"hidden_act": "gelu"},
    "relu": {"hidden_act": "relu"},
    "attention-shared": {"sharing": "attention", "num_hidden_groups": 4},
    "ffn-shared": {"sharing": "ffn", "num_hidden_groups": 4},
    "none-shared": {"sharing": "none", "num_hidden_groups": 4},
    "bert": {"sharing": "none", "num_hidden_groups": 4, "embedding_projection": False, "embedding_size": 32},
}


def random_model(config: AlbertConfig, head: str, *, seed: int = 0) -> AlbertForTask:
    """Weights far from initialisation: biases and LayerNorms must matter too."""
    generator = torch.Generator().manual_seed(seed)
    model = AlbertForTask(config, head, generator=generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def ours(model: AlbertForTask, inputs: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    with torch.no_grad():
        out = model(**inputs)
    return list(out) if isinstance(out, tuple) else [out]


def theirs(model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    with torch.no_grad():
        out = model(**inputs)
    if "last_hidden_state" in out:
        mask = inputs["attention_mask"].unsqueeze(-1)
        return [(out.last_hidden_state * mask).sum(1) / mask.sum(1)]
    if "prediction_logits" in out:
        return [out.prediction_logits, out.sop_logits]
    if "start_logits" in out:
        return [torch.stack([out.start_logits, out.end_logits], -1)]
    return [out.logits]


def assert_matches_hf(model: AlbertForTask, folder: Path) -> torch.nn.Module:
    """What we save loads in transformers and computes the same; returns their model."""
    save_model(model, folder)
    oracle = getattr(transformers, model.head.architecture).from_pretrained(folder).eval()
    shape = (3, 2, 11) if model.head_name == "multiple_choice" else (3, 11)
    inputs = random_ids(shape)
    for mine, other in zip(ours(model, inputs), theirs(oracle, inputs), strict=True):
        assert mine.shape == other.shape
        assert (mine - other).abs().max() < TOLERANCE
    return oracle


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("head", HEADS)
def test_logits_and_checkpoints_agree_in_both_directions(head: str, shape: str, tmp_path: Path) -> None:
    config = small_config(**SHAPES[shape])
    model = random_model(config, head)
    oracle = assert_matches_hf(model, tmp_path / "ours")
    oracle.save_pretrained(tmp_path / "theirs")
    back = load_model(tmp_path / "theirs")
    inputs = random_ids((2, 3, 9) if head == "multiple_choice" else (2, 9), seed=1)
    for mine, again in zip(ours(model, inputs), ours(back, inputs), strict=True):
        assert (mine - again).abs().max() < TOLERANCE


@pytest.mark.parametrize("head", HEADS)
def test_a_model_born_in_transformers_loads_here(head: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    config = transformers.AlbertConfig(
        vocab_size=61, embedding_size=16, hidden_size=32, num_hidden_layers=4, num_hidden_groups=2,
        inner_group_num=2, num_attention_heads=4, intermediate_size=48, num_labels=2, hidden_act="gelu",
    )  # fmt: skip
    oracle = getattr(transformers, HEADS[head].architecture)(config).eval()
    oracle.save_pretrained(tmp_path)
    model = load_model(tmp_path)
    inputs = random_ids((2, 3, 9) if head == "multiple_choice" else (2, 9))
    for mine, other in zip(ours(model, inputs), theirs(oracle, inputs), strict=True):
        assert (mine - other).abs().max() < TOLERANCE


def test_the_encoder_alone_with_pooler_and_without(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.AlbertConfig(
        vocab_size=61, embedding_size=16, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=48,
    )  # fmt: skip
    assert_encoder_loads(transformers.AlbertModel, config, tmp_path, tolerance=TOLERANCE)


def test_sharded_checkpoints_load(tmp_path: Path) -> None:
    model = random_model(small_config(num_hidden_groups=2), "sequence_classification")
    oracle = assert_matches_hf(model, tmp_path / "ours")
    oracle.save_pretrained(tmp_path / "shards", max_shard_size="10KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    inputs = random_ids((2, 9))
    again = load_model(tmp_path / "shards")
    assert torch.equal(ours(model, inputs)[0], ours(again, inputs)[0])


def test_an_encoder_loads_from_below_any_head(tmp_path: Path) -> None:
    model = random_model(small_config(), "pretraining")
    save_model(model, tmp_path)
    encoder = load_encoder(tmp_path)
    inputs = random_ids((2, 9))
    with torch.no_grad():
        assert torch.equal(encoder(**inputs).last_hidden_state, model.albert(**inputs).last_hidden_state)


def test_the_masked_lm_loss_and_gradients_agree(tmp_path: Path) -> None:
    model = random_model(small_config(), "pretraining")
    oracle = assert_matches_hf(model, tmp_path)
    inputs = random_ids((3, 11))
    labels = torch.where(torch.rand(3, 11, generator=torch.Generator().manual_seed(1)) < 0.3, inputs["input_ids"], -100)
    order = torch.tensor([0, 1, 0])
    out = oracle(**inputs, labels=labels, sentence_order_label=order)
    mlm, sop = model(**inputs)
    loss = torch.nn.functional.cross_entropy(mlm.flatten(0, 1), labels.flatten()) + torch.nn.functional.cross_entropy(
        sop, order
    )
    assert abs(loss.item() - out.loss.item()) < TOLERANCE
    loss.backward()
    out.loss.backward()
    mine = model.albert.encoder.groups[0][0].ffn.inner.weight.grad
    other = oracle.albert.encoder.albert_layer_groups[0].albert_layers[0].ffn.weight.grad
    assert (mine - other).abs().max() < TOLERANCE
