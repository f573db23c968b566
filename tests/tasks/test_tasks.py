"""One contract for every registered task, and each family's own numbers."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from albert.data.batches import Features
from albert.data.examples import Example
from albert.errors import AlbertError, ErrorKind
from albert.tasks import TASKS, DecodeOptions, Lengths, Task, guess_task, task_named
from albert.tasks.base import Output
from albert.tasks.metrics import classification_scores, regression_scores
from albert.text.tokenizer import AlbertTokenizer

GOLD: dict[str, list[object]] = {
    "classification": ["b", "a", "10", "9", "b"],
    "regression": ["1.5", 2, "0", "4.25", "1"],
    "ner": [[[0, 4, "b"]], [], [[0, 4, "a"], [5, 6, "a"]], [{"start": 5, "end": 6, "label": "b"}], []],
    "multilabel": [["b", "a"], [], "a|c", "b; c", ["c"]],
    "qa": [
        [{"text": "more", "answer_start": 0}], [], {"text": ["words"], "answer_start": [5]},
        '[{"text": "words", "answer_start": 5}]', [{"text": "more words", "answer_start": 0}],
    ],
    "choice": [0, "B", "1", "second", "a"],
    "similarity": ["1.5", 2, "0", "4.25", "1"],
    "retrieval": ["one", "two", "three", "two", "five"],
}  # fmt: skip
MISSING: dict[str, list[object]] = {
    "classification": [None, "", "  ", [], {}],
    "regression": [None, "", "  ", [], {}],
    "ner": [None, "", "  ", {}, 3],
    "multilabel": [None, {}, 3, [None], [""]],
    "qa": [None, "", "yes", 3, {}, [{"text": "more"}], [{"text": "", "answer_start": 0}], "[{"],
    "choice": [None, "", [], "third one", 1.5, True],
    "similarity": [None, "", "  ", [], {}],
    "retrieval": [None, "", "  ", [], 3],
}
PAIRS = ("qa", "similarity")
IN_BATCH = ("similarity", "retrieval")  # whose losses compare the examples of a batch with each other


def examples_of(task: Task, values: list[object]) -> list[Example]:
    blank = Example("", choices=("first", "second") if task.name == "choice" else ())
    found = []
    for i, value in enumerate(values):
        example = replace(blank, text=f"text {i}", text_pair="more words" if task.name in PAIRS else None)
        found.append(replace(example, gold=task.parse_gold(value, example), source=f"f:{i}"))
    return found


def assert_task_contract(task: Task, values: list[object], tokenizer: AlbertTokenizer) -> None:
    """Values become gold, targets, a loss that is a sum, predictions that are JSON, and the deciding score."""
    examples = examples_of(task, values)
    labels = task.labels(examples, column="label")
    features, cut = task.features(tokenizer, examples, Lengths(max_length=12))
    assert (len(features.example_bounds()) - 1, cut) == (len(examples), 0)
    assert task.remarks(examples, features) == []
    features = features.with_gold(task.targets(examples, features, labels))
    batch = features.batch(range(len(features)))
    assert batch.gold is not None
    pieces = batch.input_ids.shape[1:] if task.points else ()
    width = 2 if task.head == "span" else len(labels)
    logits = torch.randn(len(features), *pieces, width, generator=torch.Generator().manual_seed(0))
    logits.requires_grad_()
    gold = batch.gold
    loss = task.loss(logits, gold)
    middle = int(features.unit_bounds()[2])
    halves = slice(0, middle), slice(middle, None)
    if task.name not in IN_BATCH:
        apart = sum(task.loss(logits[part], gold[part]).item() for part in halves)
        assert loss.item() == pytest.approx(apart, rel=1e-6)
    assert task.count(gold) == sum(task.count(gold[part]) for part in halves)
    loss.backward()
    assert torch.isfinite(logits.grad).all()
    rows = [row.numpy()[:length] if pieces else row.numpy()
            for row, length in zip(logits.detach(), features.lengths, strict=True)]  # fmt: skip
    outputs = Output.each(examples, features, rows)
    thresholds = task.tune(outputs, labels)
    for output in outputs:
        everything = task.decode(output, labels, DecodeOptions(top_k=None))
        assert json.loads(json.dumps(everything)) == everything
        [*best] = task.decode(output, labels, DecodeOptions(thresholds=thresholds))
        assert task.plural or (len(best) == 1 and {task.answer, "score"} <= best[0].keys())
    tuned = task.score(outputs, labels, thresholds)
    assert tuned[task.metric] >= task.score(outputs, labels)[task.metric] - 1e-9
    words, value = task.baseline(examples, examples, labels)
    assert words
    assert value <= 1


def output(*logits: float) -> Output:
    return Output(Example("x"), [np.asarray(logits, np.float32)])


@pytest.mark.parametrize("name", TASKS)
def test_contract(name: str, tokenizer: AlbertTokenizer) -> None:
    assert_task_contract(TASKS[name], GOLD[name], tokenizer)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in TASKS for value in MISSING[name]])
def test_a_missing_gold_value_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"label|answer"):
        TASKS[name].parse_gold(value)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a", "b", "a"], "classification"),
        (["0", "1", "1"], "classification"),
        (["1", "2", "3", "4", "5"], "classification"),
        (["1.2", "3.4", "2.2", "1.9"], "regression"),
        ([str(i) for i in range(50)], "regression"),
        (["1.5", "n/a", "2.5"], "classification"),
        ([[], [[0, 4, "PER"]]], "ner"),
        ([[{"start": 0, "end": 4, "label": "PER"}]], "ner"),
        ([["a", "b"], ["b"]], "multilabel"),
        ([[], []], "ner"),
        ([[{"text": "a", "answer_start": 3}], []], "qa"),
    ],
)
def test_the_task_is_guessed_from_the_labels(values: list[object], expected: str) -> None:
    assert guess_task(values).name == expected


def test_an_unknown_task_lists_the_known() -> None:
    with pytest.raises(AlbertError, match="classification"):
        task_named("karaoke")


# --- classification --------------------------------------------------------------------------------------


def test_label_strings_are_kept_and_numbers_ordered_by_value() -> None:
    task = TASKS["classification"]
    examples = [Example("x", gold=g) for g in ("10", "9", "zebra", "ant", "10")]
    assert task.labels(examples, column="label") == ("9", "10", "ant", "zebra")


def test_one_class_is_refused() -> None:
    with pytest.raises(AlbertError, match="at least two labels, got one class, 'spam'") as caught:
        TASKS["classification"].labels([Example("x", gold="spam")] * 5, column="label")
    assert caught.value.kind is ErrorKind.DATA


def test_unknown_labels_are_listed_with_the_nearest() -> None:
    examples = [Example("x", gold="positive", source="dev.csv:2"), Example("x", gold="negativ", source="dev.csv:3")]
    with pytest.raises(AlbertError, match=r"dev\.csv:3") as caught:
        TASKS["classification"].targets(examples, Features.build([]), ("negative", "positive"))
    assert "did you mean 'negative'" in str(caught.value)


def test_scores_are_probabilities_that_sum_to_one_best_first() -> None:
    task = TASKS["classification"]
    best = task.decode(output(1, 3, 2), ("a", "b", "c"), DecodeOptions(top_k=None))
    assert [p["label"] for p in best] == ["b", "c", "a"]
    assert sum(p["score"] for p in best) == pytest.approx(1)
    assert best[0]["score"] == pytest.approx(np.exp(3) / (np.exp(1) + np.exp(2) + np.exp(3)))


def test_classification_scores_by_hand() -> None:
    predicted, gold = np.asarray([1, 1, 0, 0, 1, 0]), np.asarray([1, 0, 0, 1, 1, 0])
    # TP 2, FP 1, FN 1, TN 2: accuracy 4/6, F1 2/3 for both labels, MCC (2*2-1*1)/9
    scores = classification_scores(predicted, gold, labels=2)
    assert scores == pytest.approx({"accuracy": 4 / 6, "macro_f1": 2 / 3, "mcc": 3 / 9, "f1": 2 / 3})


def test_macro_f1_counts_labels_that_do_not_occur() -> None:
    assert classification_scores(np.zeros(4, int), np.zeros(4, int), labels=2)["macro_f1"] == 0.5


# --- regression ------------------------------------------------------------------------------------------


def test_regression_scores_by_hand() -> None:
    scores = regression_scores(np.asarray([1.0, 2.0, 4.0]), np.asarray([1.0, 2.0, 3.0]))
    # Pearson: cov 1, var 7/3 * ... = 3 / sqrt(14/3 * 2)
    assert scores["pearson"] == pytest.approx(3 / np.sqrt(14 / 3 * 2))
    assert scores["spearman"] == pytest.approx(1)
    assert scores["mse"] == pytest.approx(1 / 3)


def test_a_constant_has_no_correlation() -> None:
    assert regression_scores(np.ones(5), np.arange(5.0))["correlation"] == 0


def test_numbers_that_are_none_are_refused() -> None:
    for value in ("abc", "nan", "inf", "1e999"):
        with pytest.raises(ValueError, match="number"):
            TASKS["regression"].parse_gold(value)
