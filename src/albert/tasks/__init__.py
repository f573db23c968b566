"""The registry: a task is one file here and one line below. The names are there at once, the tasks on first use."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from albert.data.examples import Columns
    from albert.tasks.base import DecodeOptions, Lengths, Prediction, Task

    TASKS: dict[str, Task]

# In the order in which they are asked whether a label column is theirs.
_CLASSES = {
    "qa": "qa.QuestionAnswering",
    "choice": "choice.MultipleChoice",
    "ner": "ner.EntityRecognition",
    "multilabel": "multilabel.MultiLabelClassification",
    "similarity": "similarity.Similarity",
    "retrieval": "similarity.Retrieval",
    "regression": "regression.Regression",
    "classification": "classification.Classification",
}
_WRITING = {"text2text": "text2text.Text2Text"}  # of networks with a decoder; no data asks for them by itself
WRITING = tuple(_WRITING)
NAMES = (*_CLASSES, *WRITING)
_OF_BASE = ("DecodeOptions", "Lengths", "Prediction", "Task")


def task_named(name: str) -> Task:
    """The registered task of this name. Raises `AlbertError` (bad-config) when there is none."""
    from albert.errors import AlbertError, ErrorKind

    if name not in NAMES:
        raise AlbertError(ErrorKind.CONFIG, f"task {name!r}", expected="one of " + ", ".join(NAMES))
    return _writing()[name] if name in WRITING else _tasks()[name]


def guess_task(values: Sequence[Any], columns: Columns | None = None, *, keep_na: bool = False) -> Task:
    """The first registered task that fits a label column with these values, beside these columns.

    Empty and missing values are ignored.
    """
    from albert.data.reading import missing

    tasks = _tasks()
    there = [value for value in values if value != "" and missing(value, keep_na=keep_na) is None]
    return next(task for task in tasks.values() if task.fits(there, columns)) if there else tasks["classification"]


@cache
def _tasks() -> dict[str, Task]:
    """`TASKS`: one instance of each."""
    return _made(_CLASSES)


@cache
def _writing() -> dict[str, Task]:
    return _made(_WRITING)


def _made(classes: dict[str, str]) -> dict[str, Task]:
    places = {name: place.split(".") for name, place in classes.items()}
    return {name: getattr(import_module(f"albert.tasks.{module}"), kind)() for name, (module, kind) in places.items()}


def __getattr__(name: str) -> Any:
    if name == "TASKS":
        return _tasks()
    if name in _OF_BASE:
        return getattr(import_module("albert.tasks.base"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["NAMES", "TASKS", "WRITING", "DecodeOptions", "Lengths", "Prediction", "Task", "guess_task", "task_named"]
