"""Checkpoints as others publish them, without our task settings: Python, the command line and HTTP answer as
transformers and text-embeddings-inference do."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import albert as package
from albert.errors import AlbertError, ErrorKind
from albert.predict.predictor import Predictor
from albert.serve.core.hosted import Hosted, Source
from albert.serve.core.service import Service
from albert.text.open import open_tokenizer
from albert.text.tokenizer import AlbertTokenizer
from conftest import Albert
from lines import write_vocabulary
from served import Running

pytestmark = pytest.mark.ci  # minutes altogether

SIZES = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
    "max_position_embeddings": 96, "initializer_range": 0.3,
}  # fmt: skip
PAIRS = [("who sat down", "the cat sat down"), ("a cat", "it rains all day"), ("so", "")]
TEXTS = ["a great lamp", "The soup was broken, really", "What? A lovely coat!"]
Publish = Callable[..., tuple[Path, Any]]


@pytest.fixture(params=["Albert", "Bert"])
def publish(request: pytest.FixtureRequest, tokenizer: AlbertTokenizer, tmp_path: Path) -> Publish:
    """Writes a random model of transformers' class FAMILY + name, as transformers does; its folder and the model."""

    def write(name: str, edit: dict[str, Any] | None = None, **values: Any) -> tuple[Path, Any]:
        folder = tmp_path / f"{request.param}{name}"
        if request.param == "Albert":
            size = tokenizer.vocab_size
            tokenizer.save(folder)
        else:
            size = write_vocabulary(folder, [*TEXTS, *(word for pair in PAIRS for word in pair)]).vocab_size
            transformers.BertTokenizerFast.from_pretrained(folder).save_pretrained(folder)
        torch.manual_seed(1)
        sizes = {**SIZES, "vocab_size": size, **({"embedding_size": 16} if request.param == "Albert" else {})}
        config = getattr(transformers, f"{request.param}Config")(**sizes, **values)
        model = getattr(transformers, request.param + name)(config).eval()
        model.save_pretrained(folder)
        path = folder / "config.json"
        raw = json.loads(path.read_text())
        path.write_text(json.dumps({**raw, **(edit or {})}))
        return folder, model

    return write


def inputs_of(folder: Path, texts: list[Any]) -> dict[str, torch.Tensor]:
    """Our encodings as one batch of theirs: that they are equal is tested elsewhere."""
    tokenizer = open_tokenizer(folder)
    rows = tokenizer.encode_batch(texts)
    width = max(map(len, rows))

    def table(name: str) -> torch.Tensor:
        return torch.tensor([getattr(row, name) + [0] * (width - len(row)) for row in rows])

    return {name: table(name) for name in ("input_ids", "token_type_ids", "attention_mask")}


def logits_of(folder: Path, model: Any, texts: list[Any]) -> np.ndarray:
    with torch.no_grad():
        return np.asarray(model(**inputs_of(folder, texts)).logits)


def loaded(folder: Path) -> Predictor:
    model = Predictor.load(folder, precision="fp32")
    assert repr(package.load(folder)).split(",")[0] == repr(model).split(",")[0]
    return model


def served(folder: Path) -> Running:
    return Running(Service([Hosted.load(Source.parse(f"it={folder}"), precision="fp32")]))


def post(running: Running, path: str, status: int = 200, **body: Any) -> Any:
    with running.client() as client:
        response = client.post(path, json=body)
    assert response.status_code == status, response.text
    return response.json()


def sigmoid(values: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-values)))


def written(path: Path, columns: list[str], rows: list[Any]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


# --- one label -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edit", "activate"),
    [
        ({}, sigmoid),
        ({"problem_type": "regression"}, None),
        ({"problem_type": "single_label_classification"}, sigmoid),
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"}}, sigmoid),
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}, None),
        ({"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}, None),
        ({"id2label": None, "label2id": None}, sigmoid),
    ],
)
def test_one_label_is_a_number(publish: Publish, edit: dict[str, Any], activate: Any) -> None:
    folder, oracle = publish("ForSequenceClassification", edit, num_labels=1)
    logits = logits_of(folder, oracle, PAIRS)[:, 0]
    wanted = logits if activate is None else activate(logits)
    assert np.ptp(logits) > 1e-3
    model = loaded(folder)
    found = model(PAIRS)
    assert [one["label"] for one in found] == ["LABEL_0"] * 3
    assert [one["score"] for one in found] == pytest.approx(wanted.tolist(), abs=1e-5)
    assert [one["score"] for one in model(PAIRS, raw_scores=True)] == pytest.approx(logits.tolist(), abs=1e-5)


def test_the_scores_are_those_of_the_pipeline(publish: Publish) -> None:
    for labels, kind in ((1, None), (1, "regression"), (3, None), (2, None), (3, "multi_label_classification")):
        folder, oracle = publish("ForSequenceClassification", num_labels=labels, problem_type=kind)
        pipeline = transformers.TextClassificationPipeline(model=oracle, tokenizer=None)
        model = loaded(folder)
        for text, logits in zip(TEXTS, logits_of(folder, oracle, TEXTS), strict=True):
            wanted = pipeline.postprocess({"logits": torch.tensor(logits[None])}, top_k=None, _legacy=False)
            found = model(text, top_k=None)
            assert [one["label"] for one in found] == [one["label"] for one in wanted]
            assert [one["score"] for one in found] == pytest.approx([one["score"] for one in wanted], abs=1e-5)
            raw = {one["label"]: one["score"] for one in model(text, top_k=None, raw_scores=True)}
            assert [raw[f"LABEL_{at}"] for at in range(labels)] == pytest.approx(logits.tolist(), abs=1e-5)


def test_a_reranker_on_the_command_line_and_over_http(publish: Publish, albert: Albert, tmp_path: Path) -> None:
    folder, oracle = publish("ForSequenceClassification", num_labels=1)
    logits = logits_of(folder, oracle, PAIRS)[:, 0]
    data = written(tmp_path / "in.csv", ["query", "passage"], [*PAIRS[:2], ("so", "-")])
    for options, wanted in (((), sigmoid(logits)), (("--raw-scores",), logits)):
        done = albert("predict", folder, data, "--precision", "fp32", *options)
        assert done.returncode == 0, done.stderr
        scores = [json.loads(line)["score"] for line in done.stdout.splitlines()]
        assert scores[:2] == pytest.approx(wanted[:2].tolist(), abs=1e-5)
    query, texts = "a cat", ["the cat sat", "rain", "it rains all day"]
    ranked = logits_of(folder, oracle, [(query, text) for text in texts])[:, 0]
    with served(folder) as running:
        found = post(running, "/rerank", query=query, texts=texts, return_text=True)
        assert [one["index"] for one in found] == np.argsort(-ranked).tolist()
        assert [one["score"] for one in found] == pytest.approx(sorted(sigmoid(ranked))[::-1], abs=1e-5)
        assert [one["text"] for one in found] == [texts[at] for at in np.argsort(-ranked)]
        raw = post(running, "/rerank", query=query, texts=texts, raw_scores=True)
        assert [one["score"] for one in raw] == pytest.approx(sorted(ranked)[::-1], abs=1e-5)
        [alone] = post(running, "/predict", inputs=[query, texts[0]])
        assert alone == {"label": "LABEL_0", "score": pytest.approx(float(sigmoid(ranked[0])), abs=1e-5)}
        [raw] = post(running, "/predict", inputs=[query, texts[0]], raw_scores=True)
        assert raw["score"] == pytest.approx(float(ranked[0]), abs=1e-5)
        with running.client() as client:
            assert "reranker" in client.get("/info").json()["model_type"]
        assert post(running, "/v1/moderations", 424, input="a")["error_type"] == "Backend"


def test_a_reranker_is_scored_on_numbers(publish: Publish, albert: Albert, tmp_path: Path) -> None:
    folder, oracle = publish("ForSequenceClassification", num_labels=1)
    numbers = sigmoid(logits_of(folder, oracle, PAIRS[:2])[:, 0])
    data = written(tmp_path / "dev.csv", ["query", "passage", "score"],
                   [(*pair, number) for pair, number in zip(PAIRS, numbers, strict=False)])  # fmt: skip
    done = albert("evaluate", folder, data, "--json", "--precision", "fp32")
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)["scores"]
    assert (scores["pearson"], scores["mse"]) == (pytest.approx(1), pytest.approx(0, abs=1e-8))


def test_a_single_label_of_several_is_several_labels(publish: Publish) -> None:
    folder, oracle = publish("ForSequenceClassification", num_labels=1, problem_type="multi_label_classification")
    [wanted] = sigmoid(logits_of(folder, oracle, ["a great lamp"]))
    assert loaded(folder)("a great lamp", top_k=None)[0]["score"] == pytest.approx(float(wanted[0]), abs=1e-5)
    with served(folder) as running:
        [ranked] = post(running, "/rerank", query="a", texts=["b"])
        assert 0 < ranked["score"] < 1


def test_another_function_of_the_score_is_refused(publish: Publish) -> None:
    told = {"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Tanh"}}
    folder, _ = publish("ForSequenceClassification", told, num_labels=1)
    with pytest.raises(AlbertError, match=r"activation_fn of its score: expected Sigmoid or Identity, got .*Tanh"):
        Predictor.load(folder)


def test_raw_scores_are_of_labels_and_numbers_alone(publish: Publish) -> None:
    folder, _ = publish("ForQuestionAnswering")
    with pytest.raises(AlbertError, match="raw scores") as caught:
        loaded(folder)(question="who", context="a cat", raw_scores=True)
    assert caught.value.kind is ErrorKind.USAGE


def test_labels_without_names_are_as_many_as_the_weights_have(publish: Publish) -> None:
    for count in (1, 2, 5):
        folder, _ = publish("ForSequenceClassification", {"id2label": None, "label2id": None}, num_labels=count)
        assert loaded(folder).labels == tuple(f"LABEL_{at}" for at in range(count))
    folder, _ = publish("ForTokenClassification", {"id2label": None, "label2id": None}, num_labels=4)
    assert loaded(folder).labels == ("LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3")


# --- answers ---------------------------------------------------------------------------------------------

NO_LABELS: dict[str, Any] = {"id2label": None, "label2id": None}
LABELS: dict[str, Any] = {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}, "label2id": {"LABEL_0": 0, "LABEL_1": 1}}


@pytest.mark.parametrize("edit", [{}, NO_LABELS, LABELS])
def test_question_answering(publish: Publish, edit: dict[str, Any], albert: Albert, tmp_path: Path) -> None:
    folder, oracle = publish("ForQuestionAnswering", edit)
    question, context = "who sat down", "A cat sat down. The soup was really a lamp."
    model = loaded(folder)
    [best] = model(question=question, context=context)
    row = model.tokenizer(question, context)
    with torch.no_grad():
        out = oracle(**{k: torch.tensor([getattr(row, k)]) for k in ("input_ids", "token_type_ids", "attention_mask")})
    inside = [at for at, part in enumerate(row.sequence_ids) if part == 1 and row.offsets[at][0] < row.offsets[at][1]]
    kept = [0, *inside]
    starts, ends = (logits[0, kept].softmax(0) for logits in (out.start_logits, out.end_logits))
    table = torch.triu(starts[1:, None] * ends[None, 1:]).tril(29)
    first, last = divmod(int(table.argmax()), len(inside))
    assert best["score"] == pytest.approx(float(table.max()), rel=1e-4)
    assert (best["start"], best["end"]) == (row.offsets[inside[first]][0], row.offsets[inside[last]][1])
    assert best["answer"] == context[best["start"] : best["end"]]
    data = written(tmp_path / "in.csv", ["question", "context"], [(question, context)])
    done = albert("predict", folder, data, "--precision", "fp32")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["prediction"] == best["answer"]
    with served(folder) as running:
        [over_http] = post(running, "/answer", question=question, context=context)
        assert over_http["answer"] == best["answer"]
        assert over_http["score"] == pytest.approx(best["score"], abs=1e-5)


@pytest.mark.parametrize("edit", [{}, NO_LABELS, LABELS])
def test_multiple_choice(publish: Publish, edit: dict[str, Any], albert: Albert, tmp_path: Path) -> None:
    folder, oracle = publish("ForMultipleChoice", edit)
    text, question, choices = "A cat sat down.", "who sat", ["the lamp", "a cat", "soup"]
    pairs = [(text, f"{question} {choice}") for choice in choices]
    with torch.no_grad():
        encoded = {name: value[None] for name, value in inputs_of(folder, pairs).items()}
        wanted = oracle(**encoded).logits[0].softmax(0).tolist()
    model = loaded(folder)
    found = model({"text": text, "text_pair": question, "choices": choices}, top_k=None)
    assert {one["index"]: one["score"] for one in found} == {
        at: pytest.approx(score, abs=1e-5) for at, score in enumerate(wanted)
    }
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps({"article": text, "question": question, "options": choices}) + "\n")
    done = albert("predict", folder, path, "--precision", "fp32")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["prediction"] == choices[int(np.argmax(wanted))]
    with served(folder) as running:
        [best] = post(running, "/answer", question=question, context=text, choices=choices)
        assert best["choice"] == choices[int(np.argmax(wanted))]


# --- vectors ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooler", [True, False])
def test_a_bare_encoder_gives_the_mean_over_pieces(
    publish: Publish, pooler: bool, albert: Albert, tmp_path: Path
) -> None:
    folder, whole = publish("Model")
    oracle = type(whole)(whole.config, add_pooling_layer=pooler).eval()
    oracle.save_pretrained(folder)
    encoded = inputs_of(folder, TEXTS)
    mask = encoded["attention_mask"][..., None]
    with torch.no_grad():
        means = ((oracle(**encoded).last_hidden_state * mask).sum(1) / mask.sum(1)).numpy()
    units = means / np.linalg.norm(means, axis=1, keepdims=True)
    model = loaded(folder)
    assert model.embed(TEXTS) == pytest.approx(units, abs=1e-5)
    assert model((TEXTS[0], TEXTS[1]))[0]["score"] == pytest.approx(float(units[0] @ units[1]), abs=1e-5)
    data = written(tmp_path / "in.csv", ["text"], [[text] for text in TEXTS])
    done = albert("predict", folder, data, "--precision", "fp32")
    assert done.returncode == 0, done.stderr
    table = np.asarray([json.loads(line)["prediction"] for line in done.stdout.splitlines()])
    assert table == pytest.approx(units, abs=1e-5)
    with served(folder) as running:
        assert np.asarray(post(running, "/embed", inputs=TEXTS)) == pytest.approx(units, abs=1e-5)
        found = post(running, "/embed", inputs=TEXTS[0], normalize=False)
        assert np.asarray(found) == pytest.approx(means[:1], abs=1e-5)
        inputs = {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}
        assert post(running, "/similarity", inputs=inputs) == pytest.approx((units[1:] @ units[0]).tolist(), abs=1e-5)
        ranks = post(running, "/rerank", query=TEXTS[0], texts=TEXTS[1:])
        assert [one["index"] for one in ranks] == np.argsort(-(units[1:] @ units[0])).tolist()


# --- columns ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "row", "texts"),
    [
        (["id", "premise", "hypothesis"], ["1", "a cat", "a lamp"], ("a cat", "a lamp")),
        (["Sentence", "n"], ["a cat", "2"], "a cat"),
        (["text", "text_pair"], ["a cat", "soup"], ("a cat", "soup")),
    ],
)
def test_a_file_s_texts_are_known_by_their_columns(
    publish: Publish, columns: list[str], row: list[str], texts: Any, albert: Albert, tmp_path: Path
) -> None:
    folder, oracle = publish("ForSequenceClassification", num_labels=3)
    done = albert("predict", folder, written(tmp_path / "in.csv", columns, [row]), "--precision", "fp32")
    assert done.returncode == 0, done.stderr
    [logits] = torch.tensor(logits_of(folder, oracle, [texts])).softmax(1)
    assert json.loads(done.stdout)["score"] == pytest.approx(float(logits.max()), abs=1e-5)


def test_columns_of_other_names_are_refused(publish: Publish, albert: Albert, tmp_path: Path) -> None:
    folder, _ = publish("ForQuestionAnswering")
    done = albert("predict", folder, written(tmp_path / "in.csv", ["id", "document"], [["who", "a cat"]]))
    assert done.returncode == 65
    assert "expected question and context, got id, document" in done.stderr
