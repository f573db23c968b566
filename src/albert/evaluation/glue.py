"""GLUE: the files and columns of each task, its official scores, and the files for submission.

Source: Wang et al. 2019, the zip files of gluebenchmark.com and its FAQ on submissions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from albert.data.examples import Columns, Example, read_examples
from albert.data.sources import Problems
from albert.data.tables import Table
from albert.errors import AlbertError, ErrorKind
from albert.evaluation import Predict
from albert.storage.files import write_file
from albert.tasks.metrics import classification_scores, regression_scores

_YES_NO = ("0", "1")
_ENTAILMENT = ("entailment", "not_entailment")
_NLI = ("entailment", "neutral", "contradiction")
_UNNAMED = re.compile(r"(?i)label_(\d{1,3})")  # transformers' names for labels without a name


@dataclass(frozen=True, kw_only=True)
class GlueTask:
    """A row of GLUE's table, which is one file to submit.

    `group`: the task whose score it belongs to in the average (MNLI has two rows); None for none. `folders`, the files
    of each split, and the columns are tried in turn, without regard to case. `labels`, in the hub's order, are the
    words of the files and of the submission; without labels the gold value is a number from 0 to 5. `names` are the
    hub's words for labels that are numbers in the files.
    """

    name: str
    group: str | None
    folders: tuple[str, ...]
    train: tuple[str, ...] = ("train.tsv",)
    dev: tuple[str, ...] = ("dev.tsv",)
    test: tuple[str, ...] = ("test.tsv",)
    text: tuple[str, ...]
    pair: tuple[str, ...] = ()
    label: tuple[str, ...] = ("label",)
    labels: tuple[str, ...] = _YES_NO
    names: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ("accuracy",)

    @property
    def family(self) -> str:
        """The registered task for this row."""
        return "classification" if self.labels else "regression"

    def parse_gold(self, value: Any, example: Example | None = None) -> str | float:
        """One of `labels`, or a number, from the label of a file or a model. Raises `ValueError` for any other.

        If the labels are words, a number is a position in `labels`, as in the hub's copies of GLUE. Case does not
        count.
        """
        word = str(value).strip()
        if not self.labels:
            number = float(word)
            if not 0 <= number <= 5:
                raise ValueError(f"label {word}: expected a number from 0 to 5")
            return number
        known = [label.casefold() for label in self.labels]
        names = [name.casefold() for name in self.names]
        plain = word.casefold()
        if plain in known or plain in names:
            return self.labels[(known if plain in known else names).index(plain)]
        if word.isdecimal() and int(word) < len(self.labels):
            return self.labels[int(word)]
        raise ValueError(f"label {word!r}: expected {' or '.join(self.labels)}")

    def said(self, label: str, *, of: int) -> str | float:
        """The task's label for a label of a model that has `of` labels. LABEL_1 is the second in the hub's order.

        Raises `ValueError` for a label that the task does not have.
        """
        unnamed = _UNNAMED.fullmatch(label)
        if unnamed and of == len(self.labels):
            return self.parse_gold(unnamed[1])
        return self.parse_gold(label)

    def order(self, labels: Sequence[str]) -> str | None:
        """How the numbered labels of a model are interpreted, in words; None if they have names."""
        if not self.labels or not any(_UNNAMED.fullmatch(label) for label in labels):
            return None
        return f"{', '.join(labels)} read in GLUE's order: {', '.join(self.names or self.labels)}"


_TWO_SENTENCES = {"text": ("sentence1", "premise"), "pair": ("sentence2", "hypothesis")}
_MNLI_LABEL = ("gold_label", "label")
GLUE = {
    task.name: task
    for task in (
        # the training and development files have no header: source, label, author's mark, sentence
        GlueTask(
            name="CoLA", group="CoLA", folders=("CoLA",), text=("sentence", "4"), label=("label", "2"),
            metrics=("mcc",), names=("unacceptable", "acceptable"),
        ),
        GlueTask(name="SST-2", group="SST-2", folders=("SST-2",), text=("sentence",), names=("negative", "positive")),
        GlueTask(
            name="MRPC", group="MRPC", folders=("MRPC",),
            train=("train.tsv", "msr_paraphrase_train.txt"), test=("test.tsv", "msr_paraphrase_test.txt"),
            text=("#1 String", "sentence1"), pair=("#2 String", "sentence2"), label=("Quality", "label"),
            metrics=("accuracy", "f1"), names=("not_equivalent", "equivalent"),
        ),
        GlueTask(
            name="STS-B", group="STS-B", folders=("STS-B",), **_TWO_SENTENCES, label=("score", "similarity", "label"),
            labels=(), metrics=("pearson", "spearman"),
        ),
        GlueTask(
            name="QQP", group="QQP", folders=("QQP",), text=("question1",), pair=("question2",),
            label=("is_duplicate", "label"), metrics=("accuracy", "f1"), names=("not_duplicate", "duplicate"),
        ),
        GlueTask(
            name="MNLI-m", group="MNLI", folders=("MNLI",), dev=("dev_matched.tsv",), test=("test_matched.tsv",),
            **_TWO_SENTENCES, label=_MNLI_LABEL, labels=_NLI,
        ),
        GlueTask(
            name="MNLI-mm", group="MNLI", folders=("MNLI",), dev=("dev_mismatched.tsv",),
            test=("test_mismatched.tsv",), **_TWO_SENTENCES, label=_MNLI_LABEL, labels=_NLI,
        ),
        GlueTask(
            name="QNLI", group="QNLI", folders=("QNLI",), text=("question",), pair=("sentence",), labels=_ENTAILMENT
        ),
        GlueTask(name="RTE", group="RTE", folders=("RTE",), **_TWO_SENTENCES, labels=_ENTAILMENT),
        GlueTask(
            name="WNLI", group="WNLI", folders=("WNLI",), **_TWO_SENTENCES, names=("not_entailment", "entailment")
        ),
        # the diagnostics: predicted by a model for MNLI, outside the average
        GlueTask(
            name="AX", group=None, folders=("AX", "diagnostic"), train=(), dev=("diagnostic-full.tsv",),
            test=("diagnostic.tsv", "AX.tsv", "test.tsv"), **_TWO_SENTENCES, labels=_NLI, metrics=("mcc",),
        ),
    )
}  # fmt: skip


def glue_task(name: str) -> GlueTask:
    """The row of this name, in any case. Raises `AlbertError` (usage) when there is none."""
    by_name = {known.casefold(): task for known, task in GLUE.items()}
    if name.casefold() not in by_name:
        raise AlbertError(ErrorKind.USAGE, f"GLUE task {name!r}", expected="one of " + ", ".join(GLUE))
    return by_name[name.casefold()]


def split_file(task: GlueTask, root: str | Path, split: str) -> Path:
    """The path of a split ("train", "dev", "test") below GLUE's folder or the task's own.

    Raises `AlbertError` (bad-data) if it does not exist.
    """
    files: tuple[str, ...] = getattr(task, split)
    places = [Path(root) / folder / file for folder in (*task.folders, ".") for file in files]
    for place in places:
        if place.is_file():
            return place
    raise AlbertError(
        ErrorKind.DATA,
        f"no {split} file of {task.name} in {root}",
        expected=" or ".join(str(place) for place in places[: len(files)]) or "another split",
    )


def glue_columns(task: GlueTask, table: Table) -> Columns:
    """The columns with the task's texts, and the label if the table has one (test files often do not).

    Raises `AlbertError` (bad-data) if a text is missing.
    """
    there = {column.casefold(): column for column in table.columns}

    def first(names: tuple[str, ...]) -> str | None:
        return next((there[name.casefold()] for name in names if name.casefold() in there), None)

    text, pair = first(task.text), first(task.pair)
    if text is None or (pair is None and task.pair):
        wanted = [" or ".join(names) for names in (task.text, task.pair, task.label) if names]
        raise AlbertError(
            ErrorKind.DATA,
            f"{table.path}: columns of {task.name}",
            expected="; ".join(wanted),
            got=", ".join(table.columns),
        )
    return Columns(text, pair, first(task.label))


def read_glue(task: GlueTask, path: str | Path) -> list[Example]:
    """A file's examples, with gold where it has labels. Raises `AlbertError` (bad-data) that lists bad rows."""
    # TSV, whatever its name (MRPC's files are called .txt); every cell is a value.
    table = Table(path, format="tsv", keep_na=True)
    columns = glue_columns(task, table)
    parse_gold: Callable[[Any, Example], Any] = task.parse_gold
    if columns.label is None:
        columns, parse_gold = replace(columns, label=columns.text), _no_gold
    problems = Problems(table.path)
    examples = list(read_examples(table, columns, parse_gold, problems))
    problems.raise_if_any()
    return examples


def predict_glue(task: GlueTask, examples: Sequence[Example], predict: Predict) -> list[str | float]:
    """A label or number per example, from its best prediction.

    Raises `AlbertError` (bad-model) for a model with other labels.
    """
    predictions = predict([example.texts for example in examples])
    if not task.labels:
        if several := next((row for row in predictions if len(row) != 1), None):
            raise AlbertError(
                ErrorKind.MODEL, f"{task.name}: scores", expected="a model that gives a number",
                got="one of the labels " + ", ".join(str(one["label"]) for one in several[:5]),
                hint=f"fine-tune it on {task.name}",
            )  # fmt: skip
        return [float(best["score"]) for best, *_ in predictions]
    try:
        return [task.said(str(row[0]["label"]), of=len(row)) for row in predictions]
    except ValueError as error:
        raise AlbertError(
            ErrorKind.MODEL, f"{task.name}: the model says {error}", hint=f"fine-tune it on {task.name}"
        ) from error


def glue_scores(
    task: GlueTask, predicted: Sequence[str | float], gold: Sequence[str | float | None]
) -> dict[str, float]:
    """The official scores of a task, each in -1..1. Raises `AlbertError` (bad-data) if gold labels are missing."""
    if not gold or any(value is None for value in gold):
        raise AlbertError(
            ErrorKind.DATA, f"{task.name}: scores", expected="labelled examples", got="a file without labels"
        )
    if task.labels:
        ids = {label: index for index, label in enumerate(task.labels)}
        first, second = (np.array([ids[str(value)] for value in values]) for values in (predicted, gold))
        scores = classification_scores(first, second, labels=len(ids))
    else:
        scores = regression_scores(np.asarray(predicted, float), np.asarray(gold, float))
    return {name: scores[name] for name in task.metrics}


def glue_average(scores: Mapping[str, Mapping[str, float]]) -> float:
    """The mean over the given tasks of the mean of each task's scores. MNLI's halves are one task.

    Takes `{name: glue_scores(...)}`. The leaderboard averages all nine tasks; the ALBERT paper leaves WNLI out. Raises
    `ValueError` if there is no task.
    """
    groups: dict[str, list[float]] = {}
    for name, values in scores.items():
        group = GLUE[name].group
        if group is not None:
            groups.setdefault(group, []).append(float(np.mean(list(values.values()))))
    if not groups:
        raise ValueError("expected the scores of at least one task of GLUE's average")
    return float(np.mean([np.mean(values) for values in groups.values()]))


def write_submission(task: GlueTask, predicted: Sequence[str | float], folder: str | Path) -> Path:
    """Writes the predictions for the test set in the site's format, and returns the file's path.

    Lines are "index<TAB>prediction", and the file has the task's name. STS-B's numbers are between 0 and 5, with three
    decimals.
    """
    values = [str(value) if task.labels else f"{min(max(float(value), 0.0), 5.0):.3f}" for value in predicted]
    path = Path(folder) / f"{task.name}.tsv"
    lines = ["index\tprediction", *(f"{index}\t{value}" for index, value in enumerate(values))]
    write_file(path, "\n".join(lines) + "\n")
    return path


def _no_gold(value: Any, example: Example) -> None:
    return None
