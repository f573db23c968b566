"""What `albert train` reads before it trains: tables as examples, task and labels, encoded features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from albert.data.batches import Features
from albert.data.examples import (
    Columns,
    Example,
    guess_columns,
    hold_out,
    label_values,
    read_examples,
    require_alike,
    require_columns,
)
from albert.data.reading import DataSource
from albert.data.sources import Problems
from albert.data.tables import Table
from albert.errors import AlbertError, ErrorKind, require_share
from albert.finetuning.texts import TextConfig
from albert.hub import STARTER
from albert.tasks import Lengths, Task, guess_task, task_named
from albert.tasks.labels import listed
from albert.tasks.losses import LossConfig, LossShape
from albert.text.encodings import Tokenizer

_SHOWN = 10  # the most labels named in an error
_MARKED = (
    "capital letters are marked by token type 1, which transformers does not do by itself; "
    "--set case_marks=off leaves the marks out"
)
_COLDEST, _WARMEST = 0.1, 100.0  # temperatures of teachers' logits


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """What to fine-tune on and from.

    `train` is a file and how it is to be read, and `dev` one that is read in the same way; without it a tenth is held
    out. `init` is a model folder or hub id, the starter unless told otherwise; a `size` instead trains a network of it
    from scratch, on our English vocabulary or that of the folder `tokenizer`. `metric` is the dev score that decides,
    else the task's own. `fallback` is the label for texts that no other one fits: also the answer where none is likely
    enough. `fallback_share` is the share of such texts that is expected in use, else that of dev. `targets` is a file
    with a target a line beside the source a line of `train`, `dev_targets` that of `dev`. `settings` override the
    values of `AlbertConfig`, `OptimizerConfig` and `LoopConfig` by name. With `early_exit` heads stand behind every
    depth, to be left so that at most the share `exit_budget` of dev gets worse answers. With `hybrid` a linear model on
    words speaks beside the head; with `cascade` it answers alone where it is sure, so that at most the share
    `cascade_budget` of dev gets worse answers; with `cascade_net` better ones make up for them. `teachers` are model
    folders or hub ids whose logits, softened by `temperature`, count `teacher_weight` of the loss; of the texts in the
    file `unlabelled` they are all there is. `few_labels`: a linear head on vectors, learned from pairs; None where a
    label has few rows.

    Raises `AlbertError` (usage) for an `init` and a `size` at once, a share without a fallback, and numbers out of
    range.
    """

    train: DataSource
    out: Path
    dev: str | None = None
    init: str | None = None
    tokenizer: str | None = None
    size: str | None = None
    targets: str | None = None
    dev_targets: str | None = None
    metric: str | None = None
    fallback: str | None = None
    fallback_share: float | None = None
    early_exit: bool = False
    exit_budget: float = 0.003
    hybrid: bool = False
    cascade: bool = False
    cascade_budget: float = 0.003
    cascade_net: bool = False
    few_labels: bool | None = None
    teachers: tuple[str, ...] = ()
    unlabelled: str | None = None
    temperature: float = 2.0
    teacher_weight: float = 0.7
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "train", DataSource.of(self.train))  # a path alone is a source without options
        require_share("--exit-budget", self.exit_budget)
        if self.targets is not None and self.train.task is None:
            object.__setattr__(self, "train", replace(self.train, task="text2text"))
        require_share("--cascade-budget", self.cascade_budget)
        if self.fallback_share is not None:
            require_share("--fallback-share", self.fallback_share)
            if self.fallback is None:
                raise AlbertError(ErrorKind.USAGE, "--fallback-share", expected="--fallback beside it", got="none")
        require_share("--teacher-weight", self.teacher_weight)
        if not _COLDEST <= self.temperature <= _WARMEST:
            raise AlbertError(
                ErrorKind.USAGE, "--temperature", expected=f"{_COLDEST:g} to {_WARMEST:g}", got=f"{self.temperature:g}"
            )
        if self.unlabelled is not None and not self.teachers:
            raise AlbertError(ErrorKind.USAGE, "--unlabelled", expected="a --teacher to label texts", got="none")
        if self.tokenizer is not None and self.size is None:
            object.__setattr__(self, "size", "tiny")
        if self.init is None and self.size is None:
            object.__setattr__(self, "init", STARTER)
        if self.init is not None and self.size is not None:
            raise AlbertError(
                ErrorKind.USAGE,
                "where to start",
                expected="a pre-trained model (--init) or a network from scratch (--size, --tokenizer)",
                got="both",
            )


@dataclass(frozen=True)
class Dataset:
    """Everything that is read and encoded before training. `baseline` is the score of the task's baseline.

    `train_examples` are kept where a linear model will read them, too, `taught_examples` (those of `train`) where
    teachers will. `identity` tells whether a resumed run has the same training rows, where their own digest does not.
    """

    task: Task
    tokenizer: Tokenizer
    columns: Columns
    lengths: Lengths
    labels: tuple[str, ...]
    train: Features
    dev: Features
    dev_examples: list[Example]
    loss: LossShape
    baseline: tuple[str, float]
    held_out: bool
    train_rows: int
    cut: int
    remarks: list[str]
    train_examples: list[Example] = field(default_factory=list)
    taught_examples: list[Example] = field(default_factory=list)
    identity: str | None = None


def read_dataset(
    config: FinetuneConfig, tokenizer: Tokenizer, loss: LossConfig, text: TextConfig, *, seed: int
) -> Dataset:
    """Reads and encodes the training and the dev part. Without a dev file, one file is divided by `seed`.

    `text` changes the tokenizer as the task needs it.
    Raises `AlbertError` (bad-data) with every bad row, before anything is written.
    """
    source = config.train
    table = Table(source)
    columns = guess_columns(table)
    assert columns.label is not None
    task = (task_named(source.task) if source.task else _guess(table, columns)).measured_by(config.metric)
    task = task.falling_back_to(config.fallback, config.fallback_share)
    lengths = task.lengths.adjusted(source.max_length, source.stride)
    tokenizer = text.tokenizer(tokenizer, task)
    remarks: list[str] = [_MARKED] if tokenizer.case_marks else []
    parse_gold = task.parser(label_values(table, columns))
    train = read_part(table, columns, parse_gold, remarks)
    labels = task.labels(train, column=columns.label)
    if config.fallback is not None and config.fallback not in labels:
        raise AlbertError(
            ErrorKind.DATA,
            f"{source.path}: --fallback {config.fallback}",
            expected="one of the labels in the training part",
            got=listed(labels, _SHOWN),
        )
    held_out = config.dev is None
    if config.dev is None:
        train, dev = hold_out(train, seed=seed, stratify=task.stratified)
    else:
        dev_table = Table(source.at(config.dev), wanted=columns.names())
        require_alike(dev_table, table)
        dev = read_part(dev_table, columns, parse_gold, remarks)
    if not train or not dev:
        raise AlbertError(
            ErrorKind.DATA,
            source.path,
            expected="enough different texts to hold some out",
            got=f"{len(train) + len(dev)} rows",
            hint="give more rows, or a file with --dev",
        )
    plain, train = train, text.augmented(train, task, seed=seed)
    # The dev part first: it may have labels that the training part lacks.
    (dev_features, dev_cut), (train_features, train_cut) = (
        _features(task, tokenizer, part, labels, lengths, remarks) for part in (dev, train)
    )
    return Dataset(
        task,
        tokenizer,
        columns,
        lengths,
        labels,
        replace(train_features, offsets=None),
        dev_features,
        dev,
        task.shape_loss(loss, train, labels),
        task.baseline(plain, dev, labels),
        held_out,
        len(train),
        train_cut + dev_cut,
        list(dict.fromkeys(remarks)),
        plain if config.hybrid or config.cascade else [],
        list(train) if config.teachers else [],
    )


def _features(
    task: Task,
    tokenizer: Tokenizer,
    examples: Sequence[Example],
    labels: Sequence[str],
    lengths: Lengths,
    remarks: list[str],
) -> tuple[Features, int]:
    """The features of the examples with their gold, and how many texts were cut."""
    features, cut = task.features(tokenizer, examples, lengths)
    remarks.extend(task.remarks(examples, features))
    return features.with_gold(task.targets(examples, features, labels)), cut


def _guess(table: Table, columns: Columns) -> Task:
    assert columns.label is not None
    return guess_task(label_values(table, columns), columns, keep_na=table.source.keep_na)


def read_part(
    table: Table, columns: Columns, parse_gold: Callable[[Any, Example], Any], remarks: list[str]
) -> list[Example]:
    """The rows of a file as examples with gold; what is odd in it goes to `remarks`.

    Raises `AlbertError` (bad-data) with every bad row, or for a file without rows.
    """
    require_columns(table, columns)
    problems = Problems(table.path)
    examples = list(read_examples(table, columns, parse_gold, problems))
    problems.raise_if_any()
    remarks.extend((*table.remarks, *problems.remarks))
    if not examples:
        raise AlbertError(ErrorKind.DATA, table.path, expected="rows of data", got="a header alone")
    return examples
