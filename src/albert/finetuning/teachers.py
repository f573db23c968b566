"""Fine-tuning with teachers: their logits on labelled and unlabelled texts are learned beside the labels.

Source: Hinton, Vinyals, Dean 2015, section 2: both distributions are softened by a temperature T, and the loss between
them counts T squared. Of several labels each is softened by itself; of a number the distance is squared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from albert.data.batches import Features
from albert.data.examples import Columns, Example, example_of, text_column
from albert.data.reading import DataSource
from albert.data.tables import Table
from albert.errors import AlbertError, ErrorKind
from albert.finetuning.dataset import Dataset, FinetuneConfig
from albert.predict.predictor import Predictor
from albert.predict.words import require_words
from albert.tasks.base import Task
from albert.tasks.labels import listed
from albert.tasks.losses import LossShape
from albert.text.encodings import Tokenizer
from albert.training.progress import ConsoleProgress

_SHOWN = 6  # labels in an error


@dataclass(frozen=True)
class Lesson:
    """How a loss joins labels and teachers, whose logits stand behind the labels in each row's gold values.

    `weight` is the teachers' share. A row without a label has NaN in its place and learns from teachers alone.
    """

    kind: str | None
    labels: int
    temperature: float
    weight: float

    @property
    def width(self) -> int:
        """How many of a row's gold values are labels."""
        return self.labels if self.kind == "multi_label_classification" else 1

    def count(self, task: Task, gold: Float[Tensor, "batch values"]) -> int:
        """What the loss is a mean over."""
        return task.count(self._own(gold))

    def loss(
        self, task: Task, logits: Float[Tensor, "batch labels"], gold: Float[Tensor, "batch values"], shape: LossShape
    ) -> Float[Tensor, ""]:
        """The summed loss of a micro-batch."""
        known = ~gold[:, 0].isnan()
        soft = self._soft(logits.float(), gold[:, self.width :])
        if not known.any():
            return self.weight * soft
        hard: Tensor = task.loss(logits[known], self._own(gold[known]), shape)
        return (1 - self.weight) * hard + self.weight * soft

    def _own(self, gold: Tensor) -> Tensor:
        """The labels as the task's own loss reads them."""
        if self.kind == "multi_label_classification":
            return gold[:, : self.width]
        return gold[:, 0] if self.kind == "regression" else gold[:, 0].nan_to_num().long()

    def _soft(self, logits: Tensor, teacher: Tensor) -> Tensor:
        if self.kind == "regression":
            return F.mse_loss(logits, teacher, reduction="sum")
        warm, taught = logits / self.temperature, teacher / self.temperature
        if self.kind == "multi_label_classification":
            found = F.binary_cross_entropy_with_logits(warm, taught.sigmoid(), reduction="sum")
        else:
            found = F.kl_div(warm.log_softmax(1), taught.log_softmax(1), reduction="sum", log_target=True)
        return found * self.temperature**2


def add_teachers(
    config: FinetuneConfig, data: Dataset, tokenizer: Tokenizer, progress: ConsoleProgress
) -> tuple[Dataset, Lesson | None]:
    """The training rows with the teachers' logits, followed by the unlabelled rows; unchanged without teachers.

    Raises `AlbertError`: usage for another task and for teachers with other labels, bad-data for unlabelled texts that
    cannot be read.
    """
    if not config.teachers:
        return data, None
    task = data.task
    require_words(task, "--teacher")
    teachers = [_teacher(name, data) for name in config.teachers]
    unlabelled = [] if config.unlabelled is None else _texts(config.train.at(config.unlabelled), data.columns)
    examples = [*data.taught_examples, *unlabelled]
    progress.on_message(f"{len(teachers)} teacher(s) read {len(examples):,} texts, {len(unlabelled):,} without labels")
    lesson = Lesson(task.problem_type, len(data.labels), config.temperature, config.teacher_weight)
    features = data.train
    gold = _gold(data)
    if unlabelled:
        more, _ = task.features(tokenizer, unlabelled, data.lengths)
        features = Features.join([features, more])
        gold = np.concatenate([gold, np.full((len(more), gold.shape[1]), np.nan, np.float32)])
    said = _said(teachers, examples, data)[features.owners]
    prints = "".join([data.train.fingerprint(), features.fingerprint(), *(one.fingerprint for one in teachers)])
    names = ", ".join(config.teachers)
    told = (
        f"taught by {names}: their logits at temperature {config.temperature:g} count {config.teacher_weight:g} of the "
        f"loss, on {len(data.taught_examples):,} labelled and {len(unlabelled):,} unlabelled texts"
    )
    return replace(
        data,
        train=replace(features, offsets=None).with_gold(np.concatenate([gold, said], 1).astype(np.float32)),
        remarks=[*data.remarks, told],
        identity=f"{prints} {lesson}",
    ), lesson


def _gold(data: Dataset) -> np.ndarray:
    """The labels of the training rows, [rows, values]."""
    assert isinstance(data.train.gold, np.ndarray)
    return data.train.gold.reshape(len(data.train), -1).astype(np.float32)


def _teacher(name: str, data: Dataset) -> Predictor:
    """A teacher at its full depth, with the student's labels. Raises `AlbertError` (usage) for another."""
    teacher = Predictor.load(name, early_exit=False)
    if teacher.task.problem_type != data.task.problem_type or teacher.task.pipeline != data.task.pipeline:
        raise AlbertError(
            ErrorKind.USAGE, f"--teacher {name}", expected=f"a model for {data.task.name}", got=teacher.task.name
        )
    if data.task.problem_type != "regression" and set(teacher.labels) != set(data.labels):
        missing = sorted(set(data.labels) - set(teacher.labels))
        other = sorted(set(teacher.labels) - set(data.labels))
        raise AlbertError(
            ErrorKind.USAGE,
            f"--teacher {name}: labels",
            expected="those of the data: " + listed(data.labels, _SHOWN),
            got=f"none for {listed(missing, _SHOWN)}" if missing else f"others: {listed(other, _SHOWN)}",
            hint="fine-tune the teacher on data with the same labels",
        )
    return teacher


def _said(teachers: Sequence[Predictor], examples: Sequence[Example], data: Dataset) -> np.ndarray:
    """[examples, labels]: the mean over the teachers, of the logarithms of probabilities where labels share one sum."""
    found: list[Any] = []
    for teacher in teachers:
        logits = np.stack([output.pooled for output in teacher.outputs(examples)]).astype(np.float64)
        if data.task.problem_type != "regression":
            logits = logits[:, [teacher.labels.index(label) for label in data.labels]]
        if data.task.problem_type == "single_label_classification":
            logits = torch.from_numpy(logits).log_softmax(1).numpy()
        found.append(logits)
    return np.asarray(np.mean(found, axis=0))


def _texts(source: DataSource, columns: Columns) -> list[Example]:
    """The rows of an unlabelled file. Raises `AlbertError` (bad-data) for one without the columns, or without rows."""
    table = Table(replace(source, text=None, text_pair=None, label=None), wanted=columns.texts())
    if columns.text_pair is None:
        columns = Columns(text_column(table, columns.text))
    elif missing := [name for name in columns.texts() if name not in table.columns]:
        raise AlbertError(
            ErrorKind.DATA, f"{table.path}: no column {missing[0]!r}", expected="the text columns of the training file",
            got=", ".join(table.columns),
        )  # fmt: skip
    found = []
    for row in table:
        try:
            found.append(example_of(row, replace(columns, label=None)))
        except ValueError as error:
            raise AlbertError(ErrorKind.DATA, f"{table.path}:{row.number}: {error}") from None
    if not found:
        raise AlbertError(ErrorKind.DATA, table.path, expected="rows of data", got="a header alone")
    return found
