"""Every endpoint's shape, over a real connection to a server of a model of every family."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import albert
from albert.documents.summaries import summary
from albert.predict.labelling import Labelling, named_labels
from albert.predict.predictor import Predictor
from albert.serve.core.hosted import Hosted, Source
from albert.serve.core.service import Service
from albert.text.tokenizer import AlbertTokenizer
from served import LABELS, LIMITS, PRETRAINED, Running, write_model

LONG = "word " * 200  # beyond the 64 pieces that the models read


@pytest.fixture(scope="module")
def folder(every_model: tuple[Running, Path]) -> Path:
    return every_model[1]


@pytest.fixture(scope="module")
def client(every_model: tuple[Running, Path]) -> Iterator[httpx.Client]:
    with every_model[0].client() as client:
        yield client


def post(client: httpx.Client, path: str, status: int = 200, **body: Any) -> Any:
    response = client.post(path, json=body)
    assert response.status_code == status, response.text
    if status != 200:
        assert set(response.json()) == {"error", "error_type"}
    return response.json()


# --- text-embeddings-inference ---------------------------------------------------------------------------


def test_predict_tells_a_pair_from_a_batch(client: httpx.Client) -> None:
    one = post(client, "/predict", inputs="a")
    assert {entry["label"] for entry in one} == {"bad", "good", "none"}
    assert sum(entry["score"] for entry in one) == pytest.approx(1)
    assert [entry["score"] for entry in one] == sorted((entry["score"] for entry in one), reverse=True)
    assert post(client, "/predict", inputs=["a"]) == one
    pair = post(client, "/predict", inputs=["a", "b"])
    batch = post(client, "/predict", inputs=[["a"], ["a", "b"]])
    assert isinstance(pair[0], dict)
    assert [[e["label"] for e in each] for each in batch] == [[e["label"] for e in each] for each in (one, pair)]
    assert batch[1][0]["score"] == pytest.approx(pair[0]["score"], abs=1e-2)
    assert "shapes" in post(client, "/predict", 422, inputs=["a", "b", "c"])["error"]
    assert post(client, "/predict", 422, inputs=[])["error_type"] == "Validation"


def test_several_workers_answer_as_one_thread_does(folder: Path) -> None:
    texts = ["a lovely day " * (1 + number % 9) for number in range(120)]
    model = Hosted.load(Source.parse(str(folder / "classification")), precision="fp32")
    wanted = [model.predictor(text)[0]["score"] for text in texts[:9]]
    with Running(Service([model], workers=3)) as running, running.client() as client, ThreadPoolExecutor(6) as clients:
        found = clients.map(lambda text: post(client, "/predict", inputs=text), texts)
        for number, entries in enumerate(found):
            assert entries[0]["score"] == pytest.approx(wanted[number % 9], abs=1e-5)


def test_predictions_are_those_of_the_predictor(client: httpx.Client, folder: Path) -> None:
    model = albert.load(folder / "classification")
    wanted = model("a lovely day", top_k=None)
    found = post(client, "/predict", inputs="a lovely day")
    assert [entry["label"] for entry in found] == [entry["label"] for entry in wanted]
    assert found[0]["score"] == pytest.approx(wanted[0]["score"], abs=1e-2)


def test_a_fallback_is_given_where_no_label_is_sure(tokenizer: AlbertTokenizer, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "fallback", "classification", tokenizer, fallback="bad")
    (wanted,) = albert.load(folder)(["a"], top_k=None)
    assert wanted[0]["label"] == "bad"
    model = Hosted.load(Source.parse(str(folder)))
    with Running(Service([model])) as running, running.client() as client:
        found = post(client, "/predict", inputs="a")
        (result,) = post(client, "/v1/moderations", input="a")["results"]
    assert [entry["label"] for entry in found] == [entry["label"] for entry in wanted]
    assert [entry["score"] for entry in found] == pytest.approx([entry["score"] for entry in wanted], abs=1e-2)
    assert result["categories"] == {"bad": True, "good": False, "none": False}
    assert result["category_scores"]["bad"] == found[0]["score"]


def test_raw_scores_are_logits(client: httpx.Client) -> None:
    raw = post(client, "/predict", inputs="a", raw_scores=True)
    shares = np.exp([entry["score"] for entry in raw])
    plain = post(client, "/predict", inputs="a")
    assert shares / shares.sum() == pytest.approx([entry["score"] for entry in plain], abs=1e-5)


def test_long_texts_are_cut_and_told_or_refused(client: httpx.Client) -> None:
    response = client.post("/predict", json={"inputs": [[LONG], ["a"]]})
    assert response.headers["x-truncated-inputs"] == "1"
    assert response.headers["x-compute-tokens"] == "67"
    assert post(client, "/predict", 413, inputs=LONG, truncate=False)["error_type"] == "Validation"


@pytest.mark.parametrize("model", ["similarity", "retrieval", PRETRAINED])
def test_embed_gives_vectors_of_length_one(client: httpx.Client, model: str) -> None:
    table = np.asarray(post(client, "/embed", inputs=["a b c", "b"], model=model))
    assert table.shape == (2, 32)
    assert np.linalg.norm(table, axis=1) == pytest.approx([1, 1], abs=1e-5)
    single = np.asarray(post(client, "/embed", inputs="a b c", model=model, normalize=False))
    assert single.shape == (1, 32)
    assert single[0] / np.linalg.norm(single) == pytest.approx(table[0], abs=2e-2)


def test_similarity_and_rerank_agree_with_embed(client: httpx.Client) -> None:
    texts = ["the cat sleeps", "rain", "a dog"]
    query, *others = np.asarray(post(client, "/similarity/embed", inputs=["a cat", *texts]))
    cosines = np.asarray(others) @ query
    inputs = {"source_sentence": "a cat", "sentences": texts}
    assert post(client, "/similarity/similarity", inputs=inputs) == pytest.approx(cosines.tolist(), abs=1e-2)
    ranks = post(client, "/similarity/rerank", query="a cat", texts=texts, return_text=True)
    assert [rank["index"] for rank in ranks] == np.argsort(-cosines).tolist()
    assert all(rank["text"] == texts[rank["index"]] for rank in ranks)
    assert "text" not in post(client, "/rerank", query="a", texts=["b"], model="retrieval")[0]


@pytest.mark.parametrize("model", ["similarity", PRETRAINED])
def test_labels_of_the_request_are_ranked_as_in_python(client: httpx.Client, every_model: Any, model: str) -> None:
    texts = ["the cat sleeps", "rain"]
    labels = {"an_animal": "", "weather": "rain and sun", "a machine": ""}
    said = post(client, "/classify", inputs=texts, labels=labels, model=model)
    wanted = Labelling(every_model[0].service.model(model).model, named_labels(labels), top_k=None).ranked(texts)
    assert [[one["label"] for one in row] for row in said] == [[one["label"] for one in row] for row in wanted]
    scores = [[one["score"] for one in row] for row in said]
    assert scores == [pytest.approx([one["score"] for one in row], abs=1e-2) for row in wanted]
    assert post(client, "/classify", inputs=texts[0], labels=[*labels], model=model)[0].keys() == {"label", "score"}


def test_vectors_of_labels_are_computed_once(client: httpx.Client) -> None:
    def ask(labels: dict[str, str], **body: Any) -> httpx.Response:
        return client.post("/classify", json={"inputs": "rain", "labels": labels, "model": "similarity", **body})

    def tokens(response: httpx.Response) -> int:
        return int(response.headers["x-compute-tokens"])

    first, again = ask({"kept": "sun and rain", "not": ""}), ask({"kept": "sun and rain", "not": ""})
    assert first.json() == again.json()
    assert 0 < tokens(again) < tokens(first)
    other = ask({"kept": "", "not": "sun and rain"})
    assert tokens(other) > tokens(again)
    assert other.json() != first.json()
    for number in range(20):
        ask({str(number): "", "other": ""})
    assert tokens(ask({"kept": "sun and rain", "not": ""})) == tokens(first)
    too_long = {"long": LONG, "short": ""}
    assert [ask(too_long, truncate=truncate).status_code for truncate in (True, False)] == [200, 413]


@pytest.mark.parametrize(
    "labels", [[], ["one"], ["a", "a"], ["a", " "], {"a": "b"}, "a,b", [str(n) for n in range(1001)]]
)
def test_labels_that_are_none_are_refused(client: httpx.Client, labels: Any) -> None:
    status = 413 if len(labels) > 1000 else 422
    assert "labels" in post(client, "/classify", status, inputs="a", labels=labels, model="similarity")["error"]


def test_a_cross_encoder_ranks_by_its_number(client: httpx.Client) -> None:
    texts = ["the cat sleeps", "rain", "a dog"]
    raw = post(client, "/regression/rerank", query="a cat", texts=texts, raw_scores=True)
    numbers = [post(client, "/regression/predict", inputs=["a cat", text])[0]["score"] for text in texts]
    assert [rank["index"] for rank in raw] == np.argsort(-np.asarray(numbers)).tolist()
    sigmoids = post(client, "/regression/rerank", query="a cat", texts=texts)
    assert sigmoids[0]["score"] == pytest.approx(1 / (1 + np.exp(-raw[0]["score"])), abs=1e-2)


def test_tokenize_points_into_the_text(client: httpx.Client) -> None:
    text = "Café au lait, naïve"
    (tokens,) = post(client, "/tokenize", inputs=text)
    assert [tokens[0]["text"], tokens[-1]["text"]] == ["[CLS]", "[SEP]"]
    assert all(t["special"] == (t["start"] is None) for t in tokens)
    assert all(t["text"] == text[t["start"] : t["stop"]] for t in tokens[1:-1])
    plain = post(client, "/tokenize", inputs=[text, LONG], add_special_tokens=False)
    assert plain[0] == tokens[1:-1]
    assert len(plain[1]) == 200


def test_info_tells_the_model_and_the_limits(client: httpx.Client) -> None:
    info = client.get("/info").json()
    assert info["model_id"] == "classification"
    assert info["model_type"]["classifier"]["id2label"] == {"0": "bad", "1": "good", "2": "none"}
    assert info["max_client_batch_size"] == 32
    assert info["max_input_length"] == 64
    assert {"/predict", "/v1/moderations", "/tokenize"} <= set(info["endpoints"])
    assert client.get("/retrieval/info").json()["model_type"] == {"embedding": {"pooling": "mean"}}
    assert "reranker" in client.get("/info", params={"model": "regression"}).json()["model_type"]
    assert PRETRAINED in info["models"]


def test_metrics_have_the_usual_names(client: httpx.Client) -> None:
    post(client, "/predict", inputs=[["a"], ["b " * 20]])
    text = client.get("/metrics").text
    for name in ("te_request_count{", "te_request_success{", "te_request_duration_bucket", "te_queue_size 0.0",
                 "te_request_queue_duration_sum", "te_request_tokenization_duration_sum", "te_batch_next_size_count",
                 "te_request_inference_duration_sum", "te_batch_next_tokens_sum",
                 "te_request_input_length_sum"):  # fmt: skip
        assert f"\n{name}" in text, name
    saved = next(line for line in text.splitlines() if line.startswith("albert_padding_saved_tokens "))
    assert float(saved.split()[1]) >= 18


# --- OpenAI ----------------------------------------------------------------------------------------------


def test_openai_embeddings_as_numbers_and_as_base64(client: httpx.Client) -> None:
    body = {"input": ["a b", "c"], "model": "similarity"}
    plain = post(client, "/v1/embeddings", **body)
    assert plain["object"] == "list"
    assert plain["model"] == "similarity"
    assert [entry["index"] for entry in plain["data"]] == [0, 1]
    assert plain["usage"]["prompt_tokens"] == plain["usage"]["total_tokens"] == 7
    packed = post(client, "/v1/embeddings", **body, encoding_format="base64")
    for one, other in zip(plain["data"], packed["data"], strict=True):
        vector = np.frombuffer(base64.b64decode(other["embedding"]), np.float32)
        assert vector == pytest.approx(one["embedding"], abs=1e-6)


@pytest.mark.parametrize("model", ["classification", "multilabel"])
def test_moderations_flag_what_is_not_safe(client: httpx.Client, model: str) -> None:
    texts = [f"text number {number}" for number in range(12)]
    results = post(client, "/v1/moderations", input=texts, model=model)["results"]
    labels = {label for label in results[0]["categories"] if label != "none"}
    assert len(results) == 12
    for result in results:
        assert set(result) == {"flagged", "categories", "category_scores"}
        assert result["flagged"] == any(result["categories"][label] for label in labels)
        assert result["categories"].get("none", False) is False
        if model == "multilabel":
            scores = result["category_scores"]
            assert result["categories"] == {k: scores[k] >= v for k, v in zip(LABELS[model], LIMITS, strict=True)}
        else:
            best = max(result["category_scores"], key=result["category_scores"].get)
            assert result["flagged"] == (best != "none")


# --- our own ---------------------------------------------------------------------------------------------


def test_answers_stand_in_the_context(client: httpx.Client) -> None:
    context = "The cat is under the table. " * 12  # several windows
    found = post(client, "/qa/answer", question="where?", context=context, top_k=5)
    assert len(found) == 5
    assert all(entry["answer"] == context[entry["start"] : entry["end"]] for entry in found)
    assert post(client, "/qa/answer", question="where?", context="", handle_impossible_answer=True)[0]["answer"] == ""


def test_a_model_of_choices_answers_with_one(client: httpx.Client) -> None:
    body = {"question": "where?", "context": "under the table", "choices": ["table", "chair", "bed"]}
    found = post(client, "/choice/answer", **body, top_k=3)
    assert {entry["choice"] for entry in found} == set(body["choices"])
    assert sum(entry["score"] for entry in found) == pytest.approx(1)
    post(client, "/choice/answer", 422, question="where?", context="here")
    post(client, "/qa/answer", 422, **body)


def test_entities_are_slices_of_the_text(client: httpx.Client, folder: Path) -> None:
    text = "Anna met Bob and Zoë in Paris. " * 8
    single = post(client, "/ner/entities", inputs=text)
    alone = albert.load(folder / "ner")
    assert isinstance(alone, Predictor)
    wanted = alone(text)
    assert [(entry["word"], entry["start"]) for entry in single] == [(one["word"], one["start"]) for one in wanted]
    alone.thresholds = ()
    assert alone(text) != wanted  # steps from tag to tag count
    assert all(entry["word"] == text[entry["start"] : entry["end"]] for entry in single)
    assert all(entry["entity_group"] == "PER" for entry in single)
    both = post(client, "/ner/entities", inputs=[text, "x"], aggregation="none")
    assert len(both) == 2
    assert {entry["entity"] for entry in both[0]} <= {"B-PER", "I-PER"}


def test_masks_are_filled(client: httpx.Client, folder: Path) -> None:
    text = "a cup of [MASK]"
    found = post(client, f"/{PRETRAINED}/fill-mask", inputs=text, top_k=3)
    wanted = albert.load(folder / PRETRAINED).fill_mask(text, top_k=3)
    assert [set(entry) for entry in found] == [{"score", "token", "token_str", "sequence"}] * 3
    assert found[0]["score"] == pytest.approx(wanted[0]["score"], rel=0.1)
    several = post(client, f"/{PRETRAINED}/fill-mask", inputs=[text, "[MASK] and [MASK]"])
    assert [len(several), len(several[1]), len(several[1][0])] == [2, 2, 5]
    texts = ["a [MASK] [MASK] of [MASK]", "[MASK]."]
    together = post(client, f"/{PRETRAINED}/fill-mask", inputs=texts, steps=3)
    assert together == albert.load(folder / PRETRAINED).fill_together(texts, steps=3)
    assert post(client, f"/{PRETRAINED}/fill-mask", inputs=texts[0], steps=3) == together[0]
    post(client, f"/{PRETRAINED}/fill-mask", 422, inputs="no mask")
    post(client, f"/{PRETRAINED}/fill-mask", 413, inputs="[MASK] " + LONG)


def test_a_summary_is_made_of_sentences(client: httpx.Client, every_model: Any) -> None:
    text = "Cats sleep. Dogs bark at night. The weather was fine. Cats like to sleep. We went home."
    found = post(client, "/summarize", inputs=text, sentences=2)
    assert [text[s["start"] : s["end"]] for s in found["sentences"]] == [s["text"] for s in found["sentences"]]
    assert found["summary"] == " ".join(s["text"] for s in found["sentences"])
    assert len(found["sentences"]) == 2
    encoder = every_model[0].service.model("similarity").model.embed
    for options in ({"count": 2}, {"share": 0.5}, {"share": 0.25, "focus": "rain on a roof"}):
        wanted = summary(text, encoder, **options)
        asked = {{"count": "sentences"}.get(name, name): value for name, value in options.items()}
        said = post(client, "/summarize", inputs=text, model="similarity", **asked)["sentences"]
        assert [(one["start"], one["end"]) for one in said] == [(one.start, one.end) for one in wanted]
        assert [one["score"] for one in said] == pytest.approx([one.score for one in wanted], abs=0.01)
    assert post(client, "/summarize", inputs="One only.")["summary"] == "One only."
    assert post(client, "/summarize", inputs="")["sentences"] == []


# --- which model, which path -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/embed", "/rerank", "/entities", "/answer", "/fill-mask", "/v1/embeddings"])
def test_what_a_classifier_does_not_do_is_refused(client: httpx.Client, path: str) -> None:
    body = {"inputs": "a [MASK]", "input": "a", "query": "a", "texts": ["b"], "question": "a", "context": "b"}
    assert post(client, path, 424, **body)["error_type"] == "Backend"


@pytest.mark.parametrize("name", ["nope", "..", "../classification", "/etc", "classification/..", "Classification"])
def test_unknown_models_are_not_found(client: httpx.Client, name: str) -> None:
    post(client, "/predict", 404, inputs="a", model=name)
    assert client.get("/info", params={"model": name}).status_code == 404
    encoded = "".join(f"%{ord(character):02x}" for character in name)
    post(client, f"/{encoded}/predict", 404, inputs="a")


def test_the_path_counts_before_the_body(client: httpx.Client) -> None:
    post(client, "/similarity/embed", inputs="a", model="classification")


def test_pages_fetch_nothing_from_elsewhere(client: httpx.Client) -> None:
    for path in ("/", "/docs"):
        page = client.get(path)
        assert page.status_code == 200
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "http://" not in page.text
        assert "https://" not in page.text
        assert page.headers["x-content-type-options"] == "nosniff"
    assert "/v1/moderations" in client.get("/openapi.json").json()["paths"]


def test_methods_and_paths_that_are_none(client: httpx.Client) -> None:
    assert client.get("/predict").status_code == 405
    assert client.get("/predict").json()["error_type"] == "Validation"
    assert client.get("/nope").json() == {"error": "no such path; GET /docs lists them", "error_type": "NotFound"}


def test_readiness_and_liveness(client: httpx.Client) -> None:
    assert client.get("/health").status_code == 200
    assert client.get("/live").status_code == 200


def test_request_ids_come_back(client: httpx.Client) -> None:
    assert client.get("/live", headers={"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"
    made = client.get("/live", headers={"x-request-id": "not; one"}).headers["x-request-id"]
    assert len(made) == 32
