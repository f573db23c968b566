"""What a training of texts for texts reads: tables, or two files of lines, to encoded pairs of source and target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np

from albert.data.examples import (
    Columns,
    Example,
    hold_out,
    require_alike,
    require_named,
)
from albert.data.headers import REWRITE_NAMES
from albert.data.pairs import PairFeatures, features_of
from albert.data.sources import Problems, text_lines
from albert.data.tables import Table
from albert.errors import AlbertError, ErrorKind
from albert.finetuning.dataset import FinetuneConfig, read_part
from albert.tasks import Lengths, Task, task_named
from albert.tasks.text2text import Text2Text
from albert.text.encodings import Tokenizer

LINES = Columns("source", label="target")  # of two files of lines


@dataclass(frozen=True)
class Pairs:
    """Everything that is read and encoded before training; `baseline` is what the sources themselves reach on dev."""

    task: Text2Text
    columns: Columns
    lengths: Lengths
    train: PairFeatures
    dev: PairFeatures
    dev_examples: list[Example]
    baseline: tuple[str, float]
    held_out: bool
    train_rows: int
    cut: int
    remarks: list[str]


def read_pairs(config: FinetuneConfig, tokenizer: Tokenizer, *, positions: int, seed: int) -> Pairs:
    """Reads and encodes the training and the dev part; divides one file by `seed` when there is no dev file.

    Raises `AlbertError` (bad-data) with every bad row, before anything is written.
    """
    _require_no_labels(config)
    task = task_named(config.train.task or Text2Text.name).measured_by(config.metric)
    assert isinstance(task, Text2Text)
    lengths = _lengths(task, config, positions)
    remarks: list[str] = []
    columns, train, dev = _read(config, task, remarks)
    held_out = dev is None
    if dev is None:
        train, dev = hold_out(train, seed=seed, stratify=False)
    if not train or not dev:
        raise AlbertError(
            ErrorKind.DATA, config.train.path, expected="enough different sources to hold some out",
            got=f"{len(train) + len(dev)} rows", hint="give more rows, or a file with --dev",
        )  # fmt: skip
    remarks += _casing(tokenizer, train)
    encode = _Encoder(task, tokenizer, lengths, positions)
    each = [replace(example, gold=(target,)) for example in train for target in example.gold]
    dev_pairs, train_pairs = encode(dev, remarks), encode(each, remarks)
    return Pairs(
        task, columns, lengths, train_pairs, dev_pairs, dev, task.baseline(train, dev, ()), held_out, len(train),
        encode.cut, list(dict.fromkeys(remarks)),
    )  # fmt: skip


def _require_no_labels(config: FinetuneConfig) -> None:
    given = {
        "--choices": config.train.choices, "--stride": config.train.stride, "--fallback": config.fallback,
        "--early-exit": config.early_exit or None, "--hybrid": config.hybrid or None,
        "--cascade": config.cascade or None, "--few-labels": config.few_labels or None,
        "--teacher": config.teachers or None,
    }  # fmt: skip
    for option, value in given.items():
        if value is not None:
            raise AlbertError(ErrorKind.USAGE, option, expected="a task with labels", got=Text2Text.name)
    if config.dev_targets is not None and (config.dev is None or config.targets is None):
        raise AlbertError(ErrorKind.USAGE, "--dev-targets", expected="--targets and --dev beside it", got="not both")
    if config.targets is not None and config.dev is not None and config.dev_targets is None:
        raise AlbertError(ErrorKind.USAGE, "--dev", expected="--dev-targets beside it, as --targets", got="none")


def _lengths(task: Task, config: FinetuneConfig, positions: int) -> Lengths:
    length = config.train.max_length
    if length is not None and length > positions:
        raise AlbertError(ErrorKind.CONFIG, "max_length", expected=f"at most the model's {positions}", got=str(length))
    return task.lengths.adjusted(length or min(task.lengths.max_length, positions), None)


# --- rows ----------------------------------------------------------------------------------------------------


def _read(
    config: FinetuneConfig, task: Task, remarks: list[str]
) -> tuple[Columns, list[Example], list[Example] | None]:
    """The columns, the training examples, and those of dev where it has a file of its own."""
    if config.targets is not None:
        encoding = config.train.encoding
        train = _lines(config.train.path, config.targets, encoding)
        dev = None if config.dev is None else _lines(config.dev, config.dev_targets or "", encoding)
        return LINES, train, dev
    table = Table(config.train)
    columns = _columns(table)
    train = read_part(table, columns, task.parse_gold, remarks)
    if config.dev is None:
        return columns, train, None
    other = Table(config.train.at(config.dev), wanted=columns.names())
    require_alike(other, table)
    return columns, train, read_part(other, columns, task.parse_gold, remarks)


def _columns(table: Table) -> Columns:
    """Source and target by their names, or of two columns the first and the second."""
    text, label = table.source.text, table.source.label
    require_named(table, *table.source.columns())
    if text is None or label is None:
        guess = _guess(table, text, label)
        text, label = text or guess[0], label or guess[1]
    return Columns(text, table.source.text_pair, label)


def _guess(table: Table, text: str | None, label: str | None) -> tuple[str, str]:
    by_name = {name.lower(): name for name in table.columns}
    fitting = [(by_name[a], by_name[b]) for a, b in REWRITE_NAMES if a in by_name and b in by_name]
    found = next((pair for pair in fitting if text in (None, pair[0]) and label in (None, pair[1])), None)
    if found is None and len(table.columns) == 2:
        first, second = table.columns
        found = (second, first) if text == second or label == first else (first, second)
    if found is None:
        raise AlbertError(
            ErrorKind.DATA, f"{table.path}: which columns are source and target?", expected="two columns of texts",
            got="columns " + ", ".join(table.columns),
            hint="name them with --text COLUMN and --label COLUMN" + (f"; {table.advice}" if table.advice else ""),
        )  # fmt: skip
    return found


def _lines(sources: str, targets: str, encoding: str) -> list[Example]:
    """The examples of two files of lines. Raises `AlbertError` (bad-data) where they are not equally long."""
    first, second = Problems(sources), Problems(targets)
    examples, counts = [], [0, 0]
    for left, right in zip_longest(_numbered(sources, encoding, first), _numbered(targets, encoding, second)):
        counts = [count + (side is not None) for count, side in zip(counts, (left, right), strict=True)]
        if left is None or right is None:
            continue
        for problems, text, what in ((first, left, "source"), (second, right, "target")):
            if not text.strip():
                problems.add(counts[0], f"an empty {what}")
        examples.append(Example(left, gold=(right,), source=f"{sources}:{counts[0]}"))
    first.raise_if_any()
    second.raise_if_any()
    if counts[0] != counts[1]:
        raise AlbertError(
            ErrorKind.DATA, f"{sources} and {targets}", expected="equally many lines, each the target of a source",
            got=f"{counts[0]:,} and {counts[1]:,}",
        )  # fmt: skip
    if not examples:
        raise AlbertError(ErrorKind.DATA, sources, expected="lines of text", got="none")
    return examples


def _numbered(path: str, encoding: str, problems: Problems) -> Iterator[str]:
    """Every line; some text stands for a line that cannot be read, so that those behind it keep their places."""
    expected = 1
    for number, line in text_lines(path, encoding=encoding, problems=problems):
        yield from [" bad "] * (number - expected)
        yield line
        expected = number + 1


# --- pieces --------------------------------------------------------------------------------------------------


class _Encoder:
    """Examples to pieces; `cut` counts the sources that were longer than the model reads."""

    def __init__(self, task: Task, tokenizer: Tokenizer, lengths: Lengths, positions: int) -> None:
        self.task = task
        self.tokenizer = tokenizer
        self.plain = tokenizer.with_hardening(None)  # targets are to be written as they are
        self.lengths = lengths
        self.most = positions - 1  # pieces of a target, behind the begin piece
        self.cut = 0

    def __call__(self, examples: Sequence[Example], remarks: list[str]) -> PairFeatures:
        """The pairs, each with its first target. Raises `AlbertError` (bad-data) for targets that are too long."""
        sources, cut = self.task.features(self.tokenizer, examples, self.lengths)
        self.cut += cut
        targets = self.plain.ids([example.gold[0] for example in examples])
        self._require_room(examples, targets)
        special = self.tokenizer.special
        unknown = [example for example, ids in zip(examples, targets, strict=True) if special.unk in ids]
        if unknown:
            remarks.append(
                f"{len(unknown):,} of {len(examples):,} targets have characters that the vocabulary lacks, which will "
                f"never be written, e.g. {Path(unknown[0].source).name}: {unknown[0].gold[0]!r:.60}"
            )
        return PairFeatures(sources, features_of(targets), special.cls, special.sep)

    def _require_room(self, examples: Sequence[Example], targets: Sequence[np.ndarray]) -> None:
        long = [(example, len(ids)) for example, ids in zip(examples, targets, strict=True) if len(ids) > self.most]
        if long:
            example, length = max(long, key=lambda entry: entry[1])
            raise AlbertError(
                ErrorKind.DATA, f"{example.source}: a target beyond the model's positions",
                expected=f"at most {self.most:,} pieces",
                got=f"{length:,}" + (f", and {len(long) - 1:,} other rows like it" if len(long) > 1 else ""),
                hint="leave such rows out, divide them, or use a network with more max_position_embeddings",
            )  # fmt: skip


def _casing(tokenizer: Tokenizer, examples: Sequence[Example]) -> list[str]:
    """A sentence on what the vocabulary changes in the targets: what it folds is never written."""
    plain = tokenizer.with_hardening(None)
    changed = [target for example in examples[:1000] for target in example.gold
               if plain.decode(plain.ids([target])[0].tolist()) != " ".join(target.split())]  # fmt: skip
    if not changed:
        return []
    written = plain.decode(plain.ids([changed[0]])[0].tolist())
    return [
        f"of the first {min(len(examples), 1000):,} rows {len(changed):,} targets can only be written otherwise: "
        f"{changed[0]!r:.60} as {written!r:.60}; a vocabulary of your own keeps case and accents "
        "(`albert tokenizer train --cased --keep-accents`)"
    ]
