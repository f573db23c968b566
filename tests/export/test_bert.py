"""BERT from end to end: a folder that transformers wrote is loaded, fine-tuned, scored and served."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
import transformers

import albert as package
from albert.errors import AlbertError
from albert.predict.predictor import Predictor
from albert.predict.pretrained import PretrainedModel
from albert.text.wordpiece import WordPieceTokenizer
from conftest import Albert, write_reviews
from lines import write_vocabulary

SETTINGS = {
    "epochs": 6.0, "lr": 3e-3, "batch_size": 16, "precision": "fp32", "initializer_range": 0.1,
    "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}  # fmt: skip
TEXTS = ["a great lamp", "the soup was broken, really", "What? A lovely coat!"]


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def write_bert(folder: Path, name: str, lines: list[str], **config: Any) -> torch.nn.Module:
    """A random model of one of transformers' classes as it saves it, with its tokenizer."""
    tokenizer = write_vocabulary(folder, lines)
    torch.manual_seed(0)
    values = {
        "vocab_size": tokenizer.vocab_size + 3, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 64, "max_position_embeddings": 128, "initializer_range": 0.1, **config,
    }  # fmt: skip
    model = getattr(transformers, name)(transformers.BertConfig(**values)).eval()
    model.save_pretrained(folder)
    transformers.BertTokenizerFast.from_pretrained(folder).save_pretrained(folder)
    return model


def theirs(folder: Path, texts: list[Any], name: str = "AutoModelForSequenceClassification", **options: Any) -> Any:
    """What transformers computes of a folder's model."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = getattr(transformers, name).from_pretrained(folder).eval()
    inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="pt", **options)
    with torch.no_grad():
        return model(**inputs), inputs


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Predictor]:
    """A pre-trained folder, and what `albert train --init` made of it."""
    folder = tmp_path_factory.mktemp("bert")
    reviews = write_reviews(folder / "reviews.csv", rows=120)
    write_bert(folder / "bert", "BertForMaskedLM", lines_of(reviews))
    model = package.train(reviews, out=folder / "out", init=folder / "bert", settings=SETTINGS, quiet=True)
    assert isinstance(model, Predictor)
    return folder / "bert", folder / "out", model


# --- training --------------------------------------------------------------------------------------------


def test_it_learns_and_keeps_the_layout_of_bert(trained: tuple[Path, Path, Predictor]) -> None:
    _, out, model = trained
    assert model("a lovely lamp")[0]["label"] == "positive"
    assert model("a broken chair")[0]["label"] == "negative"
    assert json.loads((out / "config.json").read_text())["model_type"] == "bert"
    assert isinstance(model.tokenizer, WordPieceTokenizer)
    assert {"vocab.txt", "tokenizer.json", "model.safetensors", "manifest.json"} <= {p.name for p in out.iterdir()}


def test_transformers_answers_the_same(trained: tuple[Path, Path, Predictor]) -> None:
    _, out, _ = trained
    wanted, _ = theirs(out, TEXTS)
    full = Predictor.load(out, precision="fp32", hardening=False)
    for said, row in zip(full(TEXTS, top_k=None), wanted.logits.softmax(1), strict=True):
        scores = {entry["label"]: entry["score"] for entry in said}
        for index, label in enumerate(full.labels):
            assert scores[label] == pytest.approx(float(row[index]), abs=1e-5)
    assert transformers.AutoConfig.from_pretrained(out).id2label == {0: "negative", 1: "positive"}


def test_the_command_line_trains_predicts_converts_and_goes_on(
    trained: tuple[Path, Path, Predictor], albert: Albert, tmp_path: Path
) -> None:
    bert, out, _ = trained
    reviews = write_reviews(tmp_path / "reviews.csv", rows=60)
    done = albert("check", reviews, "--init", bert)
    assert done.returncode in (0, 65), done.stderr
    done = albert("train", reviews, "--init", bert, "-o", tmp_path / "again", "--set", "epochs=1", "--quiet")
    assert done.returncode == 0, done.stderr
    done = albert("train", reviews, "--init", bert, "-o", tmp_path / "other", "--set", "model_type=albert")
    assert "model_type of" in done.stderr
    done = albert("predict", out, input="a lovely lamp\n")
    assert "positive" in done.stdout
    for other, source in (("albert", out), ("bert", tmp_path / "albert")):
        done = albert("convert", source, tmp_path / other, "--to", other)
        assert done.returncode == 0, done.stderr
        assert f"{other.capitalize()}ForSequenceClassification" in done.stderr
    folders = (out, tmp_path / "albert", tmp_path / "bert")
    answers = [Predictor.load(folder, precision="fp32")(TEXTS) for folder in folders]
    assert answers[0] == answers[1] == answers[2]
    done = albert("export", tmp_path / "bert", "--to", "int8", "--dev", reviews, "--budget", "0.2")
    assert done.returncode == 0, done.stderr
    assert "int8" in repr(Predictor.load(tmp_path / "bert", precision="int8"))
    done = albert("train", reviews, "--init", bert, "-o", tmp_path / "early", "--early-exit", "--set", "epochs=1")
    assert done.returncode == 0, done.stderr
    early = Predictor.load(tmp_path / "early", precision="fp32")
    assert early.model.config.model_type == "bert"
    assert early.model.exits is not None


@pytest.mark.ci
def test_entities_and_answers(trained: tuple[Path, Path, Predictor], tmp_path: Path) -> None:
    """Tasks that point into the text: offsets of pieces, windows, pairs."""
    bert, _, _ = trained
    rows = [{"text": f"a great lamp, number {n}", "label": [[8, 12, "thing"]]} for n in range(40)]
    (tmp_path / "ner.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ner = package.train(tmp_path / "ner.jsonl", out=tmp_path / "ner", init=bert, settings=SETTINGS, quiet=True)
    assert ner("a great Lamp, number 7")[0]["word"] == "Lamp"
    before = "so " * 30
    contexts = [f"{before}number {n} is a lamp" for n in range(40)]
    answers = [[{"text": "lamp", "answer_start": context.index("lamp")}] for context in contexts]
    asked = [{"question": "what is it", "context": c, "answers": a} for c, a in zip(contexts, answers, strict=True)]
    (tmp_path / "qa.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    qa = package.train(
        tmp_path / "qa.jsonl", out=tmp_path / "qa", task="qa", init=bert, max_length=32, stride=8, settings=SETTINGS,
        quiet=True,
    )  # fmt: skip
    answer = qa(question="what is it", context=f"{before}number 3 is a Lamp")
    assert answer[0]["answer"].endswith("Lamp")


def test_corpora_are_not_prepared_with_its_vocabulary(
    trained: tuple[Path, Path, Predictor], albert: Albert, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text("A text.\n")
    for folder, message in ((trained[0], "got a WordPiece tokenizer"), (tmp_path / "words", "a vocab.txt is BERT's")):
        if folder != trained[0]:
            write_vocabulary(folder, TEXTS)
        done = albert("prepare", tmp_path / "text.txt", "-o", tmp_path / "shards", "--vocab", folder)
        assert done.returncode == 66
        assert message in done.stderr


def test_a_network_from_scratch_on_its_vocabulary(trained: tuple[Path, Path, Predictor], tmp_path: Path) -> None:
    reviews = write_reviews(tmp_path / "reviews.csv", rows=60)
    settings = {"epochs": 1.0, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
    model = package.train(
        reviews, out=tmp_path / "out", size="tiny", tokenizer=trained[0], settings=settings, quiet=True
    )
    assert isinstance(model.tokenizer, WordPieceTokenizer)
    assert transformers.AutoConfig.from_pretrained(tmp_path / "out").model_type == "albert"
    wanted, _ = theirs(tmp_path / "out", TEXTS)
    assert wanted.logits.shape == (3, 2)


# --- folders from elsewhere ------------------------------------------------------------------------------


def test_a_classifier_with_no_names_for_its_labels(tmp_path: Path) -> None:
    write_bert(tmp_path, "BertForSequenceClassification", TEXTS, num_labels=3)
    model = Predictor.load(tmp_path, precision="fp32")
    pairs = [("a lamp", "a coat"), ("a great lamp, really", "soup")]
    wanted, _ = theirs(tmp_path, [list(pair) for pair in pairs])
    for said, row in zip(model(pairs, top_k=None), wanted.logits.softmax(1), strict=True):
        assert {entry["label"] for entry in said} == {"LABEL_0", "LABEL_1", "LABEL_2"}
        for entry in said:
            assert entry["score"] == pytest.approx(float(row[int(entry["label"][-1])]), abs=1e-5)


def test_one_label_is_a_number(tmp_path: Path) -> None:
    """As cross-encoders are published: one label, and no problem type."""
    write_bert(tmp_path, "BertForSequenceClassification", TEXTS, num_labels=1)
    model = Predictor.load(tmp_path, precision="fp32")
    assert model.task.name == "relevance"
    wanted, _ = theirs(tmp_path, TEXTS)
    for said, row in zip(model(TEXTS), wanted.logits.sigmoid(), strict=True):
        assert said["score"] == pytest.approx(float(row[0]), abs=1e-5)


def test_answers_and_choices_need_no_labels(tmp_path: Path) -> None:
    write_bert(tmp_path / "qa", "BertForQuestionAnswering", TEXTS)
    assert package.load(tmp_path / "qa")(question="what", context="a great lamp")[0]["answer"]
    write_bert(tmp_path / "choice", "BertForMultipleChoice", TEXTS)
    said = package.load(tmp_path / "choice")({"text": "a great", "choices": ["lamp", "soup"]})
    assert said[0]["choice"] in ("lamp", "soup")


@pytest.mark.parametrize("name", ["BertForMaskedLM", "BertForPreTraining"])
def test_masks_are_filled_as_transformers_fills_them(name: str, tmp_path: Path) -> None:
    text = "A great [MASK], and [MASK]ing soup."
    write_bert(tmp_path, name, [text, *TEXTS])
    model = package.load(tmp_path)
    assert isinstance(model, PretrainedModel)
    found = model.fill_mask(text, top_k=4)
    out, inputs = theirs(tmp_path, [text], "BertForMaskedLM")
    ids = inputs["input_ids"][0]
    assert model.masked(text)[0] == ids.tolist()
    places = (ids == 103).nonzero().flatten()
    decode = transformers.AutoTokenizer.from_pretrained(tmp_path).decode
    for said, row in zip(found, out.logits[0][places].softmax(1), strict=True):
        values, tokens = row[: model.tokenizer.vocab_size].topk(4)
        assert [entry["token"] for entry in said] == tokens.tolist()
        assert [entry["token_str"] for entry in said] == [decode([token]) for token in tokens.tolist()]
        assert [entry["score"] for entry in said] == pytest.approx(values.tolist(), abs=1e-5)
        for entry in said:
            assert text[:8] + entry["token_str"].removeprefix("##") in entry["sequence"] or said is found[1]
    if name == "BertForPreTraining":
        pair, _ = theirs(tmp_path, [["a lamp", "a coat"]], name)
        wanted = float(pair.seq_relationship_logits.softmax(1)[0, 0])
        assert model.in_order("a lamp", "a coat") == pytest.approx(wanted, abs=1e-5)


# --- vectors ---------------------------------------------------------------------------------------------


def sentence_folder(folder: Path, *, mode: str = "mean_tokens", more: tuple[str, ...] = ("Normalize",)) -> Path:
    """A folder as sentence-transformers writes it."""
    write_bert(folder, "BertModel", TEXTS)
    modules = [{"path": "", "type": "sentence_transformers.models.Transformer"},
               {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
               *({"path": kind, "type": f"sentence_transformers.models.{kind}"} for kind in more)]  # fmt: skip
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 32, "pooling_mode_cls_token": False, f"pooling_mode_{mode}": True})
    )
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 12}))
    return folder


def mean_vectors(folder: Path, texts: list[str], length: int) -> np.ndarray:
    """What sentence-transformers computes: the mean over a text's pieces, of length 1."""
    out, inputs = theirs(folder, texts, "AutoModel", max_length=length)
    mask = inputs["attention_mask"].unsqueeze(-1)
    mean = (out.last_hidden_state * mask).sum(1) / mask.sum(1)
    return torch.nn.functional.normalize(mean).numpy()


def test_vectors_are_those_of_sentence_transformers(tmp_path: Path) -> None:
    folder = sentence_folder(tmp_path / "encoder")
    texts = [*TEXTS, "", "lamp " * 40]
    model = package.load(folder, precision="fp32")
    assert isinstance(model, Predictor)
    assert model.lengths.max_length == 12
    assert np.abs(model.embed(texts) - mean_vectors(folder, texts, 12)).max() < 1e-5
    from albert.export.layouts import convert

    convert(folder, tmp_path / "albert", to="albert")
    again = package.load(tmp_path / "albert", precision="fp32")
    assert np.array_equal(again.embed(texts), model.embed(texts))  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "cls_token"}, "expected the mean over pieces, got pooling_mode_cls_token"),
        ({"more": ("Dense",)}, "a module Dense"),
    ],
)
def test_other_vectors_are_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(AlbertError, match=message):
        package.load(sentence_folder(tmp_path / "encoder", **options))


def test_the_published_sentence_encoder(sentence_encoder: Path) -> None:
    texts = [*TEXTS, "wörld, über " * 120, "", "A [MASK] and a [SEP]."]
    model = package.load(sentence_encoder, precision="fp32")
    assert isinstance(model, Predictor)
    assert np.abs(model.embed(texts) - mean_vectors(sentence_encoder, texts, 256)).max() < 1e-5


# --- serving ---------------------------------------------------------------------------------------------


def _unnamed(raw: dict[str, Any]) -> None:
    raw["post_processor"]["special_tokens"]["[SEP]x"] = raw["post_processor"]["special_tokens"].pop("[SEP]")


def _untold(raw: dict[str, Any]) -> None:
    raw["post_processor"]["special_tokens"] = {}


def _another(raw: dict[str, Any]) -> None:
    raw["post_processor"]["pair"][0]["SpecialToken"]["id"] = "[ENT]"


def _nested(raw: dict[str, Any]) -> None:
    _untold(raw)
    raw["post_processor"] = {"type": "Sequence", "processors": [raw["post_processor"]]}


def _unknown(raw: dict[str, Any]) -> None:
    raw["model"]["unk_token"] = "[OTHER]"


def _without_unknown(raw: dict[str, Any]) -> None:
    raw["model"]["vocab"]["[UNX]"] = raw["model"]["vocab"].pop("[UNK]")


def _of_lists(raw: dict[str, Any]) -> None:
    raw["post_processor"]["single"][0]["SpecialToken"]["id"] = ["[CLS]"]


@pytest.mark.parametrize(
    "spoil",
    [_unnamed, _untold, _another, _nested, _unknown, _without_unknown, _of_lists],
    ids=lambda spoil: spoil.__name__,
)
def test_a_pipeline_that_would_fail_at_some_text_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], spoil: Callable[[dict[str, Any]], None]
) -> None:
    """And the library does not panic, which it would tell in many lines of its own."""
    write_vocabulary(tmp_path, ["a great lamp"] * 3).save(tmp_path)
    raw = json.loads((tmp_path / "tokenizer.json").read_text())
    spoil(raw)
    (tmp_path / "tokenizer.json").write_text(json.dumps(raw))
    with pytest.raises(AlbertError, match="tokenizer"):
        WordPieceTokenizer.from_pretrained(tmp_path)
    assert capfd.readouterr().err == ""


def test_bert_is_served(trained: tuple[Path, Path, Predictor], tmp_path: Path) -> None:
    from albert.serve.core.hosted import Hosted, Source
    from albert.serve.core.service import Service
    from served import Running

    bert, out, model = trained
    encoder = sentence_folder(tmp_path / "encoder")
    hosted = [Hosted.load(Source(name, str(path))) for name, path in (("c", out), ("m", bert), ("e", encoder))]
    with Running(Service(hosted)) as running, running.client() as client:

        def post(path: str, **body: Any) -> Any:
            response: httpx.Response = client.post(path, json=body)
            assert response.status_code == 200, response.text
            return response.json()

        said = post("/predict", inputs="a lovely lamp")
        assert said[0]["label"] == "positive"
        tokens = post("/tokenize", inputs="a lovely lamp")[0]
        assert [token["id"] for token in tokens] == model.tokenizer("a lovely lamp").input_ids
        assert tokens[0]["text"] == "[CLS]"
        filled = post("/fill-mask", inputs="a [MASK] lamp", model="m")
        assert "lamp" in json.dumps(filled)
        vector = post("/v1/embeddings", input="a lovely lamp", model="e")["data"][0]["embedding"]
        wanted = package.load(encoder).embed(["a lovely lamp"])[0]  # type: ignore[union-attr]
        assert np.abs(np.asarray(vector) - wanted).max() < 1e-2
