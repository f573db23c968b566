from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from albert.config import SIZES, AlbertConfig
from albert.errors import AlbertError, ErrorKind
from albert.model import AlbertForTask, AlbertModel

# ALBERT.md's table, counted from Google's code: encoder, + pooler, + MLM and SOP heads.
COUNTS = {
    "base": (11_092_992, 11_683_584, 11_813_810),
    "large": (16_634_368, 17_683_968, 17_847_474),
    "xlarge": (54_528_512, 58_724_864, 59_021_490),
    "xxlarge": (205_814_272, 222_595_584, 223_158_450),
}


def parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("version", ["-v1", "-v2"])
@pytest.mark.parametrize("size", COUNTS)
def test_parameter_counts_of_published_sizes(size: str, version: str) -> None:
    config = AlbertConfig.named(size + version)
    with torch.device("meta"):
        counts = (
            parameters(AlbertModel(config, pooler=False)),
            parameters(AlbertModel(config)),
            parameters(AlbertForTask(config, "pretraining")),
        )
    assert counts == COUNTS[size]


def test_bert_base_has_berts_parameters() -> None:
    with torch.device("meta"):
        model = AlbertModel(AlbertConfig.named("bert-base"))
    assert parameters(model) == 109_482_240  # Devlin et al. 2019: "110M"


@pytest.mark.parametrize(
    ("sharing", "count"),
    # paper, Table 4 (E = 128): 12M, 64M, 38M, 89M
    [("all", 12e6), ("attention", 64e6), ("ffn", 38e6), ("none", 89e6)],
)
def test_sharing_modes_have_the_papers_sizes(sharing: str, count: float) -> None:
    with torch.device("meta"):
        model = AlbertForTask(AlbertConfig.named("base", sharing=sharing), "pretraining")
    assert parameters(model) == pytest.approx(count, rel=0.02)


def test_versions_differ_where_the_papers_do() -> None:
    assert AlbertConfig.named("base-v1").hidden_act == "gelu"
    assert AlbertConfig.named("base-v2").hidden_act == "gelu_new"
    assert AlbertConfig.named("large-v1").hidden_dropout_prob == 0.1
    assert AlbertConfig.named("xxlarge-v1").hidden_dropout_prob == 0
    assert AlbertConfig.named("base-v2").attention_probs_dropout_prob == 0
    assert {"tiny", "mini", "small"} <= set(SIZES)


@pytest.mark.parametrize("size", SIZES)
def test_config_survives_json(size: str) -> None:
    config = AlbertConfig.named(size, id2label=("no", "yes"), extra={"task": "x"})
    raw = json.loads(json.dumps(config.to_dict()))
    assert AlbertConfig.from_dict(raw) == config
    assert raw["id2label"] == {"0": "no", "1": "yes"}
    assert (raw["pad_token_id"], raw["bos_token_id"], raw["eos_token_id"]) == (0, 2, 3)


def test_missing_keys_take_transformers_defaults() -> None:
    assert AlbertConfig.from_dict({"model_type": "albert"}).hidden_size == 4096


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hidden_size", 10**9),
        ("hidden_size", -1),
        ("hidden_size", 100.5),
        ("hidden_size", "768"),
        ("hidden_size", True),
        ("hidden_size", 769),  # no multiple of the heads
        ("vocab_size", 10**12),
        ("num_hidden_layers", 10**6),
        ("num_hidden_groups", 13),
        ("inner_group_num", 0),
        ("intermediate_size", 10**8),
        ("max_position_embeddings", 10**9),
        ("hidden_dropout_prob", 1.5),
        ("layer_norm_eps", 0),
        ("hidden_act", "swish"),
        ("hidden_act", ["gelu"]),
        ("id2label", {"0": "a", "2": "b"}),
        ("id2label", ["a"]),
        ("id2label", {"0": "a", "1": "a"}),
        ("model_type", "bert"),
        ("num_hiden_layers", 12),  # a slip that would silently mean the default
        ("embedding_size", 16_384),  # allowed alone, absurd with a vocabulary of 1M: see below
    ],
)
def test_absurd_values_are_refused_before_allocation(tmp_path: Path, key: str, value: object) -> None:
    raw = AlbertConfig.named("base").to_dict()
    if key == "embedding_size":
        raw |= {
            "vocab_size": 1_000_000,
            "num_hidden_groups": 12,
            "intermediate_size": 131_072,
            "hidden_size": 12_288,
        }
    raw[key] = value
    (tmp_path / "config.json").write_text(json.dumps(raw))
    with pytest.raises(AlbertError) as caught:
        AlbertConfig.load(tmp_path)
    assert caught.value.kind is ErrorKind.CONFIG
    assert str(tmp_path / "config.json") in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "nul\0", "[" * 100_000])
def test_broken_json_is_one_clear_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(AlbertError) as caught:
        AlbertConfig.load(tmp_path)
    assert caught.value.kind is ErrorKind.CONFIG


def test_unknown_size_suggests_the_nearest() -> None:
    with pytest.raises(AlbertError, match="did you mean 'xlarge'"):
        AlbertConfig.named("xlarg")
