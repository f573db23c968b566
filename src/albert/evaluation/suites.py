"""Reads files of behavioural tests: TOML to cases, with templates filled and perturbed, and errors by line.

Source of the kinds of test: Ribeiro et al. 2020, "Beyond Accuracy" (CheckList), section 2.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from albert.data.sources import Problems, text_lines
from albert.evaluation.perturbations import PERTURBATIONS
from albert.evaluation.spec import Lines, SpecError, check_choice, check_keys, strings
from albert.evaluation.templates import assignments, fill

Input = dict[str, str]  # {"text"}, {"text", "text_pair"} or {"question", "context"}

DIRECTIONS = ("rise", "fall", "not rise", "not fall")
MAX_CASES = 100  # the default number of cases per test
_SHAPES = ({"text"}, {"text", "text_pair"}, {"question", "context"}, {"question", "context", "answer"})
_CHANGES = ("changed", "perturb", "vary")  # the keys that give the changed texts of INV and DIR
_STRINGS = (str, list)
_SUITE_KEYS: dict[str, Any] = {"max_cases": int, "labels": dict, "slots": dict, "test": list}
_TEST_KEYS: dict[str, Any] = {"capability": str, "name": str, "type": str, "inputs": list}
_CHANGE_KEYS: dict[str, Any] = {"changed": list, "perturb": str, "on": _STRINGS}
_KEYS_OF: dict[str, dict[str, Any]] = {
    "MFT": {**_TEST_KEYS, "expect": _STRINGS},
    "INV": {**_TEST_KEYS, **_CHANGE_KEYS, "vary": str},
    "DIR": {**_TEST_KEYS, **_CHANGE_KEYS, "label": str, "direction": str, "tolerance": (int, float)},
}
_REQUIRED: dict[str, Collection[str]] = {
    "MFT": _TEST_KEYS,
    "INV": _TEST_KEYS,
    "DIR": (*_TEST_KEYS, "label", "direction"),
}


@dataclass(frozen=True)
class Case:
    """An input, its right labels or answers (MFT), and its changed forms (INV, DIR)."""

    original: Input
    expected: tuple[str, ...] = ()
    variants: tuple[Input, ...] = ()


@dataclass(frozen=True)
class BehaviourTest:
    """Cases of one type: minimum functionality (MFT), invariance (INV), or a direction of a score (DIR)."""

    capability: str
    name: str
    type: str
    cases: tuple[Case, ...]
    label: str = ""
    direction: str = ""
    tolerance: float = 0.0

    def labels(self) -> tuple[str, ...]:
        """The suite's labels that the test is about; none if it is about answers or about any prediction."""
        if self.label:
            return (self.label,)
        about = [case for case in self.cases if "question" not in case.original]
        return tuple(sorted({label for case in about for label in case.expected}))


@dataclass(frozen=True)
class Suite:
    """Tests, and for each of their labels the names, in lower case, by which models may call it."""

    name: str
    labels: Mapping[str, frozenset[str]]
    tests: tuple[BehaviourTest, ...]

    def stands_for(self, said: str, label: str) -> bool:
        """Whether a model's label means the suite's `label`."""
        return said.casefold() in self.labels[label]


def bundled_suites() -> dict[str, Path]:
    """The suites of the package, by name."""
    folder = Path(str(resources.files("albert") / "assets" / "behaviour"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def read_suite(name: str | Path, *, seed: int = 0) -> Suite:
    """Reads a TOML file, or the package's suite of that name. The seed decides which cases are drawn.

    Raises `AlbertError` (bad-data) that lists the faults by line.
    """
    path = Path(bundled_suites().get(str(name), name))
    problems = Problems(str(path))
    text = "\n".join(line for _, line in text_lines(str(path), encoding="utf-8", problems=problems))
    problems.raise_if_any()
    lines = Lines(text)
    try:
        reader = _SuiteReader(tomllib.loads(text), seed)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"at line (\d+)", str(error))
        problems.add(int(place[1]) if place else len(lines.lines), "not TOML", got=str(error))
    except SpecError as error:
        error.tell(problems, lines.find(None, error))
    problems.raise_if_any()
    tests = []
    for index, entry in enumerate(reader.entries):
        try:
            tests.append(reader.test(entry))
        except SpecError as error:
            error.tell(problems, lines.find(index, error))
    problems.raise_if_any()
    return Suite(path.stem, reader.labels, tuple(tests))


@dataclass(frozen=True)
class _Template:
    """An input with slots, its right answers, and its changed form if the file gives it."""

    input: Input
    answers: tuple[str, ...] = ()
    changed: Input | None = None

    def texts(self) -> list[str]:
        return [*self.input.values(), *self.answers, *(self.changed or {}).values()]


class _SuiteReader:
    """The parsed file: its checked labels and slots, and its tests, which are made one by one."""

    def __init__(self, document: dict[str, Any], seed: int) -> None:
        check_keys(document, _SUITE_KEYS, required=("test",))
        self.seed = seed
        self.max_cases: int = document.get("max_cases", MAX_CASES)
        if self.max_cases < 1:
            raise SpecError("max_cases", "cases of a test", expected="at least 1", got=str(self.max_cases))
        self.slots = {slot: strings(slot, values) for slot, values in document.get("slots", {}).items()}
        self.labels = {
            label: frozenset(name.casefold() for name in (label, *strings(label, names)))
            for label, names in document.get("labels", {}).items()
        }
        self.entries: list[Any] = document["test"]

    def test(self, entry: Any) -> BehaviourTest:
        if not isinstance(entry, dict):
            raise SpecError("test", "an entry", expected="tables headed [[test]]", got=type(entry).__name__)
        kind: Any = entry.get("type")
        check_choice("type", kind, tuple(_KEYS_OF))
        check_keys(entry, _KEYS_OF[kind], required=_REQUIRED[kind])
        rng = random.Random(f"{self.seed} {entry['capability']} {entry['name']}")
        cases = self._functionality(entry, rng) if kind == "MFT" else self._changes(entry, rng)
        names = {key: entry[key] for key in ("capability", "name", "type")}
        if kind != "DIR":
            return BehaviourTest(**names, cases=cases)
        self._check_label("label", entry["label"])
        check_choice("direction", entry["direction"], DIRECTIONS)
        if "question" in cases[0].original:
            raise SpecError("type", "DIR is about the score of a label", got="questions")
        tolerance = float(entry.get("tolerance", 0))
        return BehaviourTest(
            **names, cases=cases, label=entry["label"], direction=entry["direction"], tolerance=tolerance
        )

    def _functionality(self, entry: dict[str, Any], rng: random.Random) -> tuple[Case, ...]:
        expected = strings("expect", entry["expect"]) if "expect" in entry else ()
        for label in expected:
            self._check_label("expect", label)
        cases = []
        for template, values in self._draw(entry, rng):
            answers = tuple(answer.format_map(values) for answer in template.answers)
            right = answers if "question" in template.input else expected
            if not right:
                raise SpecError(
                    "inputs",
                    "nothing is expected",
                    expected="`expect` beside texts, `answer` beside questions",
                )
            cases.append(Case(fill(template.input, values), right))
        return tuple(cases)

    def _changes(self, entry: dict[str, Any], rng: random.Random) -> tuple[Case, ...]:
        given = [key for key in _CHANGES if key in entry]
        if len(given) != 1:
            raise SpecError("type", "what changes", expected="one of " + ", ".join(_CHANGES), got=", ".join(given))
        check_choice("perturb", entry.get("perturb"), (None, *PERTURBATIONS))
        check_choice("vary", entry.get("vary"), (None, *self.slots))
        cases = []
        for template, values in self._draw(entry, rng):
            first, *others = self._versions(template, values, entry, rng)
            variants = tuple(other for other in others if other != first)
            if variants:
                cases.append(Case(first, variants=variants))
        if not cases:
            raise SpecError(given[0], "changes none of the inputs")
        return tuple(cases)

    def _versions(
        self, template: _Template, values: dict[str, str], entry: dict[str, Any], rng: random.Random
    ) -> list[Input]:
        """The input and its changed forms."""
        slot = entry.get("vary")
        if slot is not None:
            return [fill(template.input, {**values, slot: value}) for value in self.slots[slot]]
        original = fill(template.input, values)
        if template.changed is not None:
            return [original, fill(template.changed, values)]
        keys = strings("on", entry.get("on", list(original)))
        for key in keys:
            check_choice("on", key, tuple(original))
        texts = PERTURBATIONS[entry["perturb"]]([original[key] for key in keys], rng)
        return [original, {**original, **dict(zip(keys, texts, strict=True))}]

    def _draw(self, entry: dict[str, Any], rng: random.Random) -> list[tuple[_Template, dict[str, str]]]:
        """Templates with values for their slots, at most `max_cases`."""
        drawn: list[tuple[_Template, dict[str, str]]] = []
        for template in _templates(entry):
            try:
                found = assignments(template.texts(), self.slots, most=self.max_cases, rng=rng, leave=entry.get("vary"))
            except ValueError as error:
                raise SpecError("inputs", str(error), near=template.texts()[0]) from error
            drawn.extend((template, values) for values in found)
        if len(drawn) <= self.max_cases:
            return drawn
        return [drawn[index] for index in sorted(rng.sample(range(len(drawn)), self.max_cases))]

    def _check_label(self, key: str, label: str) -> None:
        if label not in self.labels:
            known = ", ".join(self.labels) or "no [labels] so far"
            raise SpecError(key, "not a label of this file", expected=f"a key of [labels]: {known}", got=repr(label))


def _templates(entry: dict[str, Any]) -> list[_Template]:
    inputs = [_template("inputs", value) for value in entry["inputs"]]
    changed = [_template("changed", value) for value in entry.get("changed", [])]
    if not inputs:
        raise SpecError("inputs", "no inputs", expected="at least one")
    if len({frozenset(template.input) for template in (*inputs, *changed)}) > 1:
        raise SpecError("inputs", "inputs of a test", expected="all texts, all pairs or all questions")
    if "changed" not in entry:
        return inputs
    if len(changed) != len(inputs):
        raise SpecError("changed", "a text for each of `inputs`", expected=str(len(inputs)), got=str(len(changed)))
    return [replace(before, changed=after.input) for before, after in zip(inputs, changed, strict=True)]


def _template(key: str, value: Any) -> _Template:
    """A text, or a table with the texts of a pair, or with a question, its context and its answers."""
    table = {"text": value} if isinstance(value, str) else value if isinstance(value, dict) else {}
    texts = {name: text for name, text in table.items() if name != "answer"}
    if set(table) not in _SHAPES or not all(isinstance(text, str) for text in texts.values()):
        raise SpecError(
            key,
            "an input",
            expected='"…", {text = "…", text_pair = "…"} or {question = "…", context = "…", answer = "…"}',
            got=str(value)[:80],
            near=next((text for text in texts.values() if isinstance(text, str)), ""),
        )
    return _Template(texts, strings("answer", table["answer"]) if "answer" in table else ())
