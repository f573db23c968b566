"""What `albert evaluate` does beyond a labelled file: GLUE as its site scores it, behavioural tests, attacked texts."""

from __future__ import annotations

import itertools
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from albert.data.tables import Table
from albert.errors import AlbertError, ErrorKind
from albert.evaluation.attacks import UnderAttack, attack_named, score_under_attack
from albert.evaluation.behaviour import pass_rates, report_lines, run_suite
from albert.evaluation.comprehension import question_ids, race_scores, write_answers
from albert.evaluation.glue import glue_scores, glue_task, predict_glue, read_glue, split_file, write_submission
from albert.evaluation.suites import read_suite
from albert.predict.predictor import Evaluation, Predictor
from albert.report import Facts
from albert.storage.pipes import target_of
from albert.tasks import DecodeOptions
from albert.tasks.published import Relevance

_MOST_PLACES = 1000  # of a text that an attack changes


def run_glue(model: str, name: str, root: str, *, submission: Path | None, as_json: bool) -> dict[str, float]:
    """Scores a model on a GLUE task's dev part, found below `root`; with `submission` predicts the test part, too.

    Raises `AlbertError`: usage for an unknown task, bad-data, bad-model for other labels than the task's.
    """
    task, predictor = glue_task(name), Predictor.load(model)

    def predict(inputs: list[Any]) -> list[list[Any]]:
        # The papers' correlations are with the score itself, whatever a cross-encoder makes of it.
        return predictor(inputs, top_k=None, raw_scores=isinstance(predictor.task, Relevance))

    if (order := task.order(predictor.labels)) is not None:
        print(order, file=sys.stderr)
    dev = read_glue(task, split_file(task, root, "dev"))
    scores = glue_scores(task, predict_glue(task, dev, predict), [example.gold for example in dev])
    _print({"task": task.name, "rows": len(dev), "scores": scores}, scores, as_json=as_json)
    if submission is not None:
        test = read_glue(task, split_file(task, root, "test"))
        path = write_submission(task, predict_glue(task, test, predict), submission)
        print(f"{len(test):,} predictions -> {path}", file=sys.stderr)
    return scores


def run_behaviour(model: str, suite: str, *, as_json: bool) -> dict[str, float]:
    """Runs a behavioural suite, ours by name or a TOML file, and prints what failed.

    Raises `AlbertError` (bad-data) for a bad file, or one about labels that the model does not have.
    """
    predictor = Predictor.load(model)
    outcomes = run_suite(read_suite(suite), lambda inputs: predictor(inputs, top_k=None))
    scores = pass_rates(outcomes)
    if not as_json:
        print("\n".join(report_lines(outcomes)) + "\n")
    tests = [{"capability": o.capability, "name": o.name, "type": o.type, "cases": o.cases, "failures": o.failures}
             for o in outcomes]  # fmt: skip
    _print({"suite": suite, "tests": tests, "scores": scores}, scores, as_json=as_json)
    return scores


def parse_budgets(text: str) -> list[int]:
    """ "1..5", "3" or "1,2,5" -> the numbers. Raises `AlbertError` (usage) for anything else."""
    if match := re.fullmatch(r"(\d{1,6})\.\.(\d{1,6})", text):
        found = list(range(int(match[1]), int(match[2]) + 1))
    else:
        found = [int(part) for part in text.split(",")] if re.fullmatch(r"\d{1,6}(,\d{1,6})*", text) else []
    if not found or not all(1 <= number <= _MOST_PLACES for number in found):
        raise AlbertError(
            ErrorKind.USAGE, "--budget", expected=f"a number from 1 to {_MOST_PLACES:,}, 1..5 or 1,2,5", got=repr(text)
        )
    return found


def run_attacks(
    predictor: Predictor, evaluation: Evaluation, attacks: str, budget: str, *, trials: int, seed: int
) -> Iterator[UnderAttack]:
    """The deciding score under each attack and budget, in their order, one by one.

    Raises `AlbertError` (usage) for an unknown attack or budget, or a task that points into the text.
    """
    facts = evaluation.facts
    kinds, budgets = [name.strip() for name in attacks.split(",")], parse_budgets(budget)
    for name in kinds:
        attack_named(name)
    for name, number in itertools.product(kinds, budgets):
        yield score_under_attack(
            facts.outputs, lambda examples: list(predictor.outputs(examples)), facts.task, facts.labels,
            attack=name, budget=number, thresholds=facts.thresholds, trials=trials, seed=seed,
        )  # fmt: skip


def print_attacks(evaluation: Evaluation, found: Iterable[UnderAttack], *, as_json: bool) -> dict[str, float]:
    """Prints the clean score and those under attack as they come; all scores, and the least as `attacked_…`."""
    clean = evaluation.scores[evaluation.metric]
    if not as_json:
        print(f"{'attack':12} {'budget':>6} {evaluation.metric}\n{'clean':12} {0:6} {clean:.4f}", flush=True)
    rows: list[dict[str, Any]] = []
    for under in found:
        rows.append({"attack": under.attack, "budget": under.budget, "score": under.score})
        if not as_json:
            print(f"{under.attack:12} {under.budget:6} {under.score:.4f}", flush=True)
    if as_json:
        result = {"rows": evaluation.rows, "metric": evaluation.metric, "scores": evaluation.scores, "attacks": rows}
        print(json.dumps(result, ensure_ascii=False))
    return {**evaluation.scores, f"attacked_{evaluation.metric}": min((row["score"] for row in rows), default=clean)}


def write_squad(evaluation: Evaluation, folder: Path) -> Path:
    """Writes the answers to SQuAD's questions as its scorers read them. Raises `AlbertError` (bad-data) without ids."""
    facts = evaluation.facts
    options = DecodeOptions(thresholds=facts.thresholds)
    said = [facts.task.decode(output, facts.labels, options)[0]["answer"] for output in facts.outputs]
    return write_answers(dict(zip(_ids(facts), said, strict=True)), folder)


def race_accuracies(evaluation: Evaluation) -> dict[str, float]:
    """RACE's scores. Raises `AlbertError` (bad-data) for questions without ids."""
    facts = evaluation.facts
    right = [verdict.error == 0 for verdict in facts.review.verdicts]
    return race_scores(dict(zip(_ids(facts), right, strict=True)))


def require_task(predictor: Predictor, name: str) -> None:
    """Raises `AlbertError` (bad-model) for a model of another task."""
    if predictor.task.name != name:
        raise AlbertError(
            ErrorKind.MODEL,
            f"{predictor.name}: task {predictor.task.name}",
            expected=f"a model for {name}",
            hint="train one: albert train DATA -o OUT",
        )


def require_distinct(outputs: dict[str, Path]) -> None:
    """Raises `AlbertError` (usage) where two outputs, by their options, are one file."""
    targets = [target for path in outputs.values() if (target := target_of(path)) is not None]
    if len({*targets}) < len(targets):
        raise AlbertError(ErrorKind.USAGE, " and ".join(outputs), expected="two files", got="one for both")


def require_data(data: str | None) -> str:
    """The file or folder to evaluate on. Raises `AlbertError` (usage) when there is none."""
    if data is None:
        raise AlbertError(ErrorKind.USAGE, "data", expected="a labelled file, or --behaviour", got="neither")
    return data


def _ids(facts: Facts) -> list[str]:
    return question_ids(Table(facts.sources[0]))


def _print(result: dict[str, Any], scores: dict[str, float], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(result, ensure_ascii=False))
        return
    for name, value in scores.items():
        print(f"{name:24} {value:.4f}")
