"""Clients of other servers run unchanged: huggingface_hub's InferenceClient, the package openai, and plain requests."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import openai
import pytest
from huggingface_hub import InferenceClient, close_session, constants

import albert
from albert.predict.pretrained import PretrainedModel
from albert.serve.core.hosted import Hosted, Source
from albert.serve.core.keys import Keys, new_key
from albert.serve.core.service import Service
from served import LABELS, LIMITS, PRETRAINED, Running

TEXTS = ["a lovely day", "rain", "The soup was broken, really."]


@pytest.fixture(scope="module", autouse=True)
def online() -> Iterator[None]:
    """The client of the hub refuses every request in its offline mode, those to this machine, too."""
    patch = pytest.MonkeyPatch()
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
    close_session()
    yield
    patch.undo()
    close_session()


@pytest.fixture(scope="module")
def folder(every_model: tuple[Running, Path]) -> Path:
    return every_model[1]


@contextmanager
def serving(folder: Path, *names: str, **options: Any) -> Iterator[tuple[str, Running]]:
    """A server of these models, in float32, and its base URL."""
    models = [Hosted.load(Source.parse(str(folder / name)), precision="fp32") for name in names]
    with Running(Service(models, **options)) as running:
        yield f"http://127.0.0.1:{running.address[1]}", running


def loaded(folder: Path, name: str) -> Any:
    return albert.load(folder / name, precision="fp32")


# --- huggingface_hub -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["similarity", PRETRAINED])
def test_feature_extraction_and_sentence_similarity(folder: Path, name: str) -> None:
    with serving(folder, name) as (url, _):
        client = InferenceClient(base_url=url)
        table = client.feature_extraction(TEXTS)
        assert table.shape == (3, 32)
        assert np.linalg.norm(table, axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
        if name == "similarity":
            assert table == pytest.approx(loaded(folder, name).embed(TEXTS), abs=1e-5)
        raw = client.feature_extraction(TEXTS[0], normalize=False)
        assert raw[0] / np.linalg.norm(raw[0]) == pytest.approx(table[0], abs=1e-5)
        short = client.feature_extraction(TEXTS[0], dimensions=5, truncate=True, truncation_direction="right")
        assert short[0] == pytest.approx(raw[0][:5] / np.linalg.norm(raw[0][:5]), abs=1e-5)
        cosines = client.sentence_similarity(TEXTS[0], other_sentences=TEXTS[1:])
        assert cosines == pytest.approx((table[1:] @ table[0]).tolist(), abs=1e-5)
        for options in ({"prompt_name": "query"}, {"truncation_direction": "left"}, {"dimensions": 33}):
            with pytest.raises(huggingface_hub.errors.HfHubHTTPError, match=next(iter(options))) as caught:
                client.feature_extraction(TEXTS[0], **options)
            assert caught.value.response.status_code == 422


def test_zero_shot_classification(folder: Path) -> None:
    labels = ["a lamp", "card_lost"]
    with serving(folder, "similarity") as (url, _):
        client = InferenceClient(base_url=url)
        model = loaded(folder, "similarity")
        for options, texts in (({}, ["a lamp", "card lost"]),
                               ({"hypothesis_template": "about {}.", "multi_label": True},
                                ["about a lamp.", "about card_lost."])):  # fmt: skip
            found: Any = client.zero_shot_classification(TEXTS[0], candidate_labels=labels, **options)
            table = model.embed([*texts, TEXTS[0]])
            cosines = dict(zip(labels, (table[:2] @ table[2]).tolist(), strict=True))
            assert [one.label for one in found] == sorted(labels, key=lambda label: -cosines[label])
            assert [one.score for one in found] == pytest.approx(sorted(cosines.values(), reverse=True), abs=1e-5)
        with pytest.raises(huggingface_hub.errors.HfHubHTTPError, match="hypothesis_template") as caught:
            client.zero_shot_classification(TEXTS[0], candidate_labels=labels, hypothesis_template="no place")
        assert caught.value.response.status_code == 422


def test_text_classification(folder: Path) -> None:
    with serving(folder, "classification") as (url, running):
        client = InferenceClient(base_url=url)
        model = loaded(folder, "classification")
        for text in TEXTS:
            found: Any = client.text_classification(text)
            wanted = model(text, top_k=None)
            assert [one.label for one in found] == [one["label"] for one in wanted]
            assert [one.score for one in found] == pytest.approx([one["score"] for one in wanted], abs=1e-5)
        best: Any = client.text_classification(TEXTS[0], top_k=1)
        assert [one.label for one in best] == [model(TEXTS[0])[0]["label"]]
        logits = np.asarray([one["score"] for one in model(TEXTS[0], top_k=None, raw_scores=True)])
        shares = np.exp(logits) / np.exp(logits).sum()
        functions = {"none": logits, "sigmoid": 1 / (1 + np.exp(-logits)), "softmax": shares}
        for function, scores in functions.items():
            found = client.text_classification(TEXTS[0], function_to_apply=function)  # type: ignore[arg-type]
            assert [one.score for one in found] == pytest.approx(scores.tolist(), abs=1e-5)
        with running.client() as plain:  # as text-embeddings-inference has it there
            flat = plain.post("/", json={"inputs": TEXTS[0]}).json()
            assert flat == plain.post("/predict", json={"inputs": TEXTS[0]}).json()
            batch = plain.post("/", json={"inputs": TEXTS[:2], "parameters": {}}).json()
            assert [len(row) for row in batch] == [3, 3]
            wrong = plain.post("/", json={"inputs": "a", "parameters": {"temperature": 1}})
            assert (wrong.status_code, "top_k, function_to_apply" in wrong.json()["error"]) == (422, True)
            assert plain.post("/", json={"inputs": "a", "parameters": {"top_k": 0}}).status_code == 422


def test_fill_mask(folder: Path) -> None:
    with serving(folder, PRETRAINED) as (url, running):
        client = InferenceClient(base_url=url)
        text = "A cup of [MASK]."
        model = loaded(folder, PRETRAINED)
        assert isinstance(model, PretrainedModel)
        known = {entry["token"]: entry for entry in model.fill_mask(text, top_k=20)}
        found = client.fill_mask(text, top_k=3)
        assert len(found) == 3
        for one in found:
            wanted = known[one.token]
            said = {"token": one.token, "token_str": one.token_str, "sequence": one.sequence}
            assert said == {name: wanted[name] for name in said}
            assert one.score == pytest.approx(wanted["score"], rel=0.1)  # the server's may be in bf16
        assert len(client.fill_mask(text)) == 5
        with pytest.raises(huggingface_hub.errors.HfHubHTTPError, match="targets"):
            client.fill_mask(text, targets=["tea"])
        with pytest.raises(huggingface_hub.errors.HfHubHTTPError, match="422"):
            client.fill_mask("no mask")
        with running.client() as plain:
            assert len(plain.post("/", json={"inputs": text}).json()) == 5
            assert np.asarray(plain.post("/", json={"inputs": "no mask"}).json()).shape == (1, 32)


def test_texts_that_are_written(folder: Path) -> None:
    with serving(folder, "text2text") as (url, _):
        client, model = InferenceClient(base_url=url), loaded(folder, "text2text")
        assert client.translation(TEXTS[0]).translation_text == model(TEXTS[0])[0]["text"]
        found: Any = client.summarization(TEXTS[1], generate_parameters={"num_beams": 2, "max_new_tokens": 5})
        assert found.summary_text == model.writing(beam=2, max_length=5)(TEXTS[1])[0]["text"]  # type: ignore[union-attr]
        with pytest.raises(huggingface_hub.errors.HfHubHTTPError, match="parameters"):
            client.translation(TEXTS[0], src_lang="en", tgt_lang="de")


def test_questions_entities_and_ranks(folder: Path) -> None:
    context = "The cat is under the table."
    with serving(folder, "qa", "ner", "regression") as (url, running):
        found: Any = InferenceClient(base_url=f"{url}/qa").question_answering(
            question="where?", context=context, top_k=2, max_answer_len=4
        )
        wanted = loaded(folder, "qa")(question="where?", context=context, top_k=2, max_answer=4)
        assert [(one.answer, one.start) for one in found] == [(one["answer"], one["start"]) for one in wanted]
        entities = InferenceClient(base_url=f"{url}/ner/").token_classification(TEXTS[2], aggregation_strategy="simple")
        wanted = loaded(folder, "ner")(TEXTS[2], aggregation="simple")
        assert [(one.word, one.start) for one in entities] == [(one["word"], one["start"]) for one in wanted]
        with running.client() as plain:
            body = {"query": "a cat", "texts": TEXTS}
            assert plain.post("/regression", json=body).json() == plain.post("/regression/rerank", json=body).json()


# --- openai ----------------------------------------------------------------------------------------------


def client_of(url: str, key: str = "none needed") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)


def test_openai_embeddings(folder: Path) -> None:
    with serving(folder, "similarity") as (url, _), client_of(url) as client:
        wanted = loaded(folder, "similarity").embed(TEXTS)
        for options in ({}, {"encoding_format": "float"}, {"encoding_format": "base64"}):
            found: Any = client.embeddings.create(model="text-embedding-3-small", input=TEXTS, **options)  # type: ignore[call-overload]
            vectors = [
                np.frombuffer(base64.b64decode(one.embedding), np.float32)
                if isinstance(one.embedding, str) else one.embedding
                for one in found.data
            ]  # fmt: skip
            assert np.asarray(vectors) == pytest.approx(wanted, abs=1e-5)
            assert (found.model, found.usage.total_tokens > 3) == ("similarity", True)
        short = client.embeddings.create(model="any", input=TEXTS[0], dimensions=4).data[0].embedding
        assert short == pytest.approx(wanted[0][:4] / np.linalg.norm(wanted[0][:4]), abs=1e-5)
        for dimensions in (0, -1, 33):
            with pytest.raises(openai.UnprocessableEntityError) as caught:
                client.embeddings.create(model="any", input=TEXTS[0], dimensions=dimensions)
            assert "dimensions" in str(caught.value.body)


def test_openai_moderations(folder: Path) -> None:
    with serving(folder, "multilabel") as (url, _), client_of(url) as client:
        found = client.moderations.create(model="omni-moderation-latest", input=TEXTS)
        model = loaded(folder, "multilabel")
        for result, text in zip(found.results, TEXTS, strict=True):
            scores = {one["label"]: one["score"] for one in model(text, top_k=None)}
            assert result.category_scores.model_dump(exclude_none=True) == pytest.approx(scores, abs=1e-5)
            assert result.flagged == any(scores[k] >= v for k, v in zip(LABELS["multilabel"], LIMITS, strict=True))
        assert len(client.moderations.create(input="a").results) == 1


# --- any client ------------------------------------------------------------------------------------------


def test_one_model_has_any_name_and_several_have_their_own(folder: Path) -> None:
    with serving(folder, "similarity") as (_, running), running.client() as client:
        for name in ("tei", "BAAI/bge-small-en", "", "similarity"):
            assert client.post("/embed", json={"inputs": "a", "model": name}).status_code == 200
        assert client.get("/info", params={"model": "other"}).json()["model_id"] == "similarity"
    with serving(folder, "similarity", "retrieval") as (_, running), running.client() as client:
        assert client.post("/embed", json={"inputs": "a", "model": "tei"}).status_code == 404
        assert client.post("/embed", json={"inputs": "a", "model": "retrieval"}).status_code == 200
        assert client.post("/retrieval", json={"inputs": "a"}).status_code == 200
        inputs = {"source_sentence": "a", "sentences": ["b"]}  # a path that is an endpoint's, and a model's name
        assert len(client.post("/similarity", json={"inputs": inputs, "model": "retrieval"}).json()) == 1
        assert client.post("/similarity", json={"inputs": "a"}).status_code == 422


def test_head_is_get_without_the_body(folder: Path) -> None:
    with serving(folder, "similarity") as (_, running), running.client() as client:
        for path in ("/health", "/live", "/info", "/metrics", "/", "/docs", "/openapi.json", "/ping"):
            head, get = client.head(path), client.get(path)
            assert (head.status_code, get.status_code, head.content) == (200, 200, b""), path
            assert head.headers.get("content-type") == get.headers.get("content-type")
        assert client.head("/embed").status_code == client.get("/embed").status_code == 405
        assert client.head("/nothing").status_code == 404
        assert client.get("/live").status_code == 200  # the connection is still in step


def test_other_servers_paths(folder: Path) -> None:
    with serving(folder, "similarity") as (_, running), running.client() as client:
        body = {"inputs": "a"}
        wanted = client.post("/embed", json=body).json()
        for path in ("/", "/invocations"):
            assert client.post(path, json=body).json() == wanted
        assert client.post("/embeddings", json={"input": "a"}).json()["data"][0]["embedding"]
        assert client.get("/ping").status_code == 200
        assert client.post("/", json={}).status_code == 422


def test_a_model_that_needs_more_than_a_text_says_so(folder: Path) -> None:
    with serving(folder, "qa") as (_, running), running.client() as client:
        refused = client.post("/", json={"inputs": "a"})
        assert (refused.status_code, "/answer" in refused.json()["error"]) == (424, True)
        assert client.post("/", json={"inputs": {"question": "a"}}).status_code == 422
        assert client.post("/", json={"query": "a", "texts": ["b"]}).status_code == 424


def test_what_is_posted_to_the_page_needs_the_key(folder: Path, tmp_path: Path) -> None:
    text, key = new_key("me")
    (tmp_path / "keys").write_text(key.line() + "\n")
    with serving(folder, "similarity", keys=Keys.read(tmp_path / "keys")) as (url, running):
        with running.client() as client:
            assert client.get("/").status_code == 200
            for path in ("/", "/similarity/", "/invocations"):
                assert client.post(path, json={"inputs": "a"}).status_code == 401
            good = {"Authorization": f"Bearer {text}"}
            assert client.post("/", json={"inputs": "a"}, headers=good).status_code == 200
        assert InferenceClient(base_url=url, api_key=text).feature_extraction("a").shape == (1, 32)
        with client_of(url, text) as known, client_of(url, "sk-wrong") as unknown:
            assert known.embeddings.create(model="x", input="a").data
            with pytest.raises(openai.AuthenticationError):
                unknown.embeddings.create(model="x", input="a")
