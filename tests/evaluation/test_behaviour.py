"""Suites against models made of a few words, whose failures are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from albert.errors import AlbertError
from albert.evaluation.behaviour import Failure, Outcome, pass_rates, report_lines, run_suite
from albert.evaluation.suites import Suite, read_suite

SUITE = """
[labels]
positive = ["pos"]
negative = ["neg"]

[slots]
good = ["great", "lovely"]

[[test]]
capability = "negation"
name = "praise denied"
type = "MFT"
inputs = ["It is not {good}.", "It is bad."]
expect = "negative"

[[test]]
capability = "robustness"
name = "capitals"
type = "INV"
inputs = ["It is {good}.", "It is bad."]
perturb = "casing"

[[test]]
capability = "negation"
name = "not lowers praise"
type = "DIR"
inputs = ["It is {good}."]
perturb = "negation"
label = "positive"
direction = "fall"
tolerance = 0.1
"""


def words_model(inputs: list[Any]) -> list[list[dict[str, Any]]]:
    """Knows "great" and "lovely", in small letters, and looks at nothing else."""
    scores = [0.9 if "great" in each["text"] or "lovely" in each["text"] else 0.2 for each in inputs]
    found = [[{"label": "POS", "score": score}, {"label": "NEG", "score": 1 - score}] for score in scores]
    return [sorted(labels, key=lambda label: -label["score"]) for labels in found]


def suite_of(path: Path, text: str) -> Suite:
    file = path / "suite.toml"
    file.write_text(text, encoding="utf-8")
    return read_suite(file)


def test_failures_are_found(tmp_path: Path) -> None:
    negation, capitals, lowers = run_suite(suite_of(tmp_path, SUITE), words_model, shown=1)
    assert negation == Outcome(
        "negation", "praise denied", "MFT", 3, 2, (Failure(({"text": "It is not great."},), "'negative'", "'POS'"),)
    )
    assert negation.failure_rate == pytest.approx(2 / 3)
    assert (capitals.cases, capitals.failures) == (3, 2)
    assert capitals.shown == (Failure(({"text": "It is great."}, {"text": "IT IS GREAT."}), "'POS'", "'NEG'"),)
    assert (lowers.cases, lowers.failures) == (2, 2)
    assert lowers.shown[0].expected == "positive to fall by more than 0.1"
    assert lowers.shown[0].got == "0.9000 -> 0.9000"


def test_a_model_that_reads_passes(tmp_path: Path) -> None:
    def reads(inputs: list[Any]) -> list[list[dict[str, Any]]]:
        kind = [("not" in each["text"] or "bad" in each["text"].lower()) for each in inputs]
        return [[{"label": "neg" if bad else "pos", "score": 1.0}] for bad in kind]

    outcomes = run_suite(suite_of(tmp_path, SUITE), reads)
    assert [outcome.failures for outcome in outcomes] == [0, 0, 0]
    assert pass_rates(outcomes) == {"pass_rate": 1, "pass_rate_negation": 1, "pass_rate_robustness": 1}


def test_rates_and_report(tmp_path: Path) -> None:
    outcomes = run_suite(suite_of(tmp_path, SUITE), words_model)
    assert pass_rates(outcomes) == pytest.approx(
        {"pass_rate": 2 / 8, "pass_rate_negation": 1 / 5, "pass_rate_robustness": 1 / 3}
    )
    lines = report_lines(outcomes)
    assert lines[:4] == [
        "capability  test               type  cases  failures    rate",
        "negation    praise denied      MFT       3         2   66.7%",
        "robustness  capitals           INV       3         2   66.7%",
        "negation    not lowers praise  DIR       2         2  100.0%",
    ]
    assert "  It is great. -> IT IS GREAT." in lines
    assert "    expected 'POS', got 'NEG'" in lines


@pytest.mark.parametrize(
    ("direction", "tolerance", "passes"),
    [("fall", 0, False), ("rise", 0, True), ("rise", 0.3, False), ("not fall", 0, True), ("not rise", 0.1, False),
     ("not rise", 0.3, True)],
)  # fmt: skip
def test_directions(tmp_path: Path, direction: str, tolerance: float, passes: bool) -> None:
    """A model whose score of "yes" rises by 0.25 when capitals are used."""
    suite = suite_of(
        tmp_path,
        '[labels]\nyes = ["1"]\n[[test]]\ncapability = "c"\nname = "n"\ntype = "DIR"\ninputs = ["a"]\n'
        f'perturb = "casing"\nlabel = "yes"\ndirection = "{direction}"\ntolerance = {tolerance}\n',
    )
    scores = {"a": 0.25, "A": 0.5}
    outcome = run_suite(suite, lambda inputs: [[{"label": "1", "score": scores[each["text"]]}] for each in inputs])[0]
    assert (outcome.failures == 0) is passes


def test_labels_that_the_suite_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(AlbertError, match="stands for negative: expected neg or negative, got spam"):
        run_suite(suite_of(tmp_path, SUITE), lambda inputs: [[{"label": "spam", "score": 1.0}] for _ in inputs])


def test_a_case_fails_when_any_variant_does(tmp_path: Path) -> None:
    suite = suite_of(
        tmp_path,
        '[slots]\nwho = ["Ada", "Bo", "Cy"]\n[[test]]\ncapability = "fairness"\nname = "n"\ntype = "INV"\n'
        'inputs = ["{who} is here."]\nvary = "who"\n',
    )
    outcome = run_suite(suite, lambda inputs: [[{"label": str("Cy" in each["text"]), "score": 1}] for each in inputs])[
        0
    ]
    assert (outcome.cases, outcome.failures) == (1, 1)
    assert outcome.shown[0].inputs == ({"text": "Ada is here."}, {"text": "Cy is here."})


QUESTIONS = """
[[test]]
capability = "reading"
name = "answers"
type = "MFT"
inputs = [
    {question = "Who?", context = "The cat sat.", answer = ["dog", "a cat"]},
    {question = "Where?", context = "The cat sat.", answer = ""},
    {question = "What?", context = "The cat sat.", answer = "sat"},
]

[[test]]
capability = "reading"
name = "question mark"
type = "INV"
inputs = [{question = "Who?", context = "The cat sat."}, {question = "Where?", context = "The cat sat."}]
perturb = "punctuation"
on = "question"
"""


def test_answers_are_compared_as_squad_does(tmp_path: Path) -> None:
    answers = {"Who?": "The cat", "Who": "cat", "Where?": "", "Where": "sat", "What?": ""}

    def finds(inputs: list[Any]) -> list[list[dict[str, Any]]]:
        assert all(set(each) == {"question", "context"} for each in inputs)
        said = [answers[each["question"]] for each in inputs]
        return [[{"answer": answer, "score": 0.9}] if answer else [] for answer in said]

    reading, mark = run_suite(suite_of(tmp_path, QUESTIONS), finds)
    assert [failure.inputs[0]["question"] for failure in reading.shown] == ["What?"]
    assert mark.failures == 1
    assert (mark.shown[0].expected, mark.shown[0].got) == ("''", "'sat'")
