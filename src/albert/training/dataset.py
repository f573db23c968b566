"""What `albert train` reads before it trains: tables to examples, task and labels, encoded features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from albert.data.batches import Features
from albert.data.examples import Columns, Example, guess_columns, hold_out, read_examples
from albert.data.sources import Problems
from albert.data.tables import Table
from albert.errors import AlbertError, ErrorKind
from albert.tasks import Task, guess_task, task_named
from albert.text.tokenizer import AlbertTokenizer, Encoding


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """What to fine-tune on and from.

    `train` and `dev` are files; without `dev` a tenth is held out. `init` is a model folder or hub id; without
    it a network of `size` is trained from scratch, on our English vocabulary or that of the folder `tokenizer`.
    `settings` override the values of `AlbertConfig`,
    `OptimizerConfig` and `LoopConfig` by name.
    """

    train: str
    out: Path
    dev: str | None = None
    task: str | None = None
    text: str | None = None
    text_pair: str | None = None
    label: str | None = None
    init: str | None = None
    tokenizer: str | None = None
    size: str = "tiny"
    max_length: int = 128
    format: str | None = None
    encoding: str = "utf-8"
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """Everything that is read and encoded before training."""

    task: Task
    columns: Columns
    labels: tuple[str, ...]
    train: Features
    dev: Features
    train_targets: np.ndarray
    dev_targets: np.ndarray
    held_out: bool
    cut: int


def read_dataset(config: FinetuneConfig, tokenizer: AlbertTokenizer, *, seed: int) -> Dataset:
    """Reads and encodes the training and the dev part; divides one file by `seed` when there is no dev file.

    Raises `AlbertError` (bad-data) with every bad row, before anything is written.
    """
    table = Table(config.train, format=config.format, encoding=config.encoding)
    columns = guess_columns(table, text=config.text, text_pair=config.text_pair, label=config.label)
    assert columns.label is not None
    task = task_named(config.task) if config.task else _guess(table, columns.label)
    train = _examples(table, columns, task)
    labels = task.labels(train, column=columns.label)
    held_out = config.dev is None
    if config.dev is None:
        train, dev = hold_out(train, seed=seed, stratify=task.stratified)
    else:
        dev = _examples(Table(config.dev, format=config.format, encoding=config.encoding), columns, task)
    if not train or not dev:
        raise AlbertError(
            ErrorKind.DATA,
            config.train,
            expected="enough different texts to hold some out",
            got=f"{len(train) + len(dev)} rows",
            hint="give more rows, or a file with --dev",
        )
    train_targets, dev_targets = task.targets(train, labels), task.targets(dev, labels)
    train_features, train_cut = _encode(task, tokenizer, train, train_targets, config.max_length)
    dev_features, dev_cut = _encode(task, tokenizer, dev, dev_targets, config.max_length)
    return Dataset(
        task,
        columns,
        labels,
        train_features,
        dev_features,
        train_targets,
        dev_targets,
        held_out,
        train_cut + dev_cut,
    )


def _encode(
    task: Task, tokenizer: AlbertTokenizer, examples: Sequence[Example], targets: np.ndarray, max_length: int
) -> tuple[Features, int]:
    """The examples as features, encoded in portions to keep memory low, and how many texts were cut."""
    cut = 0

    def encodings() -> Iterator[Encoding]:
        nonlocal cut
        for start in range(0, len(examples), 1024):
            for encoding in task.encode(tokenizer, examples[start : start + 1024], max_length=max_length):
                cut += encoding.cut > 0
                yield encoding

    return Features.build(encodings(), targets), cut


def _guess(table: Table, label: str) -> Task:
    return guess_task([row.values.get(label) for row in table.sample()])


def _examples(table: Table, columns: Columns, task: Task) -> list[Example]:
    missing = [name for name in (*columns.texts(), columns.label) if name not in table.columns]
    if missing:
        raise AlbertError(
            ErrorKind.DATA,
            f"{table.path}: no column {missing[0]!r}",
            expected="the columns of the training file",
            got=", ".join(table.columns),
        )
    problems = Problems(table.path)
    examples = list(read_examples(table, columns, task.parse_gold, problems))
    problems.raise_if_any()
    if not examples:
        raise AlbertError(ErrorKind.DATA, table.path, expected="rows of data", got="a header alone")
    return examples
