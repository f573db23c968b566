"""The task of writing: its scores beside the libraries' own, its answers, its review."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pytest
import sacrebleu
from rouge_score import rouge_scorer

from albert.data.examples import Example
from albert.errors import AlbertError, ErrorKind
from albert.generation import GenerationOptions
from albert.tasks import DecodeOptions, task_named
from albert.tasks.base import Output, Written
from albert.tasks.losses import LossConfig
from albert.tasks.text2text import Text2Text
from albert.tasks.text_metrics import METRICS, exact_matches

SAID = ["the cat sat on the mat .", "A Dog ran", "nothing at all here", "So  it is."]
REFERENCES = [("the cat sat on the mat .",), ("a dog ran away", "A dog ran home quickly"), ("something else here",),
              ("So it is.", "it is", "it is so")]  # fmt: skip
STREAMS = [[row[place] if place < len(row) else None for row in REFERENCES] for place in range(3)]
ALL = np.arange(len(SAID))


def outputs() -> list[Output]:
    return [Output(Example("x", gold=gold), [], written=(Written(text, -0.5),))
            for text, gold in zip(SAID, REFERENCES, strict=True)]  # fmt: skip


def test_scores_are_those_of_the_libraries() -> None:
    found = task_named("text2text").score(outputs(), ())
    assert found["bleu"] == pytest.approx(sacrebleu.corpus_bleu(SAID, STREAMS).score / 100)
    assert found["chrf"] == pytest.approx(sacrebleu.corpus_chrf(SAID, STREAMS).score / 100)
    scorer = rouge_scorer.RougeScorer(["rougeL"])
    best = [max(scorer.score(one, said)["rougeL"].fmeasure for one in gold)
            for said, gold in zip(SAID, REFERENCES, strict=True)]  # fmt: skip
    assert found["rouge_l"] == pytest.approx(np.mean(best))
    assert exact_matches(SAID, REFERENCES) == [1, 0, 0, 1]
    assert found["exact_match"] == 0.5


@pytest.mark.parametrize("metric", ["bleu", "chrf", "rouge_l", "exact_match"])
def test_a_choice_of_rows_scores_as_these_rows_alone(metric: str) -> None:
    """So the bootstrap resamples the corpus' own score."""
    for rows in ([0, 1], [3, 3, 2], [1]):
        alone = METRICS[metric]([SAID[row] for row in rows], [REFERENCES[row] for row in rows])
        chosen = METRICS[metric](SAID, REFERENCES)(np.asarray(rows))
        assert chosen == pytest.approx(alone(np.arange(len(rows))))


def test_scores_tell_case() -> None:
    upper = [text.upper() for text in SAID]
    assert METRICS["bleu"](upper, REFERENCES)(ALL) < METRICS["bleu"](SAID, REFERENCES)(ALL)
    assert exact_matches(["so it is."], [("So it is.",)]) == [0]


def test_answers_come_once_best_first_and_as_json() -> None:
    task = task_named("text2text")
    written = (Written("a", -0.1, (("a", -0.2), ("[SEP]", 0.0))), Written("b", -0.2), Written("a", -0.3),
               Written("c", -0.4, cut=True))  # fmt: skip
    output = Output(Example("x"), [], written=written)
    every = task.decode(output, (), DecodeOptions(top_k=None))
    assert every == [{"text": "a", "score": -0.1}, {"text": "b", "score": -0.2},
                     {"text": "c", "score": -0.4, "cut": True}]  # fmt: skip
    assert json.loads(json.dumps(every)) == every
    [best] = task.decode(output, (), DecodeOptions(generation=GenerationOptions(token_scores=True)))
    assert best["tokens"] == [{"token": "a", "logprob": -0.2}, {"token": "[SEP]", "logprob": 0.0}]


def test_a_review_has_the_worst_first() -> None:
    review = task_named("text2text").review(outputs(), ())
    assert review.score(ALL) == pytest.approx(task_named("text2text").score(outputs(), ())["chrf"])
    worst = review.worst(9)
    assert [one.error for one in worst] == sorted((one.error for one in worst), reverse=True)
    assert worst[0].gold in ("something else here", "a dog ran away | A dog ran home quickly")


@pytest.mark.parametrize("value", [None, "", "  ", [], {}, True, [""], ["a", None], [["a"]]])
def test_a_target_that_is_no_text_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="target"):
        Text2Text().parse_gold(value)


@pytest.mark.parametrize("value", ["a", 7, ["a", "b"], ("a",), [1.5]])
def test_texts_and_lists_of_texts_are_targets(value: Any) -> None:
    gold = Text2Text().parse_gold(value)
    assert all(isinstance(text, str) for text in gold)
    assert len(gold) == (len(value) if isinstance(value, (list, tuple)) else 1)


def test_smoothing_is_the_losses_own_and_class_weights_are_refused() -> None:
    assert Text2Text().shape_loss(LossConfig(label_smoothing=0.1), [], ()).config.label_smoothing == 0.1
    with pytest.raises(AlbertError, match="class_weights"):
        Text2Text().shape_loss(LossConfig(class_weights="balanced"), [], ())


@pytest.mark.parametrize(
    ("metric", "module"), [("bleu", "sacrebleu"), ("chrf", "sacrebleu"), ("rouge_l", "rouge_score")]
)
def test_a_missing_library_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch, metric: str, module: str) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(AlbertError, match="text2text") as caught:
        task_named("text2text").measured_by(metric).baseline([], [Example("x", gold=("y",))], ())
    assert caught.value.kind is ErrorKind.CONFIG


def test_no_data_asks_for_it_by_itself() -> None:
    assert not Text2Text().fits(["a text", "another one"])
