"""The registry: a task is one file here and one line below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from albert.data.examples import Columns
from albert.data.reading import missing
from albert.errors import AlbertError, ErrorKind
from albert.tasks.base import DecodeOptions, Lengths, Prediction, Task
from albert.tasks.choice import MultipleChoice
from albert.tasks.classification import Classification
from albert.tasks.multilabel import MultiLabelClassification
from albert.tasks.ner import EntityRecognition
from albert.tasks.qa import QuestionAnswering
from albert.tasks.regression import Regression
from albert.tasks.similarity import Retrieval, Similarity
from albert.tasks.text2text import Text2Text

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        QuestionAnswering(),
        MultipleChoice(),
        EntityRecognition(),
        MultiLabelClassification(),
        Similarity(),
        Retrieval(),
        Regression(),
        Classification(),
    )
}
WRITING: dict[str, Task] = {task.name: task for task in (Text2Text(),)}  # of networks with a decoder


def task_named(name: str) -> Task:
    """The registered task of this name. Raises `AlbertError` (bad-config) when there is none."""
    known = {**TASKS, **WRITING}
    if name not in known:
        raise AlbertError(ErrorKind.CONFIG, f"task {name!r}", expected="one of " + ", ".join(known))
    return known[name]


def guess_task(values: Sequence[Any], columns: Columns | None = None, *, keep_na: bool = False) -> Task:
    """The first registered task that a label column with these values fits, beside these columns.

    Empty and missing values say nothing.
    """
    there = [value for value in values if value != "" and missing(value, keep_na=keep_na) is None]
    return next(task for task in TASKS.values() if task.fits(there, columns)) if there else TASKS["classification"]


__all__ = ["TASKS", "WRITING", "DecodeOptions", "Lengths", "Prediction", "Task", "guess_task", "task_named"]
