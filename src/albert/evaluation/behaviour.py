"""Behavioural tests: what a model does with inputs made to test one ability.

Source: Ribeiro et al. 2020, "Beyond Accuracy: Behavioral Testing of NLP Models with CheckList".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from albert.errors import AlbertError, ErrorKind
from albert.evaluation import Predict
from albert.evaluation.suites import BehaviourTest, Case, Input, Suite
from albert.tasks.squad_metrics import exact_match, normalize_answer

Predictions = Sequence[dict[str, Any]]  # the predictions for one input, best first
SHOWN = 3  # the most failures of a test that are kept


@dataclass(frozen=True)
class Failure:
    """An input (for INV and DIR also its changed form), the expected prediction, and the model's prediction."""

    inputs: tuple[Input, ...]
    expected: str
    got: str


@dataclass(frozen=True)
class Outcome:
    """The result of a test: its cases, the number of failures, and the first failures."""

    capability: str
    name: str
    type: str
    cases: int
    failures: int
    shown: tuple[Failure, ...]

    @property
    def failure_rate(self) -> float:
        """The share of cases that failed, 0..1."""
        return self.failures / self.cases


def run_suite(suite: Suite, predict: Predict, *, shown: int = SHOWN) -> list[Outcome]:
    """Runs every test of a suite. A case fails when any of its variants fails.

    Raises `AlbertError` (bad-data) if a test is about labels that the model does not have.
    """
    return [_run(suite, test, predict, shown) for test in suite.tests]


def pass_rates(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """`pass_rate`, the share of all cases that passed, and `pass_rate_…` of each capability; all in 0..1."""
    groups: dict[str, list[Outcome]] = {"pass_rate": list(outcomes)}
    for outcome in outcomes:
        groups.setdefault(f"pass_rate_{outcome.capability.replace(' ', '_')}", []).append(outcome)
    return {
        name: 1 - sum(outcome.failures for outcome in group) / sum(outcome.cases for outcome in group)
        for name, group in groups.items()
    }


def report_lines(outcomes: Sequence[Outcome]) -> list[str]:
    """A table of the outcomes, followed by the failures that were kept, as lines of text."""
    header = ("capability", "test", "type", "cases", "failures", "rate")
    rows = [(o.capability, o.name, o.type, str(o.cases), str(o.failures), f"{o.failure_rate:.1%}") for o in outcomes]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if index > 2 else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in (header, *rows)
    ]
    for outcome in outcomes:
        if outcome.shown:
            lines += ["", f"{outcome.capability}: {outcome.name}"]
        for failure in outcome.shown:
            texts = " -> ".join(" | ".join(texts.values()) for texts in failure.inputs)
            lines += [f"  {texts}", f"    expected {failure.expected}, got {failure.got}"]
    return lines


def _run(suite: Suite, test: BehaviourTest, predict: Predict, shown: int) -> Outcome:
    inputs: list[Any] = [text for case in test.cases for text in (case.original, *case.variants)]
    predictions = iter(predict(inputs))
    failed = []
    for index, case in enumerate(test.cases):
        said = [next(predictions) for _ in (case.original, *case.variants)]
        if index == 0:
            _require_label(suite, test, said[0])
        failure = _CHECKS[test.type](suite, test, case, said)
        if failure is not None:
            failed.append(failure)
    return Outcome(test.capability, test.name, test.type, len(test.cases), len(failed), tuple(failed[:shown]))


def _require_label(suite: Suite, test: BehaviourTest, said: Predictions) -> None:
    wanted = test.labels()
    labels = [one["label"] for one in said] if wanted else []
    if not wanted or any(suite.stands_for(one, label) for one in labels for label in wanted):
        return
    raise AlbertError(
        ErrorKind.DATA,
        f"suite {suite.name!r}, test {test.name!r}: no label of the model stands for {' or '.join(wanted)}",
        expected=" or ".join(sorted({name for label in wanted for name in suite.labels[label]})),
        got=", ".join(labels),
        hint="add the model's word for it to the file's [labels]",
    )


def _functionality(suite: Suite, test: BehaviourTest, case: Case, said: Sequence[Predictions]) -> Failure | None:
    best = _best(said[0])
    if "question" in case.original:
        right = exact_match(best, case.expected) == 1
    else:
        right = any(suite.stands_for(best, label) for label in case.expected)
    return None if right else Failure((case.original,), " or ".join(map(repr, case.expected)), repr(best))


def _invariance(suite: Suite, test: BehaviourTest, case: Case, said: Sequence[Predictions]) -> Failure | None:
    before, *rest = map(_best, said)
    for variant, after in zip(case.variants, rest, strict=True):
        if before != after and not ("question" in variant and normalize_answer(before) == normalize_answer(after)):
            return Failure((case.original, variant), repr(before), repr(after))
    return None


def _direction(suite: Suite, test: BehaviourTest, case: Case, said: Sequence[Predictions]) -> Failure | None:
    before, *rest = (sum(one["score"] for one in each if suite.stands_for(one["label"], test.label)) for each in said)
    for variant, after in zip(case.variants, rest, strict=True):
        if not _goes(test.direction, after - before, test.tolerance):
            expected = f"{test.label} to {test.direction} by more than {test.tolerance:g}"
            return Failure((case.original, variant), expected, f"{before:.4f} -> {after:.4f}")
    return None


_CHECKS = {"MFT": _functionality, "INV": _invariance, "DIR": _direction}


def _goes(direction: str, change: float, tolerance: float) -> bool:
    """Whether a change of a score has the direction. For a rise or fall it must be larger than the tolerance."""
    return {
        "rise": change > tolerance,
        "fall": -change > tolerance,
        "not rise": change <= tolerance,
        "not fall": -change <= tolerance,
    }[direction]


def _best(said: Predictions) -> str:
    """The label or the answer; "" if the model gives none."""
    best = said[0] if said else {}
    return str(best.get("answer", best.get("label", "")))
