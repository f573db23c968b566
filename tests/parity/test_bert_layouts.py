"""BERT's heads and checkpoints against transformers': same numbers, in both directions, and in ALBERT's layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from albert.config import AlbertConfig
from albert.errors import AlbertError
from albert.export.layouts import convert
from albert.model import HEADS, AlbertForTask, load_encoder, load_model, save_model
from albert.model.names import FAMILIES
from conftest import random_ids, small_config
from encoders import assert_encoder_loads
from lines import SPECIALS, write_vocabulary

TOLERANCE = 1e-5
BERT: dict[str, object] = {
    "model_type": "bert", "sharing": "none", "num_hidden_groups": 4, "embedding_projection": False,
    "embedding_size": 32, "hidden_act": "gelu",
}  # fmt: skip


def theirs_of(head: str | None, **overrides: object) -> torch.nn.Module:
    """A random model of transformers, its weights far from initialisation: biases and LayerNorms must matter, too."""
    values = {
        "vocab_size": 61, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 48,
        "max_position_embeddings": 40, "num_labels": 2 if head == "span" else 3, **overrides,
    }  # fmt: skip
    torch.manual_seed(0)
    name = FAMILIES["bert"].architecture(head)
    model = getattr(transformers, name)(transformers.BertConfig(**values)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    return model


def inputs_of(head: str, *, seed: int = 0) -> dict[str, torch.Tensor]:
    return random_ids((3, 2, 11) if head == "multiple_choice" else (3, 11), seed=seed)


def assert_alike(ours: AlbertForTask, theirs: torch.nn.Module, *, seed: int = 0, within: float = TOLERANCE) -> None:
    inputs = inputs_of(ours.head_name, seed=seed)
    with torch.no_grad():
        said, wanted = ours(**inputs), theirs(**inputs)
    if "last_hidden_state" in wanted:
        mask = inputs["attention_mask"].unsqueeze(-1)
        expected = [(wanted.last_hidden_state * mask).sum(1) / mask.sum(1)]
    elif "prediction_logits" in wanted:
        expected = [wanted.prediction_logits, wanted.seq_relationship_logits]
    elif "start_logits" in wanted:
        expected = [torch.stack([wanted.start_logits, wanted.end_logits], -1)]
    else:
        expected = [wanted.logits]
    for one, other in zip(said if isinstance(said, tuple) else (said,), expected, strict=True):
        assert one.shape == other.shape
        assert (one - other).abs().max() < within


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
@pytest.mark.parametrize("head", HEADS)
def test_every_head_in_both_directions(head: str, activation: str, tmp_path: Path) -> None:
    oracle = theirs_of(head, hidden_act=activation)
    oracle.save_pretrained(tmp_path / "theirs")
    model = load_model(tmp_path / "theirs")
    assert (model.head_name, model.config.model_type) == (head, "bert")
    assert_alike(model, oracle)
    save_model(model, tmp_path / "ours")
    auto = transformers.AutoConfig.from_pretrained(tmp_path / "ours")
    assert isinstance(auto, transformers.BertConfig)
    back, told = type(oracle).from_pretrained(tmp_path / "ours", output_loading_info=True)
    # an encoder for vectors has no pooler of ours
    assert all("pooler" in name for name in told["missing_keys"])
    assert (not told["missing_keys"]) or head == "embedding"
    assert not told["unexpected_keys"]
    assert_alike(model, back.eval(), seed=1)
    assert auto.hidden_act == activation


@pytest.mark.parametrize("head", HEADS)
def test_a_random_model_of_ours_loads_there(head: str, tmp_path: Path) -> None:
    model = AlbertForTask(small_config(**BERT), head, generator=torch.Generator().manual_seed(0)).eval()
    save_model(model, tmp_path)
    assert AlbertConfig.load(tmp_path) == model.config.with_(
        id2label=model.config.id2label if HEADS[head].labelled else ()
    )
    assert_alike(model, getattr(transformers, FAMILIES["bert"].architecture(head)).from_pretrained(tmp_path).eval())


def test_whether_the_next_sentence_follows(tmp_path: Path) -> None:
    """A classifier of pairs by another name; index 0 says that it does."""
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=61, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48
    )
    oracle = transformers.BertForNextSentencePrediction(config).eval()
    oracle.save_pretrained(tmp_path / "theirs")
    model = load_model(tmp_path / "theirs")
    assert model.config.id2label == ("next", "random")
    assert_alike(model, oracle)
    save_model(model, tmp_path / "ours")
    assert_alike(model, transformers.BertForSequenceClassification.from_pretrained(tmp_path / "ours").eval())


def test_the_encoder_alone_with_pooler_and_without(tmp_path: Path) -> None:
    config = theirs_of(None).config
    assert_encoder_loads(transformers.BertModel, config, tmp_path, tolerance=TOLERANCE)


def test_the_names_of_the_published_files(tmp_path: Path) -> None:
    """gamma and beta, the tied decoder, position ids, and a next-sentence head below BertForMaskedLM."""
    oracle = theirs_of("pretraining")
    oracle.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in tensors.items()
    }
    old["bert.embeddings.position_ids"] = torch.arange(40).unsqueeze(0)
    old["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"].clone()
    save_file(old, tmp_path / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "architectures": ["BertForMaskedLM"]}))
    model = load_model(tmp_path)
    inputs = random_ids((2, 9))
    with torch.no_grad():
        assert (model(**inputs) - oracle(**inputs).prediction_logits).abs().max() < TOLERANCE
    assert load_encoder(tmp_path).pooler is not None


def test_padding_has_the_id_that_the_folder_says(tmp_path: Path) -> None:
    theirs_of("masked_lm", pad_token_id=7).save_pretrained(tmp_path)
    model = load_model(tmp_path)
    assert model.albert.embeddings.word.padding_idx == 7
    save_model(model, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["pad_token_id"] == 7


def test_dropout_of_the_head_is_that_of_transformers(tmp_path: Path) -> None:
    for told, wanted in (({"hidden_dropout_prob": 0.2}, 0.2), ({"classifier_dropout": 0.3}, 0.3)):
        theirs_of("sequence_classification", **told).save_pretrained(tmp_path)
        assert load_model(tmp_path).head.dropout.p == wanted  # type: ignore[union-attr]


def test_a_missing_key_has_the_default_of_bert() -> None:
    config = AlbertConfig.from_dict({"model_type": "bert"})
    wanted = transformers.BertConfig()
    for name in ("vocab_size", "hidden_size", "num_attention_heads", "intermediate_size", "hidden_act", "pad_token_id"):
        assert getattr(config, name) == getattr(wanted, name)
    assert config.hidden_dropout_prob == config.classifier_dropout_prob == 0.1
    assert config == AlbertConfig.named("bert-base").with_(model_type="bert")


# --- layouts ---------------------------------------------------------------------------------------------


def folder_of(head: str, folder: Path) -> torch.nn.Module:
    """A folder that transformers wrote, with a vocabulary, and its model."""
    tokenizer = write_vocabulary(folder, ["a small text, and another"])
    oracle = theirs_of(head, vocab_size=tokenizer.vocab_size)
    oracle.save_pretrained(folder)
    return oracle


@pytest.mark.parametrize("head", HEADS)
def test_to_the_layout_of_albert_and_back(head: str, tmp_path: Path) -> None:
    oracle = folder_of(head, tmp_path / "bert")
    there = convert(tmp_path / "bert", tmp_path / "albert", to="albert")
    assert there.architecture == (HEADS[head].architecture)
    model = load_model(tmp_path / "albert")
    assert (model.config.model_type, model.config.num_hidden_groups) == ("albert", 4)
    assert_alike(model, oracle)
    albert = getattr(transformers, there.architecture).from_pretrained(tmp_path / "albert").eval()
    if head != "pretraining":  # its second output has another name there
        assert_alike(model, albert)
    convert(tmp_path / "albert", tmp_path / "back", to="bert")
    back, told = type(oracle).from_pretrained(tmp_path / "back", output_loading_info=True)
    assert not told["missing_keys"]
    for name, tensor in oracle.state_dict().items():
        assert torch.equal(tensor, back.state_dict()[name]), name
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "back").cls_token_id == SPECIALS.index("[CLS]")


def test_shared_layers_are_written_out(tmp_path: Path) -> None:
    """Of ours, layers that share a block but no mapping."""
    tokenizer = write_vocabulary(tmp_path / "ours", ["a small text, and another"])
    config = small_config(
        embedding_projection=False, embedding_size=32, inner_group_num=2, vocab_size=tokenizer.vocab_size
    )
    model = AlbertForTask(config, "sequence_classification", generator=torch.Generator().manual_seed(0)).eval()
    save_model(model, tmp_path / "ours")
    convert(tmp_path / "ours", tmp_path / "bert", to="bert")
    oracle = transformers.BertForSequenceClassification.from_pretrained(tmp_path / "bert").eval()
    assert oracle.config.num_hidden_layers == 8
    assert_alike(model, oracle)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_other_number_formats(dtype: str, tmp_path: Path) -> None:
    oracle = folder_of("span", tmp_path / "bert")
    convert(tmp_path / "bert", tmp_path / "half", dtype=dtype)
    assert {str(t.dtype) for t in load_file(tmp_path / "half" / "model.safetensors").values()} == {f"torch.{dtype}"}
    assert_alike(load_model(tmp_path / "half"), oracle, within=0.1)


def test_what_cannot_be_converted_is_refused(tmp_path: Path) -> None:
    folder_of("span", tmp_path / "bert")
    write_vocabulary(tmp_path / "albert", ["a"])
    save_model(AlbertForTask(small_config(vocab_size=500), "span", generator=torch.Generator()), tmp_path / "albert")
    for name, options, message in (
        ("albert", {"to": "bert"}, "a network without a mapping from its embeddings"),
        ("bert", {"to": "roberta"}, "expected albert or bert, got 'roberta'"),
        ("bert", {"dtype": "int4"}, "expected float32 or float16 or bfloat16"),
    ):
        with pytest.raises(AlbertError, match=message):
            convert(tmp_path / name, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
    with pytest.raises(AlbertError, match="a new or empty folder"):
        convert(tmp_path / "bert", tmp_path / "albert")


# --- what is no BERT -------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["roberta", "distilbert", "electra"])
def test_other_families_are_refused(family: str, tmp_path: Path) -> None:
    config = transformers.AutoConfig.for_model(family, vocab_size=61, num_hidden_layers=1)
    config.save_pretrained(tmp_path)
    for load in (load_model, load_encoder):
        with pytest.raises(AlbertError, match=f"model_type: expected albert or bert, got '{family}'"):
            load(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("position_embedding_type", "relative_key", "expected 'absolute', got 'relative_key'"),
        ("is_decoder", True, "is_decoder: expected False"),
        ("tie_word_embeddings", False, "tie_word_embeddings: expected True"),
        ("hidden_act", "silu", "hidden_act: expected one of gelu"),
        ("architectures", ["BertLMHeadModel"], "no head to predict with: expected one of BertForMaskedLM"),
        ("num_hidden_layers", 5, "- bert.encoder.layer.4.attention.self.query.weight: missing"),
        ("intermediate_size", 64, r"bert.encoder.layer.0.intermediate.dense.weight: expected \[64, 32\]"),
        ("model_type", "albert", "- albert.embeddings.word_embeddings.weight: missing"),
    ],
)
def test_variants_and_damage_are_refused(key: str, value: object, message: str, tmp_path: Path) -> None:
    theirs_of("masked_lm").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    if key == "model_type":
        config = {**config, "architectures": ["AlbertForMaskedLM"], "embedding_size": 32}
    (tmp_path / "config.json").write_text(json.dumps({**config, key: value}))
    with pytest.raises(AlbertError, match=message):
        load_model(tmp_path)


def test_bert_shares_nothing() -> None:
    for change in ({"sharing": "all"}, {"embedding_projection": True}, {"inner_group_num": 2}):
        with pytest.raises(AlbertError, match="in the layout of BERT"):
            small_config(**{**BERT, **change})
