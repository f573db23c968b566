"""Checkpoints without our settings: the task for which transformers reads them, and the columns of their files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from albert.data.examples import Columns
from albert.data.named import named_texts
from albert.data.tables import TEXT_COLUMN, Table
from albert.model import AlbertForTask
from albert.model.sentences import activation
from albert.tasks import TASKS
from albert.tasks.base import Output, Task
from albert.tasks.metrics import sigmoid
from albert.tasks.regression import Regression


class Relevance(Regression):
    """How well a second text fits the first, from 0 to 1: the sigmoid of a cross-encoder's score.

    transformers and text-embeddings-inference read a classifier of one label in this way, unless its config.json says
    that it is a regression. It cannot be trained here.
    """

    name = "relevance"
    problem_type = None

    def fits(self, values: Sequence[Any], columns: Columns | None = None) -> bool:
        return False  # no column of labels leads to this task

    def number(self, output: Output) -> float:
        return float(sigmoid(output.pooled)[0])


def task_of(model: AlbertForTask, folder: Path) -> Task | None:
    """The task of a model, from its head and problem type.

    A classifier of one label gives a number: the score itself for a regression and if its folder names the identity as
    its activation, otherwise the sigmoid. An encoder alone gives vectors, the mean over a text's pieces, as in
    sentence-transformers.
    """
    wanted = model.config.problem_type
    if model.head_name == "sequence_classification" and model.config.num_labels == 1:
        function = activation(folder)
        if function == "Identity" or (function is None and wanted == "regression"):
            return TASKS["regression"]
        if function == "Sigmoid" or wanted != "multi_label_classification":
            return Relevance()
    same_head = [task for task in TASKS.values() if task.head == model.head_name]
    by_type = [task for task in same_head if task.problem_type == wanted]
    return by_type[0] if by_type else same_head[-1] if same_head else None


def usual_columns(task: Task) -> Columns:
    """The columns that a file is expected to have."""
    if task.head == "span":
        return Columns("question", "context")
    if isinstance(task, Relevance):
        return Columns(TEXT_COLUMN, "text_pair")
    return Columns(TEXT_COLUMN, choices=("choices",) if task.head == "multiple_choice" else ())


def columns_of(task: Task, table: Table) -> Columns | None:
    """A file's columns by their names, as far as the task reads them. None if no name is known."""
    named = named_texts(table, pairs=task.head != "token_classification", choices=task.head == "multiple_choice")
    return None if task.head == "span" and named is not None and named.text_pair is None else named
