"""The scores of question answering are those of the answers that are given, whatever thresholds there are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from albert.data.examples import Example
from albert.tasks import TASKS, DecodeOptions
from albert.tasks.base import Output
from albert.tasks.qa import Answer
from albert.tasks.review import NONE
from albert.tasks.squad_metrics import squad_scores

QA = TASKS["qa"]
WORDS = ["under", "the", "old", "bridge"]
OFFSETS = np.asarray([[0, 0], [0, 5], [6, 9], [10, 13], [14, 20], [0, 0]])


def asked(answer: tuple[int, int], null: float, *, gold: str | None) -> Output:
    """A question whose likeliest answer is the words `answer`, with [CLS] at a logit of `null` beside their 4."""
    context = " ".join(WORDS)
    logits = np.full((6, 2), -4, np.float32)
    logits[answer[0] + 1, 0] = logits[answer[1] + 1, 1] = 4
    logits[0] = null
    known = () if gold is None else (Answer(context.index(gold), gold),)
    return Output(Example("where?", context, known), [logits], [OFFSETS])


def given(outputs: Sequence[Output], thresholds: Sequence[float]) -> list[str]:
    options = DecodeOptions(thresholds=tuple(thresholds))
    return [QA.decode(output, ("start", "end"), options)[0]["answer"] for output in outputs]


def test_a_model_without_a_threshold_answers_every_question_and_is_scored_so() -> None:
    outputs = [
        asked((0, 3), 6.0, gold="under the old bridge"),  # it would rather be silent, but was not trained to be
        asked((2, 3), 6.0, gold="bridge"),
        asked((3, 3), 2.0, gold="old"),
        asked((3, 3), 6.0, gold=None),
    ]
    scores = QA.score(outputs, ("start", "end"))
    assert given(outputs, ()) == ["under the old bridge", "old bridge", "bridge", "bridge"]
    assert scores["HasAns_exact"] == pytest.approx(1 / 3)
    assert scores["HasAns_f1"] == pytest.approx((1 + 2 / 3) / 3)
    assert (scores["NoAns_f1"], scores["f1"]) == (0.0, pytest.approx((1 + 2 / 3) / 4))


def test_one_question_without_an_answer_changes_no_score_of_the_others() -> None:
    outputs = [asked((0, 3), 6.0, gold="under the old bridge"), asked((1, 1), 6.0, gold="bridge")]
    alone = QA.score(outputs, ("start", "end"))
    beside = QA.score([*outputs, asked((1, 1), 6.0, gold=None)], ("start", "end"))
    assert (beside["HasAns_exact"], beside["HasAns_f1"]) == (alone["exact"], alone["f1"]) == (0.5, 0.5)


@pytest.mark.parametrize("thresholds", [(), (0.0,), (0.3,), (0.5,), (0.9,), (1.0,)])
@pytest.mark.parametrize("unanswerable", [0, 1, 5])
def test_scores_and_reports_are_of_the_answers_given(thresholds: tuple[float, ...], unanswerable: int) -> None:
    rng = np.random.default_rng(unanswerable)
    outputs = []
    for number in range(12):
        first = int(rng.integers(4))
        last = int(rng.integers(first, 4))
        gold = None if number < unanswerable else WORDS[int(rng.integers(4))]
        outputs.append(asked((first, last), float(rng.uniform(0, 8)), gold=gold))
    gold = [[answer.text for answer in output.example.gold] for output in outputs]
    wanted = squad_scores(given(outputs, thresholds), gold)
    scores = QA.score(outputs, ("start", "end"), thresholds)
    assert {name: scores[name] for name in wanted} == wanted
    review = QA.review(outputs, ("start", "end"), thresholds)
    assert [verdict.said for verdict in review.verdicts] == [a or NONE for a in given(outputs, thresholds)]
    for listing in review.listings:
        (used,) = [row for row in listing.rows if "in use" in str(row[0])]
        assert used[1:3] == (wanted["exact"], wanted["f1"])
        assert used[3] == np.mean([answer != "" for answer in given(outputs, thresholds)])


def test_a_tuned_threshold_keeps_its_promise() -> None:
    outputs = [
        asked((0, 3), 1.0, gold="under the old bridge"),
        asked((3, 3), 2.0, gold="bridge"),
        asked((3, 3), 5.0, gold=None),
        asked((1, 1), 6.0, gold=None),
    ]
    thresholds = QA.tune(outputs, ("start", "end"))
    scores = QA.score(outputs, ("start", "end"), thresholds)
    assert scores["f1"] == scores["best_f1"] == 1.0
    assert given(outputs, thresholds) == ["under the old bridge", "bridge", "", ""]
