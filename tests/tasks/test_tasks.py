"""One contract for every registered task, and each family's own numbers."""

from __future__ import annotations

import json

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
}
MISSING: dict[str, list[object]] = {
    "classification": [None, "", "  ", [], {}],
    "regression": [None, "", "  ", [], {}],
    "ner": [None, "", "  ", {}, 3],
}


def assert_task_contract(task: Task, values: list[object], tokenizer: AlbertTokenizer) -> None:
    """Values become gold, targets, a loss that is a sum, predictions that are JSON, and the deciding score."""
    texts = [f"text {i}" for i in range(len(values))]
    examples = [
        Example(text, gold=task.parse_gold(value, Example(text)), source=f"f:{i}")
        for i, (text, value) in enumerate(zip(texts, values, strict=True))
    ]
    labels = task.labels(examples, column="label")
    features, cut = task.features(tokenizer, examples, Lengths(max_length=8))
    assert (len(features), cut) == (len(examples), 0)
    assert task.remarks(examples, features) == []
    features = features.with_gold(task.targets(examples, features, labels))
    batch = features.batch(range(len(examples)))
    assert batch.gold is not None
    pieces = batch.input_ids.shape[1:] if features.by_piece else ()
    logits = torch.randn(len(examples), *pieces, len(labels), generator=torch.Generator().manual_seed(0))
    logits.requires_grad_()
    gold = batch.gold
    loss = task.loss(logits, gold)
    halves = slice(0, 2), slice(2, None)
    assert loss.item() == pytest.approx(sum(task.loss(logits[part], gold[part]).item() for part in halves), rel=1e-6)
    assert task.count(gold) == sum(task.count(gold[part]) for part in halves)
    loss.backward()
    assert torch.isfinite(logits.grad).all()
    rows = [row.numpy()[:length] if pieces else row.numpy()
            for row, length in zip(logits.detach(), features.lengths, strict=True)]  # fmt: skip
    outputs = Output.each(examples, features, rows)
    for output in outputs:
        everything = task.decode(output, labels, DecodeOptions(top_k=None))
        assert json.loads(json.dumps(everything)) == everything
        assert task.plural or len(task.decode(output, labels, DecodeOptions())) == 1
    assert task.metric in task.score(outputs, labels)
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
    with pytest.raises(ValueError, match="label"):
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
        ([["a", "b"], ["b"]], "classification"),
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
