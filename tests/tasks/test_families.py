"""Every family from a file to a model folder: twenty examples learned by heart, saved, loaded, told apart."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from albert.data.documents import document_rows
from albert.data.examples import Example
from albert.data.reading import DataSource
from albert.errors import AlbertError, ErrorKind
from albert.finetuning.attempts import FinetuneResult
from albert.finetuning.dataset import FinetuneConfig
from albert.finetuning.finetune import finetune
from albert.predict.predictor import Predictor
from albert.tasks import TASKS, DecodeOptions, Lengths
from albert.tasks.base import Output
from albert.tasks.metrics import best_threshold
from albert.text.tokenizer import AlbertTokenizer

THINGS = ["lamp", "chair", "phone", "soup", "coat", "bread", "road", "house", "river", "song"]
COLORS = ["red", "blue", "green", "black"]
TOKENIZER = AlbertTokenizer.english()
NETWORK = {
    "embedding_size": 32, "hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 128, "num_hidden_layers": 2,
    "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "classifier_dropout_prob": 0.0,
    "lr": 3e-3, "batch_size": 10, "warmup": 0.1, "epochs": 8, "patience": 0,
}  # fmt: skip

WIDER = {"hidden_size": 128, "intermediate_size": 512, "lr": 1e-3, "epochs": 12}  # the narrow one learns these late


def rows_of(task: str) -> list[dict[str, Any]]:
    """Twenty examples whose gold the text decides."""
    rng = random.Random(0)
    rows: list[dict[str, Any]] = []
    for number in range(20):
        thing, other = rng.sample(THINGS, 2)
        color, wrong = rng.sample(COLORS, 2)
        text = f"a {color} {thing} and no {other}"
        start = text.index(thing)
        match task:
            case "classification":
                rows.append({"text": text, "label": color})
            case "regression":
                rows.append({"text": text, "label": COLORS.index(color) + 0.5})
            case "multilabel":
                plain = {"text": text, "labels": [color]}
                odd = {"text": f"odd {text}", "labels": [color, "odd"]}
                rows.append([{"text": f"only a {thing}", "labels": []}, odd, plain, plain][number % 4])
            case "ner":
                rows.append({"text": text, "spans": [[start, start + len(thing), "THING"]]})
            case "qa":
                answers = [{"text": color, "answer_start": 2}] if number % 4 else []
                question = "which color has it" if number % 4 else "how old is it"
                rows.append({"id": str(number), "question": question, "context": text, "answers": answers})
            case "choice":
                rows.append({"text": text, "choices": sorted([color, other]), "answer": color})
            case "similarity":
                other_text = f"a {color if number % 2 else wrong} {other}"
                rows.append({"sentence1": f"a {color} thing", "sentence2": other_text, "score": float(number % 2)})
            case "retrieval":
                rows.append({"question": f"what is number {number} and {thing}", "answer": f"{number} of {thing}"})
    return rows


Family = tuple[str, Path, FinetuneResult]
TIMES = {"classification": 14, "multilabel": 16, "qa": 10}  # so often in training; others 6 times


def trained(task: str, folder: Path, **options: Any) -> tuple[Path, FinetuneResult]:
    data, many = folder / "data.jsonl", folder / "many.jsonl"
    lines = "".join(json.dumps(row) + "\n" for row in rows_of(task))
    data.write_text(lines, encoding="utf-8")
    many.write_text(lines * TIMES.get(task, 6), encoding="utf-8")
    settings = {**NETWORK, **(WIDER if task in ("classification", "multilabel", "regression") else {})}
    config = FinetuneConfig(
        train=DataSource(str(many), task=task, **options),
        dev=str(data),
        out=folder / "model",
        size="tiny",
        settings=settings,
    )
    return data, finetune(config)


@pytest.fixture(scope="module", params=TASKS)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Family:
    options: dict[str, Any] = {"label": "label"} if request.param == "regression" else {}
    if request.param == "similarity":
        options = {"text": "sentence1", "text_pair": "sentence2", "label": "score"}
    if request.param == "retrieval":
        options = {"text": "question", "label": "answer"}
    data, result = trained(request.param, tmp_path_factory.mktemp(request.param), **options)
    return request.param, data, result


@pytest.mark.ci
def test_twenty_examples_are_learned_by_heart(family: Family) -> None:
    name, _, result = family
    assert result.scores[result.metric] >= (0.85 if name == "similarity" else 0.95), result.scores


@pytest.mark.ci
def test_a_loaded_model_scores_and_predicts_as_the_trained_one(family: Family, tmp_path: Path) -> None:
    name, data, result = family
    predictor = Predictor.load(result.folder)
    again = predictor.evaluate(data)
    expected = {key: value for key, value in result.scores.items() if key != "loss"}
    assert again.scores == pytest.approx(expected)
    inputs = [{k: v for k, v in row.items() if k not in ("label", "labels", "score")} for row in rows_of(name)[:6]]
    if name == "similarity":
        inputs = [{"text": row["sentence1"], "text_pair": row["sentence2"]} for row in inputs]
    if name == "retrieval":
        inputs = [{"text": row["question"], "text_pair": row["answer"]} for row in inputs]
    together = predictor(inputs, top_k=None)
    alone = [predictor(item, top_k=None) for item in inputs]
    for many, one in zip(together, alone, strict=True):
        assert [{k: v for k, v in p.items() if k != "score"} for p in many[:1]] == [
            {k: v for k, v in p.items() if k != "score"} for p in one[:1]
        ]
        assert [p["score"] for p in many] == pytest.approx([p["score"] for p in one], abs=1e-5)


HF_LOSS: dict[str, Callable[..., Any]] = {
    "classification": lambda model, inputs, gold: model(**inputs, labels=gold).loss,
    "regression": lambda model, inputs, gold: model(**inputs, labels=gold).loss,
    "multilabel": lambda model, inputs, gold: model(**inputs, labels=gold).loss,
    "ner": lambda model, inputs, gold: model(**inputs, labels=gold).loss,
    "qa": lambda model, inputs, gold: model(**inputs, start_positions=gold[:, 0], end_positions=gold[:, 1]).loss,
    "choice": lambda model, inputs, gold: (
        model(
            **{name: value.view(-1, 2, value.shape[-1]) for name, value in inputs.items()},
            labels=gold[:, 1].view(-1, 2).argmax(1),
        ).loss
    ),
}


@pytest.mark.ci
def test_logits_and_loss_are_those_of_transformers(family: Family) -> None:
    name, _, result = family
    if name not in HF_LOSS:
        pytest.skip("transformers has no such head")
    predictor = Predictor.load(result.folder)
    task, model = predictor.task, predictor.model
    examples = []
    for row in rows_of(name)[:8]:
        text = row.get("question", row.get("text"))
        blank = Example(text, row.get("context"), choices=tuple(row.get("choices", ())))
        value = next(row[key] for key in ("label", "labels", "spans", "answers", "answer") if key in row)
        examples.append(Example(text, blank.text_pair, task.parse_gold(value, blank), choices=blank.choices))
    features, _ = task.features(predictor.tokenizer, examples, predictor.lengths)
    batch = features.with_gold(task.targets(examples, features, predictor.labels)).batch(range(len(features)))
    inputs = {key: getattr(batch, key) for key in ("input_ids", "token_type_ids", "attention_mask")}
    gold = batch.gold
    assert gold is not None
    with torch.no_grad():
        mine = task.loss(model(**inputs), gold) / task.count(gold)
        oracle = getattr(transformers, model.head.architecture).from_pretrained(result.folder).eval()
        theirs = HF_LOSS[name](oracle, inputs, gold)
    assert float(mine) == pytest.approx(float(theirs), abs=1e-5)


# --- multi-label -----------------------------------------------------------------------------------------


scores_and_gold = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]), st.booleans()), min_size=1)


@given(scores_and_gold)
def test_the_threshold_is_that_of_brute_force(rows: list[tuple[float, bool]]) -> None:
    scores, gold = np.array([score for score, _ in rows]), np.array([hit for _, hit in rows])
    tried = {float(at): float(f1_score(gold, scores >= at, zero_division=0)) for at in np.unique(scores)}
    best = max(at for at, f1 in tried.items() if f1 == pytest.approx(max(tried.values())))
    assert best_threshold(scores, gold) == (best if gold.any() else 0.5)


def test_labels_over_their_thresholds_are_told_and_all_on_request() -> None:
    task = TASKS["multilabel"]
    said = Output(Example("x"), [np.asarray([2.0, -1.0, 0.5], np.float32)])
    labels = ("a", "b", "c")
    assert [p["label"] for p in task.decode(said, labels, DecodeOptions())] == ["a", "c"]
    assert [p["label"] for p in task.decode(said, labels, DecodeOptions(thresholds=(0.9, 0.2, 0.7)))] == ["b"]
    assert [p["label"] for p in task.decode(said, labels, DecodeOptions(top_k=None))] == ["a", "c", "b"]


# --- question answering ----------------------------------------------------------------------------------


def squad_file(path: Path) -> Path:
    answers = [{"text": "in paris", "answer_start": 12}]
    questions = [
        {"id": "a", "question": "where", "answers": answers},
        {"id": "b", "question": "why", "answers": [], "is_impossible": True, "plausible_answers": answers},
    ]
    paragraphs = [{"context": "we have met in paris often", "qas": questions}]
    path.write_text(json.dumps({"version": "v2.0", "data": [{"title": "t", "paragraphs": paragraphs}]}))
    return path


def test_squad_s_nesting_is_read_flat(tmp_path: Path) -> None:
    rows = document_rows(str(squad_file(tmp_path / "dev.json")), encoding="utf-8")
    assert [(row["id"], row["question"], len(row["answers"])) for row in rows] == [("a", "where", 1), ("b", "why", 0)]


def test_answers_that_are_not_where_the_file_says_are_moved_or_listed() -> None:
    qa = TASKS["qa"]
    example = Example("where", "in paris and again in paris", source="f:1")
    near = qa.parse_gold([{"text": "in paris", "answer_start": 17}], example)
    assert (near[0].start, near[0].moved) == (19, True)
    gone = qa.parse_gold([{"text": "in rome", "answer_start": 0}], example)
    kept = [Example(example.text, example.text_pair, gold, "f:1") for gold in (near, gone)]
    features, _ = qa.features(TOKENIZER, kept, qa.lengths)
    remarks = qa.remarks(kept, features)
    assert ["do not contain" in remark or "not where their file says" in remark for remark in remarks] == [True, True]
    assert "'in rome'" in remarks[0]
    gold = np.asarray(qa.targets(kept, features, ("start", "end")))
    assert gold[1].tolist() == [-100, -100]
    assert (gold[0] > 0).all()


def test_an_answer_deep_in_a_long_text_is_found_in_its_window() -> None:
    qa = TASKS["qa"]
    context = "nothing to see here. " * 60 + "The treasure lies under the old bridge. " + "more of the same. " * 60
    at = context.index("under the old bridge")
    example = Example("where is it", context, qa.parse_gold([{"text": "under the old bridge", "answer_start": at}]))
    features, _ = qa.features(TOKENIZER, [example], Lengths(max_length=64, stride=24))
    targets = np.asarray(qa.targets([example], features, ("start", "end")))
    assert 1 <= (targets[:, 0] > 0).sum() < len(features)
    logits = []
    for row, (start, end) in enumerate(targets.tolist()):
        said = np.zeros((features.lengths[row], 2), np.float32)
        said[start, 0] = said[end, 1] = 9
        logits.append(said)
    [output] = Output.each([example], features, logits)
    [best] = qa.decode(output, ("start", "end"), DecodeOptions(no_answer=True))
    assert (best["answer"], best["start"]) == ("under the old bridge", at)
    assert qa.score([output], ("start", "end"))["exact"] == 1.0


def test_answers_never_lie_in_the_question_nor_end_before_they_begin() -> None:
    qa = TASKS["qa"]
    example = Example("who was the first king", "it was long ago in a far land", ())
    features, _ = qa.features(TOKENIZER, [example], Lengths(max_length=64, stride=8))
    rng = np.random.default_rng(0)
    for _ in range(50):
        logits = [rng.normal(size=(int(features.lengths[0]), 2)).astype(np.float32) * 5]
        for found in qa.decode(Output.each([example], features, logits)[0], (), DecodeOptions(top_k=10, max_answer=3)):
            assert example.text_pair is not None
            assert found["answer"] == example.text_pair[found["start"] : found["end"]] != ""
            assert len(found["answer"].split()) <= 3


# --- multiple choice, similarity --------------------------------------------------------------------------


def test_race_and_dream_documents_are_read(tmp_path: Path) -> None:
    race = {"article": "long ago", "questions": ["when _ ?"], "options": [["now", "then"]], "answers": ["B"], "id": "x"}
    (tmp_path / "race").mkdir()
    (tmp_path / "race" / "1.txt").write_text(json.dumps(race))
    [row] = document_rows(str(tmp_path / "race"), encoding="utf-8")
    assert (row["options"], row["answer"]) == (["now", "then"], "B")
    dream = [[["M: hello", "W: hi"], [{"question": "who?", "choice": ["a", "b", "c"], "answer": "c"}], "5-1"]]
    (tmp_path / "dream.json").write_text(json.dumps(dream))
    [row] = document_rows(str(tmp_path / "dream.json"), encoding="utf-8")
    assert row["article"] == "M: hello\nW: hi"
    choice = TASKS["choice"]
    example = Example(row["article"], row["question"], choices=tuple(row["options"]))
    assert choice.parse_gold(row["answer"], example) == 2
    with pytest.raises(ValueError, match="at least two"):
        choice.parse_gold("A", Example("x", "y", choices=("one",)))


@pytest.mark.ci
def test_vectors_have_length_one_and_only_their_models_give_them(family: Family) -> None:
    name, _, result = family
    predictor = Predictor.load(result.folder)
    if name not in ("similarity", "retrieval"):
        with pytest.raises(AlbertError, match="similarity or retrieval") as caught:
            predictor.embed(["a red lamp"])
        assert caught.value.kind is ErrorKind.MODEL
        return
    vectors = predictor.embed(["a red lamp", "a blue phone"])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1])
    cosine = predictor(("a red lamp", "a blue phone"))[0]["score"]
    assert cosine == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-5)
